// @ts-check
/** Which action of the Rank page a key press means. */
import { typing } from "./dom.js";

/** @type {Record<string, string>} key -> name of the action */
const ACTIONS = {
  "=": "tie",
  Backspace: "back",
  Enter: "submit",
  s: "skip",
  x: "cantTell",
  u: "undo",
  n: "note",
  e: "edit",
  "?": "help",
};

/** @typedef {{action: string, panel: number}} Command `panel` from 0 with the action "pick" */

/** The command of a key, or null when the key belongs to a field, a control or the browser.
 * @param {KeyboardEvent} event @returns {Command|null} */
export function command(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event)) return null;
  const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
  const control = target.tagName === "BUTTON" || target.tagName === "A";
  if (control && (event.key === "Enter" || event.key === " ")) return null;
  if (/^[1-9]$/.test(event.key)) return { action: "pick", panel: Number(event.key) - 1 };
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || (event.repeat && action === "submit")) return null;
  return { action, panel: -1 };
}
