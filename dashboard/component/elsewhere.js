// @ts-check
/** One question, answered twice: in another tab or on another device. The trader says which counts. */
import { h, randomKey } from "./dom.js";
import { isBegun } from "./model.js";

/** "3 > 1 = 2" of an answer's ranks. @param {number[]} ranks */
export function inWords(ranks) {
  const levels = [...new Set(ranks)].sort((a, b) => a - b);
  return levels.map((level) => ranks.flatMap((rank, panel) => (rank === level ? [panel + 1] : [])).join(" = ")).join(" > ");
}

/** @param {string} mine what this tab would say @param {() => void} keep @param {() => void} replace */
function conflictDialog(mine, keep, replace) {
  return h(
    "dialog",
    { class: "dialog", "aria-label": "Answered in another tab" },
    h("h2", {}, "Answered in another tab"),
    h("p", {}, `You have answered this question in another tab or on another device.${mine ? ` Here you say ${mine}.` : ""} Which answer counts?`),
    h(
      "div",
      { class: "row" },
      h("button", { class: "action primary", type: "button", onclick: keep, autofocus: true }, "Keep the other answer"),
      h("button", { class: "action", type: "button", onclick: replace }, "Replace it by this one"),
    ),
  );
}

/** What happens on a page when its rater answers elsewhere. */
export class Elsewhere {
  /** @param {import("./rank.js").RankPage} page */
  constructor(page) {
    this.page = page;
  }

  /** @param {string} mine @param {() => void} keep @param {() => void} replace */
  ask(mine, keep, replace) {
    const { modal } = this.page;
    const then = (/** @type {() => void} */ act) => () => {
      modal.close();
      act();
    };
    modal.show(conflictDialog(mine, then(keep), then(replace)));
  }

  /** Another tab has answered a question. @param {StorageEvent} event */
  heard(event) {
    const { page } = this;
    const answer = page.outbox.elsewhere(event);
    if (!answer) return;
    page.queue.drop(answer.query);
    if (page.queue.current?.id !== answer.query) return;
    if (!isBegun(page.ballot.draft)) {
      page.queue.next();
      page.say("The question before this one was answered in another tab.");
      return;
    }
    const replace = () => page.replaces(answer.key, answer.outcome === "ranked");
    if (answer.outcome === "skipped") replace();
    else this.ask("", () => page.queue.next(), replace);
  }

  /** The server has another answer to a question: a ranking goes before a skip; of two rankings the
   * trader says which counts. @param {import("./outbox.js").Answer} answer @param {import("./outbox.js").Other} other */
  taken(answer, other) {
    const { outbox } = this.page;
    const keep = () => outbox.forget(answer.key);
    const replace = () => {
      keep();
      outbox.add({ ...answer, key: randomKey(), supersedes: other.key });
    };
    if (answer.outcome === "skipped") keep();
    else if (other.outcome === "skipped") replace();
    else this.ask(answer.ranks.length ? inWords(answer.ranks) : "that you can't tell", keep, replace);
  }
}
