// @ts-check
/**
 * K panels of charts that share everything but their data: time range, price ranges, crosshair.
 *
 * @typedef {import("./codec.js").Query} Query
 * @typedef {{up: string, down: string, text: string, muted: string, grid: string, surface: string, font: string}} Colours
 */

// The pinned library lies in a folder that is not committed; see scripts/fetch_assets.py.
// @ts-ignore
import * as lib from "./assets/lightweight-charts.js";

const PANES = /** @type {const} */ (["price", "position", "equity", "drawdown"]);
const STRETCH = { price: 5, position: 1.3, equity: 2.6, drawdown: 1.6 };
const LABELS = { price: "Price", position: "Position", equity: "Equity", drawdown: "Drawdown" };
const AXIS_WIDTH = 50;
const MARGIN = 0.06;

/** Times are bar numbers, so that no date is shown. @param {ArrayLike<number>} values */
const points = (values) => Array.from(values, (value, time) => ({ time, value }));

/** @param {number} value */
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(0)}`;

const FORMATS = {
  price: (/** @type {number} */ v) => v.toFixed(Math.abs(v) < 1000 ? 1 : 0),
  position: (/** @type {number} */ v) => `${signed(v)}%`,
  equity: (/** @type {number} */ v) => v.toFixed(1),
  drawdown: (/** @type {number} */ v) => `${v < -0.05 ? "\u2212" : ""}${Math.abs(v).toFixed(1)}%`,
};

const limits = () => ({ minValue: Infinity, maxValue: -Infinity });
const noRanges = () => ({ price: limits(), position: limits(), equity: limits(), drawdown: limits() });

/** Lowest and highest value of each pane over all panels and the bars in view.
 * @param {Query} query @param {number} from @param {number} to */
export function sharedRanges(query, from, to) {
  const first = Math.max(0, Math.floor(from));
  const last = Math.min(query.bars, Math.ceil(to));
  const ranges = noRanges();
  const widen = (/** @type {{minValue: number, maxValue: number}} */ range, /** @type {number} */ v) => {
    if (v < range.minValue) range.minValue = v;
    if (v > range.maxValue) range.maxValue = v;
  };
  for (let bar = first; bar <= last; bar += 1) {
    widen(ranges.price, query.market.low[bar]);
    widen(ranges.price, query.market.high[bar]);
    for (const panel of query.panels) {
      widen(ranges.equity, panel.equity[bar]);
      widen(ranges.drawdown, panel.drawdown[bar]);
      widen(ranges.position, panel.position[bar] * 100);
    }
  }
  for (const bound of [-100, 100]) widen(ranges.position, bound);
  for (const bound of [99.5, 100.5]) widen(ranges.equity, bound);
  for (const bound of [-1, 0]) widen(ranges.drawdown, bound);
  return ranges;
}

/** @param {() => void} run */
const afterTwoFrames = (run) => requestAnimationFrame(() => requestAnimationFrame(run));

/** Charts of one query; reused for the next one with as many panels. */
export class ChartBoard {
  /** @param {HTMLElement[]} hosts @param {Colours} colours */
  constructor(hosts, colours) {
    this.colours = colours;
    /** @type {Query|null} */
    this.query = null;
    this.ranges = noRanges();
    this.following = false;
    this.panels = hosts.map((host, index) => this.build(host, index));
    this.panels.forEach((panel, index) => this.link(panel, index));
  }

  /** @param {HTMLElement} host @param {number} index */
  build(host, index) {
    const chart = lib.createChart(host, { autoSize: true, ...this.chartOptions(index === 0) });
    const options = (/** @type {string} */ pane) => ({
      priceLineVisible: false,
      lastValueVisible: false,
      priceFormat: { type: "custom", minMove: 0.01, formatter: FORMATS[pane] },
      autoscaleInfoProvider: () => ({ priceRange: this.ranges[pane] }),
    });
    const steps = { lineType: lib.LineType.WithSteps };
    const series = {
      price: chart.addSeries(lib.CandlestickSeries, options("price"), 0),
      position: chart.addSeries(lib.BaselineSeries, { ...options("position"), ...steps }, 1),
      equity: chart.addSeries(lib.BaselineSeries, options("equity"), 2),
      drawdown: chart.addSeries(lib.BaselineSeries, options("drawdown"), 3),
    };
    const markers = lib.createSeriesMarkers(series.price, [], { autoScale: false });
    chart.panes().forEach((pane, i) => pane.setStretchFactor(STRETCH[PANES[i]]));
    Object.values(series).forEach((item) =>
      item.priceScale().applyOptions({
        minimumWidth: AXIS_WIDTH,
        borderVisible: false,
        scaleMargins: { top: MARGIN, bottom: MARGIN },
      }),
    );
    const labels = Object.fromEntries(
      PANES.map((pane) => {
        const label = document.createElement("div");
        label.className = "pane-label";
        label.append(document.createElement("span"), document.createElement("b"));
        label.children[0].textContent = LABELS[pane];
        host.append(label);
        return [pane, label];
      }),
    );
    const panel = { host, chart, series, markers, labels };
    this.paint(panel);
    return panel;
  }

  chartOptions(logo = false) {
    const { text, grid, font, muted, surface } = this.colours;
    return {
      layout: {
        background: { color: "transparent" },
        textColor: text,
        fontFamily: font,
        fontSize: 10,
        attributionLogo: logo,
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
        tickMarkFormatter: (/** @type {number} */ bar) => this.query?.dates?.[bar] || String(bar),
      },
      localization: { timeFormatter: (/** @type {number} */ bar) => this.query?.dates?.[bar] || `bar ${bar}` },
      handleScroll: { mouseWheel: false, pressedMouseMove: true, vertTouchDrag: false },
      handleScale: { axisPressedMouseMove: false, mouseWheel: true, pinch: true },
    };
  }

  /** Series colours; up candles are hollow and down candles filled, so colour never stands alone. */
  paint({ series }) {
    const { up, down, muted } = this.colours;
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

  /** Crosshair and zoom of one panel move all others. */
  link(panel, index) {
    panel.chart.subscribeCrosshairMove((event) => {
      if (event.sourceEvent) this.follow(index, event.time);
    });
    panel.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
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
  }

  /** @param {number} source @param {number|undefined} bar */
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

  /** Values at a bar beside the pane names; none without a crosshair. @param {number|undefined} bar */
  readout(bar) {
    const { query } = this;
    if (!query) return;
    this.panels.forEach(({ labels }, index) => {
      PANES.forEach((pane) => {
        const value = labels[pane].children[1];
        if (bar === undefined) value.textContent = "";
        else if (pane === "price") value.textContent = FORMATS.price(query.market.close[bar]);
        else {
          const number = query.panels[index][pane][bar];
          value.textContent = FORMATS[pane](pane === "position" ? number * 100 : number);
        }
      });
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
    this.following = true;
    this.panels.forEach(({ chart, series, markers }, index) => {
      const panel = query.panels[index];
      chart.clearCrosshairPosition();
      series.price.setData(candles);
      series.position.setData(points(panel.position.map((value) => value * 100)));
      series.equity.setData(points(panel.equity));
      series.drawdown.setData(points(panel.drawdown));
      markers.setMarkers(this.tradeMarkers(panel.trades));
      chart.timeScale().fitContent();
    });
    this.following = false;
    this.readout(undefined);
    this.settle();
  }

  /** Arrows below for buys, above for sells. @param {Float32Array} trades */
  tradeMarkers(trades) {
    const { up, down } = this.colours;
    const size = trades.length > 250 ? 0.6 : 0.9;
    return Array.from(trades).flatMap((change, time) => {
      if (change === 0) return [];
      return change > 0
        ? [{ time, position: "belowBar", shape: "arrowUp", color: up, size }]
        : [{ time, position: "aboveBar", shape: "arrowDown", color: down, size }];
    });
  }

  /** The library sizes its axes in the next frames; fit once more and place the labels then. */
  settle() {
    afterTwoFrames(() => {
      this.following = true;
      this.panels.forEach(({ chart }) => chart.timeScale().fitContent());
      this.following = false;
      this.placeLabels();
    });
  }

  /** The library follows a new size one frame later. */
  placeLabelsSoon() {
    afterTwoFrames(() => this.placeLabels());
  }

  placeLabels() {
    for (const { host, chart, labels } of this.panels) {
      const top = host.getBoundingClientRect().top;
      chart.panes().forEach((pane, i) => {
        const element = pane.getHTMLElement();
        if (element) labels[PANES[i]].style.top = `${element.getBoundingClientRect().top - top + 3}px`;
      });
    }
  }

  /** @param {Colours} colours */
  recolour(colours) {
    this.colours = colours;
    this.panels.forEach((panel, index) => {
      panel.chart.applyOptions(this.chartOptions(index === 0));
      this.paint(panel);
      if (this.query) panel.markers.setMarkers(this.tradeMarkers(this.query.panels[index].trades));
    });
  }

  destroy() {
    this.panels.forEach(({ chart }) => chart.remove());
  }
}
