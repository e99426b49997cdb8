// @ts-check
/**
 * What a panel came to, in one line: net return, deepest fall, trades, share of time in the market.
 *
 * @typedef {import("./codec.js").Panel} Panel
 * @typedef {{net: number, fall: number, trades: number, held: number}} Figures percents, a count, a percent
 */
import { h } from "./dom.js";

const SMALLEST = 0.001; // a smaller position is none

/** @param {Panel} panel @returns {Figures} */
export function figures({ equity, drawdown, trades, position, gross }) {
  const last = equity.length - 1;
  const held = (gross || position).subarray(1).filter((value) => Math.abs(value) >= SMALLEST).length;
  return {
    net: equity[last] - 100,
    fall: drawdown.reduce((least, value) => Math.min(least, value), 0),
    trades: trades.filter((change) => change !== 0).length,
    held: last ? (100 * held) / last : 0,
  };
}

/** With its sign, none where it rounds to zero. @param {number} value */
export function signedPercent(value) {
  const text = Math.abs(value).toFixed(1);
  return `${Number(text) === 0 ? "" : value > 0 ? "+" : "\u2212"}${text} %`;
}

/** Words of each figure, in the order in which they stand. @param {Figures} found
 * @param {boolean} blind without the return, which one may want to judge by the curve
 * @returns {[string, string][]} */
export const words = (found, blind) => [
  [blind ? "hidden" : signedPercent(found.net), "net return"],
  [signedPercent(found.fall), "deepest fall"],
  [String(found.trades), found.trades === 1 ? "trade" : "trades"],
  [`${Math.round(found.held)} %`, "in the market"],
];

export class SummaryLine {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.root = h("dl", { class: "summary" });
    host.append(this.root);
  }

  /** @param {Panel} panel @param {boolean} blind */
  show(panel, blind) {
    const row = ([value, name]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    this.root.replaceChildren(...words(figures(panel), blind).map(row));
  }
}
