"""Pictures of an episode: candles with trade markers, position, equity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tradinghf.market import MarketData
from tradinghf.simulation._bars import Floats

UP, DOWN, ACCENT = "#2F81F7", "#E8833A", "#4C8DFF"
History = Sequence[dict[str, Any]]


def episode_figure(market: MarketData, history: History) -> go.Figure:
    """The episode so far.

    Args:
        market: that the environment trades.
        history: `info` of the reset and of every step since.

    Returns:
        Candles of the (first) asset with fills, position and equity, on one time axis.

    """
    start, asset = int(history[0]["start"]), int(history[0]["asset"])
    bars = slice(start, start + len(history))
    times = market.index[bars]
    prices = {n: getattr(market, n)[bars, asset] for n in ("open", "high", "low", "close")}
    position = history_series(history, "position", asset, 0.0)
    equity = history_series(history, "equity", asset, 1.0)
    figure = make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.04,
        row_heights=[0.6, 0.2, 0.2],
        subplot_titles=(
            f"{market.symbols[asset]}: price",
            "position [of equity]",
            "equity [start = 1]",
        ),
    )
    colours = {"increasing_line_color": UP, "decreasing_line_color": DOWN}
    figure.add_trace(go.Candlestick(x=times, **prices, name="price", **colours), row=1, col=1)
    price = history_series(history, "price", asset, np.nan)
    change = np.diff(position, prepend=0.0)
    for name, symbol, colour, where in (
        ("buy", "triangle-up", UP, change > 0),
        ("sell", "triangle-down", DOWN, change <= 0),
    ):
        shown = where & ~np.isnan(price)
        marker = {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1}}
        marks = go.Scatter(x=times[shown], y=price[shown], mode="markers", marker=marker, name=name)
        figure.add_trace(marks, row=1, col=1)
    steps = {"shape": "hv", "color": ACCENT}
    figure.add_trace(go.Scatter(x=times, y=position, line=steps, name="position"), row=2, col=1)
    line = {"color": ACCENT}
    figure.add_trace(go.Scatter(x=times, y=equity, line=line, name="equity"), row=3, col=1)
    figure.update_layout(
        height=640,
        showlegend=False,
        margin={"l": 50, "r": 20, "t": 40, "b": 30},
        xaxis_rangeslider_visible=False,
    )
    return figure


def episode_text(market: MarketData, history: History) -> str:
    """Where the episode stands, in one line."""
    now, asset = history[-1], int(history[0]["asset"])
    time = str(market.index[int(now["bar"])])[:16]
    position = float(np.sum(now.get("position", 0.0)))
    return (
        f"{market.symbols[asset]} {time}  bar {len(history) - 1}  position {position:+.2f}  "
        f"equity {now.get('equity', 1.0):.4f}"
    )


def history_series(history: History, name: str, asset: int, missing: float) -> Floats:
    """[len(history)] one quantity over time, of one asset."""
    values = [np.atleast_1d(step.get(name, missing)) for step in history]
    return np.array([v[asset] if len(v) > 1 else v[0] for v in values], dtype=np.float64)
