// @ts-check
/**
 * K panels of charts that share everything but their data: time range, price ranges, crosshair.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {import("./panes.js").Pane} Pane
 * @typedef {{up: string, down: string, text: string, muted: string, grid: string, surface: string, trade: string, font: string}} Colours
 * @typedef {{host: HTMLElement, chart: any, series: Record<Pane, any>, marks: TradeMarks, labels: Record<Pane, HTMLElement>, gross: any, strip: WeightStrip, summary: SummaryLine|null}} Board
 */

// The pinned library lies in a folder that is not committed; see scripts/fetch_assets.py.
// @ts-ignore
import * as lib from "./assets/lightweight-charts.js";
import { h } from "./dom.js";
import { AXIS_FORMATS, NAMES, noRanges, PANES, sharedRanges, STRETCH, tickWeight, told } from "./panes.js";
import { SummaryLine } from "./summary.js";
import { LARGEST, TradeMarks } from "./trades.js";
import { WeightStrip } from "./weights.js";

const AXIS = { minimumWidth: 52, borderVisible: false, entireTextOnly: true };
const LABEL_HEIGHT = 20;
const MARGIN = 0.06;
const MARKS_HEIGHT = LARGEST + 6; // above and below the bars, room for what was traded

/** Times are bar numbers, so that no date is shown; ticks are at round numbers of bars. */
class BarScale extends lib.defaultHorzScaleBehavior() {
  /** @param {{timeWeight: number, originalTime: number}[]} points @param {number} start */
  fillWeightsForPoints(points, start) {
    for (let i = start; i < points.length; i += 1) points[i].timeWeight = tickWeight(i);
  }
}

/** @param {ArrayLike<number>} values */
const points = (values) => Array.from(values, (value, time) => ({ time, value }));

/** @param {() => void} run */
const afterTwoFrames = (run) => requestAnimationFrame(() => requestAnimationFrame(run));

/** Charts of one query; reused for the next one with as many panels. */
export class ChartBoard {
  /** @param {HTMLElement[]} hosts @param {Colours} colours
   * @param {{summary?: boolean, blind?: boolean}} [options] a line that sums each panel up; without its return */
  constructor(hosts, colours, options = {}) {
    this.colours = colours;
    this.options = options;
    /** @type {Query|null} */
    this.query = null;
    this.ranges = noRanges();
    this.following = false;
    this.panels = hosts.map((host) => this.build(host));
    this.panels.forEach((panel, index) => this.link(panel, index));
  }

  /** @param {HTMLElement} host @returns {Board} */
  build(host) {
    const summary = this.options.summary ? new SummaryLine(host) : null;
    const plot = h("div", { class: "plot" });
    host.append(plot);
    const chart = lib.createChartEx(plot, new BarScale(), { autoSize: true, ...this.chartOptions() });
    const options = (/** @type {Pane} */ pane) => ({
      priceLineVisible: false,
      lastValueVisible: false,
      priceFormat: { type: "custom", minMove: 0.01, formatter: AXIS_FORMATS[pane] },
      autoscaleInfoProvider: () => ({ priceRange: this.ranges[pane] }),
    });
    const steps = { lineType: lib.LineType.WithSteps };
    const series = {
      price: chart.addSeries(lib.CandlestickSeries, options("price"), 0),
      position: chart.addSeries(lib.BaselineSeries, { ...options("position"), ...steps }, 1),
      equity: chart.addSeries(lib.BaselineSeries, options("equity"), 2),
      drawdown: chart.addSeries(lib.BaselineSeries, options("drawdown"), 3),
    };
    const gross = chart.addSeries(lib.LineSeries, { ...options("position"), ...steps, lineWidth: 1 }, 1);
    const marks = new TradeMarks(LABEL_HEIGHT);
    series.price.attachPrimitive(marks);
    chart.panes().forEach((/** @type {any} */ pane, /** @type {number} */ i) => pane.setStretchFactor(STRETCH[PANES[i]]));
    Object.values(series).forEach((item) => item.priceScale().applyOptions(AXIS));
    const label = (/** @type {Pane} */ pane) => h("div", { class: "pane-label" }, h("span", {}, NAMES[pane]), h("b"));
    const labels = { price: label("price"), position: label("position"), equity: label("equity"), drawdown: label("drawdown") };
    host.append(...Object.values(labels));
    const strip = new WeightStrip(host, this.colours);
    const panel = { host, chart, series, marks, labels, gross, strip, summary };
    this.paint(panel);
    return panel;
  }

