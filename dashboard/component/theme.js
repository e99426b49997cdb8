// @ts-check
/** Colours of the charts: the theme's, and the trader's choice for up and down. */
import { cssColour, cssValue, h } from "./dom.js";

const CHOICE = "tradinghf.palette";
/** @type {Record<string, string[]>} name -> up, down */
const PALETTES = { blue: ["#2F81F7", "#E8833A"], green: ["#1FA971", "#E5484D"] };

/** @param {HTMLElement} element inside the theme @returns {import("./charts.js").Colours} */
export function themeColours(element) {
  const [up, down] = PALETTES[localStorage.getItem(CHOICE) || "blue"] || PALETTES.blue;
  return {
    up,
    down,
    text: cssColour(element, "--muted"),
    muted: cssColour(element, "--muted"),
    grid: cssColour(element, "--line"),
    surface: cssColour(element, "--raised"),
    font: cssValue(element, "font-family"),
  };
}

/** Blue and orange, or green and red. */
export function switchPalette() {
  localStorage.setItem(CHOICE, localStorage.getItem(CHOICE) === "green" ? "blue" : "green");
}

/** The theme's variables change without an event; a transition of a probe that uses one is one.
 * @param {HTMLElement} host @param {() => void} changed @returns {() => void} stop watching */
export function watchTheme(host, changed) {
  const probe = h("i", { class: "probe", "aria-hidden": "true" });
  host.append(probe);
  probe.addEventListener("transitionend", changed);
  return () => probe.remove();
}
