// @ts-check
/** What the Rank page looks like: elements from state, no decisions. */
import { h } from "./dom.js";
import { ACTIONS, keyName } from "./keys.js";
import { ordinal, ranks, unplaced } from "./model.js";

/** @typedef {import("./model.js").Draft} Draft */

const waits = (/** @type {number} */ n) => `${n} ${n === 1 ? "answer waits" : "answers wait"} in this browser`;

const SAVING = {
  saved: () => "Saved",
  saving: () => "Saving…",
  waiting: (/** @type {number} */ n) => `Offline: ${waits(n)} and will be sent`,
  signedOut: (/** @type {number} */ n) => `Signed out: ${waits(n)}; reload the page to sign in`,
  rejected: (/** @type {number} */ _, /** @type {string} */ detail) => `Not stored: ${detail}`,
};

/** The key of an action, written by `showKeys`. @param {string} name */
const keycap = (name) => h("kbd", { "data-key": name, "aria-hidden": "true" });

/** @param {string} label @param {string} name @param {() => void} onclick @param {string} [kind] */
const action = (label, name, onclick, kind = "") =>
  h("button", { class: `action ${kind}`, type: "button", onclick }, h("span", {}, label), keycap(name));

/** Write the trader's keys on everything below an element. @param {HTMLElement} root
 * @param {import("./keys.js").Keys} keys */
export function showKeys(root, keys) {
  for (const cap of root.querySelectorAll("kbd[data-key]")) {
    const name = cap.getAttribute("data-key") || "";
    cap.textContent = name === "cancel" ? "Esc" : keyName(keys[name] || "");
  }
}

/** Who made the charts: the licence asks for a link on the page. */
export const credit = () =>
  h(
    "a",
    { class: "credit", href: "https://www.tradingview.com/", target: "_blank", rel: "noopener noreferrer" },
    "Charts: TradingView Lightweight Charts™",
  );

/** The fixed frame. @param {Record<string, () => void>} on */
export function frame(on) {
  const part = {
    context: h("p", { class: "context" }),
    state: h("span", { class: "save", role: "status", "aria-live": "polite" }),
    goal: h("div", { class: "goal", title: "Rankings of this session, and its goal; skips do not count" }),
    name: h("span", { class: "name", title: "Your answers are stored under this name" }),
    panels: h("div", { class: "panels" }),
    track: h("div", { class: "track", role: "group", "aria-label": "Your ranking, best first" }),
    note: h("div", { class: "note", hidden: true }),
    message: h("p", { class: "message", role: "status", "aria-live": "polite" }),
    submit: action("Submit", "submit", on.submit, "primary"),
    cancel: action("Cancel", "cancel", on.cancel),
    skip: action("Skip", "skip", on.skip),
    allBad: action("All bad", "allBad", on.allBad),
    blank: h("div", { class: "blank", hidden: true }, h("h2"), h("p"), h("p", { class: "steps" })),
  };
  const root = h(
    "section",
    { class: "rank", tabindex: -1, "aria-label": "Rank the panels, best first" },
    h(
      "header",
      { class: "top" },
      part.context,
      part.state,
      part.goal,
      part.name,
      h("button", { class: "icon", type: "button", onclick: on.settings }, "Settings"),
      h("button", { class: "icon", type: "button", onclick: on.help }, "Help"),
    ),
    part.panels,
    part.blank,
    part.note,
    h(
      "footer",
      { class: "bottom" },
      part.track,
      part.message,
      h(
        "div",
        { class: "actions" },
        action("Note", "note", on.note),
        action("Undo", "undo", on.undo),
        part.cancel,
        part.skip,
        action("Can't tell", "cantTell", on.cantTell),
        part.allBad,
        part.submit,
      ),
    ),
    credit(),
  );
  return { root, ...part };
}

/** What is asked, above the panels.
 * @param {import("./codec.js").Query} query @param {boolean} correcting */
