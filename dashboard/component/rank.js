// @ts-check
/**
 * The Rank page: shows a query, takes a ranking, sends it, shows the next one.
 *
 * @typedef {object} Data what the Streamlit page gives
 * @property {string} token proves the rater to the server
 * @property {string} api base path of the server's routes
 * @property {number} goal rankings per session
 * @property {string[]} aspects what a note can be about
 * @property {string=} edit key of an answer to open again
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {{query: Query, draft: Draft, comment: string, key: string}} Answered
 * @typedef {import("./model.js").Draft} Draft
 */
import { ChartBoard } from "./charts.js";
import { decodeQuery } from "./codec.js";
import { h, randomKey, typing } from "./dom.js";
import { enableDrag } from "./drag.js";
import * as model from "./model.js";
import { NoteBox } from "./note.js";
import { call, Outbox } from "./outbox.js";
import { switchPalette, themeColours, watchTheme } from "./theme.js";
import { frame, helpDialog, panelCards, updateCards, updateGoal, updateTrack, welcomeDialog } from "./view.js";

const SESSION = "tradinghf.session";
const COUNT = "tradinghf.count";
const PRACTISED = "tradinghf.practised";
const AHEAD = 2;
const POLL = 5000;
const HISTORY = 20;

/** One name for one sitting, kept over reloads and server restarts. */
function sittingId() {
  const found = sessionStorage.getItem(SESSION) || randomKey();
  sessionStorage.setItem(SESSION, found);
  return found;
}

export class RankPage {
  /** @param {HTMLElement} host @param {Data} data */
  constructor(host, data) {
    this.host = host;
    this.data = data;
    this.session = sittingId();
    this.done = Number(sessionStorage.getItem(COUNT) || 0);
    /** @type {Query|null} */
    this.current = null;
    /** @type {Query[]} */
    this.ahead = [];
    /** @type {Answered[]} */
    this.history = [];
    this.draft = model.emptyDraft(0);
    this.supersedes = "";
    this.loading = false;
    this.shownAt = 0;
    this.on = {
      submit: () => this.submit(),
      undo: () => this.undo(),
      skip: () => this.answer("skipped"),
      cantTell: () => this.answer("cant_tell"),
      note: () => this.note.open(),
      help: () => this.dialog(helpDialog(() => this.closeDialog())),
      palette: () => this.switchPalette(),
    };
    this.view = frame(this.on);
    this.note = new NoteBox(this.view.note, (text) => this.api("aspects", { text }));
    this.note.offer(data.aspects);
    this.outbox = new Outbox((answer) => this.send(answer), (state, waiting, detail) => this.reportSave(state, waiting, detail));
    this.listen();
    host.replaceChildren(this.view.root);
    updateGoal(this.view.goal, this.done, data.goal);
    void this.begin();
  }

  listen() {
    const controller = new AbortController();
    const { signal } = controller;
    window.addEventListener("keydown", (event) => this.key(event), { signal });
    window.addEventListener("online", () => void this.outbox.flush(), { signal });
    // Focus stays on the page, so that Enter submits after a click on a button.
    this.view.root.addEventListener(
      "mousedown",
      (/** @type {MouseEvent} */ event) => {
        if (!/** @type {HTMLElement} */ (event.target).closest("input, textarea, select, dialog, a")) event.preventDefault();
      },
      { signal },
    );
    const stopTheme = watchTheme(this.view.root, () => this.recolour());
    const stopDrag = enableDrag(this.view.root, (panel, drop) => this.drop(panel, drop));
    const sizes = new ResizeObserver(() => this.board?.placeLabelsSoon());
    sizes.observe(this.view.panels);
    this.unlisten = () => {
      controller.abort();
      stopDrag();
      stopTheme();
      sizes.disconnect();
    };
  }

  /** @param {string} path @param {object=} body */
  api(path, body) {
    return call(`${this.data.api}/${path}`, this.data.token, body);
  }

  // ---------------------------------------------------------------- queries

  async begin() {
    void this.outbox.flush();
    if (this.data.edit) await this.load(`query?edit=${encodeURIComponent(this.data.edit)}`);
    await this.fill();
    if (!this.done && !this.history.length && !localStorage.getItem(PRACTISED) && !this.data.edit) {
      this.dialog(welcomeDialog(() => void this.practise(), () => this.endPractice()));
    }
  }