  chartOptions() {
    const { text, grid, font, muted, surface } = this.colours;
    return {
      layout: {
        background: { color: "transparent" },
        textColor: text,
        fontFamily: font,
        fontSize: 11,
        attributionLogo: false, // each page names the library in words, where no curve is covered
        panes: { separatorColor: grid, enableResize: false },
      },
      grid: { vertLines: { visible: false }, horzLines: { color: grid } },
      crosshair: {
        mode: lib.CrosshairMode.Normal,
        vertLine: { color: muted, labelBackgroundColor: surface, width: 1 },
        horzLine: { color: muted, labelBackgroundColor: surface, width: 1 },
      },
      timeScale: {
        borderColor: grid,
        rightOffset: 0,
        fixLeftEdge: true,
        fixRightEdge: true,
        minBarSpacing: 0.2,
        allowBoldLabels: false,
        uniformDistribution: true,
        tickMarkFormatter: (/** @type {number} */ bar) => this.query?.dates?.[bar] || String(bar),
      },
      localization: { timeFormatter: (/** @type {number} */ bar) => this.query?.dates?.[bar] || `bar ${bar}` },
      handleScroll: { mouseWheel: false, pressedMouseMove: true, vertTouchDrag: false },
      handleScale: { axisPressedMouseMove: false, mouseWheel: true, pinch: true },
    };
  }

