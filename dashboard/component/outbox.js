// @ts-check
/**
 * Answers on their way to the server. They wait in localStorage until the server has confirmed
 * them, so that neither a reload, a closed tab, a crashed browser nor a killed server loses one;
 * each has a unique key, so that sending it twice stores it once. Each is an item of its own below
 * the name of its owner (one rater of one store): two tabs cannot overwrite each other's answers,
 * and who signs in next in the same browser neither sees nor sends them.
 *
 * @typedef {{key: string, query: string, outcome: string, ranks: number[], [field: string]: unknown}} Answer
 * @typedef {{key: string, outcome: string}} Other an answer to the same question, given elsewhere
 * @typedef {"saved"|"saving"|"waiting"|"signedOut"|"rejected"} State
 * @typedef {Pick<Storage, "getItem"|"setItem"|"removeItem"|"key"|"length">} Shelf
 */

const BOX = "tradinghf.outbox";
const FIRST_DELAY = 500;
const LONGEST_DELAY = 8000;
const PATIENCE = 20_000;

/** Errors that the server will give again for the same request. */
export class Refused extends Error {}

/** The question has another answer of this rater already: `key` and `outcome` of that one. */
export class Taken extends Refused {
  /** @param {string} text @param {{key: string, outcome: string}} other */
  constructor(text, other) {
    super(text);
    this.other = other;
  }
}

/** The pass has expired, or the person was signed out. */
export class SignedOut extends Error {}

/** @param {string} path @param {string} token @param {object=} body @returns {Promise<any>} */
export async function call(path, token, body) {
  const response = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    cache: "no-store",
    keepalive: Boolean(body), // a tab that closes meanwhile does not break it off
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (response.ok) return response.json();
  const detail = await response.json().catch(() => ({}));
  const text = detail.error || `The server answered ${response.status}.`;
  // 401 heals when the page gets a new token, 429 and 5xx with time; other refusals are final.
  if (response.status === 401) throw new SignedOut(text);
  if (response.status === 409 && detail.answered) throw new Taken(text, detail.answered);
  if (response.status < 500 && ![408, 429].includes(response.status)) throw new Refused(text);
  throw new Error(text);
}

/** One tab at a time sends an owner's answers, so that they arrive in the order of giving.
 * @param {string} name @param {() => Promise<void>} work */
async function alone(name, work) {
  const locks = globalThis.navigator?.locks; // only in secure contexts
  if (locks) await locks.request(name, work);
  else await work();
}

export class Outbox {
  /**
   * @param {string} owner whose answers: one rater of one store
   * @param {(answer: Answer) => Promise<any>} send
   * @param {(state: State, waiting: number, detail?: string) => void} report
   * @param {Shelf} storage
   */
  constructor(owner, send, report, storage = window.localStorage) {
    this.box = `${BOX}.${owner}`;
    this.send = send;
    this.report = report;
    this.storage = storage;
    /** @type {Map<string, string>} what the storage would not take: lost with the tab */
    this.unkept = new Map();
    this.last = 0;
    /** Whether the trader still waits to hear what became of an answer. */
    this.open = false;
    this.busy = false;
    this.delay = FIRST_DELAY;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
    this.warn = (/** @type {BeforeUnloadEvent} */ event) => event.preventDefault();
    /** Called with an answer whose question was answered elsewhere. @type {(answer: Answer, other: Other) => void} */
    this.taken = () => {};
  }

  /** What waits to be sent, in the order of giving. @returns {Answer[]} */
  waiting() {
    return this.items().filter(({ other }) => !other).map(({ answer }) => answer);
  }

  /** What waits for the trader's word, because the question was answered elsewhere.
   * @returns {{answer: Answer, other: Other}[]} */
  undecided() {
    return this.items().flatMap(({ answer, other }) => (other ? [{ answer, other }] : []));
  }

  /** @returns {{at: number, answer: Answer, other?: Other}[]} */
  items() {
    const names = Array.from({ length: this.storage.length }, (_, i) => this.storage.key(i) || "");
    const texts = names.filter((name) => name.startsWith(`${this.box}.`)).map((name) => this.storage.getItem(name));
    const found = [...texts, ...this.unkept.values()].flatMap((text) => {
      try {
        const { at, answer, other } = JSON.parse(text || "");
        return answer?.key ? [{ at, answer, other }] : [];
      } catch {
        return []; // not ours
      }
    });
    return found.sort((a, b) => a.at - b.at);
  }

  /** The answer that another tab has just put here; null for any other item of the storage.
   * @param {StorageEvent} event @returns {Answer|null} */
  elsewhere(event) {
    if (!event.key?.startsWith(`${this.box}.`) || !event.newValue) return null;
    try {
      const { answer, other } = JSON.parse(event.newValue);
      return answer?.key && !other ? answer : null;
    } catch {
      return null; // not ours
    }
  }

  /** @param {Answer} answer @param {Other} [other] */
  keep(answer, other) {
    this.last = Math.max(Date.now(), this.last + 1);
    const text = JSON.stringify({ at: this.last, answer, other });
    try {
      this.storage.setItem(`${this.box}.${answer.key}`, text);
    } catch {
      this.unkept.set(answer.key, text);
    }
  }

  /** @param {string} key */
  forget(key) {
    this.storage.removeItem(`${this.box}.${key}`);
    this.unkept.delete(key);
  }

  /** @param {Answer} answer */
  add(answer) {
    this.keep(answer);
    this.open = true;
    this.report("saving", this.waiting().length); // at once: "Saved" is not said of this one yet
    void this.flush();
  }

  /** Send what waits, oldest first; keep trying while the server is away. */
  async flush() {
    if (this.busy) return;
    this.busy = true;
    clearTimeout(this.timer);
    let failed = false;
    try {
      await alone(this.box, () => this.drain());
      this.delay = FIRST_DELAY;
    } catch (error) {
      failed = true;
      const text = String(error instanceof Error ? error.message : error);
      this.report(error instanceof SignedOut ? "signedOut" : "waiting", this.waiting().length, text);
      this.timer = setTimeout(() => void this.flush(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
    }
    this.busy = false;
    this.warnOnLeaving(failed);
    // An answer may have come between the last look and the release of the lock.
    if (!failed && this.waiting().length) void this.flush();
  }

  async drain() {
    let problem = "";
    for (let next = this.waiting()[0]; next; next = this.waiting()[0]) {
      this.open = true;
      this.report("saving", this.waiting().length);
      try {
        await this.send(next);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        if (error instanceof Taken) {
          this.keep(next, error.other); // it stays here until the trader has said which one counts
          this.taken(next, error.other);
          continue;
        }
        problem = error.message;
      }
      this.forget(next.key);
    }
    if (problem) this.report("rejected", 0, problem);
    else if (this.open) this.report("saved", 0); // by this tab or by another one
    this.open = false;
  }

  /** Ask before the tab closes while answers wait. @param {boolean} on */
  warnOnLeaving(on) {
    if (on) globalThis.addEventListener?.("beforeunload", this.warn);
    else globalThis.removeEventListener?.("beforeunload", this.warn);
  }

  /** The page is left: what still waits goes on trying in the background. */
  leave() {
    this.report = () => {};
    this.taken = () => {};
  }
}
