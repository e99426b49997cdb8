// @ts-check
/**
 * The query on the screen and the next ones, fetched ahead, so that a submit waits for no network.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {object} Source
 * @property {(path: string) => Promise<{query: import("./codec.js").Payload|null}>} get
 * @property {() => string[]} sent ids of queries whose answers are still on their way
 * @property {string} session the sitting
 * @property {(query: Query) => void} show called when there is one and none is on the screen
 * @property {(title: string, text: string) => void} blank called when there is nothing to show
 */
import { decodeQuery } from "./codec.js";

const AHEAD = 2;
const POLL = 5000;

export class QueryQueue {
  /** @param {Source} source */
  constructor(source) {
    this.source = source;
    /** @type {Query|null} */
    this.current = null;
    /** @type {Query[]} */
    this.ahead = [];
    this.loading = false;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
  }

  /** Keep the next queries ready; ask again later when there are none. */
  async fill() {
    if (this.loading || this.ahead.length >= AHEAD) return;
    this.loading = true;
    clearTimeout(this.timer);
    try {
      while (this.ahead.length < AHEAD && (await this.load(this.path())));
      if (!this.current) this.source.blank("All queries are ranked", "New ones appear here by themselves as soon as they are asked.");
    } catch (error) {
      if (!this.current) this.source.blank("The server cannot be reached", String(error instanceof Error ? error.message : error));
    } finally {
      this.loading = false;
      if (this.ahead.length < AHEAD) this.timer = setTimeout(() => void this.fill(), POLL);
    }
  }

  /** Ask for a query that is neither here nor answered. */
  path() {
    const here = [this.current, ...this.ahead].flatMap((query) => (query ? [query.id] : []));
    const have = encodeURIComponent([...here, ...this.source.sent()].join(","));
    return `query?session=${this.source.session}&have=${have}`;
  }

  /** @param {string} path @returns {Promise<boolean>} whether there was a query */
  async load(path) {
    const reply = await this.source.get(path);
    if (reply.query === null) return false;
    const query = decodeQuery(reply.query);
    if (this.current) this.ahead.push(query);
    else {
      this.current = query;
      this.source.show(query);
    }
    return true;
  }

  /** Leave the query on the screen for the next one. */
  next() {
    const next = this.take();
    if (next) this.source.show(next);
    void this.fill();
  }

  /** The next query, now the current one; null when none is here. */
  take() {
    this.current = this.ahead.shift() || null;
    return this.current;
  }

  /** Put queries before everything else; the one on the screen comes back after them.
   * @param {Query[]} queries */
  insert(queries) {
    if (this.current) this.ahead.unshift(this.current);
    this.current = null;
    this.ahead.unshift(...queries);
  }

  /** Forget a query that was answered elsewhere. @param {string} id */
  drop(id) {
    this.ahead = this.ahead.filter((query) => query.id !== id);
  }

  stop() {
    clearTimeout(this.timer);
  }
}
