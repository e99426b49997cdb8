// Panes, keys and the queue of the Rank page; run by tests/dashboard/test_component.py.
import assert from "node:assert/strict";
import test from "node:test";

const source = (name) => import(new URL(`../../../dashboard/component/${name}.js`, import.meta.url).href);
const { AXIS_FORMATS, FORMATS, sharedRanges, tickWeight, valueAt } = await source("panes");
const { chosenKeys, command, defaultKeys, keepKeys, withKey } = await source("keys");
const { inWords } = await source("elsewhere");
const { figures, words } = await source("summary");
const { placed } = await source("trades");
const { QueryQueue } = await source("queue");

const query = {
  id: "q",
  bars: 3,
  unit: "day",
  market: {
    open: new Float32Array([100, 101, 99, 98]),
    high: new Float32Array([102, 103, 101, 99]),
    low: new Float32Array([99, 100, 97, 96]),
    close: new Float32Array([100, 102, 98, 97]),
  },
  panels: [
    {
      position: new Float32Array([0, 1, 1, 0.5]),
      equity: new Float32Array([100, 102, 98, 101]),
      drawdown: new Float32Array([0, 0, -3.92, -0.98]),
      trades: new Float32Array([0, 1, 0, -0.5]),
    },
    {
      position: new Float32Array(4),
      equity: new Float32Array([100, 100, 100, 100]),
      drawdown: new Float32Array(4),
      trades: new Float32Array(4),
    },
  ],
};

test("a panel is summed up by its return, deepest fall, trades and time in the market", () => {
  const [held, flat] = query.panels;
  const said = words(figures(held), false);
  assert.deepEqual(said, [["+1.0 %", "net return"], ["\u22123.9 %", "deepest fall"], ["2", "trades"], ["100 %", "in the market"]]);
  assert.deepEqual(words(figures(held), true)[0], ["hidden", "net return"]);
  assert.deepEqual(words(figures(flat), false).map(([value]) => value), ["0.0 %", "0.0 %", "0", "0 %"]);
  const hedged = { ...flat, trades: Float32Array.of(0, 1, 0, 0), gross: Float32Array.of(0, 0.6, 0, 0) };
  assert.deepEqual(words(figures(hedged), false).slice(2), [["1", "trade"], ["33 %", "in the market"]]);
});

test("marks keep off bars, off one another and off the label", () => {
  const size = 9;
  const bars = 120;
  const high = Array.from({ length: bars }, (_, bar) => 60 + 30 * Math.sin(bar / 9));
  const low = high.map((y) => y + 12);
  const trades = high.map((_, bar) => (bar % 7 ? 0 : bar % 14 ? -1 : 1));
  for (const step of [3, 8]) {
    const at = { x: (bar) => bar * step, top: (bar) => high[bar], bottom: (bar) => low[bar] };
    const marks = placed(trades, at, size, [20, 150]);
    assert.equal(marks.length, trades.filter(Boolean).length);
    for (const { bar, buy, x, y } of marks) {
      assert.equal(buy, trades[bar] > 0);
      const [top, bottom] = buy ? [y, y + size] : [y - size, y];
      assert.ok(top >= 20 && bottom <= 150);
      high.forEach((_, near) => {
        if (Math.abs(near * step - x) <= size / 2) assert.ok(bottom < high[near] || top > low[near], `bar ${near}`);
      });
    }
    for (const one of marks) {
      for (const two of marks) {
        if (one.bar < two.bar && one.buy === two.buy && Math.abs(one.x - two.x) < size) assert.ok(Math.abs(one.y - two.y) >= size);
      }
    }
  }
});

test("an answer's ranks in words", () => assert.equal(inWords([2, 2, 1, 3]), "3 > 1 = 2 > 4"));

test("all panels share one scale, wide enough for each and never of no height", () => {
  const ranges = sharedRanges(query, 0, 3);
  assert.deepEqual(ranges.price, { minValue: 96, maxValue: 103 });
  assert.deepEqual(ranges.equity, { minValue: 98, maxValue: 102 });
  assert.deepEqual(ranges.position, { minValue: -100, maxValue: 100 });
  assert.equal(ranges.drawdown.maxValue, 0);
  assert.deepEqual(sharedRanges(query, 0, 0).equity, { minValue: 99.5, maxValue: 100.5 });
  assert.deepEqual(sharedRanges(query, 2.2, 9).price, { minValue: 96, maxValue: 101 });
});

test("values carry their sign and no sign of zero", () => {
  assert.equal(FORMATS.position(-100), "\u2212100%");
  assert.equal(FORMATS.position(0.2), "0%");
  assert.equal(FORMATS.drawdown(-0.04), "0.0%");
  assert.equal(valueAt(query, query.panels[0], "position", 3), 50);
  assert.equal(valueAt(query, query.panels[1], "price", 3), 97);
  assert.deepEqual([AXIS_FORMATS.position(200), AXIS_FORMATS.drawdown(5)], ["", ""]);
});

