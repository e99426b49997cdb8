// @ts-check
/** Arithmetic of edited positions. No DOM.
 *
 * @typedef {import("./codec.js").Panel} Panel
 * @typedef {[number, number, number]} Change
 */

/** A sideways drag over more bars than this draws a new stretch. */
export const LEAST_BARS = 2;

/** Nearest multiple of `step` within [-1, 1]. @param {number} value @param {number} step */
export function snapped(value, step) {
  const steps = Math.round(1 / step);
  return Math.min(Math.max(Math.round(value * steps), -steps), steps) / steps;
}

/** @param {number} first @param {number} last @param {number} position @returns {Change} */
export const change = (first, last, position) => [first, last, position];

/** Later changes win; one of the same bars replaces the earlier. @param {Change[]} changes @param {Change} next */
export function withChange(changes, next) {
  return [...changes.filter(([first, last]) => first < next[0] || last > next[1]), next];
}

/** First and last bar, around one, between which nothing was traded.
 * @param {Panel} panel @param {number} bar @returns {[number, number]} */
export function holding(panel, bar) {
  let first = bar;
  let last = bar;
  while (first > 1 && panel.trades[first] === 0) first -= 1;
  while (last + 1 < panel.trades.length && panel.trades[last + 1] === 0) last += 1;
  return [first, last];
}

/** Deepest fall. @param {Panel} panel */
export const worst = (panel) => panel.drawdown.reduce((least, value) => Math.min(least, value), 0);
