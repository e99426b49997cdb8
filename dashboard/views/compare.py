"""Compare: policies and strategies blind, on windows that all of them trade."""

import time
from pathlib import Path

import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.serving import (
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

WORKER = Path(__file__).parents[1] / "workers" / "compare.py"
POLICY = "policy.safetensors"

board, who = ui.open_page(
    "Compare",
    "Two policies, or a policy and a strategy, trade the same windows; you rank the pairs on the "
    "page Rank, without names. What came of it stands below and on the Leaderboard.",
    role="lead",
)
folder = Path(board.settings.runs)
jobs = BackgroundJobs(folder)
uploads = Uploads(folder)


def choose(policies: list[str]) -> None:
    """Who is compared with whom, and where."""
    known = parts.rivals(board, strategy_names())
    with st.container(border=True):
        cells = st.columns(3)
        one = cells[0].selectbox("This policy", policies)
        others = [name for name in [*policies, *known] if name != one]
        others = list(dict.fromkeys(others))
        # The policy before it, or else the strategy that traders prefer.
        other = cells[1].selectbox("With", others, format_func=source_label)
        learned.show_learned(RunFolder(folder / one))
        first = RunFolder(folder / one).data
        data = parts.data_field(cells[2], uploads, first=first, key="compare data")
        cells = st.columns(3, vertical_alignment="bottom")
        pairs = cells[0].number_input("Pairs", 1, 200, 12)
        days = uploads.unseen_from(data) if data == first else []
        late = cells[1].checkbox("Unseen bars only", bool(days), disabled=not days)
        if cells[2].button("Queue the pairs", type="primary", width="stretch", disabled=not data):
            start = ["--start", days[-1]] if late and days else []
            queue(one, other, uploads.spec(data), pairs, start)


def queue(one: str, other: str, data: str, pairs: int, start: list[str]) -> None:
    """Start the job that records the pairs."""
    names = [
        str(folder / name) if (folder / name / POLICY).is_file() else name for name in (one, other)
    ]
    seed = str(int(time.time()))
    words = [str(WORKER), board.settings.store_argument, data, str(pairs), seed, *names, *start]
    try:
        jobs.start("compare", f"{one} with {source_label(other)}", words)
    except TradingHFError as error:
        st.warning(str(error))
    else:
        board.accounts.note(who.rater, "compare", f"{one} with {other}")
        st.rerun()


def results() -> None:
    """What was compared, and who was preferred how often."""
    found = tables.comparisons(board.store)
    if len(found):
        st.subheader("So far", anchor=False)
        ui.show_table(found)


policies = [run.name for run in list_runs(folder, POLICY)]
if not policies:
    ui.stop_empty("No policy yet. Rank some questions and train one first.", "rank")
past = jobs.list("compare")
if past and past[0].status == "running":
    parts.watch_job(jobs, past[0].name, "Recording the pairs …")
else:
    choose(policies)
    if past:
        parts.tell_job(past[0])
        if past[0].status == "done":
            parts.link_page("rank", "Rank them")
results()
