// @ts-check
/**
 * The Rank page: shows a query, takes a ranking, sends it, shows the next one.
 *
 * @typedef {object} Data what the Streamlit page gives
 * @property {string} token proves the rater to the server
 * @property {string} owner stands for this rater of this store in what the browser keeps
 * @property {string} api base path of the server's routes
 * @property {string} name who is ranking; empty where nobody signs in
 * @property {number} goal rankings per session
 * @property {string[]} aspects what a note can be about
 * @property {string=} edit key of an answer to open again
 * @property {import("./view.js").Link[]} steps where to go on when the goal is reached
 * @property {import("./view.js").Link[]} more where to go on when no question is left
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./model.js").Draft} Draft
 * @typedef {{query: Query, draft: Draft, comment: string, key: string, outcome: string}} Answered
 */
import { Ballot } from "./ballot.js";
import { decodeQuery } from "./codec.js";
import { randomKey } from "./dom.js";
import { EpisodeEditor } from "./edit.js";
import { Elsewhere } from "./elsewhere.js";
import { chosenKeys, command } from "./keys.js";
import { Modal } from "./modal.js";
import { emptyDraft, fromRanks } from "./model.js";
import { NoteBox } from "./note.js";
import { call, Outbox } from "./outbox.js";
import { QueryQueue } from "./queue.js";
import * as session from "./session.js";
import { openSettings } from "./settings.js";
import { contextLine, frame, helpDialog, links, showKeys, showSaving, updateGoal, welcomeDialog } from "./view.js";

const HISTORY = 20;

export class RankPage {
  /** @param {HTMLElement} host @param {Data} data */
  constructor(host, data) {
    this.data = data;
    this.session = session.sittingId(data.owner);
    this.done = session.answered(data.owner);
    /** @type {Answered[]} */
    this.history = [];
    this.supersedes = "";
    /** Whether the answer being corrected is a ranking, which counts already. */
    this.counted = false;
    /** @type {Answered|undefined} the answer of this sitting that is being corrected */
    this.reopened = undefined;
    this.keys = chosenKeys(localStorage);
    this.shownAt = 0;
    this.submittedAt = 0;
    /** @type {Record<string, () => void>} */
    this.on = {
      submit: () => this.submit(),
      undo: () => this.undo(),
      cancel: () => this.cancel(),
      skip: () => (this.supersedes ? this.cancel() : this.answer("skipped")),
      cantTell: () => this.answer("cant_tell"),
      allBad: () => this.allBad(),
      tie: () => this.ballot.tie(),
      back: () => this.ballot.back(),
      note: () => this.note.open(),
      help: () => this.modal.show(helpDialog(this.keys, () => this.modal.close())),
      edit: () => this.edit(0),
      settings: () => this.modal.show(openSettings(this)),
    };
    this.view = frame(this.on);
    this.ballot = new Ballot(this.view, () => this.changed(), (panel) => this.edit(panel), session.blind());
    this.editor = new EpisodeEditor({
      api: (path, body) => this.api(path, body),
      session: this.session,
      say: (text, loud) => this.say(text, loud),
      root: this.view.root,
    });
    this.modal = new Modal(this.view.root);
    this.note = new NoteBox(this.view.note, (text) => this.api("aspects", { text }), () => this.keepHalfMade());
    this.note.offer(data.aspects);
    this.outbox = new Outbox(
      data.owner,
      (answer) => this.api("answer", answer),
      (state, waiting, detail) => showSaving(this.view.state, state, waiting, detail),
    );
    this.elsewhere = new Elsewhere(this);
    this.outbox.taken = (answer, other) => this.elsewhere.taken(answer, other);
    this.queue = new QueryQueue({
      get: (path) => this.api(path),
      sent: () => this.outbox.waiting().map((answer) => answer.query),
      session: this.session,
      show: (query) => this.show(query),
      blank: (title, text) => this.blank(title, text),
    });
    host.replaceChildren(this.view.root);
    this.view.name.textContent = data.name;
    updateGoal(this.view.goal, this.done, data.goal, data.steps);
    this.listen();
    void this.begin();
  }

  listen() {
    this.listening = new AbortController();
    const { signal } = this.listening;
    window.addEventListener("keydown", (event) => this.key(event), { signal });
    window.addEventListener("online", () => void this.outbox.flush(), { signal });
    window.addEventListener("storage", (event) => this.elsewhere.heard(event), { signal });
    // Focus stays on the page, so that Enter submits after a click on a button.
    this.view.root.addEventListener(
      "mousedown",
      (/** @type {MouseEvent} */ event) => {
        if (!/** @type {HTMLElement} */ (event.target).closest("input, textarea, select, dialog, a")) event.preventDefault();
      },
      { signal },
    );
  }

