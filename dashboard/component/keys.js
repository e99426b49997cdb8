// @ts-check
/** Which action of the Rank page a key press means; every key can be another one. */
import { typing } from "./dom.js";

const CHOSEN = "tradinghf.keys";
export const MOST_PANELS = 5;

/** @typedef {Record<string, string>} Keys action -> key */
/** @typedef {{action: string, panel: number}} Command `panel` from 0 with the action "pick" */

/** @type {[string, string, string][]} action, its key, what it does */
export const ACTIONS = [
  ["pick1", "1", "pick panel 1"],
  ["pick2", "2", "pick panel 2"],
  ["pick3", "3", "pick panel 3"],
  ["pick4", "4", "pick panel 4"],
  ["pick5", "5", "pick panel 5"],
  ["tie", "=", "tie the next pick with the last one"],
  ["back", "Backspace", "take back the last pick"],
  ["submit", "Enter", "submit; the only panel left comes last"],
  ["allBad", "b", "all bad: none is worth owning"],
  ["skip", "s", "skip this question"],
  ["cantTell", "x", "can't tell them apart"],
  ["undo", "u", "undo: open your last answer again"],
  ["note", "n", "write a note (Esc leaves it)"],
  ["edit", "e", "edit: trade a panel otherwise (also \u270e)"],
  ["settings", ",", "colours, theme, keys, staying blind"],
  ["help", "?", "all keys"],
];

/** @returns {Keys} */
export const defaultKeys = () => Object.fromEntries(ACTIONS.map(([action, key]) => [action, key]));

/** Letters mean the same with and without Shift. @param {string} key */
const plain = (key) => (key.length === 1 ? key.toLowerCase() : key);

/** How a key is shown on a button. @param {string} key */
export const keyName = (key) => ({ Enter: "\u21b5", " ": "Space", Escape: "Esc" })[key] || (key.length === 1 ? key.toUpperCase() : key);

/** The trader's own keys, those of a newer version included. @param {Pick<Storage, "getItem">} storage @returns {Keys} */
export function chosenKeys(storage) {
  const keys = defaultKeys();
  try {
    const found = JSON.parse(storage.getItem(CHOSEN) || "{}") || {};
    for (const action of Object.keys(keys)) if (typeof found[action] === "string" && found[action]) keys[action] = found[action];
  } catch {
    return defaultKeys(); // not ours
  }
  return new Set(Object.values(keys)).size === ACTIONS.length ? keys : defaultKeys();
}

/** @param {Pick<Storage, "setItem">} storage @param {Keys} keys */
export const keepKeys = (storage, keys) => storage.setItem(CHOSEN, JSON.stringify(keys));

/** Keys with another one for an action; the action that had it takes the old one, so that none is
 * without. Null for keys that the page needs itself. @param {Keys} keys @param {string} action @param {string} key */
export function withKey(keys, action, key) {
  const wanted = plain(key);
  if (["Escape", "Tab", "Shift", "Control", "Alt", "AltGraph", "Meta", "Dead", "Unidentified"].includes(wanted)) return null;
  const holder = Object.keys(keys).find((other) => keys[other] === wanted);
  return { ...keys, ...(holder ? { [holder]: keys[action] } : {}), [action]: wanted };
}

/** The action of a key; of a digit also where the keyboard needs Shift for it.
 * @param {KeyboardEvent} event @param {Keys} keys */
function actionOf(event, keys) {
  const key = plain(event.key);
  const found = Object.keys(keys).find((action) => keys[action] === key);
  const digit = /^Digit([1-9])$/.exec(event.code || "")?.[1];
  return found || (digit && !/^\d$/.test(key) ? Object.keys(keys).find((action) => keys[action] === digit) : undefined);
}

/** The command of a key, or null when the key belongs to a field, a control or the browser.
 * @param {KeyboardEvent} event @param {Keys} keys @returns {Command|null} */
export function command(event, keys) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event)) return null;
  const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
  const control = target.tagName === "BUTTON" || target.tagName === "A";
  if (control && (event.key === "Enter" || event.key === " ")) return null;
  if (event.key === "Escape") return { action: "cancel", panel: -1 };
  const action = actionOf(event, keys);
  if (!action || (event.repeat && action === "submit")) return null;
  return action.startsWith("pick") ? { action: "pick", panel: Number(action.slice(4)) - 1 } : { action, panel: -1 };
}
