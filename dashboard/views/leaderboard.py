"""Leaderboard: which strategies and policies the traders prefer, and how sure that is."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from tradinghf.serving import SOURCE_KINDS, tables, ui
from tradinghf.strategies import strategy_names

GAMES = ["won", "lost", "tied"]

board, _ = ui.open_page(
    "Leaderboard",
    "Whose trading your team would rather own, from all rankings together. The whiskers hold the "
    "true strength 19 times in 20: where they overlap much, it is too close to call.",
)
health = board.store.health()
standings = ui.standings(health["store"], health["head"], board)
if not standings.standings:
    ui.stop_empty("No ranking compares two strategies yet. It takes a handful of answers.", "rank")

frame = tables.standings_table(standings, strategy_names())
leader = tables.leader(standings, strategy_names())
ahead = frame.loc[frame["who"] == leader, "to the next"].iloc[0] if leader else ""
ui.show_metrics(
    {
        "Leader": leader or "nobody yet",
        "Ahead of the next": ahead or "–",
        "Rankings": f"{standings.rankings}",
        "Pairs tied": ui.share_in_percent(
            frame["tied"].sum() / max(frame[GAMES].to_numpy().sum(), 1)
        ),
    }
)
if not leader:
    st.caption(
        "Nobody leads yet: whoever is rated highest was not compared with those beside it. Queue "
        "such pairs on the page Compare."
    )
st.caption(
    "Reference behaviour is what doing nothing, always holding, or trading at random would get: "
    "a strategy that is not ahead of it has shown no skill that these traders value."
)


def ratings(frame: pd.DataFrame) -> go.Figure:
    """Ratings with intervals, one block for each kind of contender."""
    blocks = [
        (name, rows) for name in SOURCE_KINDS.values() if len(rows := frame[frame["what"] == name])
    ]
    figure = make_subplots(
        len(blocks),
        1,
        shared_xaxes=True,
        row_heights=[len(rows) + 0.6 for _, rows in blocks],
        subplot_titles=[name for name, _ in blocks],
        vertical_spacing=min(0.09, 0.5 / len(blocks)),
    )
    for number, (name, rows) in enumerate(blocks, start=1):
        grey = name == SOURCE_KINDS["reference"]
        points = go.Scatter(
            x=rows["rating"],
            y=rows["who"],
            mode="markers",
            marker={"size": 10, "color": ui.GREY if grey else ui.UP},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": rows["high"] - rows["rating"],
                "arrayminus": rows["rating"] - rows["low"],
                "thickness": 1.5,
            },
            hovertemplate="%{y}: %{x:.0f}<extra></extra>",
        )
        figure.add_trace(points, number, 1)
        figure.update_yaxes(autorange="reversed", row=number, col=1)
        figure.add_vline(x=1000, line_dash="dot", line_width=1, line_color=ui.GREY, row=number)
    figure.update_layout(showlegend=False)
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    figure.update_xaxes(title_text="rating, the average is 1000", row=len(blocks), col=1)
    return figure


left, right = st.columns([3, 2])
with left:
    st.subheader("Rating", anchor=False)
    ui.show_chart(ratings(frame), height=150 + 32 * len(frame))
with right:
    st.subheader("Won by row against column, %", anchor=False)
    shares = tables.win_matrix(standings)
    heat = go.Heatmap(
        z=shares.to_numpy(),
        x=list(shares.columns),
        y=list(shares.index),
        zmin=0,
        zmax=100,
        zmid=50,
        colorscale=[[0, ui.DOWN], [0.5, "#C9D0D9"], [1, ui.UP]],
        texttemplate="%{z:.0f}",
        textfont={"color": "#0E1218"},
        showscale=False,
        hovertemplate="%{y} against %{x}: %{z:.0f} %<extra></extra>",
    )
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, tickangle=-60)
    ui.show_chart(figure, height=150 + 32 * len(frame))
whole = {name: frame[name].round().astype(int) for name in ("rating", "low", "high", "elo")}
ui.show_table(frame.assign(**whole), height="content")
st.caption(
    "Rating: Bradley-Terry with ties (Davidson), intervals from resampling whole rankings; "
    "Elo stands beside it because people know it."
)
