// @ts-check
/**
 * Triangles where something was traded: below the bars for buys, above for sells, in a colour that
 * no bar has. They keep off the bars beside theirs, off one another, and off the pane's label.
 *
 * @typedef {{bar: number, buy: boolean, x: number, y: number}} Mark `y` of the tip, in pixels
 * @typedef {{x: (bar: number) => number, top: (bar: number) => number, bottom: (bar: number) => number}} Place
 *   pixels of a bar: its middle, its high, its low
 */

export const LARGEST = 9;
export const SMALLEST = 4;
const GAP = 3;

/** Side of the triangles: smaller where many are traded. @param {number} count @param {number} width */
export const sizeOf = (count, width) => Math.max(SMALLEST, Math.min(LARGEST, (2 * width) / Math.max(count, 1)));

/** First and last bar that a mark of this size would cover. @param {number} bar @param {number} bars
 * @param {Place} at @param {number} size */
function covered(bar, bars, at, size) {
  const reach = Math.ceil((size / 2 + 1) / Math.max(Math.abs(at.x(1) - at.x(0)), 0.05));
  return [Math.max(0, bar - reach), Math.min(bars, bar + reach)];
}

/** Where the marks go.
 * @param {ArrayLike<number>} trades [L+1] signed changes, 0 where nothing was traded
 * @param {Place} at @param {number} size @param {[number, number]} room first and last pixel free */
export function placed(trades, at, size, room) {
  /** @type {Mark[]} */
  const marks = [];
  for (let bar = 0; bar < trades.length; bar += 1) {
    if (!trades[bar]) continue;
    const buy = trades[bar] > 0;
    const away = buy ? 1 : -1;
    const x = at.x(bar);
    let y = buy ? -Infinity : Infinity;
    const [first, last] = covered(bar, trades.length - 1, at, size);
    for (let near = first; near <= last; near += 1) y = buy ? Math.max(y, at.bottom(near)) : Math.min(y, at.top(near));
    y += away * GAP;
    for (const other of marks.filter((mark) => mark.buy === buy && Math.abs(mark.x - x) < size)) {
      if (Math.abs(other.y - y) < size) y = other.y + away * (size + 1);
    }
    marks.push({ bar, buy, x, y: Math.min(Math.max(y, room[0] + (buy ? 0 : size)), room[1] - (buy ? size : 0)) });
  }
  return marks;
}

/** @param {CanvasRenderingContext2D} context @param {Mark} mark @param {number} size */
function triangle(context, { x, y, buy }, size) {
  const away = buy ? size : -size;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + size / 2 + 0.5, y + away);
  context.lineTo(x - size / 2 - 0.5, y + away);
  context.closePath();
  context.fill();
}

/** Draws them on a candle series, as the library's plug-in for series. */
export class TradeMarks {
  /** @param {number} label height of the strip that the pane's label takes */
  constructor(label) {
    this.label = label;
    this.colour = "";
    /** @type {ArrayLike<number>} */
    this.trades = [];
    /** @type {Record<"high"|"low", ArrayLike<number>>} */
    this.market = { high: [], low: [] };
    /** @type {Mark[]} what was drawn last */
    this.marks = [];
    this.refresh = () => {};
    const renderer = { draw: (/** @type {any} */ target) => target.useMediaCoordinateSpace((/** @type {any} */ space) => this.draw(space)) };
    this.views = [{ renderer: () => renderer, zOrder: () => "top" }];
  }

  /** @param {{chart: any, series: any, requestUpdate: () => void}} owner */
  attached({ chart, series, requestUpdate }) {
    this.refresh = requestUpdate;
    this.at = {
      x: (/** @type {number} */ bar) => chart.timeScale().logicalToCoordinate(bar) ?? 0,
      top: (/** @type {number} */ bar) => series.priceToCoordinate(this.market.high[bar]) ?? 0,
      bottom: (/** @type {number} */ bar) => series.priceToCoordinate(this.market.low[bar]) ?? 0,
    };
  }

  updateAllViews() {}

  paneViews() {
    return this.views;
  }

  /** @param {ArrayLike<number>} trades @param {Record<"high"|"low", ArrayLike<number>>} market */
  show(trades, market) {
    this.trades = trades;
    this.market = market;
    this.refresh();
  }

  /** @param {string} colour */
  recolour(colour) {
    this.colour = colour;
    this.refresh();
  }

  /** @param {{context: CanvasRenderingContext2D, mediaSize: {width: number, height: number}}} space */
  draw({ context, mediaSize }) {
    if (!this.at) return;
    const count = Array.from(this.trades).filter((change) => change !== 0).length;
    const size = sizeOf(count, mediaSize.width);
    this.marks = placed(this.trades, this.at, size, [this.label, mediaSize.height]);
    context.fillStyle = this.colour;
    this.marks.forEach((mark) => triangle(context, mark, size));
  }
}
