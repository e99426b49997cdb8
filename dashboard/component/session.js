// @ts-check
/** What the browser remembers: of this sitting in the tab, of the first visit and choices for good. */
import { randomKey } from "./dom.js";

const SESSION = "tradinghf.session";
const COUNT = "tradinghf.count";
const DRAFT = "tradinghf.draft";
const PRACTISED = "tradinghf.practised";
const BLIND = "tradinghf.blind";

/**
 * @typedef {object} HalfMade an answer that was begun
 * @property {string} query
 * @property {string} supersedes key of the answer being corrected
 * @property {import("./model.js").Draft} draft
 * @property {string} comment
 * @property {string[]|null} aspects as edited by the trader
 */

/** One name for one sitting of one rater, kept over reloads and server restarts.
 * @param {string} owner */
export function sittingId(owner) {
  const found = sessionStorage.getItem(`${SESSION}.${owner}`) || randomKey();
  sessionStorage.setItem(`${SESSION}.${owner}`, found);
  return found;
}

/** Rankings given in this sitting. @param {string} owner */
export const answered = (owner) => Number(sessionStorage.getItem(`${COUNT}.${owner}`) || 0);

/** @param {string} owner @param {number} count */
export const keepAnswered = (owner, count) => sessionStorage.setItem(`${COUNT}.${owner}`, String(count));

/** @param {string} owner @param {HalfMade} half */
export const keepHalfMade = (owner, half) => sessionStorage.setItem(`${DRAFT}.${owner}`, JSON.stringify(half));

/** What was begun for a query before the page was loaded again; null when nothing was.
 * @param {string} owner @param {string} query @param {string} supersedes @returns {HalfMade|null} */
export function halfMade(owner, query, supersedes) {
  try {
    const found = JSON.parse(sessionStorage.getItem(`${DRAFT}.${owner}`) || "null");
    return found?.query === query && found.supersedes === supersedes ? found : null;
  } catch {
    return null; // not ours
  }
}

/** Whether the practice was done or declined on this machine. */
export const practised = () => localStorage.getItem(PRACTISED) !== null;

export const keepPractised = () => localStorage.setItem(PRACTISED, "1");

/** Whether returns stay hidden until the vote. */
export const blind = () => localStorage.getItem(BLIND) === "1";

/** @param {boolean} on */
export const keepBlind = (on) => localStorage.setItem(BLIND, on ? "1" : "0");
