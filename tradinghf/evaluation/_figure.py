"""The interactive figure of a report, for notebooks."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tradinghf.evaluation._result import BacktestResult

ACCENT, UP, DOWN, MUTED = "#4C8DFF", "#2F81F7", "#E8833A", "#8B949E"


def report_figure(report: BacktestResult) -> go.Figure:
    """Price with fills, equity against holding the assets, drawdown and exposure."""
    market, index = report.market, report.market.index
    hold = report.cash * (market.close / market.close[0]).mean(axis=1)
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[0.6, 0.2, 0.2]
    )
    lines = [
        (report.equity.to_numpy(), report.name, ACCENT, 1),
        (hold, "buy and hold, before costs", MUTED, 1),
        (-100 * report.drawdown.to_numpy(), "drawdown [%]", DOWN, 2),
        (100 * report.positions.sum(axis=1).to_numpy(), "net exposure [%]", UP, 3),
    ]
    for values, name, colour, row in lines:
        line = go.Scatter(x=index, y=values, name=name, line={"color": colour, "width": 1.5})
        figure.add_trace(line, row=row, col=1)
    for side, symbol, colour in (("buy", "triangle-up", UP), ("sell", "triangle-down", DOWN)):
        fills = report.orders[report.orders["side"] == side]
        marks = go.Scatter(
            x=fills["timestamp"],
            y=report.equity.loc[fills["timestamp"]].to_numpy(),
            name=side,
            mode="markers",
            marker={"symbol": symbol, "color": colour, "size": 7},
            text=[f"{r.symbol}: {r.size:.4g} at {r.price:.2f}" for r in fills.itertuples()],
        )
        figure.add_trace(marks, row=1, col=1)
    figure.update_yaxes(title_text="equity", row=1, col=1)
    figure.update_yaxes(title_text="drawdown [%]", row=2, col=1)
    figure.update_yaxes(title_text="exposure [%]", row=3, col=1)
    figure.update_layout(
        title=str(report), hovermode="x unified", height=720, template="plotly_white"
    )
    return figure