  /** @param {string} path @param {object=} body */
  api(path, body) {
    return call(`${this.data.api}/${path}`, this.data.token, body);
  }

  async begin() {
    showKeys(this.view.root, this.keys);
    for (const { answer, other } of this.outbox.undecided()) this.elsewhere.taken(answer, other);
    void this.outbox.flush();
    if (this.data.edit) await this.queue.load(`query?edit=${encodeURIComponent(this.data.edit)}`);
    await this.queue.fill();
    if (!this.done && !this.history.length && !session.practised() && !this.data.edit) {
      this.modal.show(welcomeDialog(() => void this.practise(), () => this.endPractice()));
    }
  }

  /** Let the trader trade a panel otherwise. @param {number} panel */
  edit(panel) {
    const query = this.queue.current;
    const { board, cards } = this.ballot;
    if (!query || !board || !cards || this.ballot.locked) return;
    if (query.practice) this.say("Practice panels are not edited.");
    else if (query.assets) this.say("Portfolios are ranked, not edited.");
    else this.editor.open({ board, card: cards[panel].root, query, panel });
  }

  /** @param {Query} query @param {Answered=} earlier an answer of this sitting, to correct */
  show(query, earlier) {
    this.editor.close();
    const { edit } = query;
    const empty = () => emptyDraft(query.panels.length);
    this.supersedes = earlier?.key || edit?.key || "";
    this.counted = earlier ? earlier.outcome === "ranked" : Boolean(edit?.ranks.some((rank) => rank > 0));
    this.reopened = earlier;
    const half = session.halfMade(this.data.owner, query.id, this.supersedes);
    const before = earlier?.draft || (edit ? fromRanks(edit.ranks, edit.ratings) : empty());
    this.ballot.show(query, half?.draft || before);
    showKeys(this.view.panels, this.keys);
    this.note.reset(half?.comment ?? (earlier?.comment || edit?.comment || ""), half?.aspects);
    this.correcting(Boolean(this.supersedes));
    this.say("");
    requestAnimationFrame(() => requestAnimationFrame(() => this.painted()));
  }

  /** A correction can be left as it was; a question can be skipped. @param {boolean} on */
  correcting(on) {
    const query = this.queue.current;
    if (query) this.view.context.replaceChildren(...contextLine(query, on));
    this.view.cancel.hidden = !on;
    this.view.skip.hidden = on;
    this.view.allBad.children[0].textContent = query?.panels.length === 2 ? "Both bad" : "All bad";
  }

  /** What is begun here takes the place of an answer given elsewhere.
   * @param {string} key @param {boolean} counted */
  replaces(key, counted) {
    this.supersedes = key;
    this.counted = counted;
    this.reopened = undefined;
    this.correcting(true);
    this.keepHalfMade();
  }

  /** The trader has changed something. */
  changed() {
    this.say("");
    this.keepHalfMade();
  }

  /** What was begun survives a reload. */
  keepHalfMade() {
    const query = this.queue.current;
    if (!query || query.practice) return;
    session.keepHalfMade(this.data.owner, { query: query.id, supersedes: this.supersedes, draft: this.ballot.draft, ...this.note.value() });
  }

  painted() {
    this.shownAt = performance.now();
    this.view.root.dataset.query = this.queue.current?.id || "";
    if (this.submittedAt) performance.measure("tradinghf:next", { start: this.submittedAt });
    this.submittedAt = 0;
  }

  /** @param {string} title @param {string} text */
  blank(title, text) {
    this.ballot.blank(title, text);
    this.view.blank.children[2].replaceChildren(...links(this.data.more));
    this.view.context.textContent = "";
    this.view.root.dataset.query = "";
  }

