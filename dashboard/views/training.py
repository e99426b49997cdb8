"""Training: start, stop and resume runs as separate processes; watch them live."""

import time
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.serving import (
    METRICS_FILE,
    BackgroundJob,
    BackgroundJobs,
    RunFolder,
    Uploads,
    list_runs,
    ui,
)

# name in metrics.jsonl -> (title, unit, factor)
CURVES = {
    "pnl": ("Profit per episode", "%", 100.0),
    "learned_reward": ("Learned reward per episode", "points", 1.0),
    "reward/learned": ("Learned reward per episode", "points", 1.0),
    "entropy": ("How much it still explores (entropy)", "nats", 1.0),
    "kl": ("How much an update changes it (KL)", "nats", 1.0),
    "turnover": ("Turnover per episode", "times the account", 1.0),
    "steps_per_s": ("Speed", "steps per second", 1.0),
}
COLUMNS = 2
CURVE_HEIGHT = 200
SMALLEST = 0.0005
COMPARE = Path(__file__).parents[1] / "workers" / "compare.py"
MARKS = {"running": "● running", "done": "✓ done", "failed": "✕ failed", "stopped": "■ stopped"}

board, who = ui.open_page(
    "Training",
    "A policy learns to trade as the rankings ask, and to make a profit. It goes on when this page "
    "is closed; a stopped run continues where it was.",
    role="lead",
)
folder = Path(board.settings.runs)
jobs = BackgroundJobs(folder)
uploads = Uploads(folder)


def command(data: str, steps: int, seed: int, run: Path) -> list[str]:
    """The same command that a person would type."""
    return [
        "-m", "tradinghf", "train",
        "--store", board.settings.store_argument,
        "--data", data,
        "--steps", str(steps),
        "--seed", str(seed),
        "--out", str(run),
    ]  # fmt: skip


def data_names() -> list[str]:
    """Sets to train on, the S&P 500 first."""
    names = uploads.offered()
    return sorted(names, key=lambda name: name != "sp500")


def start_form() -> None:
    """Start a run."""
    answers = board.store.health()["rankings"]
    with st.form("train"):
        cells = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
        data = cells[0].selectbox("Data", data_names())
        steps = cells[1].number_input("Steps", 10_000, 1_000_000_000, 1_000_000, 100_000)
        seed = cells[2].number_input("Seed", 0, 2**31 - 1, 0)
        label = f"Train on {answers} answers"
        if cells[3].form_submit_button(label, disabled=not answers):
            run = folder / f"train-{time.strftime('%Y%m%d-%H%M%S')}"
            begin(f"{data}, {steps:,} steps", command(uploads.spec(data), steps, seed, run))


def resumed(words: tuple[str, ...]) -> list[str]:
    """The command that continues a run."""
    return [*words, *(() if "--resume" in words else ("--resume",))]


def begin(title: str, words: list[str], kind: str = "train") -> None:
    """Start the process."""
    try:
        jobs.start(kind, title, words, {"OMP_NUM_THREADS": "1"})
    except TradingHFError as error:
        st.warning(str(error))
    else:
        board.accounts.note(who.rater, kind, title)
        st.rerun()


def controls(job: BackgroundJob) -> None:
    """State of the newest job, and what can be done about it."""
    left, middle, right = st.columns([5, 1, 1], vertical_alignment="center")
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started))
    left.text(f"{MARKS[job.status]}   {job.title}, started {when}")
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
            st.code(job.output()[-3000:], language=None)


def option(job: BackgroundJob, name: str) -> str:
    """An option of the job's command; empty when it has none of that name."""
    return job.command[job.command.index(name) + 1] if name in job.command else ""


