"""Training: start, stop and resume runs as separate processes; watch them live."""

import re
import time
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.serving import (
    METRICS_FILE,
    Asking,
    BackgroundJob,
    BackgroundJobs,
    RunFolder,
    Uploads,
    learned,
    list_runs,
    parts,
    source_label,
    tables,
    ui,
)
from tradinghf.strategies import strategy_names

# name in metrics.jsonl -> (title, unit, factor)
CURVES = {
    "pnl": ("Profit per episode", "%", 100.0),
    "learned_reward": ("Learned reward per episode", "points", 1.0),
    "reward/learned": ("Learned reward per episode", "points", 1.0),
    "turnover": ("Turnover per episode", "times the account", 1.0),
    "steps_per_s": ("Speed", "steps per second", 1.0),
}
FOR_EXPERTS = {
    "entropy": ("How much it still explores (entropy)", "nats", 1.0),
    "kl": ("How much an update changes it (KL)", "nats", 1.0),
}
COLUMNS = 2
CURVE_HEIGHT = 200
SMALLEST = 0.0005

board, who = ui.open_page(
    "Training",
    "A policy learns to trade as the rankings ask, and to make a profit. It goes on when this page "
    "is closed; a stopped run continues where it was.",
    role="lead",
)
folder = Path(board.settings.runs)
jobs = BackgroundJobs(folder)
uploads = Uploads(folder)


def command(data: str, steps: int, seed: int, run: Path, baseline: str, ask: int) -> list[str]:
    """The same command that a person would type."""
    return [
        "-m", "tradinghf", "train",
        "--store", board.settings.store_argument,
        "--data", data,
        "--steps", str(steps),
        "--seed", str(seed),
        "--out", str(run),
        "--baseline", baseline,
        "--ask", str(ask),
    ]  # fmt: skip


def free_name() -> str:
    """A name for the next run that no other has."""
    number = 1 + len(list(folder.glob("*/policy.safetensors")))
    while (folder / f"policy-{number}").exists():
        number += 1
    return f"policy-{number}"


def start_form() -> None:
    """Start a run."""
    answers = learned.AnswerCounts.of(board.store).counting
    asked = Asking(board.settings, board.store).newest
    first = asked.option("--data") if asked else "sp500"
    with st.container(border=True):
        cells = st.columns([2, 2, 2], vertical_alignment="bottom")
        name = cells[0].text_input("Name", free_name(), help="Of the policy, everywhere.")
        data = parts.data_field(cells[1], uploads, first=first, key="train data")
        baseline = cells[2].selectbox(
            "What trades now",
            parts.rivals(board, strategy_names()),
            format_func=source_label,
            help="The policy may replace it only if the gate finds no harm, on unseen bars. First "
            "in the list is the strategy that your rankings prefer.",
        )
        cells = st.columns([2, 2, 2], vertical_alignment="bottom")
        steps = cells[0].number_input("Steps", 10_000, 1_000_000_000, 1_000_000, 100_000)
        seed = cells[1].number_input("Seed", 0, 2**31 - 1, 0)
        ask = cells[2].number_input(
            "Questions afterwards", 0, 200, 15, help="About what the policy became: the next round."
        )
        label = f"Train on {answers} rankings"
        if st.button(label, type="primary", disabled=not (answers and data)):
            run = folder / plain_name(name)
            if run.exists() or run == folder:
                st.warning(f"There is a run named {name!r} already, or the name is empty.")
                return
            words = command(uploads.spec(data), steps, seed, run, baseline, ask)
            begin(f"{run.name}: {data}, {steps:,} steps", words)


