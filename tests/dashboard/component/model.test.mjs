// The ranking model, codec and outbox of the Rank page; run by tests/dashboard/test_component.py.
import assert from "node:assert/strict";
import test from "node:test";

const source = (name) => import(new URL(`../../../dashboard/component/${name}.js`, import.meta.url).href);
const model = await source("model");
const { decode, decodeQuery, drawdown } = await source("codec");

const picked = (size, ...panels) => panels.reduce(model.pick, model.emptyDraft(size));

test("picks rank in order, ties share a rank", () => {
  let draft = picked(4, 2, 0);
  draft = model.pick(model.tie(draft), 3);
  assert.deepEqual(model.ranks(draft), [2, 0, 1, 2]);
  assert.deepEqual(model.unplaced(draft), [1]);
  assert.deepEqual(model.ranks(model.complete(draft)), [2, 3, 1, 2]);
});

test("a panel is placed once; panels that are not there are ignored", () => {
  assert.deepEqual(model.ranks(picked(3, 1, 1, 7, -1)), [0, 1, 0]);
});

test("back forgets a pending tie first, then the last pick, never more", () => {
  let draft = model.tie(picked(3, 0, 2));
  draft = model.back(draft);
  assert.equal(draft.tie, false);
  assert.deepEqual(model.ranks(model.back(draft)), [1, 0, 0]);
  assert.deepEqual(model.ranks(model.back(model.back(model.back(draft)))), [0, 0, 0]);
});

test("a tie before the first pick means nothing; after the last it joins the last two groups", () => {
  assert.equal(model.tie(model.emptyDraft(3)).tie, false);
  assert.deepEqual(model.ranks(model.tie(picked(3, 0, 1, 2))), [1, 2, 2]);
  assert.deepEqual(model.ranks(model.tie(model.tie(picked(3, 0, 1, 2)))), [1, 1, 1]);
});

test("drop: before a group, into a group, from one place to another", () => {
  let draft = picked(4, 0, 1, 2);
  assert.deepEqual(model.ranks(model.place(draft, 3, 0, "before")), [2, 3, 4, 1]);
  assert.deepEqual(model.ranks(model.place(draft, 3, 3, "before")), [1, 2, 3, 4]);
  assert.deepEqual(model.ranks(model.place(draft, 3, 1, "into")), [1, 2, 3, 2]);
  assert.deepEqual(model.ranks(model.place(draft, 2, 0, "before")), [2, 3, 1, 0]);
  assert.deepEqual(model.ranks(model.place(draft, 0, 2, "into")), [2, 1, 2, 0]);
  assert.deepEqual(model.ranks(model.place(draft, 0, 0, "into")), [1, 2, 3, 0]);
});

test("whatever is done, ranks are dense and every placed panel has one", () => {
  let state = 12345;
  const random = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
  for (let run = 0; run < 300; run += 1) {
    let draft = model.emptyDraft(2 + random(4));
    for (let step = 0; step < 25; step += 1) {
      const panel = random(draft.size);
      const moves = [
        () => model.pick(draft, panel),
        () => model.tie(draft),
        () => model.back(draft),
        () => model.remove(draft, panel),
        () => model.place(draft, panel, random(draft.groups.length + 1), random(2) ? "into" : "before"),
        () => model.complete(draft),
      ];
      draft = moves[random(moves.length)]();
      const ranks = model.ranks(draft);
      const levels = [...new Set(ranks.filter((r) => r > 0))].sort((a, b) => a - b);
      assert.deepEqual(levels, levels.map((_, i) => i + 1));
      assert.equal(ranks.filter((r) => r > 0).length, draft.picks.length);
      assert.equal(new Set(draft.picks).size, draft.picks.length);
    }
  }
});

test("ranks come back as they were", () => {
  for (const ranks of [[1, 2, 3], [2, 1, 2], [1, 1, 1], [0, 0, 0]]) {
    assert.deepEqual(model.ranks(model.fromRanks(ranks, [])), ranks);
  }
});

test("a rating chosen twice is taken back", () => {
  const once = model.rate(model.emptyDraft(2), 1, 4);
  assert.deepEqual(once.ratings, [null, 4]);
  assert.deepEqual(model.rate(once, 1, 4).ratings, [null, null]);
});

test("ordinals", () => {
  assert.deepEqual([1, 2, 3, 4, 11, 12, 21].map(model.ordinal), ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]);
});

test("arrays decode, steps start at the second bar, drawdown is below the peak", () => {
  const pack = (values) => Buffer.from(new Float32Array(values).buffer).toString("base64");
  assert.deepEqual([...decode(pack([1.5, -2]))], [1.5, -2]);
  assert.deepEqual([...drawdown(new Float32Array([100, 50, 200, 100]))], [0, -50, 0, -50]);
  const bars = { open: pack([1, 1]), high: pack([1, 1]), low: pack([1, 1]), close: pack([1, 1]) };
  const panels = [{ position: pack([0.5]), equity: pack([100, 90]), trades: pack([0.5]) }];
  const query = decodeQuery({ query: "q", bars: 1, unit: "day", market: bars, panels });
  assert.deepEqual([...query.panels[0].position], [0, 0.5]);
  assert.equal(query.panels[0].drawdown[1], -10);
});

