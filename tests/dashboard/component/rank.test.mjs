// Panes, keys and the queue of the Rank page; run by tests/dashboard/test_component.py.
import assert from "node:assert/strict";
import test from "node:test";

const source = (name) => import(new URL(`../../../dashboard/component/${name}.js`, import.meta.url).href);
const { AXIS_FORMATS, FORMATS, sharedRanges, span, tickWeight, valueAt } = await source("panes");
const { command } = await source("keys");
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

test("a pane tells the span of its own curve and never its last value alone", () => {
  const [held, flat] = query.panels;
  assert.equal(span(query, held, "price"), "96.0 to 103.0");
  assert.equal(span(query, held, "position"), "+50% to +100%");
  assert.equal(span(query, held, "equity"), "98.0 to 102.0");
  assert.equal(span(query, held, "drawdown"), "deepest \u22123.9%");
  assert.equal(span(query, flat, "position"), "always 0%");
  assert.equal(span(query, flat, "equity"), "always 100.0");
  assert.equal(span(query, flat, "drawdown"), "deepest 0.0%");
});

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
  command({ key, composedPath: () => [target], ...more });

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
