"""Reward model: what it thinks traders value, in words and numbers, and how far to believe it."""

import time
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from tradinghf.errors import ConfigError
from tradinghf.serving import ui
from tradinghf.serving.jobs import Jobs
from tradinghf.serving.runs import REWARD, Run, list_runs

WORKER = Path(__file__).parents[1] / "workers" / "fit_reward.py"
FIGURES = {
    "accuracy": "Accuracy (win, tie, loss)",
    "f1": "Macro F1",
    "log_loss": "Log-loss",
    "ece": "Calibration error",
}

board, who = ui.page(
    "Reward model", "What the model believes is valued, and how well it foresees unseen answers."
)
jobs = Jobs(board.settings.runs)


@st.fragment(run_every=1.0)
def wait_for_fit() -> None:
    """A running fit; the page starts over when it has ended."""
    if jobs.list("reward")[0].status == "running":
        st.info("Fitting the reward model to all answers …")
    else:
        st.rerun()


def fit_button() -> None:
    """Start a fit, and say what became of the last one."""
    past = jobs.list("reward")
    if past and past[0].status == "running":
        wait_for_fit()
        return
    if past and past[0].status == "failed":
        st.error(f"The last fit failed: {past[0].output().strip().splitlines()[-1:]}")
    answers = board.store.health()["rankings"]
    if who.may("lead") and st.button(f"Fit to all {answers} answers", disabled=not answers):
        folder = Path(board.settings.runs) / f"reward-{time.strftime('%Y%m%d-%H%M%S')}"
        command = [str(WORKER), board.settings.store, str(folder)]
        try:
            jobs.start("reward", "Fit the reward model", command)
        except ConfigError as error:
            st.warning(str(error))
        st.rerun()


def judgement(run: Run) -> dict:
    """Held-out figures of a model: its own, else those that its training run ended with."""
    result = run.document("result.json")
    own = run.document(REWARD).get("held_out")
    return own or (result if "accuracy" in result else {})


fit_button()
runs = list_runs(board.settings.runs, REWARD)
if not runs:
    ui.empty("No reward model has been fitted yet. Rank about twenty queries, then fit one here.")
judged = [i for i, run in enumerate(runs) if judgement(run)]
run = st.selectbox(
    "Model", runs, index=judged[0] if judged else 0, format_func=lambda run: run.name
)
found = run.document(REWARD)
held_out, values = judgement(run), found.get("values", [])

relation = found.get("profit_correlation")
if relation is not None and relation < 0:
    st.error(
        f"The learned reward runs against profit (rank correlation {relation:+.2f}). Check the "
        "answers on the page Raters and quality before training on it."
    )
for warning in found.get("warnings", []):
    st.warning(warning)

shown = {}
for name, label in FIGURES.items():
    if name in held_out:
        low, high = held_out.get(f"{name}_interval", (None, None))
        span = "" if low is None else f" ({low:.2f} to {high:.2f})"
        shown[label] = f"{held_out[name]:.2f}{span}"
if not held_out:
    st.caption("This model was not judged on held-out answers; fit one here to see how good it is.")
shown["Human ceiling (repeats)"] = ui.share(found.get("human_ceiling"))
shown["Rank correlation with profit"] = "–" if relation is None else f"{relation:+.2f}"
ui.metrics(shown)
if held_out:
    st.caption(
        f"Held out by {held_out.get('method', 'the training run')}: "
        f"{held_out.get('held_out_rankings', '?')} rankings, {held_out.get('pairs', '?')} pairs; "
        f"95 % intervals. Fitted to {found.get('rankings', '?')} rankings."
    )

left, right = st.columns([3, 2])
with left:
    st.subheader("What it is worth, in percent of profit", anchor=False)
    names = [row["name"].replace("_", " ") for row in values]
    bars = go.Scatter(
        x=[row["weight"] for row in values],
        y=names,
        mode="markers",
        marker={
            "size": 10,
            "color": [ui.UP if row["weight"] >= 0 else ui.DOWN for row in values],
            "symbol": ["circle" if row["weight"] >= 0 else "diamond" for row in values],
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["weight"] for row in values],
            "arrayminus": [row["weight"] - row["low"] for row in values],
            "color": "#7C8896",
            "thickness": 1.5,
        },
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_yaxes(autorange="reversed")
    figure.add_vline(x=0, line_width=1, line_color="#7C8896")
    ui.chart(figure, height=90 + 30 * len(names))
with right:
    st.subheader("In words", anchor=False)
    for row in values:
        if row.get("probability", 1.0) >= 0.5:
            st.text(f"• {row['sentence']}")
    unclear = [r["name"].replace("_", " ") for r in values if r.get("probability", 1.0) < 0.5]
    if unclear:
        st.caption(f"No clear sign yet that these matter: {', '.join(unclear)}.")

if found.get("calibration"):
    st.subheader("Calibration: stated against observed", anchor=False)
    points = found["calibration"]
    figure = go.Figure(
        [
            go.Scatter(x=[0.3, 1], y=[0.3, 1], mode="lines", line={"dash": "dot"}, name="perfect"),
            go.Scatter(
                x=[p["stated"] for p in points],
                y=[p["observed"] for p in points],
                mode="markers+lines",
                marker={"size": [6 + p["pairs"] ** 0.5 for p in points], "color": ui.UP},
                name="this model",
            ),
        ]
    )
    ui.chart(figure, height=320)