class Memory {
  #values = new Map();
  get length() {
    return this.#values.size;
  }
  key = (place) => [...this.#values.keys()][place] ?? null;
  getItem = (name) => this.#values.get(name) ?? null;
  setItem = (name, value) => this.#values.set(name, value);
  removeItem = (name) => this.#values.delete(name);
}

const { Outbox, Refused, SignedOut } = await source("outbox");
const answer = (key) => ({ key, query: key });
const away = async () => {
  throw new Error("down");
};

async function drained(send, keys, storage = new Memory(), owner = "ann") {
  const states = [];
  const box = new Outbox(owner, send, (state, waiting) => states.push([state, waiting]), storage);
  for (const key of keys) box.keep(answer(key));
  await box.flush();
  clearTimeout(box.timer);
  return { box, states, storage };
}

test("answers are sent in order and forgotten once confirmed", async () => {
  const sent = [];
  const { box, states, storage } = await drained(async ({ key }) => sent.push(key), ["c", "a", "b"]);
  assert.deepEqual(sent, ["c", "a", "b"]);
  assert.deepEqual(box.waiting(), []);
  assert.equal(storage.length, 0);
  assert.deepEqual(states.at(-1), ["saved", 0]);
});

test("an answer that could not be sent waits, in order, also for another page", async () => {
  const sent = [];
  const send = async ({ key }) => {
    if (key === "b") throw new Error("down");
    sent.push(key);
  };
  const { storage, states } = await drained(send, ["a", "b", "c"]);
  assert.deepEqual(sent, ["a"]);
  assert.deepEqual(states.at(-1), ["waiting", 2]);
  const later = await drained(async ({ key }) => sent.push(key), [], storage);
  assert.deepEqual(sent, ["a", "b", "c"]);
  assert.deepEqual(later.states.at(-1), ["saved", 0]);
});

test("nobody else's answers are seen or sent", async () => {
  const sent = [];
  const { storage } = await drained(away, ["a"], new Memory(), "ann");
  const bob = await drained(async ({ key }) => sent.push(key), ["b"], storage, "bob");
  assert.deepEqual(sent, ["b"]);
  assert.deepEqual(bob.box.waiting(), []);
  const prefix = await drained(async ({ key }) => sent.push(key), [], storage, "an");
  assert.deepEqual(prefix.states, []);
  await drained(async ({ key }) => sent.push(key), [], storage, "ann");
  assert.deepEqual(sent, ["b", "a"]);
});

test("two tabs keep what both were given", async () => {
  const storage = new Memory();
  const [one, other] = [0, 1].map(() => new Outbox("ann", away, () => {}, storage));
  one.keep(answer("a"));
  other.keep(answer("b"));
  one.forget("a");
  one.keep(answer("c"));
  assert.deepEqual(other.waiting().map(({ key }) => key).sort(), ["b", "c"]);
});

test("a full or forbidden storage delays nothing", async () => {
  const storage = new Memory();
  storage.setItem = () => {
    throw new Error("QuotaExceededError");
  };
  const sent = [];
  await drained(async ({ key }) => sent.push(key), ["a", "b"], storage);
  assert.deepEqual(sent, ["a", "b"]);
});

test("who was signed out is told so, and the answer waits", async () => {
  const send = async () => {
    throw new SignedOut("expired");
  };
  const { box, states } = await drained(send, ["a"]);
  assert.deepEqual(states.at(-1), ["signedOut", 1]);
  assert.deepEqual(box.waiting(), [answer("a")]);
});

test("an answer that is refused does not hold up the next ones, and is told at the end", async () => {
  const sent = [];
  const send = async ({ key }) => {
    if (key === "a") throw new Refused("malformed");
    sent.push(key);
  };
  const { box, states } = await drained(send, ["a", "b"]);
  assert.deepEqual(sent, ["b"]);
  assert.equal(states.at(-1)[0], "rejected");
  await box.flush();
  assert.equal(states.at(-1)[0], "rejected");
});

test("two flushes at once send once", async () => {
  const sent = [];
  const box = new Outbox("ann", async ({ key }) => sent.push(key), () => {}, new Memory());
  box.keep(answer("a"));
  await Promise.all([box.flush(), box.flush()]);
  assert.deepEqual(sent, ["a"]);
});

test("what is given while the last answer is confirmed is sent too", async () => {
  const sent = [];
  const box = new Outbox("ann", async ({ key }) => sent.push(key), () => {}, new Memory());
  box.add(answer("a"));
  for (let turn = 0; turn < 40; turn += 1) await Promise.resolve();
  box.add(answer("b"));
  await new Promise((done) => setTimeout(done, 50));
  assert.deepEqual(sent, ["a", "b"]);
  assert.deepEqual(box.waiting(), []);
});

test("an answer that was just given is never under the word Saved", async () => {
  const states = [];
  const box = new Outbox("ann", async () => {}, (state) => states.push(state), new Memory());
  box.add(answer("a"));
  await new Promise((done) => setTimeout(done, 20));
  assert.equal(states.at(-1), "saved");
  box.add(answer("b"));
  assert.equal(states.at(-1), "saving"); // before anything was awaited
  await new Promise((done) => setTimeout(done, 20));
  assert.equal(states.at(-1), "saved");
});