export function contextLine(query, correcting) {
  if (query.practice) return [h("b", {}, query.practice.title), ` ${query.practice.hint}`];
  const what = correcting ? "Correcting your answer" : `Rank ${query.panels.length}, best first`;
  return [h("b", {}, what), ` one market window · ${query.bars} bars of 1 ${query.unit} · prices and equity from 100`];
}

/** @param {HTMLElement} element @param {import("./outbox.js").State} state
 * @param {number} waiting @param {string} [detail] */
export function showSaving(element, state, waiting, detail = "") {
  element.textContent = SAVING[state](waiting, detail);
  element.dataset.state = state;
}

/** Five dots; pressing the chosen one again clears it.
 * @param {number} panel @param {(panel: number, value: number) => void} onrate */
function ratingDots(panel, onrate) {
  const dots = [1, 2, 3, 4, 5].map((value) =>
    h("button", {
      class: "dot",
      type: "button",
      "data-value": value,
      "aria-label": `Rate panel ${panel + 1}: ${value} of 5`,
      "aria-pressed": "false",
      title: `Rate ${value} of 5 (optional)`,
      onclick: () => onrate(panel, value),
    }),
  );
  return h("div", { class: "dots", "data-nodrag": true, role: "group", "aria-label": `Rating of panel ${panel + 1}` }, ...dots);
}

/** @param {number} count @param {{pick: (panel: number) => void, rate: (panel: number, value: number) => void, edit: (panel: number) => void}} on */
export function panelCards(count, on) {
  return Array.from({ length: count }, (_, panel) => {
    const badge = h("span", { class: "badge" });
    const head = h(
      "button",
      { class: "pick", type: "button", onclick: () => on.pick(panel) },
      h("span", { class: "unseen" }, "Panel "),
      h("kbd", { "data-key": `pick${panel + 1}` }),
      badge,
    );
    const host = h("div", { class: "chart" });
    const dots = ratingDots(panel, on.rate);
    const root = h("article", { class: "panel", "aria-label": `Panel ${panel + 1}` });
    const edit = h(
      "button",
      {
        class: "edit",
        type: "button",
        "data-nodrag": true,
        title: "Trade it otherwise: drag its position (E)",
        "aria-label": `Edit panel ${panel + 1}: drag its position`,
        onclick: () => on.edit(panel),
      },
      "✎",
    );
    root.append(h("div", { class: "head", "data-drag": panel }, head, dots, edit), host);
    return { root, host, badge, dots, head };
  });
}

/** @param {ReturnType<typeof panelCards>} cards @param {Draft} draft */
export function updateCards(cards, draft) {
  const rank = ranks(draft);
  const next = draft.tie ? draft.groups.length : draft.groups.length + 1;
  cards.forEach(({ root, badge, dots, head }, panel) => {
    const place = rank[panel];
    const tied = place > 0 && draft.groups[place - 1].length > 1;
    root.classList.toggle("placed", place > 0);
    root.classList.toggle("first", place === 1);
    badge.textContent = place ? `${ordinal(place)}${tied ? " =" : ""}` : `pick ${ordinal(next)}${draft.tie ? " =" : ""}`;
    head.setAttribute("aria-pressed", String(place > 0));
    for (const dot of dots.children) {
      const value = Number(dot.getAttribute("data-value"));
      dot.classList.toggle("on", value <= (draft.ratings[panel] || 0));
      dot.setAttribute("aria-pressed", String(value === draft.ratings[panel]));
    }
  });
}

/** The ranking so far, then what is left; a number goes from one to the other when it is pressed.
 * @param {HTMLElement} track @param {Draft} draft @param {(panel: number) => void} toggle */