  /** @param {string} text @param {boolean} [loud] */
  say(text, loud = false) {
    this.view.message.textContent = text;
    this.view.message.classList.toggle("loud", loud);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.view.root.isConnected || this.modal.open) return;
    if (this.editor.active) {
      this.editor.press(event);
      return;
    }
    const asked = command(event, this.keys);
    if (!asked || (asked.action === "cancel" && !this.supersedes)) return;
    event.preventDefault();
    event.stopPropagation();
    // Enter after the numbers is meant for the ranking, not for the menu's link that led here.
    if (!event.composedPath().includes(this.view.root)) this.view.root.focus({ preventScroll: true });
    if (asked.action === "pick") this.ballot.pick(asked.panel);
    else this.on[asked.action]();
  }

  submit() {
    if (!this.queue.current) return;
    if (this.ballot.locked) {
      this.nextLesson();
      return;
    }
    const ranks = this.ballot.finish();
    const left = this.ballot.left();
    if (ranks) this.answer("ranked", ranks);
    else this.say(left === this.ballot.draft.size ? "Press the panels' numbers, best first." : `${left} panels have no rank yet.`);
  }

  /** @param {"ranked"|"skipped"|"cant_tell"} outcome @param {number[]} [ranks] */
  answer(outcome, ranks = []) {
    const query = this.queue.current;
    if (!query || this.ballot.locked) return;
    if (query.practice) {
      void this.review(query, ranks);
      return;
    }
    this.submittedAt = performance.now();
    const { draft } = this.ballot;
    const key = randomKey();
    const note = this.note.value();
    this.history.push({ query, draft, comment: note.comment, key, outcome });
    this.history.splice(0, this.history.length - HISTORY);
    this.outbox.add({
      key,
      query: query.id,
      ranks,
      outcome,
      ...note,
      ratings: draft.ratings,
      seconds: Math.max(0, this.submittedAt - this.shownAt) / 1000,
      session: this.session,
      supersedes: this.supersedes,
    });
    // Rankings count, also where one takes the place of a skip; skips do not.
    this.count(Number(outcome === "ranked") - Number(this.counted));
    this.go();
  }

  /** The next question; the address no longer leads to the answer that was corrected. */
  go() {
    if (location.search) history.replaceState(history.state, "", location.pathname);
    this.queue.next();
  }

  allBad() {
    if (!this.queue.current || this.queue.current.practice || this.ballot.locked) return;
    this.answer("ranked", this.ballot.allBad());
  }

  /** @param {number} more */
  count(more) {
    if (!more) return;
    this.done = Math.max(0, this.done + more);
    session.keepAnswered(this.data.owner, this.done);
    updateGoal(this.view.goal, this.done, this.data.goal, this.data.steps);
  }

  undo() {
    const last = this.history.pop();
    if (!last) {
      this.say("Nothing to undo in this session; My feedback lists all your answers.");
      return;
    }
    if (this.reopened) {
      this.history.push(this.reopened);
      this.queue.current = null; // it is answered: it does not come back by itself
    }
    this.queue.insert([last.query]);
    this.queue.take();
    this.show(last.query, last);
    this.say("Your last answer: correct it and submit again, or Esc to leave it as it was.");
  }

  /** Leave the answer that is being corrected as it was. */
  cancel() {
    if (!this.supersedes) return;
    if (this.reopened) this.history.push(this.reopened);
    this.go();
    this.say("That answer stays as it was.");
  }

  async practise() {
    this.modal.close();
    const replies = await Promise.all([0, 1].map((number) => this.api(`practice?number=${number}`)));
    this.queue.insert(replies.map((reply) => decodeQuery(reply.query)));
    this.queue.next();
  }

  /** The verdict stays beside the panels that it is about. @param {Query} query @param {number[]} given */
  async review(query, given) {
    this.ballot.lock();
    const reply = await this.api("practice", { query: query.id, ranks: given }).catch(() => ({ text: "" }));
    this.say(`${reply.text} Press Enter to go on.`.trim(), true);
  }

  nextLesson() {
    this.queue.next();
    if (!this.queue.current?.practice) this.endPractice();
  }

  endPractice() {
    session.keepPractised();
    this.modal.close();
    this.shownAt = performance.now();
  }

  /** A rerun of the page: a new token, perhaps. @param {Data} data */
  update(data) {
    this.data = data;
    void this.outbox.flush();
    void this.queue.fill();
  }

  destroy() {
    this.listening?.abort();
    this.queue.stop();
    this.outbox.leave();
    this.editor.close();
    this.ballot.destroy();
    this.modal.close();
  }
}

/** @type {WeakMap<object, RankPage>} */
const pages = new WeakMap();

/** Called by Streamlit on every run of the page.
 * @param {{parentElement: ParentNode, data: Data}} component */
export function mount({ parentElement, data }) {
  const host = /** @type {HTMLElement} */ (parentElement.querySelector(".host"));
  const page = pages.get(host);
  if (page?.data.owner === data.owner) page.update(data);
  else {
    page?.destroy(); // somebody else has signed in: nothing of the one before stays on the screen
    pages.set(host, new RankPage(host, data));
  }
  return () => {
    pages.get(host)?.destroy();
    pages.delete(host);
  };
}
