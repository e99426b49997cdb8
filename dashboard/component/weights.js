// @ts-check
/**
 * The heat strip below a portfolio's charts: a row for each asset, a column for each bar.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./codec.js").Panel} Panel
 * @typedef {{up: string, down: string}} Colours
 */
import { h } from "./dom.js";

const FAINTEST = 0.2; // colour of the smallest weight; the largest of all panels has 1
const SMALLEST = 0.001; // smaller weights are no position

/** @param {Float32Array|undefined} weights */
const largest = (weights) => (weights || new Float32Array()).reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);

export class WeightStrip {
  /** @param {HTMLElement} host @param {Colours} colours */
  constructor(host, colours) {
    this.colours = colours;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { role: "img" }));
    this.value = h("b");
    const title = h("div", { class: "strip-label" }, h("span", {}, "Weights"), this.value);
    this.root = h("div", { class: "weights" }, this.canvas, title);
    this.root.hidden = true;
    /** @type {Query|undefined} */
    this.query = undefined;
    /** @type {Panel|undefined} */
    this.panel = undefined;
    /** @type {(bar: number) => number} */
    this.place = () => 0;
    host.append(this.root);
    this.canvas.addEventListener("mousemove", (/** @type {MouseEvent} */ event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => this.tell());
  }

  /** @param {Query} query @param {Panel} panel */
  show(query, panel) {
    this.query = query;
    this.panel = panel;
    this.root.hidden = !query.assets || !panel.weights;
    this.tell();
  }

  /** Draw where the charts above have their bars.
   * @param {(bar: number) => number} place pixels of a bar
   * @param {number} width of the charts without their axis */
  draw(place, width) {
    const { query, panel, canvas } = this;
    const context = canvas.getContext("2d");
    if (!query?.assets || !panel?.weights || !context) return;
    this.place = place;
    const ratio = window.devicePixelRatio || 1;
    const height = canvas.clientHeight;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(height * ratio));
    context.scale(ratio, ratio);
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    const rows = query.assets.length;
    const tall = height / rows;
    const step = place(1) - place(0);
    const full = Math.max(...query.panels.map((each) => largest(each.weights)), SMALLEST);
    for (let bar = 1; bar <= query.bars; bar += 1) {
      for (let row = 0; row < rows; row += 1) {
        const weight = panel.weights[(bar - 1) * rows + row];
        if (Math.abs(weight) < SMALLEST) continue;
        context.globalAlpha = FAINTEST + (1 - FAINTEST) * Math.sqrt(Math.abs(weight) / full);
        context.fillStyle = weight > 0 ? this.colours.up : this.colours.down;
        // Shorts fill the lower half of their row, so that colour never stands alone.
        const [low, deep] = weight > 0 ? [0, tall] : [tall / 2, tall / 2];
        context.fillRect(place(bar) - step / 2, row * tall + low, Math.max(step, 1), deep);
      }
    }
  }

  /** The asset and the bar below the pointer. @param {MouseEvent} event */
  hover(event) {
    const { query } = this;
    if (!query?.assets) return;
    const box = this.canvas.getBoundingClientRect();
    const step = this.place(1) - this.place(0) || 1;
    const bar = Math.round((event.clientX - box.left - this.place(0)) / step);
    const row = Math.floor(((event.clientY - box.top) / box.height) * query.assets.length);
    if (bar < 1 || bar > query.bars || row < 0 || row >= query.assets.length) this.tell();
    else this.tell(bar, row);
  }

  /** A weight; without a bar, how many names were held. @param {number} [bar] @param {number} [row] */
  tell(bar, row) {
    const { query, panel } = this;
    if (!query?.assets || !panel?.weights) return;
    if (bar === undefined || row === undefined) {
      const [least, most] = this.held(panel.weights, query.assets.length);
      this.value.textContent = least === most ? `${most} names` : `${least} to ${most} names`;
      this.canvas.setAttribute("aria-label", `Weights of the assets: ${this.value.textContent} held`);
      return;
    }
    const weight = panel.weights[(bar - 1) * query.assets.length + row] * 100;
    const amount = `${weight < 0 ? "\u2212" : ""}${Math.abs(weight).toFixed(1)}%`;
    this.value.textContent = `${query.assets[row]}: ${amount} at ${query.dates?.[bar] || `bar ${bar}`}`;
  }

  /** Fewest and most names held at once. @param {Float32Array} weights @param {number} rows */
  held(weights, rows) {
    let [least, most] = [rows, 0];
    for (let start = 0; start < weights.length; start += rows) {
      const bar = weights.subarray(start, start + rows);
      const count = bar.reduce((sum, weight) => sum + Number(Math.abs(weight) >= SMALLEST), 0);
      least = Math.min(least, count);
      most = Math.max(most, count);
    }
    return [least, most];
  }
}
