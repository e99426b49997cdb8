// @ts-check
/**
 * The panels on the screen and the ranking being made of them.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./model.js").Draft} Draft
 * @typedef {ReturnType<typeof import("./view.js").frame>} View
 */
import { ChartBoard } from "./charts.js";
import { enableDrag } from "./drag.js";
import * as model from "./model.js";
import { themeColours, watchTheme } from "./theme.js";
import { panelCards, updateCards, updateTrack } from "./view.js";

export class Ballot {
  /** @param {View} view @param {() => void} changed called after every change by the trader
   * @param {(panel: number) => void} edit called to trade a panel otherwise
   * @param {boolean} blind whether returns are hidden */
  constructor(view, changed, edit, blind) {
    this.view = view;
    this.changed = changed;
    this.edit = edit;
    this.blind = blind;
    this.draft = model.emptyDraft(0);
    /** While true, nothing can be changed. */
    this.locked = false;
    this.stopTheme = watchTheme(view.root, () => this.recolour());
    this.stopDrag = enableDrag(view.root, (panel, drop) => this.drop(panel, drop));
    this.sizes = new ResizeObserver(() => this.board?.placeLabelsSoon());
    this.sizes.observe(view.panels);
  }

  /** @param {Query} query @param {Draft} draft */
  show(query, draft) {
    this.view.blank.hidden = true;
    this.view.panels.hidden = false;
    if (this.cards?.length !== query.panels.length) this.build(query.panels.length);
    this.board?.show(query);
    this.locked = false;
    this.draft = draft;
    this.refresh();
  }

  /** Nothing to rank: say why. @param {string} title @param {string} text */
  blank(title, text) {
    this.view.panels.hidden = true;
    this.view.blank.hidden = false;
    this.view.blank.children[0].textContent = title;
    this.view.blank.children[1].textContent = text;
    this.draft = model.emptyDraft(0);
    this.refresh();
  }

  /** @param {number} count */
  build(count) {
    this.board?.destroy();
    this.cards = panelCards(count, {
      pick: (panel) => this.toggle(panel),
      rate: (panel, value) => this.change(model.rate(this.draft, panel, value)),
      edit: (panel) => this.edit(panel),
    });
    this.view.panels.style.setProperty("--panels", String(count));
    this.view.panels.replaceChildren(...this.cards.map((card) => card.root));
    this.board = new ChartBoard(this.cards.map((card) => card.host), themeColours(this.view.root), { summary: true, blind: this.blind });
  }

  /** @param {Draft} draft */
  change(draft) {
    if (this.locked) return;
    this.draft = draft;
    this.refresh();
    this.changed();
  }

  refresh() {
    if (this.cards && this.draft.size) updateCards(this.cards, this.draft);
    updateTrack(this.view.track, this.draft, (panel) => this.toggle(panel));
    this.view.submit.children[0].textContent = this.locked ? "Continue" : "Submit";
    this.view.submit.disabled = !this.draft.size || (!this.locked && this.left() > 1);
  }

  /** How many panels have no rank yet. */
  left() {
    return model.unplaced(this.draft).length;
  }

  /** @param {number} panel */
  pick(panel) {
    this.change(model.pick(this.draft, panel));
  }

  tie() {
    this.change(model.tie(this.draft));
  }

  back() {
    this.change(model.back(this.draft));
  }

  /** @param {number} panel */
  toggle(panel) {
    this.change(model.isPlaced(this.draft, panel) ? model.remove(this.draft, panel) : model.pick(this.draft, panel));
  }

  /** @param {number} panel @param {string} drop */
  drop(panel, drop) {
    const [where, group] = drop.split(":");
    if (where === "pool") this.change(model.remove(this.draft, panel));
    else this.change(model.place(this.draft, panel, Number(group), where === "into" ? "into" : "before"));
  }

  /** Place the only panel left; the ranks, or null while some are missing. @returns {number[]|null} */
  finish() {
    const draft = model.complete(this.draft);
    if (model.unplaced(draft).length) return null;
    this.draft = draft;
    this.refresh();
    return model.ranks(draft);
  }

  /** Every panel is bad. @returns {number[]} the ranks */
  allBad() {
    this.draft = model.allBad(this.draft);
    this.refresh();
    return model.ranks(this.draft);
  }

  /** @param {boolean} on whether returns are hidden */
  stayBlind(on) {
    this.blind = on;
    this.board?.stayBlind(on);
  }

  /** Keep it as it is, to be read. */
  lock() {
    this.locked = true;
    this.refresh();
  }

  recolour() {
    this.board?.recolour(themeColours(this.view.root));
  }

  destroy() {
    this.sizes.disconnect();
    this.stopDrag();
    this.stopTheme();
    this.board?.destroy();
  }
}
