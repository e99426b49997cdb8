// @ts-check
/**
 * Answers on their way to the server. They wait in sessionStorage until the server has confirmed
 * them, so that neither a reload nor a killed server loses one; each has a unique key, so that
 * sending it twice stores it once.
 *
 * @typedef {{key: string, query: string, [field: string]: unknown}} Answer
 * @typedef {"saved"|"saving"|"waiting"|"rejected"} State
 */

const BOX = "tradinghf.outbox";
const FIRST_DELAY = 500;
const LONGEST_DELAY = 8000;

/** Errors that the server will give again for the same request. */
export class Refused extends Error {}

/** @param {string} path @param {string} token @param {object=} body @returns {Promise<any>} */
export async function call(path, token, body) {
  const response = await fetch(path, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
    cache: "no-store",
  });
  if (response.ok) return response.json();
  const detail = await response.json().catch(() => ({}));
  const text = detail.error || `The server answered ${response.status}.`;
  // 401 heals when the page gets a new token, 429 and 5xx with time; other refusals are final.
  if (response.status < 500 && ![401, 408, 429].includes(response.status)) throw new Refused(text);
  throw new Error(text);
}

export class Outbox {
  /**
   * @param {(answer: Answer) => Promise<any>} send
   * @param {(state: State, waiting: number, detail?: string) => void} report
   * @param {Storage} storage
   */
  constructor(send, report, storage = window.sessionStorage) {
    this.send = send;
    this.report = report;
    this.storage = storage;
    this.busy = false;
    this.delay = FIRST_DELAY;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this.timer = undefined;
  }

  /** @returns {Answer[]} */
  waiting() {
    try {
      return JSON.parse(this.storage.getItem(BOX) || "[]");
    } catch {
      return [];
    }
  }

  /** @param {Answer[]} answers */
  keep(answers) {
    this.storage.setItem(BOX, JSON.stringify(answers));
  }

  /** @param {Answer} answer */
  add(answer) {
    this.keep([...this.waiting(), answer]);
    void this.flush();
  }

  /** Send what waits, oldest first; keep trying while the server is away. */
  async flush() {
    if (this.busy) return;
    this.busy = true;
    clearTimeout(this.timer);
    try {
      for (let next = this.waiting()[0]; next; next = this.waiting()[0]) {
        this.report("saving", this.waiting().length);
        const key = next.key;
        try {
          await this.send(next);
          this.report("saved", this.waiting().length - 1);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          this.report("rejected", this.waiting().length - 1, error.message);
        }
        this.delay = FIRST_DELAY;
        this.keep(this.waiting().filter((answer) => answer.key !== key));
      }
    } catch (error) {
      this.report("waiting", this.waiting().length, String(error instanceof Error ? error.message : error));
      this.timer = setTimeout(() => void this.flush(), this.delay);
      this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
    } finally {
      this.busy = false;
    }
  }

  stop() {
    clearTimeout(this.timer);
  }
}
