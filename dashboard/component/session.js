// @ts-check
/** What the browser remembers: of this sitting in the tab, of the first visit for good. */
import { randomKey } from "./dom.js";

const SESSION = "tradinghf.session";
const COUNT = "tradinghf.count";
const PRACTISED = "tradinghf.practised";

/** One name for one sitting, kept over reloads and server restarts. */
export function sittingId() {
  const found = sessionStorage.getItem(SESSION) || randomKey();
  sessionStorage.setItem(SESSION, found);
  return found;
}

/** Answers given in this sitting. */
export const answered = () => Number(sessionStorage.getItem(COUNT) || 0);

/** @param {number} count */
export const keepAnswered = (count) => sessionStorage.setItem(COUNT, String(count));

/** Whether the practice was done or declined on this machine. */
export const practised = () => localStorage.getItem(PRACTISED) !== null;

export const keepPractised = () => localStorage.setItem(PRACTISED, "1");