@st.fragment(run_every=2.0)
def live(job_name: str) -> None:
    """Progress and curves of a running job; the page starts over when it has ended."""
    job = jobs.get(job_name)
    if job.status != "running":
        st.rerun()
    run = RunFolder(Path(option(job, "--out")))
    rows = run.metrics()
    wanted = int(option(job, "--steps") or 0)
    if rows.empty:
        st.progress(0.0, "Fitting the reward model, then the first update …")
    else:
        last = rows.iloc[-1]
        done, speed = float(last["step"]), float(last.get("steps_per_s", 0.0))
        left = max(wanted - done, 0) / speed if speed else 0.0
        text = f"{done:,.0f} of {wanted:,} steps, {speed:,.0f} per second, {left:,.0f} s to go"
        st.progress(min(done / max(wanted, 1), 1.0), text)
    curves(run, key="live")
    with st.expander("Output"):
        st.code(job.output()[-3000:], language=None)


def number(value: float) -> str:
    """Three digits, or whole thousands."""
    if 0 < abs(value) < SMALLEST:
        return f"below {SMALLEST:g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def curves(run: RunFolder, key: str) -> None:
    """One chart per figure, against steps; above it the last value and the unit."""
    rows = ui.thinned(run.metrics())
    shown = [name for name in CURVES if name in rows]
    if rows.empty or not shown:
        st.info("The first figures appear after the first update of the policy.")
        return
    last = rows.iloc[-1]
    for start in range(0, len(shown), COLUMNS):
        for cell, name in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            title, unit, factor = CURVES[name]
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


def compare_form() -> None:
    """Queue blind queries between the policies of two runs."""
    policies = {path.parent.name: path for path in sorted(folder.glob("*/policy.safetensors"))}
    if len(policies) < 2:
        st.caption("With the policies of two runs, traders can compare them blind from here.")
        return
    st.subheader("Compare policies blind", anchor=False)
    st.caption(
        "Both trade the same windows, and the pairs are queued on the page Rank without names; "
        "the Leaderboard then says which one traders prefer."
    )
    with st.form("compare", border=False):
        cells = st.columns([3, 3, 2, 1, 2], vertical_alignment="bottom")
        names = list(reversed(policies))
        before = cells[0].selectbox("Before", names, index=1)
        after = cells[1].selectbox("After", names, index=0)
        data = cells[2].selectbox("Data", data_names(), key="compare data")
        windows = cells[3].number_input("Pairs", 1, 200, 12)
        if cells[4].form_submit_button("Queue the pairs", width="stretch"):
            words = [str(COMPARE), board.settings.store_argument, uploads.spec(data), str(windows)]
            chosen = [str(policies[after]), str(policies[before])]
            seed = str(int(time.time()))
            begin(f"{after} against {before}", [*words, seed, *chosen], "compare")
    done = jobs.list("compare")
    if done:
        said = done[0].output().strip().splitlines()[-1:] or [""]
        st.caption(f"{MARKS[done[0].status]}   {done[0].title}: {said[0]}")


start_form()
past = jobs.list("train")
running = bool(past) and past[0].status == "running"
if past:
    controls(past[0])
if running:
    live(past[0].name)
busy = Path(option(past[0], "--out")).name if running else ""
runs = [run for run in list_runs(folder, METRICS_FILE) if run.name != busy]
if runs:
    st.subheader("Earlier runs" if running else "Runs", anchor=False)
    chosen = st.selectbox("Run", runs, format_func=lambda run: run.name)
    curves(chosen, key="past")
    decision = chosen.document("deployment.json")
    if decision.get("text"):
        st.markdown("**Deploy?**")
        st.text(str(decision["text"]))
    result = chosen.document("result.json")
    if result:
        with st.expander("Result"):
            figures = [
                (
                    name.replace("_", " "),
                    f"{value:,.4g}" if isinstance(value, float) else str(value),
                )
                for name, value in result.items()
                if isinstance(value, int | float | str) and value != ""
            ]
            ui.show_table(pd.DataFrame(figures, columns=["figure", "value"]))
    compare_form()
elif not past:
    ui.stop_empty("No run yet. Rank about twenty queries, then train on them.", "rank")