export function updateTrack(track, draft, toggle) {
  const left = unplaced(draft);
  const chip = (/** @type {number} */ panel) => {
    const does = left.includes(panel) ? `Pick panel ${panel + 1}` : `Take panel ${panel + 1} out of the ranking`;
    return h(
      "button",
      { class: "chip", type: "button", "data-drag": panel, "aria-label": does, title: does, onclick: () => toggle(panel) },
      String(panel + 1),
    );
  };
  const gap = (/** @type {number} */ group) => h("span", { class: "gap", "data-drop": `before:${group}` });
  const groups = draft.groups.flatMap((members, group) => [
    gap(group),
    h("span", { class: "group", "data-drop": `into:${group}`, title: ordinal(group + 1) }, ...members.map(chip)),
  ]);
  const focused = /** @type {ShadowRoot|Document} */ (track.getRootNode()).activeElement?.getAttribute("data-drag");
  track.replaceChildren(
    h("span", { class: "end" }, "best"),
    ...groups,
    h("span", { class: `slot ${draft.tie ? "tie" : ""}`, "data-drop": `before:${draft.groups.length}`, hidden: !left.length }, draft.tie ? "=" : ""),
    h("span", { class: "end" }, "worst"),
    h("span", { class: "pool", "data-drop": "pool", hidden: !left.length }, ...left.map(chip)),
  );  if (focused) track.querySelector(`.chip[data-drag="${focused}"]`)?.focus();
}

/** Where to go on. @typedef {{label: string, href: string}} Link */

/** @param {Link[]} steps */
export const links = (steps) => steps.map(({ label, href }) => h("a", { class: "step", href, target: "_self" }, label));

/** How far this session is; at its goal, what comes next.
 * @param {HTMLElement} goal @param {number} done @param {number} target @param {Link[]} steps */
export function updateGoal(goal, done, target, steps) {
  const reached = done >= target;
  const share = Math.min(done / target, 1);
  goal.classList.toggle("reached", reached);
  goal.replaceChildren(
    h("span", {}, reached ? `Goal reached · ${done}` : `${done} / ${target}`),
    ...(reached ? links(steps) : [h("progress", { max: 1, value: share, "aria-label": `Session goal: ${done} of ${target} rankings` })]),
  );
}

/** @param {import("./keys.js").Keys} keys @param {() => void} close */
export function helpDialog(keys, close) {
  return h(
    "dialog",
    { class: "dialog", "aria-label": "Keys" },
    h("h2", {}, "Keys"),
    h("dl", {}, ...ACTIONS.flatMap(([name, , says]) => [h("dt", {}, h("kbd", {}, keyName(keys[name]))), h("dd", {}, says)])),
    h(
      "p",
      {},
      "Press a panel's head or its number below, or drag it onto the ranking; drop it on another number for a tie. ",
      "Wheel or pinch zooms all panels. ▲ is a buy, ▼ is a sell; hollow candles rose. ",
      "Under the pointer stand the values of that bar. Settings has colours, theme and keys.",
    ),
    h(
      "p",
      { class: "credit" },
      "Charts: TradingView Lightweight Charts™, © 2026 TradingView, Inc., Apache-2.0.",
    ),
    h("button", { class: "action primary", type: "button", onclick: close, autofocus: true }, "Close"),
  );
}

/** Three steps before the first ranking. @param {() => void} practise @param {() => void} start */
export function welcomeDialog(practise, start) {
  const step = (/** @type {string} */ number, /** @type {string} */ title, /** @type {string} */ text) =>
    h("li", {}, h("b", {}, number), h("div", {}, h("h3", {}, title), h("p", {}, text)));
  return h(
    "dialog",
    { class: "dialog welcome", "aria-label": "How ranking works" },
    h("h2", {}, "Which trading would you rather own?"),
    h(
      "ol",
      {},
      step("1", "Look", "Every panel trades the same market window. Names, dates and symbols are hidden."),
      step("2", "Rank", "Press the panels' numbers, best first. Press = between two that are equal."),
      step("3", "Submit", "Press Enter. U opens your last answer again; ? shows all keys."),
    ),
    h(
      "div",
      { class: "row" },
      h("button", { class: "action primary", type: "button", onclick: practise, autofocus: true }, "Try two practice queries"),
      h("button", { class: "action", type: "button", onclick: start }, "Start ranking"),
    ),
  );
}

