"""Charts as inline SVG, for pages that load nothing else.

Ten of them fit in one small page, and they print sharply. Colours come from the page's style sheet,
so that one chart serves both themes. Series differ in dash as well as in colour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market import Floats

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 8.0, 22.0
_STYLES = ("", " dash", " dot", " dashdot")


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a chart.

    Attributes:
        name: in the legend and the tooltip.
        values: [T]; NaN leaves a gap.
        colour: 1 to 4, an entry of the page's palette (3 is grey: benchmarks).
        fill: shade the area between the line and zero.
        last: text after the name in the legend.
        style: 0 solid, 1 dashed, 2 dotted, 3 both.

    """

    name: str
    values: Floats
    colour: int = 1
    fill: bool = False
    last: str = ""
    style: int = 0

    @property
    def css(self) -> str:
        """Classes of its line."""
        return f"s{self.colour}{_STYLES[self.style]}"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) inside [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis; falls back to linear ones on a narrow range."""
    if high / low < 6:
        return nice_ticks(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for marks in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**p for p in powers for m in marks if low <= m * 10.0**p <= high]
        if len(ticks) <= 7:
            return ticks
    return ticks[:: math.ceil(len(ticks) / 7)]


def bars_to_draw(series: Sequence[Series], points: int = 600) -> NDArray[np.intp]:
    """Bars to draw: evenly spaced ones, plus each series' extremes in every stretch.

    Extremes of many series add up to all bars, and a page to a megabyte: beyond four series there
    are fewer stretches.
    """
    bars = len(series[0].values)
    points = points if len(series) <= 4 else min(points, 1000 // len(series))
    if bars <= 2 * points:
        return np.arange(bars)
    chosen = [np.linspace(0, bars - 1, points).astype(np.intp)]
    edges = np.linspace(0, bars, points // 4 + 1).astype(np.intp)
    for item in series:
        filled = np.where(np.isfinite(item.values), item.values, 0.0)
        chosen += [
            np.array([a + pick(filled[a:b]) for a, b in pairwise(edges)])
            for pick in (np.argmin, np.argmax)
        ]
    return np.unique(np.concatenate(chosen))


def _legend(series: Sequence[Series]) -> str:
    """Names with their line samples."""
    items = "".join(
        f'<span><svg viewBox="0 0 20 8" aria-hidden="true"><line x1="0" y1="4" x2="20" y2="4" '
        f'stroke-width="2" class="{s.css}"/></svg>{escape(s.name)}'
        f"{f' <b>{escape(s.last)}</b>' if s.last else ''}</span>"
        for s in series
    )
    return f'<div class="legend">{items}</div>'


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        a, b, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return self.start + (v - a) / (b - a) * (self.end - self.start)


def line_chart(
    index: pd.DatetimeIndex,
    series: Sequence[Series],
    *,
    label: str,
    show: Callable[[float], str],
    width: float = 1040.0,
    height: float = 280.0,
    log: bool = False,
    include: float | None = None,
) -> str:
    """Lines over time with a legend, and a tooltip that reads every series.

    Args:
        index: [T] timestamps.
        series: at least one, each with T values.
        label: what the chart shows, for screen readers.
        show: formats a value for ticks and tooltip.
        width: of the drawing, which scales with the page.
        height: of the drawing.
        log: logarithmic axis (all values > 0).
        include: a value that the axis must contain, drawn as a line.

    """
    stacked = np.concatenate([s.values[np.isfinite(s.values)] for s in series])
    extra = [] if include is None else [include]
    low, high = float(min([*stacked, *extra])), float(max([*stacked, *extra]))
    pad = 0.04 * (high - low) or abs(high) * 0.05 or 1.0
    if log:
        low, high = low / 1.02, high * 1.02
    else:
        flat = low == high
        low, high = (
            low - (pad if flat or low != include else 0),
            high + (pad if flat or high != include else 0),
        )
    y = _Scale(low, high, height - _BOTTOM, _TOP, log)
    x = _Scale(0, max(len(index) - 1, 1), _LEFT, width - _RIGHT)
    bars = bars_to_draw(series)
    parts = [_y_axis(y, log_ticks(low, high) if log else nice_ticks(low, high), width, show)]
    parts.append(_time_axis(index, x, width, height))
    if include is not None:
        at = y(include)
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
    parts += [_line(s, bars, x, y, include) for s in reversed(series)]
    cursor = f'<line class="cursor" y1="{_TOP}" y2="{height - _BOTTOM}" x1="0" x2="0"/>'
    return (
        _legend(series)
        + f'<figure data-hover><svg class="chart{" wide" if width > 600 else ""}" role="img" '
        + f'aria-label="{escape(label)}" viewBox="0 0 {width:g} {height:g}">'
        + "".join(parts)
        + cursor
        + '</svg><div class="tip"></div>'
        + _hover_data(index, series, bars, x, show)
        + "</figure>"
    )


def _y_axis(y: _Scale, ticks: Sequence[float], width: float, show: Callable[[float], str]) -> str:
    return "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(t) + 4:.1f}" text-anchor="end">{escape(show(t))}</text>'
        for t in ticks
    )


def _time_axis(index: pd.DatetimeIndex, x: _Scale, width: float, height: float) -> str:
    room = int((width - _LEFT) // 70)
    years = np.asarray(index.year)
    starts = np.flatnonzero(np.diff(years, prepend=years[0])) if len(index) else np.array([])
    if len(starts) >= 2:
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100) if len(starts) / s <= room)
        marks = [(int(b), str(years[b])) for b in starts if years[b] % step == 0]
    else:
        span = index[-1] - index[0]
        form = "%b %Y" if span > pd.Timedelta(days=90) else "%d %b"
        form = form if span > pd.Timedelta(days=3) else "%d %b %H:%M"
        bars = np.linspace(0, len(index) - 1, min(room, 7, len(index))).astype(int)[1:-1]
        marks = [(int(b), index[b].strftime(form)) for b in bars]
    return "".join(
        f'<line class="axis" x1="{x(b):.1f}" x2="{x(b):.1f}" y1="{height - _BOTTOM}" '
        f'y2="{height - _BOTTOM + 4}"/><text x="{x(b):.1f}" y="{height - 5}" '
        f'text-anchor="middle">{escape(text)}</text>'
        for b, text in marks
    )


def _line(s: Series, bars: NDArray[np.intp], x: _Scale, y: _Scale, base: float | None) -> str:
    steps, pen = [], "M"
    for bar in bars:
        value = float(s.values[bar])
        if not math.isfinite(value):
            pen = "M"
            continue
        steps.append(f"{pen}{x(float(bar)):.1f} {y(value):.1f}")
        pen = "L"
    path = "".join(steps)
    area = ""
    if s.fill and base is not None and steps:
        ends = f"L{x(float(bars[-1])):.1f} {y(base):.1f}L{x(float(bars[0])):.1f} {y(base):.1f}Z"
        area = f'<path class="area f{s.colour}" d="{path}{ends}"/>'
    return f'{area}<path class="line {s.css}" d="{path}"/>'


def _hover_data(
    index: pd.DatetimeIndex,
    series: Sequence[Series],
    bars: NDArray[np.intp],
    x: _Scale,
    show: Callable[[float], str],
) -> str:
    daily = bool((index == index.normalize()).all())
    form = "%Y-%m-%d" if daily else "%Y-%m-%d %H:%M"
    data = {
        "x": [round(x(float(b)), 1) for b in bars],
        "labels": index[bars].strftime(form).tolist(),
        "series": [
            {
                "name": s.name,
                "values": [show(float(v)) if math.isfinite(v) else "n/a" for v in s.values[bars]],
            }
            for s in series
        ],
    }
    # "<" could end the script element early.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def histogram(
    values: Floats,
    marks: Sequence[tuple[float, str]],
    *,
    label: str,
    show: Callable[[float], str],
    width: float = 500.0,
    height: float = 230.0,
) -> str:
    """Distribution of `values` with named vertical lines where `marks` stand in it."""
    spots = [value for value, _ in marks]
    low, high = float(min([values.min(), *spots])), float(max([values.max(), *spots]))
    pad = 0.03 * (high - low) or 1.0
    counts, edges = np.histogram(values, bins=44, range=(low - pad, high + pad))
    x = _Scale(low - pad, high + pad, 12.0, width - _RIGHT)
    top = _TOP + 26
    y = _Scale(0, max(int(counts.max()), 1), height - _BOTTOM, top)
    bars = "".join(
        f'<rect class="f3" opacity="0.55" x="{x(a) + 0.5:.1f}" width="{x(b) - x(a) - 1:.1f}" '
        f'y="{y(float(n)):.1f}" height="{height - _BOTTOM - y(float(n)):.1f}"/>'
        for n, (a, b) in zip(counts, pairwise(edges), strict=True)
        if n
    )
    ticks = "".join(
        f'<text x="{x(t):.1f}" y="{height - 5}" text-anchor="middle">{escape(show(t))}</text>'
        for t in nice_ticks(low, high)
    )
    lines = []
    for value, text in marks:
        anchor = "end" if x(value) > 0.65 * width else "start"
        shift = -6 if anchor == "end" else 6
        lines.append(
            f'<line class="s1" stroke-width="2" x1="{x(value):.1f}" x2="{x(value):.1f}" '
            f'y1="{_TOP}" y2="{height - _BOTTOM}"/><text class="strong" x="{x(value) + shift:.1f}" '
            f'y="{_TOP + 12}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    base = f'<line class="axis" x1="12" x2="{width - _RIGHT}" y1="{height - _BOTTOM}" '
    return (
        f'<figure><svg role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width:g} {height:g}">{bars}{base}y2="{height - _BOTTOM}"/>{ticks}'
        f"{''.join(lines)}</svg></figure>"
    )


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]],
    *,
    label: str,
    show: Callable[[float], str],
    width: float = 1040.0,
) -> str:
    """Estimates with intervals, one row each: (name, value, low, high); zero is marked."""
    names = 230.0
    line = 30.0
    height = line * len(rows) + _BOTTOM + _TOP
    low = min(0.0, *(row[2] for row in rows))
    high = max(0.0, *(row[3] for row in rows))
    pad = 0.05 * (high - low) or 1.0
    x = _Scale(low - pad, high + pad, names, width - 90)
    parts = [
        f'<line class="grid" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>'
        f'<text x="{x(t):.1f}" y="{height - 5}" text-anchor="middle">{escape(show(t))}</text>'
        for t in nice_ticks(low - pad, high + pad, 6)
    ]
    zero = f'x1="{x(0):.1f}" x2="{x(0):.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"'
    parts.append(f'<line class="axis" {zero}/>')
    for k, (name, value, start, end) in enumerate(rows):
        at = _TOP + line * (k + 0.5)
        hue = 1 if value >= 0 else 2
        faint = ' opacity="0.45"' if start <= 0 <= end else ""
        parts.append(
            f'<g{faint}><line class="s{hue}" stroke-width="2" x1="{x(start):.1f}" '
            f'x2="{x(end):.1f}" y1="{at}" y2="{at}"/>'
            f'<circle class="f{hue}" cx="{x(value):.1f}" cy="{at}" r="4.5"/></g>'
            f'<text class="strong" x="{names - 14}" y="{at + 4}" text-anchor="end">'
            f"{escape(name)}</text>"
            f'<text x="{width - 4}" y="{at + 4}" text-anchor="end">{escape(show(value))}</text>'
        )
    return (
        f'<figure><svg class="wide" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width:g} {height:g}">{"".join(parts)}</svg></figure>'
    )
