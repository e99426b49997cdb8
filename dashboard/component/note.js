// @ts-check
/** A comment, and the aspects that the server reads in it as chips that the trader can remove. */
import { h } from "./dom.js";

const WAIT = 300;

export class NoteBox {
  /** @param {HTMLElement} host @param {(text: string) => Promise<{aspects: {name: string, label: string}[]}>} parse */
  constructor(host, parse) {
    this.host = host;
    this.parse = parse;
    this.input = h("textarea", {
      rows: 1,
      maxlength: 2000,
      placeholder: "Why? For example: gives back too much profit",
      "aria-label": "Note on this ranking",
      oninput: () => this.typed(),
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
    });
    this.chips = h("div", { class: "chips", "aria-live": "polite" });
    host.append(this.input, this.chips);
    this.rejected = new Set();
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
  }

  async read() {
    const text = this.input.value.trim();
    const { aspects } = text ? await this.parse(text).catch(() => ({ aspects: [] })) : { aspects: [] };
    if (text !== this.input.value.trim()) return;
    this.found = aspects;
    this.drawChips();
  }

  drawChips() {
    const kept = (this.found || []).filter((aspect) => !this.rejected.has(aspect.name));
    this.chips.replaceChildren(
      ...kept.map((aspect) =>
        h(
          "button",
          {
            class: "aspect",
            type: "button",
            title: "Not meant: remove",
            "aria-label": `Understood as ${aspect.label}. Remove`,
            onclick: () => {
              this.rejected.add(aspect.name);
              this.drawChips();
            },
          },
          aspect.label,
          h("span", { "aria-hidden": "true" }, " ×"),
        ),
      ),
    );
  }

  /** @param {string} text */
  reset(text) {
    clearTimeout(this.timer);
    this.input.value = text;
    this.found = [];
    this.rejected = new Set();
    this.chips.replaceChildren();
    this.host.hidden = !text;
    if (text) void this.read();
  }

  value() {
    return this.input.value.trim();
  }
}