def plain_name(name: str) -> str:
    """A name of which nothing is special to a shell, a URL or a path."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60]


def resumed(words: tuple[str, ...]) -> list[str]:
    """The command that continues a run."""
    return [*words, *(() if "--resume" in words else ("--resume",))]


def begin(title: str, words: list[str]) -> None:
    """Start the process."""
    try:
        jobs.start("train", title, words, {"OMP_NUM_THREADS": "1"})
    except TradingHFError as error:
        st.warning(str(error))
    else:
        board.accounts.note(who.rater, "train", title)
        st.rerun()


def controls(job: BackgroundJob) -> None:
    """State of the newest job, and what can be done about it."""
    left, middle, right = st.columns([5, 1, 1], vertical_alignment="center")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started))
    left.text(f"{parts.MARKS[job.status]}   {job.title}, started {when}")
    if job.status == "running":
        if middle.button("Stop", width="stretch", help="It can be resumed later."):
            job.stop()
            board.accounts.note(who.rater, "stop training", job.title)
            st.toast("Stopping: it finishes its update and keeps the work.")
            st.rerun()
    elif job.status != "done" and right.button("Resume", width="stretch"):
        begin(job.title, resumed(job.command))
    if job.status == "failed":
        with st.expander("What it said", expanded=True):
            st.code(job.said(), language=None)


@ui.live_part(2.0, "lead")
def live(job_name: str) -> None:
    """Progress and curves of a running job; the page starts over when it has ended."""
    job = jobs.get(job_name)
    if job.status != "running":
        st.rerun()
    run = RunFolder(Path(job.option("--out")))
    rows = run.metrics()
    wanted = int(job.option("--steps") or 0)
    if rows.empty:
        st.progress(0.0, "Fitting the reward model, then the first update …")
    else:
        last = rows.iloc[-1]
        done, speed = float(last["step"]), float(last.get("steps_per_s", 0.0))
        left = max(wanted - done, 0) / speed if speed else 0.0
        # Updates are whole: the last one may take more steps than were asked for.
        text = f"{min(done, wanted):,.0f} of {wanted:,} steps, {speed:,.0f} per second"
        text += f", {left:,.0f} s to go" if left else ". Judging the policy on unseen bars …"
        st.progress(min(done / max(wanted, 1), 1.0), text)
    curves(run, key="live")
    with st.expander("Output"):
        st.code(job.said(), language=None)


def number(value: float) -> str:
    """Three digits, or whole thousands."""
    if 0 < abs(value) < SMALLEST:
        return f"below {SMALLEST:g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def curves(run: RunFolder, key: str) -> None:
    """One chart per figure, against steps; above it the last value and the unit."""
    rows = ui.thinned(run.metrics())
    known = CURVES | (FOR_EXPERTS if experts else {})
    shown = [name for name in known if name in rows]
    if rows.empty or not shown:
        st.info("The first figures appear after the first update of the policy.")
        return
    last = rows.iloc[-1]
    for start in range(0, len(shown), COLUMNS):
        for cell, name in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            title, unit, factor = known[name]
            line = go.Scatter(
                x=rows["step"],
                y=factor * rows[name],
                mode="lines",
                line={"color": ui.UP, "width": 2},
                hovertemplate=f"%{{y:.4g}} {unit} at step %{{x:,.0f}}<extra></extra>",
            )
            figure = go.Figure(line, {"showlegend": False})
            figure.update_xaxes(title_text="steps")
            with cell:
                st.markdown(f"{title}: **{number(factor * float(last[name]))}** {unit}")
                ui.show_chart(figure, height=CURVE_HEIGHT, key=f"{key}-{run.name}-{name}")


def became(run: RunFolder) -> None:
    """What a run's policy became, whether it may trade, and how it does beside others."""
    learned.show_learned(run)
    decision = run.document("deployment.json")
    if decision.get("text"):
        st.markdown("**May it trade?**")
        st.text(learned.plain_names(str(decision["text"])))
    rows = tables.unseen_table(run, list_runs(folder, "result.json"))
    if len(rows):
        st.markdown("**On unseen bars**, means of an episode")
        ui.show_table(rows)
        parts.link_page("compare", "Compare it blind with another one", ":material/balance:")
        parts.link_page("backtest", "Backtest it on unseen bars", ":material/monitoring:")


start_form()
experts = learned.expert()
past = jobs.list("train")
running = bool(past) and past[0].status == "running"
if past:
    controls(past[0])
if running:
    live(past[0].name)
busy = Path(past[0].option("--out")).name if running else ""
runs = [run for run in list_runs(folder, METRICS_FILE) if run.name != busy]
if runs:
    st.subheader("Earlier runs" if running else "Runs", anchor=False)
    chosen = st.selectbox("Run", runs, format_func=lambda run: run.name)
    became(chosen)
    curves(chosen, key="past")
    result = chosen.document("result.json")
    if result and experts:
        with st.expander("Result"):
            figures = [
                (
                    name.replace("_", " "),
                    f"{value:,.4g}" if isinstance(value, float) else str(value),
                )
                for name, value in result.items()
                if isinstance(value, int | float | str) and value != "" and "/" not in str(value)
            ]
            ui.show_table(pd.DataFrame(figures, columns=["figure", "value"]))
elif not past:
    ui.stop_empty("No run yet. Rank about twenty queries, then train on them.", "rank")
