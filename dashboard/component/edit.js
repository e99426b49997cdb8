// @ts-check
/**
 * "I would have halved here": the trader drags the position line of a panel, the server trades the
 * episode again, and the edited one is stored as preferred to the original.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./codec.js").Panel} Panel
 * @typedef {[number, number, number]} Change first bar, last bar, fraction of equity
 * @typedef {{board: import("./charts.js").ChartBoard, card: HTMLElement, query: Query, panel: number}} Place
 */
import { decodePanel } from "./codec.js";
import { h, randomKey } from "./dom.js";
import { change, holding, LEAST_BARS, snapped, withChange, worst } from "./edits.js";

const STEP = 0.05;
const BIG_STEP = 0.25;

/** @param {number} value @param {number} [digits] */
const percent = (value, digits = 1) => {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value > 0 ? "+" : "\u2212"}${text} %`;
};

export class EpisodeEditor {
  /** @param {{api: (path: string, body: object) => Promise<any>, session: string,
   *   say: (text: string, loud?: boolean) => void, root: HTMLElement}} page */
  constructor(page) {
    this.page = page;
    /** @type {Place|null} */
    this.place = null;
    /** @type {Change[]} */
    this.changes = [];
    /** @type {Change[][]} */
    this.past = [];
    this.first = 1;
    this.last = 1;
    this.asked = 0;
    this.failed = false;
    this.busy = Promise.resolve();
  }

  get active() {
    return this.place !== null;
  }

  /** @param {Place} place */
  open(place) {
    this.close();
    this.place = place;
    this.original = place.query.panels[place.panel];
    this.changes = [];
    this.past = [];
    this.key = randomKey();
    this.pad = h("div", {
      class: "edit-pad",
      tabindex: 0,
      role: "application",
      "aria-label": `Position of panel ${place.panel + 1}: arrows choose bars and height, Enter saves, Escape leaves`,
      onpointerdown: (/** @type {PointerEvent} */ event) => this.grab(event),
      onpointermove: (/** @type {PointerEvent} */ event) => this.drag(event),
      onpointerup: () => this.drop(),
      onpointercancel: () => this.drop(),
    });
    this.band = h("div", { class: "edit-band" });
    this.pad.append(this.band);
    this.status = h("p", { class: "edit-status", role: "status", "aria-live": "polite" });
    const button = (/** @type {string} */ label, /** @type {() => void} */ onclick, kind = "") =>
      h("button", { class: `action ${kind}`, type: "button", onclick }, label);
    this.save = button("Save", () => void this.store(), "primary");
    this.bar = h(
      "div",
      { class: "edit-bar", "data-nodrag": true },
      this.status,
      h(
        "div",
        { class: "edit-actions" },
        button("\u2212 5 %", () => this.by(-STEP)),
        button("+ 5 %", () => this.by(STEP)),
        button("Halve", () => this.to(this.level() / 2)),
        button("Flat", () => this.to(0)),
        button("Undo", () => this.undo()),
        button("Cancel", () => this.cancel()),
        this.save,
      ),
    );
    this.page.root.classList.add("editing");
    place.card.classList.add("edited");
    place.card.append(this.bar);
    place.board.panels[place.panel].host.append(this.pad);
    place.board.enlarge(place.panel, true);
    [this.first, this.last] = holding(this.original, Math.max(1, Math.round(place.query.bars / 2)));
    this.sizes = new ResizeObserver(() => requestAnimationFrame(() => this.draw()));
    this.sizes.observe(place.board.panels[place.panel].host);
    this.draw();
    this.pad.focus({ preventScroll: true });
    this.page.say("");
    void this.check(place);
  }

  /** Whether the server finds the episode's own trades again; else it says why not.
   * @param {Place} place */
  async check(place) {
    try {
      await this.page.api("edit", { query: place.query.id, panel: place.panel, changes: [] });
    } catch (error) {
      if (this.place !== place) return;
      this.failed = true;
      this.draw(String(error instanceof Error ? error.message : error));
    }
  }

  close() {
    const { place } = this;
    if (!place) return;
    this.place = null;
    this.asked += 1;
    this.sizes?.disconnect();
    this.pad.remove();
    this.bar.remove();
    this.page.root.classList.remove("editing");
    place.card.classList.remove("edited");
    place.board.enlarge(place.panel, false);
    if (this.original) place.board.setPanel(place.panel, this.original);
  }

  cancel() {
    this.close();
    this.page.root.focus({ preventScroll: true });
  }

  /** What the panel shows now. @returns {Panel} */
  shown() {
    const place = /** @type {Place} */ (this.place);
    return place.query.panels[place.panel];
  }

  /** The chosen bars' position. */
  level() {
    const found = this.changes.find(([first, last]) => first === this.first && last === this.last);
    return found ? found[2] : snapped(this.shown().position[this.first], STEP);
  }

  /** @param {number} amount */
  by(amount) {
    this.to(snapped(this.level() + amount, STEP));
  }

  /** @param {number} position */
  to(position) {
    this.past.push(this.changes);
    this.apply(withChange(this.changes, change(this.first, this.last, position)));
  }

  undo() {
    const last = this.past.pop();
    if (last) this.apply(last);
    else this.page.say("Nothing to undo.");
  }

  /** @param {Change[]} changes */
  apply(changes) {
    this.changes = changes;
    void this.recompute();
  }

  /** Trade again; answers that a later change has overtaken are dropped. */
  async recompute() {
    const { place } = this;
    if (!place) return;
    this.asked += 1;
    const number = this.asked;
    this.draw();
    if (!this.changes.length) {
      this.failed = false;
      place.board.setPanel(place.panel, /** @type {Panel} */ (this.original));
      this.draw();
      return;
    }
    // One request at a time: while the trader drags, only the newest is worth asking for.
    await this.busy;
    if (number !== this.asked || this.place !== place) return;
    const asked = this.ask(place, {});
    this.busy = asked.then(
      () => undefined,
      () => undefined,
    );
    try {
      const reply = await asked;
      if (number !== this.asked || this.place !== place) return;
      this.failed = false;
      place.board.setPanel(place.panel, decodePanel(reply.panel));
      this.draw();
    } catch (error) {
      if (number !== this.asked) return;
      this.failed = true;
      this.draw(String(error instanceof Error ? error.message : error));
    }
  }

  /** @param {Place} place @param {object} more */
  ask(place, more) {
    return this.page.api("edit", { query: place.query.id, panel: place.panel, changes: this.changes, ...more });
  }

  async store() {
    const { place } = this;
    if (!place || !this.changes.length || this.failed) return;
    this.save.disabled = true;
    try {
      await this.ask(place, { key: this.key, session: this.page.session });
      this.cancel();
      this.page.say(`Saved: your version is preferred to panel ${place.panel + 1}.`, true);
    } catch (error) {
      this.save.disabled = false;
      this.draw(`Not saved: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {PointerEvent} event */
  grab(event) {
    event.preventDefault();
    this.pad.focus({ preventScroll: true });
    this.pad.setPointerCapture(event.pointerId);
    const at = this.at(event);
    this.grabbed = { bar: at.bar, x: event.clientX, y: event.clientY, before: this.changes };
    [this.first, this.last] = holding(this.shown(), at.bar);
    this.draw();
  }

  /** Up and down moves what is held there; sideways draws from bar to bar. @param {PointerEvent} event */
  drag(event) {
    const { grabbed } = this;
    if (!grabbed) return;
    const [x, y] = [Math.abs(event.clientX - grabbed.x), Math.abs(event.clientY - grabbed.y)];
    if (x < 4 && y < 4 && !grabbed.moved) return;
    grabbed.moved = true;
    const at = this.at(event);
    const across = Math.abs(at.bar - grabbed.bar) + 1;
    if (across > LEAST_BARS && x > 12) {
      this.first = Math.min(grabbed.bar, at.bar);
      this.last = Math.max(grabbed.bar, at.bar);
    }
    this.apply(withChange(grabbed.before, change(this.first, this.last, snapped(at.position, STEP))));
  }

  drop() {
    if (this.grabbed?.moved) this.past.push(this.grabbed.before);
    this.grabbed = null;
  }

  /** Bar and position under a pointer. @param {PointerEvent} event */
  at(event) {
    const { board, panel, query } = /** @type {Place} */ (this.place);
    const box = this.pad.getBoundingClientRect();
    const { chart, series } = board.panels[panel];
    const left = board.panels[panel].host.getBoundingClientRect().left;
    const bar = Math.round(chart.timeScale().coordinateToLogical(event.clientX - left) ?? 1);
    const position = (series.position.coordinateToPrice(event.clientY - box.top) ?? 0) / 100;
    return { bar: Math.min(Math.max(bar, 1), query.bars), position };
  }

  /** Place the pad over the position pane, mark the chosen bars, and say where things stand.
   * @param {string} [problem] */
  draw(problem = "") {
    const { place } = this;
    if (!place) return;
    const { host, chart } = place.board.panels[place.panel];
    const pane = chart.panes()[1].getHTMLElement()?.getBoundingClientRect();
    if (pane) {
      const own = host.getBoundingClientRect();
      const width = chart.timeScale().width();
      Object.assign(this.pad.style, { top: `${pane.top - own.top}px`, height: `${pane.height}px`, width: `${width}px` });
      const x = (/** @type {number} */ bar) => chart.timeScale().logicalToCoordinate(bar) ?? 0;
      const half = Math.max((x(1) - x(0)) / 2, 1);
      const left = Math.max(x(this.first) - half, 0);
      Object.assign(this.band.style, { left: `${left}px`, width: `${Math.min(x(this.last) + half, width) - left}px` });
    }
    const bars = this.first === this.last ? `Bar ${this.first}` : `Bars ${this.first} to ${this.last}`;
    this.status.replaceChildren(h("b", {}, `${bars}: ${percent(this.level() * 100, 0)}`), ` ${problem || this.compared()}`);
    this.status.classList.toggle("loud", Boolean(problem));
    this.save.disabled = !this.changes.length || this.failed;
  }

  /** Result and deepest fall, now and before. */
  compared() {
    if (!this.changes.length) return "Drag the position line up or down, or sideways for fewer bars; or use the arrow keys.";
    const [now, was] = [this.shown(), /** @type {Panel} */ (this.original)];
    const net = (/** @type {Panel} */ panel) => percent(panel.equity[panel.equity.length - 1] - 100);
    return `Result ${net(now)} (was ${net(was)}), deepest fall ${percent(worst(now))} (was ${percent(worst(was))}).`;
  }

  /** Keys while an episode is edited. @param {KeyboardEvent} event */
  press(event) {
    const { place } = this;
    if (!place || event.metaKey || event.altKey) return;
    const button = /** @type {HTMLElement} */ (event.composedPath()[0]).tagName === "BUTTON";
    if (event.key === "Tab" || (button && (event.key === "Enter" || event.key === " "))) return;
    const far = event.shiftKey ? BIG_STEP : STEP;
    const { bars } = place.query;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowUp: () => this.by(far),
      ArrowDown: () => this.by(-far),
      ArrowLeft: () => this.move(-1, event.shiftKey, bars),
      ArrowRight: () => this.move(1, event.shiftKey, bars),
      h: () => this.to(this.level() / 2),
      0: () => this.to(0),
      u: () => this.undo(),
      z: () => this.undo(),
      Backspace: () => this.undo(),
      Enter: () => void this.store(),
      Escape: () => this.cancel(),
    };
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    event.stopPropagation();
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Move the chosen bars, or with `grow` their end. @param {number} by @param {boolean} grow @param {number} bars */
  move(by, grow, bars) {
    const last = Math.min(Math.max(this.last + by, grow ? this.first : 1), bars);
    if (!grow) this.first = Math.min(Math.max(this.first + by, 1), last);
    this.last = Math.max(last, this.first);
    this.draw();
  }
}
