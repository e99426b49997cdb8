// @ts-check
/**
 * A comment, and the aspects of trading that the server reads in it, as chips. The trader can take
 * chips away and add others; only then are they sent, and only then do they overrule the text.
 */
import { h } from "./dom.js";

const WAIT = 300;

/** "holding_losers" -> "holding losers". @param {string} name */
const words = (name) => name.replaceAll("_", " ");

export class NoteBox {
  /** @param {HTMLElement} host @param {(text: string) => Promise<{aspects: string[]}>} parse
   * @param {() => void} changed called after every change by the trader */
  constructor(host, parse, changed) {
    this.host = host;
    this.parse = parse;
    this.changed = changed;
    this.input = h("textarea", {
      rows: 1,
      maxlength: 1800,
      placeholder: "Why? For example: gives back too much profit",
      "aria-label": "Note on this ranking",
      oninput: () => this.typed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
    });
    this.chips = h("div", { class: "chips", "aria-live": "polite" });
    this.more = h("select", { "aria-label": "Add what the note is about", onchange: () => this.add() });
    host.append(this.input, this.chips, this.more);
    /** @type {string[]} */
    this.aspects = [];
    this.edited = false;
  }

  /** @param {string[]} names every aspect there is */
  offer(names) {
    const options = names.map((name) => h("option", { value: name }, words(name)));
    this.more.replaceChildren(h("option", { value: "" }, "+ about"), ...options);
  }

  open() {
    this.host.hidden = false;
    this.input.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    event.stopPropagation();
    if (event.key !== "Escape" && !(event.key === "Enter" && !event.shiftKey)) return;
    event.preventDefault();
    this.input.blur();
    if (!this.input.value.trim()) this.host.hidden = true;
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.read(), WAIT);
    this.changed();
  }

  async read() {
    const text = this.input.value.trim();
    const reply = text ? await this.parse(text).catch(() => null) : { aspects: [] };
    if (!reply || this.edited || text !== this.input.value.trim()) return;
    this.aspects = reply.aspects;
    this.draw();
  }

  add() {
    const name = this.more.value;
    this.more.value = "";
    if (!name || this.aspects.includes(name)) return;
    this.edited = true;
    this.aspects = [...this.aspects, name];
    this.draw();
    this.changed();
  }

  /** @param {string} name */
  remove(name) {
    this.edited = true;
    this.aspects = this.aspects.filter((other) => other !== name);
    this.draw();
    this.changed();
  }

  draw() {
    const chip = (/** @type {string} */ name) =>
      h(
        "button",
        { class: "aspect", type: "button", "aria-label": `About ${words(name)}: remove`, onclick: () => this.remove(name) },
        words(name),
        h("span", { "aria-hidden": "true" }, " ×"),
      );
    this.chips.replaceChildren(...this.aspects.map(chip));
  }

  /** @param {string} text @param {string[]|null} [aspects] as edited before */
  reset(text, aspects = null) {
    clearTimeout(this.timer);
    this.input.value = text;
    this.aspects = aspects || [];
    this.edited = aspects !== null;
    this.draw();
    this.host.hidden = !text && !this.edited;
    if (text) void this.read();
  }

  /** @returns {{comment: string, aspects: string[]|null}} */
  value() {
    return { comment: this.input.value.trim(), aspects: this.edited ? this.aspects : null };
  }
}
