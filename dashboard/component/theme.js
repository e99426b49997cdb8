// @ts-check
/** Colours of the charts: the theme's, and the trader's choice for up and down; light and dark. */
import { cssColour, cssValue, h } from "./dom.js";

const CHOICE = "tradinghf.palette";
/** @type {Record<string, string[]>} name -> up, down */
const PALETTES = { blue: ["#2F81F7", "#E8833A"], green: ["#1FA971", "#E5484D"] };
/** @type {[string, string][]} */
export const PALETTE_NAMES = [["blue", "Blue up, orange down"], ["green", "Green up, red down"]];
/** @type {[string, string][]} */
export const THEME_NAMES = [["System", "As the system"], ["Light", "Light"], ["Dark", "Dark"]];

/** @param {HTMLElement} element inside the theme @returns {import("./charts.js").Colours} */
export function themeColours(element) {
  const [up, down] = PALETTES[palette()];
  return {
    up,
    down,
    text: cssColour(element, "--muted"),
    muted: cssColour(element, "--muted"),
    grid: cssColour(element, "--line"),
    surface: cssColour(element, "--raised"),
    trade: cssColour(element, "--trade"),
    font: cssValue(element, "font-family"),
  };
}

/** Name of the chosen pair of colours. */
export function palette() {
  const found = localStorage.getItem(CHOICE) || "";
  return found in PALETTES ? found : "blue";
}

/** @param {string} name */
export const keepPalette = (name) => localStorage.setItem(CHOICE, name);

// Streamlit keeps its theme for each address of a page; all pages get the same.
const themeKey = (/** @type {string} */ path) => `stActiveTheme-${path}-v2`;

/** The chosen theme: "System", "Light" or "Dark". */
export function theme() {
  try {
    const found = JSON.parse(localStorage.getItem(themeKey(location.pathname)) || '"System"');
    return THEME_NAMES.some(([name]) => name === found) ? found : "System";
  } catch {
    return "System"; // not ours
  }
}

/** @param {string} name @param {string[]} paths of all pages */
export function keepTheme(name, paths) {
  for (const path of new Set([location.pathname, ...paths])) localStorage.setItem(themeKey(path), JSON.stringify(name));
}

/** The theme's variables change without an event; a transition of a probe that uses one is one.
 * @param {HTMLElement} host @param {() => void} changed @returns {() => void} stop watching */
export function watchTheme(host, changed) {
  const probe = h("i", { class: "probe", "aria-hidden": "true" });
  host.append(probe);
  probe.addEventListener("transitionend", changed);
  return () => probe.remove();
}