  /** Keep the next queries ready; ask again later when there are none. */
  async fill() {
    if (this.loading || this.ahead.length >= AHEAD) return;
    this.loading = true;
    clearTimeout(this.timer);
    try {
      while (this.ahead.length < AHEAD) {
        const have = [this.current, ...this.ahead].flatMap((query) => (query ? [query.id] : []));
        const waiting = this.outbox.waiting().map((answer) => answer.query);
        const asked = encodeURIComponent([...have, ...waiting].join(","));
        if (!(await this.load(`query?session=${this.session}&have=${asked}`))) break;
      }
      if (!this.current) this.blank("All queries are ranked", "New ones appear here as soon as they are asked.");
    } catch (error) {
      if (!this.current) this.blank("The server cannot be reached", String(error instanceof Error ? error.message : error));
    } finally {
      this.loading = false;
      if (this.ahead.length < AHEAD) this.timer = setTimeout(() => void this.fill(), POLL);
    }
  }

  /** @param {string} path @returns {Promise<boolean>} whether there was a query */
  async load(path) {
    const reply = await this.api(path);
    if (reply.query === null) return false;
    const query = decodeQuery(reply.query);
    if (this.current) this.ahead.push(query);
    else this.show(query);
    return true;
  }

  /** @param {Query} query @param {Draft=} draft @param {string=} comment @param {string=} supersedes */
  show(query, draft, comment = "", supersedes = "") {
    const { edit } = query;
    this.current = query;
    this.draft = draft || (edit ? model.fromRanks(edit.ranks, edit.ratings) : model.emptyDraft(query.panels.length));
    this.supersedes = supersedes || edit?.key || "";
    this.note.reset(comment || edit?.comment || "");
    this.view.blank.hidden = true;
    this.view.panels.hidden = false;
    if (this.cards?.length !== query.panels.length) this.buildPanels(query.panels.length);
    this.board?.show(query);
    this.view.context.replaceChildren(...this.contextLine(query));
    this.refresh();
    requestAnimationFrame(() => requestAnimationFrame(() => this.painted()));
  }

  /** @param {Query} query */
  contextLine(query) {
    if (query.practice) return [h("b", {}, query.practice.title), ` ${query.practice.hint}`];
    const what = this.supersedes ? "Correcting your answer" : `Rank ${query.panels.length}, best first`;
    return [h("b", {}, what), ` one market window · ${query.bars} bars of 1 ${query.unit} · prices from 100`];
  }

  /** @param {number} count */
  buildPanels(count) {
    this.board?.destroy();
    this.cards = panelCards(count, {
      pick: (panel) => this.toggle(panel),
      rate: (panel, value) => this.change(model.rate(this.draft, panel, value)),
    });
    this.view.panels.style.setProperty("--panels", String(count));
    this.view.panels.replaceChildren(...this.cards.map((card) => card.root));
    this.board = new ChartBoard(this.cards.map((card) => card.host), themeColours(this.view.root));
  }

  painted() {
    this.shownAt = performance.now();
    this.view.root.dataset.query = this.current?.id || "";
    if (this.submittedAt) performance.measure("tradinghf:next", { start: this.submittedAt });
    this.submittedAt = 0;
  }

  /** @param {string} title @param {string} text */
  blank(title, text) {
    this.view.panels.hidden = true;
    this.view.blank.hidden = false;
    this.view.blank.replaceChildren(h("h2", {}, title), h("p", {}, text));
    this.view.context.textContent = "";
    this.view.root.dataset.query = "";
    this.draft = model.emptyDraft(0);
    this.refresh();
  }

  // ---------------------------------------------------------------- the draft

  /** @param {Draft} draft */
  change(draft) {
    this.draft = draft;
    this.say("");
    this.refresh();
  }