test("the ticks that fit are evenly spaced, whatever their distance", () => {
  // The library marks bars from the heaviest on, all of a weight or none, until they do not fit.
  for (const bars of [60, 90, 250, 500, 1999]) {
    for (const room of [6, 11, 23, 33, 39]) {
      let marks = [];
      for (let weight = 20; weight >= 0; weight -= 1) {
        const more = Array.from({ length: bars + 1 }, (_, bar) => bar).filter((bar) => tickWeight(bar) === weight);
        if (more.some((bar) => marks.some((mark) => Math.abs(mark - bar) < room))) break;
        marks = [...marks, ...more];
      }
      marks.sort((a, b) => a - b);
      const gaps = new Set(marks.slice(1).map((mark, i) => mark - marks[i]));
      assert.ok(gaps.size <= 1 && marks.length > 1, `${bars} bars, room ${room}: ${marks}`);
    }
  }
  assert.equal(tickWeight(7), 0);
});

const press = (key, target = { tagName: "DIV" }, more = {}) =>
  command({ key, composedPath: () => [target], ...more }, defaultKeys());

test("keys mean actions, except where they belong to somebody else", () => {
  assert.deepEqual(press("3"), { action: "pick", panel: 2 });
  assert.equal(press("?").action, "help");
  assert.equal(press("S").action, "skip");
  assert.equal(press("Enter").action, "submit");
  assert.equal(press("Enter", undefined, { repeat: true }), null);
  assert.equal(press("Enter", { tagName: "BUTTON" }), null);
  assert.equal(press("Enter", { tagName: "A" }), null);
  assert.equal(press("?", { tagName: "A" }).action, "help");
  assert.equal(press("1", { tagName: "TEXTAREA" }), null);
  assert.equal(press("s", undefined, { ctrlKey: true }), null);
  assert.equal(press("q"), null);
  assert.equal(press("Escape").action, "cancel");
  // A French keyboard has digits only with Shift.
  assert.deepEqual(press("\u00e9", undefined, { code: "Digit2" }), { action: "pick", panel: 1 });
});

test("keys can be chosen; none is lost, and the page's own are refused", () => {
  const keys = withKey(defaultKeys(), "skip", "B");
  assert.deepEqual([keys.skip, keys.allBad], ["b", "s"]);
  assert.equal(command({ key: "b", composedPath: () => [{ tagName: "DIV" }] }, keys).action, "skip");
  for (const key of ["Escape", "Tab", "Shift"]) assert.equal(withKey(keys, "skip", key), null);
  const shelf = new Map();
  const storage = { getItem: (name) => shelf.get(name) ?? null, setItem: (name, value) => shelf.set(name, value) };
  assert.deepEqual(chosenKeys(storage), defaultKeys());
  keepKeys(storage, keys);
  assert.deepEqual(chosenKeys(storage), keys);
  for (const spoilt of ["{", '{"skip": "x"}', "[]", "null"]) {
    shelf.set("tradinghf.keys", spoilt);
    assert.deepEqual(chosenKeys(storage), defaultKeys(), spoilt);
  }
});

function queueOf(names) {
  const asked = [];
  const shown = [];
  const blank = [];
  const waiting = names.map((name) => ({ query: name, bars: 0, market: { open: "", high: "", low: "", close: "" }, panels: [] }));
  const queue = new QueryQueue({
    get: async (path) => {
      asked.push(decodeURIComponent(path.split("have=")[1] || ""));
      return { query: waiting.shift() || null };
    },
    sent: () => ["sent"],
    session: "s",
    show: (next) => shown.push(next.id),
    blank: (title) => blank.push(title),
  });
  return { queue, asked, shown, blank };
}

test("the queue shows one, keeps two ahead, and names what it has when it asks", async () => {
  const { queue, asked, shown } = queueOf(["a", "b", "c", "d"]);
  await queue.fill();
  assert.deepEqual(shown, ["a"]);
  assert.deepEqual(asked, ["sent", "a,sent", "a,b,sent"]);
  queue.next();
  assert.deepEqual(shown, ["a", "b"]);
  queue.stop();
});

test("inserted queries come first, the one on the screen after them", async () => {
  const { queue, shown } = queueOf(["a", "b", "c"]);
  await queue.fill();
  queue.insert([{ id: "x" }, { id: "y" }]);
  for (let i = 0; i < 3; i += 1) queue.next();
  assert.deepEqual(shown, ["a", "x", "y", "a"]);
  queue.stop();
});

test("an empty queue and a silent server say what they are", async () => {
  const none = queueOf([]);
  await none.queue.fill();
  assert.deepEqual(none.blank, ["All queries are ranked"]);
  none.queue.stop();
  const broken = queueOf([]);
  broken.queue.source.get = async () => {
    throw new Error("gone");
  };
  await broken.queue.fill();
  assert.deepEqual(broken.blank, ["The server cannot be reached"]);
  broken.queue.stop();
});
