// @ts-check
/** What the browser remembers: of this sitting in the tab, of the first visit for good. */
import { randomKey } from "./dom.js";

const SESSION = "tradinghf.session";
const COUNT = "tradinghf.count";
const PRACTISED = "tradinghf.practised";

/** One name for one sitting of one rater, kept over reloads and server restarts.
 * @param {string} owner */
export function sittingId(owner) {
  const found = sessionStorage.getItem(`${SESSION}.${owner}`) || randomKey();
  sessionStorage.setItem(`${SESSION}.${owner}`, found);
  return found;
}

/** Answers given in this sitting. @param {string} owner */
export const answered = (owner) => Number(sessionStorage.getItem(`${COUNT}.${owner}`) || 0);

/** @param {string} owner @param {number} count */
export const keepAnswered = (owner, count) => sessionStorage.setItem(`${COUNT}.${owner}`, String(count));

/** Whether the practice was done or declined on this machine. */
export const practised = () => localStorage.getItem(PRACTISED) !== null;

export const keepPractised = () => localStorage.setItem(PRACTISED, "1");
