"""Parts of pages that start jobs: which bars, how far a job is, where to go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from tradinghf.errors import ConfigError
from tradinghf.feedback.store import Store
from tradinghf.serving import ui
from tradinghf.serving._access import Identity, Role
from tradinghf.serving._asking import FEW_LEFT, POLICY_FILE, Asking
from tradinghf.serving._dashboard import Dashboard
from tradinghf.serving._guide import GuideStep, guide_steps
from tradinghf.serving._jobs import BackgroundJob, BackgroundJobs
from tradinghf.serving._runs import list_runs
from tradinghf.serving._settings import DashboardSettings
from tradinghf.serving._uploads import Uploads

MARKS = {"running": "● running", "done": "✓ done", "failed": "✕ failed", "stopped": "■ stopped"}
_STEP = {"done": ":material/check_circle:", "next": ":material/arrow_forward:", "later": ""}
_REFRESH = 10.0  # seconds: every open page costs the server a run
_ROLES: dict[str, Role] = {"training": "lead", "compare": "lead", "backtest": "lead"}
# One line, but on a narrow screen as many as it takes: the step that comes next is in sight. Only
# the page Rank, which takes the whole window below it, keeps one there.
_STRIP = """<style>
.st-key-guide { overflow-x: auto; scrollbar-width: none; flex-wrap: nowrap !important; }
.st-key-guide > * { flex: none !important; width: auto !important; }
.st-key-guide p { white-space: nowrap; font-size: 13px; }
.st-key-guide a { padding: 2px 8px; min-height: 28px; }
.st-key-guide button { min-height: 28px; height: 28px; padding: 0 10px; }
</style>"""
_WRAPPED = """<style>
@media (max-width: 900px) {
  .st-key-guide { flex-wrap: wrap !important; gap: 4px !important; }
}
</style>"""
_ON_RANK = """<style>
:root { --page-top: calc(3.75rem + 36px); }
.st-key-guide {
  position: fixed; z-index: 5; inset: 3.75rem 0 auto 0; height: 36px; padding: 0 8px;
  background: var(--st-background-color, transparent);
}
/* A short window, as at a zoom of 200 %: its charts need the room. */
@media (max-height: 620px) { :root { --page-top: 3.75rem; } .st-key-guide { display: none; } }
</style>"""
_WHY_NOT = {
    "running": "More are being collected …",
    "none known": "Few questions are left. Collect more on the page Data.",
    "nothing new": "These bars have no new questions left.",
    "failed": "Collecting more failed; the page Data says why.",
}
_ASKED = {
    "yfinance": ("Symbols at Yahoo, and the first day", "SPY,start=2010-01-01"),
    "ccxt": ("Exchange, pair and bar", "binance:BTC/USDT:1d"),
}


def data_field(place: Any, uploads: Uploads, *, first: str = "", key: str = "data") -> str:
    """Which bars: one's own, a sample, or a download, whose symbol is asked for.

    Args:
        place: column of the page.
        uploads: what people uploaded.
        first: chosen at first, if it is there.
        key: of the widgets; the value lies in the session under it.

    Returns:
        a name for `Uploads.load` and for jobs; "" while the symbol is missing.

    """
    offered = uploads.offered()
    chosen = st.session_state.get(key)
    if chosen not in offered and ":" not in str(chosen):
        st.session_state[key] = first if first in offered else offered[0]
    own = uploads.names()
    name = place.selectbox(
        "Data",
        offered,
        key=key,
        format_func=lambda name: f"{name} (yours)" if name in own else name,
        accept_new_options=True,
        help="Your own bars are added on the page Data. Sources with options can be typed, such as "
        "synthetic:seed=3,regime=jumps",
    )
    if name not in _ASKED:
        return str(name)
    label, example = _ASKED[name]
    rest = place.text_input(label, placeholder=example, key=f"{key} {name}").strip()
    return f"{name}:{rest}" if rest else ""


def rivals(board: Dashboard, rules: Sequence[str], *, policies: bool = True) -> list[str]:
    """What a policy may be compared with: the traders' favourite strategy, buy and hold, others.

    Args:
        board: the dashboard.
        rules: names of the strategies.
        policies: whether runs with a policy are among them.

    Returns:
        names of strategies, the favourite first; then names of runs with a policy, the newest
        first.

    """
    health = board.store.health()
    rated = [s.source for s in ui.standings(health["store"], health["head"], board).standings]
    first = [name for name in rated if name in rules][:1]
    runs = [run.name for run in list_runs(board.settings.runs, POLICY_FILE)] if policies else []
    return list(dict.fromkeys([*first, "buy_and_hold", *rules, *runs]))


@ui.live_part(1.0)
def watch_job(jobs: BackgroundJobs, name: str, waiting: str) -> None:
    """How far a running job is; the page starts over when it has ended."""
    job = jobs.get(name)
    if job.status != "running":
        st.rerun()
    share, text = job.progress()
    seconds = time.time() - job.started
    st.progress(share, f"{text or waiting} · {seconds:,.0f} s")


def tell_job(job: BackgroundJob) -> None:
    """What became of the last job of a kind: a line, and what it said when it failed."""
    lines = [line for line in job.said().strip().splitlines() if line.strip()]
    if job.status == "failed":
        st.error(f"{job.title}: it failed. This is what it said:")
        st.code("\n".join(lines[-12:]), language=None)
        return
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started))
    told = next((line.partition(".")[0] for line in lines if " new questions" in line), "")
    st.caption(" · ".join([MARKS[job.status], job.title, when, *([told] if told else [])]))


def link_page(page: str, label: str, icon: str | None = ":material/arrow_forward:") -> None:
    """A link to another page of the menu; nothing where a test shows one page alone."""
    with suppress(StreamlitPageNotFoundError):
        st.page_link(f"views/{page}.py", label=label, icon=icon)


@ui.live_part(_REFRESH)
def guide(board: Dashboard, who: Identity, page: str) -> None:
    """The way from the first ranking to a deployed policy, each step with its state and a link.

    On the page Rank it also asks ahead when few questions are left, and offers more.

    Args:
        board: the dashboard.
        who: looks at it.
        page: the view that is open.

    """
    with st.container(key="guide", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(_STRIP + (_ON_RANK if page == "rank" else _WRAPPED))
        for step in _steps(board.settings, board.store):
            if step.page == "rank" or who.may(_ROLES.get(step.page, "rater")):
                _show(step)
        if page == "rank":
            _offer_more(board, who)


@st.cache_data(ttl=2.0, max_entries=4, show_spinner=False)
def _steps(settings: DashboardSettings, _store: Store) -> Sequence[GuideStep]:
    return guide_steps(settings, _store)


def _show(step: GuideStep) -> None:
    bold = f"**{step.name}**" if step.state == "next" else step.name
    colour = "blue" if step.state == "next" else "grey"
    label = f"{bold} :{colour}[{step.says}]"
    link_page(step.page, label, _STEP[step.state] or None)


def _offer_more(board: Dashboard, who: Identity) -> None:
    """A button for more questions; where few are left, they are asked without it."""
    asking = Asking(board.settings, board.store)
    state = asking.ahead(who.rater)
    if state != "ready":
        few = board.store.pending(who.rater) < FEW_LEFT
        if board.store.health()["queries"] and (few or state in ("running", "failed")):
            st.caption(_WHY_NOT[state])
        return
    place = st.empty()
    if place.button("Ask me more"):
        with suppress(ConfigError):  # somebody else's page was faster
            asking.more()
        place.caption(_WHY_NOT["running"])  # at once, not when this part is drawn again