  /** Series colours; up candles are hollow and down candles filled, so colour never stands alone.
   * @param {Board} panel */
  paint({ series, gross, strip, marks }) {
    const { up, down, muted, trade } = this.colours;
    marks.recolour(trade);
    gross.applyOptions({ color: muted, crosshairMarkerVisible: false });
    strip.colours = this.colours;
    series.price.applyOptions({
      upColor: "transparent",
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    const twoSided = (/** @type {number} */ price, width = 1.5) => ({
      baseValue: { type: "price", price },
      topLineColor: up,
      topFillColor1: `${up}40`,
      topFillColor2: `${up}10`,
      bottomLineColor: down,
      bottomFillColor1: `${down}10`,
      bottomFillColor2: `${down}40`,
      lineWidth: width,
      crosshairMarkerRadius: 3,
      baseLineVisible: false,
      baseLineColor: muted,
    });
    series.position.applyOptions(twoSided(0, 1));
    series.equity.applyOptions(twoSided(100, 2));
    series.drawdown.applyOptions(twoSided(0, 1));
  }

  /** Crosshair and zoom of one panel move all others. @param {Board} panel @param {number} index */
  link(panel, index) {
    panel.chart.subscribeCrosshairMove((/** @type {any} */ event) => {
      if (event.sourceEvent) this.follow(index, event.time);
    });
    // The library says nothing when the pointer leaves: the last bar's values would stay.
    panel.host.querySelector(".plot")?.addEventListener("pointerleave", (event) => {
      if (/** @type {PointerEvent} */ (event).pointerType !== "touch") requestAnimationFrame(() => this.follow(-1, undefined));
    });
    panel.chart.timeScale().subscribeVisibleLogicalRangeChange((/** @type {any} */ range) => {
      if (!range || this.following || !this.query) return;
      this.zoom(index, range);
    });
  }

  /** @param {number} source @param {{from: number, to: number}} range */
  zoom(source, range) {
    this.following = true;
    this.ranges = sharedRanges(/** @type {Query} */ (this.query), range.from, range.to);
    this.panels.forEach(({ chart, series }, index) => {
      if (index !== source) chart.timeScale().setVisibleLogicalRange(range);
      Object.values(series).forEach((item) => item.priceScale().applyOptions({ autoScale: true }));
    });
    this.following = false;
    this.drawWeights();
  }

  /** Where portfolios were invested, below their charts and at the same bars. */
  drawWeights() {
    for (const { chart, strip } of this.panels) {
      const scale = chart.timeScale();
      strip.draw((bar) => scale.logicalToCoordinate(bar) ?? 0, scale.width());
    }
  }

  /** The crosshair of all panels; without a bar it goes. @param {number} source @param {number|undefined} bar */
  follow(source, bar) {
    const { query } = this;
    if (!query) return;
    this.panels.forEach(({ chart, series }, index) => {
      if (index === source) return;
      if (bar === undefined) chart.clearCrosshairPosition();
      else chart.setCrosshairPosition(query.panels[index].equity[bar], bar, series.equity);
    });
    this.readout(bar);
  }

  /** Beside the pane names: values at the crosshair's bar; without one, the summary says it all.
   * @param {number|undefined} bar */
  readout(bar) {
    const { query } = this;
    if (!query) return;
    this.panels.forEach(({ labels }, index) => {
      const panel = query.panels[index];
      for (const pane of PANES) {
        labels[pane].children[1].textContent = bar === undefined ? "" : told(query, panel, pane, bar);
      }
    });
  }

  /** @param {Query} query */
  show(query) {
    this.query = query;
    this.ranges = sharedRanges(query, 0, query.bars);
    const { open, high, low, close } = query.market;
    const candles = Array.from(close, (_, time) => ({
      time,
      open: open[time],
      high: high[time],
      low: low[time],
      close: close[time],
    }));
    const tickMarkMaxCharacterLength = query.dates ? 12 : 5;
    this.following = true;
    this.panels.forEach(({ chart, series, marks, gross, strip, labels, summary }, index) => {
      const panel = query.panels[index];
      strip.show(query, panel);
      summary?.show(panel, Boolean(this.options.blind));
      labels.position.children[0].textContent = query.assets ? "Net (grey: gross)" : NAMES.position;
      gross.setData(panel.gross ? points(panel.gross.map((value) => value * 100)) : []);
      chart.clearCrosshairPosition();
      chart.timeScale().applyOptions({ tickMarkMaxCharacterLength });
      series.price.setData(candles);
      series.position.setData(points(panel.position.map((value) => value * 100)));
      series.equity.setData(points(panel.equity));
      series.drawdown.setData(points(panel.drawdown));
      marks.show(panel.trades, query.market);
      chart.timeScale().fitContent();
    });
    this.following = false;
    this.readout(undefined);
    this.settle();
  }

  /** Show other curves in one panel, on scales that all still share.
   * @param {number} index @param {import("./codec.js").Panel} panel */
  setPanel(index, panel) {
    const { query } = this;
    if (!query) return;
    query.panels[index] = panel;
    const { chart, series, marks, summary } = this.panels[index];
    summary?.show(panel, Boolean(this.options.blind));
    const range = chart.timeScale().getVisibleLogicalRange();
    this.ranges = sharedRanges(query, range?.from ?? 0, range?.to ?? query.bars);
    series.position.setData(points(panel.position.map((value) => value * 100)));
    series.equity.setData(points(panel.equity));
    series.drawdown.setData(points(panel.drawdown));
    marks.show(panel.trades, query.market);
    this.readout(undefined);
  }

  /** Give the position more room while it is edited. @param {number} index @param {boolean} large */
  enlarge(index, large) {
    this.panels[index].chart.panes()[1].setStretchFactor(large ? STRETCH.price : STRETCH.position);
    this.panels[index].chart.applyOptions({ handleScroll: !large, handleScale: !large });
    if (!large) this.panels[index].chart.applyOptions(this.chartOptions());
    this.settle();
  }

  /** The library sizes its axes in the next frames; fit once more and place the labels then. */
  settle() {
    afterTwoFrames(() => {
      if (!this.query) return;
      this.following = true;
      this.panels.forEach(({ chart }) => chart.timeScale().fitContent());
      this.following = false;
      this.placeLabels();
    });
  }

  /** The library follows a new size one frame later. */
  placeLabelsSoon() {
    afterTwoFrames(() => this.query && this.placeLabels());
  }

  /** Each pane keeps a strip at its top free of data, and its label lies there. */
  placeLabels() {
    for (const { host, chart, series, labels } of this.panels) {
      const top = host.getBoundingClientRect().top;
      chart.panes().forEach((/** @type {any} */ pane, /** @type {number} */ i) => {
        const box = pane.getHTMLElement()?.getBoundingClientRect();
        if (!box?.height) return;
        const label = labels[PANES[i]];
        label.style.top = `${box.top - top + 2}px`;
        const height = String(Math.round(box.height));
        if (label.dataset.height === height) return;
        label.dataset.height = height;
        const marked = PANES[i] === "price" ? Math.min(MARKS_HEIGHT / box.height, 0.12) : 0;
        const scaleMargins = { top: Math.min(LABEL_HEIGHT / box.height, 0.55) + marked, bottom: marked || MARGIN };
        series[PANES[i]].priceScale().applyOptions({ scaleMargins });
      });
    }
    this.drawWeights();
  }

  /** @param {Colours} colours */
  recolour(colours) {
    this.colours = colours;
    this.panels.forEach((panel) => {
      panel.chart.applyOptions(this.chartOptions());
      this.paint(panel);
    });
    this.drawWeights();
  }

  /** @param {boolean} on whether the returns are hidden */
  stayBlind(on) {
    this.options.blind = on;
    this.panels.forEach(({ summary }, index) => this.query && summary?.show(this.query.panels[index], on));
  }

  destroy() {
    this.query = null; // whatever is still on its way finds nothing to draw
    this.panels.forEach(({ chart }) => chart.remove());
  }
}
