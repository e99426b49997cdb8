// @ts-check
/** The dialog in which a trader chooses theme, colours, keys, and to stay blind. */
import { h } from "./dom.js";
import { ACTIONS, defaultKeys, keepKeys, keyName, withKey } from "./keys.js";
import * as session from "./session.js";
import * as colours from "./theme.js";
import { showKeys } from "./view.js";

/**
 * @typedef {object} Choices
 * @property {string} theme
 * @property {string} palette
 * @property {boolean} blind
 * @property {import("./keys.js").Keys} keys
 *
 * @typedef {object} Changes called at once
 * @property {(name: string) => void} theme
 * @property {(name: string) => void} palette
 * @property {(on: boolean) => void} blind
 * @property {(keys: import("./keys.js").Keys) => void} keys
 * @property {() => void} close
 */

/** @param {string} legend @param {string} group @param {[string, string][]} names @param {string} chosen
 * @param {(name: string) => void} change */
function choice(legend, group, names, chosen, change) {
  const option = ([name, says]) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: group, value: name, checked: name === chosen, onchange: () => change(name) }),
      says,
    );
  return h("fieldset", {}, h("legend", {}, legend), ...names.map(option));
}

/** A button for each action: press it, then its new key. @param {Choices} now @param {Changes} on */
function keyTable(now, on) {
  let { keys } = now;
  const said = h("p", { class: "said", role: "status", "aria-live": "polite" });
  /** @type {Record<string, HTMLElement>} */
  const caps = {};
  const draw = () => ACTIONS.forEach(([action]) => (caps[action].textContent = keyName(keys[action])));
  const change = (/** @type {import("./keys.js").Keys} */ next, /** @type {string} */ text) => {
    keys = next;
    on.keys(keys);
    draw();
    said.textContent = text;
  };
  const listen = (/** @type {KeyboardEvent} */ event, /** @type {string} */ action, /** @type {string} */ says) => {
    if (caps[action].dataset.waits !== "yes") return;
    event.preventDefault();
    event.stopPropagation();
    if (["Shift", "Control", "Alt", "AltGraph", "Meta"].includes(event.key)) return; // more is to come
    caps[action].dataset.waits = "";
    const next = withKey(keys, action, event.key);
    if (next) change(next, `${keyName(next[action])}: ${says}.`);
    else {
      draw();
      said.textContent = event.key === "Escape" ? "Left as it was." : `${event.key} cannot be used.`;
    }
  };
  const row = ([action, , says]) => {
    const button = h(
      "button",
      {
        class: "key",
        type: "button",
        onclick: () => {
          caps[action].dataset.waits = "yes";
          caps[action].textContent = "press a key";
        },
        onkeydown: (/** @type {KeyboardEvent} */ event) => listen(event, action, says),
        onblur: () => {
          caps[action].dataset.waits = "";
          draw();
        },
      },
      (caps[action] = h("kbd")),
      h("span", { class: "unseen" }, `: key to ${says}`),
    );
    return [h("dt", {}, button), h("dd", {}, says)];
  };
  const table = h("dl", {}, ...ACTIONS.flatMap(row));
  draw();
  const reset = h("button", { class: "action", type: "button", onclick: () => change(defaultKeys(), "All keys as they were at first.") }, "Reset keys");
  return h("details", {}, h("summary", {}, "Keys"), h("p", {}, "Press a key's button, then the key that you want."), table, said, reset);
}

/** @param {Choices} now @param {Changes} on */
function settingsDialog(now, on) {
  const blind = h("input", { type: "checkbox", checked: now.blind, onchange: () => on.blind(blind.checked) });
  return h(
    "dialog",
    { class: "dialog settings", "aria-label": "Settings" },
    h("h2", {}, "Settings"),
    choice("Theme", "theme", colours.THEME_NAMES, now.theme, on.theme),
    choice("Colours of the charts", "palette", colours.PALETTE_NAMES, now.palette, on.palette),
    h(
      "fieldset",
      {},
      h("legend", {}, "Blindness"),
      h("label", {}, blind, "Stay blind: hide each panel's return until you have ranked it"),
      h("p", {}, "Names stay hidden until the vote in any case, and a skip never shows them."),
    ),
    keyTable(now, on),
    h("div", { class: "row" }, h("button", { class: "action primary", type: "button", onclick: on.close, autofocus: true }, "Close")),
  );
}

/** The dialog for the Rank page; each choice holds at once. @param {import("./rank.js").RankPage} page */
export function openSettings(page) {
  const links = /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("a[href]"));
  const paths = Array.from(links).flatMap((link) => (link.origin === location.origin ? [link.pathname] : []));
  return settingsDialog(
    { theme: colours.theme(), palette: colours.palette(), blind: session.blind(), keys: page.keys },
    {
      theme: (name) => {
        colours.keepTheme(name, paths);
        location.reload(); // Streamlit reads it then; what was begun is kept
      },
      palette: (name) => {
        colours.keepPalette(name);
        page.ballot.recolour();
      },
      blind: (on) => {
        session.keepBlind(on);
        page.ballot.stayBlind(on);
      },
      keys: (keys) => {
        page.keys = keys;
        keepKeys(localStorage, keys);
        showKeys(page.view.root, keys);
      },
      close: () => page.modal.close(),
    },
  );
}
