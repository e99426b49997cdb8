// @ts-check
/**
 * Arrays of a query, as the server packed them.
 *
 * @typedef {object} Payload
 * @property {string} query id
 * @property {number} bars L
 * @property {string} unit what one bar is
 * @property {{open: string, high: string, low: string, close: string}} market base64 float32 [L+1]
 * @property {{position: string, equity: string, trades: string, gross?: string, weights?: string}[]} panels
 * @property {string[]=} assets [R] names of the assets in the weights of portfolios; numbers while blind
 * @property {string[]=} dates [L+1] only where nothing is hidden
 * @property {{title: string, hint: string}=} practice only for practice queries
 * @property {{ranks: number[], ratings: (number|null)[], comment: string, key: string}=} edit
 *
 * @typedef {object} Panel
 * @property {Float32Array} position [L+1] fraction of equity, 0 at the first bar
 * @property {Float32Array} equity [L+1] from 100
 * @property {Float32Array} drawdown [L+1] percent, 0 or negative
 * @property {Float32Array} trades [L+1] signed change of position where something was filled
 * @property {Float32Array=} gross [L+1] a portfolio's positions together, fraction of equity
 * @property {Float32Array=} weights [L * R] of its assets from the second bar on, bar by bar
 *
 * @typedef {object} Query
 * @property {string} id
 * @property {number} bars
 * @property {string} unit
 * @property {Record<"open"|"high"|"low"|"close", Float32Array>} market
 * @property {Panel[]} panels
 * @property {string[]=} dates
 * @property {string[]=} assets [R] rows of the weights; only of portfolios
 * @property {Payload["practice"]} practice
 * @property {Payload["edit"]} edit
 */

/** Little-endian float32 from base64. @param {string} text */
export function decode(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

/** Percent below the highest value so far. @param {Float32Array} equity */
export function drawdown(equity) {
  let peak = -Infinity;
  return equity.map((value) => {
    peak = Math.max(peak, value);
    return (value / peak - 1) * 100;
  });
}

/** L values of steps as L+1 values of bars: nothing happened in the first. @param {Float32Array} steps */
function fromSecondBar(steps) {
  const values = new Float32Array(steps.length + 1);
  values.set(steps, 1);
  return values;
}

/** @param {Payload["panels"][number]} packed @returns {Panel} */
export function decodePanel(packed) {
  const equity = decode(packed.equity);
  return {
    equity,
    drawdown: drawdown(equity),
    position: fromSecondBar(decode(packed.position)),
    trades: fromSecondBar(decode(packed.trades)),
    gross: packed.gross === undefined ? undefined : fromSecondBar(decode(packed.gross)),
    weights: packed.weights === undefined ? undefined : decode(packed.weights),
  };
}

/** @param {Payload} payload @returns {Query} */
export function decodeQuery(payload) {
  const { market } = payload;
  return {
    id: payload.query,
    bars: payload.bars,
    unit: payload.unit,
    market: {
      open: decode(market.open),
      high: decode(market.high),
      low: decode(market.low),
      close: decode(market.close),
    },
    panels: payload.panels.map(decodePanel),
    dates: payload.dates,
    assets: payload.assets,
    practice: payload.practice,
    edit: payload.edit,
  };
}
