// @ts-check
/**
 * The four panes of a panel: their names, scales, and what they say at a bar. No DOM.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./codec.js").Panel} Panel
 * @typedef {"price"|"position"|"equity"|"drawdown"} Pane
 * @typedef {{minValue: number, maxValue: number}} Range
 */

/** @type {Pane[]} from top to bottom */
export const PANES = ["price", "position", "equity", "drawdown"];
/** @type {Record<Pane, number>} relative heights */
export const STRETCH = { price: 3.8, position: 1.5, equity: 3.6, drawdown: 1.9 };
/** @type {Record<Pane, string>} */
export const NAMES = { price: "Price", position: "Position", equity: "Equity", drawdown: "Drawdown" };

const FIRST_TICK = 5;
const LARGEST_WEIGHT = 20;

/** @param {number} value @param {number} digits */
const minus = (value, digits) => `${value < -0.5 / 10 ** digits ? "\u2212" : ""}${Math.abs(value).toFixed(digits)}`;

/** @param {number} value */
const signed = (value) => `${value >= 0.5 ? "+" : ""}${minus(value, 0)}`;

/** @type {Record<Pane, (value: number) => string>} */
export const FORMATS = {
  price: (v) => v.toFixed(Math.abs(v) < 1000 ? 1 : 0),
  position: (v) => `${signed(v)}%`,
  equity: (v) => v.toFixed(1),
  drawdown: (v) => `${minus(v, 1)}%`,
};

/** On the axes: the strip for the label is no place for positions of more than everything, nor
 * for drawdowns above zero. */
export const AXIS_FORMATS = {
  ...FORMATS,
  position: (/** @type {number} */ v) => (Math.abs(v) > 100.5 ? "" : FORMATS.position(v)),
  drawdown: (/** @type {number} */ v) => (v > 0.05 ? "" : FORMATS.drawdown(v)),
};

/** @returns {Range} */
const empty = () => ({ minValue: Infinity, maxValue: -Infinity });

/** @returns {Record<Pane, Range>} */
export const noRanges = () => ({ price: empty(), position: empty(), equity: empty(), drawdown: empty() });

/** @param {Range} range @param {number} value */
function widen(range, value) {
  if (value < range.minValue) range.minValue = value;
  if (value > range.maxValue) range.maxValue = value;
}

/** Lowest and highest value of each pane over all panels and the bars in view: the shared scales.
 * @param {Query} query @param {number} from @param {number} to */
export function sharedRanges(query, from, to) {
  const first = Math.max(0, Math.floor(from));
  const last = Math.min(query.bars, Math.ceil(to));
  const ranges = noRanges();
  for (let bar = first; bar <= last; bar += 1) {
    widen(ranges.price, query.market.low[bar]);
    widen(ranges.price, query.market.high[bar]);
    for (const panel of query.panels) {
      widen(ranges.equity, panel.equity[bar]);
      widen(ranges.drawdown, panel.drawdown[bar]);
      widen(ranges.position, panel.position[bar] * 100);
      if (panel.gross) widen(ranges.position, panel.gross[bar] * 100);
    }
  }
  for (const bound of [-100, 100]) widen(ranges.position, bound);
  for (const bound of [99.5, 100.5]) widen(ranges.equity, bound);
  for (const bound of [-1, 0]) widen(ranges.drawdown, bound);
  return ranges;
}

/** One value of a pane at a bar, in the pane's unit. @param {Query} query @param {Panel} panel
 * @param {Pane} pane @param {number} bar */
export function valueAt(query, panel, pane, bar) {
  if (pane === "price") return query.market.close[bar];
  return pane === "position" ? panel.position[bar] * 100 : panel[pane][bar];
}

/** What a pane says at a bar. @param {Query} query @param {Panel} panel @param {Pane} pane
 * @param {number} bar */
export function told(query, panel, pane, bar) {
  const text = FORMATS[pane](valueAt(query, panel, pane, bar));
  const gross = pane === "position" ? panel.gross?.[bar] : undefined;
  return gross === undefined ? text : `${text} net, ${minus(gross * 100, 0)}% gross`;
}

/** Weight of a bar's tick: multiples of 5, 10, 20, 40 ... The charts show all ticks of a weight or
 * none, so whichever fit are evenly spaced. @param {number} bar */
export function tickWeight(bar) {
  if (bar === 0) return LARGEST_WEIGHT;
  let weight = 0;
  for (let step = FIRST_TICK; bar % step === 0; step *= 2) weight += 1;
  return weight;
}
