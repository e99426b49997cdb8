// Arithmetic of edited positions; run by tests/dashboard/test_component.py.
import assert from "node:assert/strict";
import test from "node:test";

const source = (name) => import(new URL(`../../../dashboard/component/${name}.js`, import.meta.url).href);
const { holding, snapped, withChange, worst } = await source("edits");

test("positions snap to steps and stay within the account", () => {
  assert.equal(snapped(0.43, 0.05), 0.45);
  assert.equal(snapped(-0.02, 0.05), -0);
  assert.equal(snapped(1.7, 0.05), 1);
  assert.equal(snapped(-3, 0.05), -1);
});

test("a change replaces those within its bars and leaves the others", () => {
  const before = [[1, 40, 0.5], [10, 12, 0]];
  assert.deepEqual(withChange(before, [10, 12, 1]), [[1, 40, 0.5], [10, 12, 1]]);
  assert.deepEqual(withChange(before, [1, 40, 0]), [[1, 40, 0]]);
  assert.equal(before.length, 2);
});

test("what is held around a bar ends where something is traded", () => {
  const panel = { trades: Float32Array.of(0, 1, 0, 0, -1, 0, 0) };
  assert.deepEqual(holding(panel, 3), [1, 3]);
  assert.deepEqual(holding(panel, 1), [1, 3]);
  assert.deepEqual(holding(panel, 6), [4, 6]);
  assert.deepEqual(holding({ trades: new Float32Array(5) }, 2), [1, 4]);
});

test("the deepest fall is 0 where there is none", () => {
  assert.equal(worst({ drawdown: Float32Array.of(0, 0) }), 0);
  assert.equal(worst({ drawdown: Float32Array.of(0, -3, -1) }), -3);
});