  refresh() {
    if (this.cards && this.draft.size) updateCards(this.cards, this.draft);
    updateTrack(this.view.track, this.draft);
    const left = model.unplaced(this.draft).length;
    this.view.submit.disabled = !this.draft.size || left > 1;
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

  /** @param {string} text */
  say(text) {
    this.view.message.textContent = text;
  }

  // ---------------------------------------------------------------- keys

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !this.view.root.isConnected) return;
    if (this.modal) return;
    if (typing(event)) return;
    const onButton = /** @type {HTMLElement} */ (event.composedPath()[0]).tagName === "BUTTON";
    if (onButton && (event.key === "Enter" || event.key === " ")) return;
    const number = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
    const actions = {
      "=": () => this.change(model.tie(this.draft)),
      Backspace: () => this.change(model.back(this.draft)),
      Enter: () => !event.repeat && this.submit(),
      s: this.on.skip,
      x: this.on.cantTell,
      u: this.on.undo,
      n: this.on.note,
      "?": this.on.help,
    };
    const run = number ? () => this.change(model.pick(this.draft, number - 1)) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!run) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  }

  // ---------------------------------------------------------------- answers

  submit() {
    if (!this.current) return;
    const draft = model.complete(this.draft);
    const left = model.unplaced(draft).length;
    if (left) this.say(left === draft.size ? "Press the panels' numbers, best first." : `${left} panels have no rank yet.`);
    else {
      this.draft = draft;
      this.answer("ranked");
    }
  }

  /** @param {"ranked"|"skipped"|"cant_tell"} outcome */
  answer(outcome) {
    const query = this.current;
    if (!query) return;
    this.submittedAt = performance.now();
    const ranked = outcome === "ranked" ? model.ranks(this.draft) : [];
    if (query.practice) {
      void this.afterPractice(query, ranked);
      return;
    }
    const key = randomKey();
    const note = this.note.value();
    this.history.push({ query, draft: this.draft, comment: note.comment, key });
    this.history.splice(0, this.history.length - HISTORY);
    this.outbox.add({
      key,
      query: query.id,
      ranks: ranked,
      outcome,
      ...note,
      ratings: this.draft.ratings,
      seconds: Math.max(0, performance.now() - this.shownAt) / 1000,
      session: this.session,
      supersedes: this.supersedes,
    });
    if (!this.supersedes) this.count(1);
    this.next();
  }

  next() {
    this.current = null;
    const next = this.ahead.shift();
    if (next) this.show(next);
    void this.fill();
  }

  /** @param {number} by */
  count(by) {
    this.done += by;
    sessionStorage.setItem(COUNT, String(this.done));
    updateGoal(this.view.goal, this.done, this.data.goal);
  }

  undo() {
    const last = this.history.pop();
    if (!last) {
      this.say("Nothing to undo in this session; My feedback lists all your answers.");
      return;
    }
    if (this.current) this.ahead.unshift(this.current);
    this.show(last.query, last.draft, last.comment, last.key);
    this.say("Your last answer: correct it and submit again.");
  }

  /** @param {import("./outbox.js").Answer} answer */
  send(answer) {
    return this.api("answer", answer);
  }

  /** @param {import("./outbox.js").State} state @param {number} waiting @param {string=} detail */
  reportSave(state, waiting, detail) {
    const texts = {
      saved: "Saved",
      saving: "Saving…",
      waiting: `Offline: ${waiting} ${waiting === 1 ? "answer waits" : "answers wait"} here and will be sent`,
      rejected: `Not stored: ${detail}`,
    };
    this.view.state.textContent = texts[state];
    this.view.state.dataset.state = state;
  }

  // ---------------------------------------------------------------- practice, dialogs, colours

  async practise() {
    this.closeDialog();
    const replies = await Promise.all([0, 1].map((number) => this.api(`practice?number=${number}`)));
    if (this.current) this.ahead.unshift(this.current);
    this.ahead.unshift(...replies.map((reply) => decodeQuery(reply.query)));
    this.next();
  }

  /** @param {Query} query @param {number[]} given */
  async afterPractice(query, given) {
    const reply = await this.api("practice", { query: query.id, ranks: given });
    this.next();
    this.say(reply.text);
    if (!this.current || !(/** @type {Query} */ (this.current).practice)) this.endPractice();
  }

  endPractice() {
    localStorage.setItem(PRACTISED, "1");
    this.closeDialog();
    this.shownAt = performance.now();
  }

  /** @param {HTMLDialogElement} element */
  dialog(element) {
    this.closeDialog();
    this.modal = element;
    element.addEventListener("close", () => this.closeDialog());
    element.addEventListener("keydown", (event) => event.stopPropagation());
    this.view.root.append(element);
    element.showModal();
  }

  closeDialog() {
    const { modal } = this;
    this.modal = undefined;
    modal?.remove();
  }

  switchPalette() {
    switchPalette();
    this.recolour();
  }

  recolour() {
    this.board?.recolour(themeColours(this.view.root));
  }

  /** A rerun of the page: a new token, perhaps. @param {Data} data */
  update(data) {
    this.data = data;
    void this.outbox.flush();
    void this.fill();
  }

  destroy() {
    clearTimeout(this.timer);
    this.outbox.stop();
    this.unlisten?.();
    this.board?.destroy();
    this.closeDialog();
  }
}

/** @type {WeakMap<object, RankPage>} */
const pages = new WeakMap();

/** Called by Streamlit on every run of the page.
 * @param {{parentElement: ParentNode, data: Data}} component */
export function mount({ parentElement, data }) {
  const host = /** @type {HTMLElement} */ (parentElement.querySelector(".host"));
  const page = pages.get(host);
  if (page) page.update(data);
  else pages.set(host, new RankPage(host, data));
  return () => {
    pages.get(host)?.destroy();
    pages.delete(host);
  };
}
