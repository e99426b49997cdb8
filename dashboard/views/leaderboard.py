"""Leaderboard: which strategies and policies the traders prefer, and how sure that is."""

import plotly.graph_objects as go
import streamlit as st

from tradinghf.serving import analysis, ui

board, _ = ui.page(
    "Leaderboard",
    "Strengths from all rankings (Bradley-Terry with ties, after Davidson); 95 % intervals from "
    "resampling whole rankings. Elo is beside it because people know it.",
)
health = board.store.health()
standings = ui.standings(health["store"], health["head"], board)
if not standings.standings:
    ui.empty("No ranking compares two different sources yet. Rank a few queries first.")

frame = analysis.standings_table(standings)
leader = standings.standings[0]
ui.metrics(
    {
        "Leader": leader.source,
        "Called ahead of the next": "not yet" if leader.too_close else "yes",
        "Rankings": f"{standings.rankings}",
        "Tie strength ν": f"{standings.tie_strength:.2f}",
    }
)
left, right = st.columns([3, 2])
with left:
    st.subheader("Rating", anchor=False)
    points = go.Scatter(
        x=frame["rating"],
        y=frame["source"],
        mode="markers",
        marker={"size": 10, "color": ui.UP},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": frame["high"] - frame["rating"],
            "arrayminus": frame["rating"] - frame["low"],
            "thickness": 1.5,
        },
        hovertemplate="%{y}: %{x:.0f}<extra></extra>",
    )
    figure = go.Figure(points)
    figure.update_yaxes(autorange="reversed")
    figure.add_vline(x=1000, line_dash="dot", line_width=1, line_color="#7C8896")
    ui.chart(figure, height=90 + 34 * len(frame))
with right:
    st.subheader("Won by row against column, %", anchor=False)
    shares = analysis.win_matrix(standings)
    heat = go.Heatmap(
        z=shares.to_numpy(),
        x=list(shares.columns),
        y=list(shares.index),
        zmin=0,
        zmax=100,
        zmid=50,
        colorscale=[[0, ui.DOWN], [0.5, "#5F6B7A"], [1, ui.UP]],
        texttemplate="%{z:.0f}",
        showscale=False,
        hovertemplate="%{y} against %{x}: %{z:.0f} %<extra></extra>",
    )
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    ui.chart(figure, height=90 + 34 * len(frame))
ui.table(frame)
