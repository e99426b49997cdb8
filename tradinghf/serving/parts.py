"""Parts of pages that start jobs: which bars, how far a job is, where to go on."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from tradinghf.serving._jobs import BackgroundJob, BackgroundJobs
from tradinghf.serving._uploads import Uploads

MARKS = {"running": "● running", "done": "✓ done", "failed": "✕ failed", "stopped": "■ stopped"}
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
    if st.session_state.get(key) not in offered:
        st.session_state[key] = first if first in offered else offered[0]
    own = uploads.names()
    name = place.selectbox(
        "Data",
        offered,
        key=key,
        format_func=lambda name: f"{name} (yours)" if name in own else name,
        help="Your own bars are added on the page Data.",
    )
    if name not in _ASKED:
        return str(name)
    label, example = _ASKED[name]
    rest = place.text_input(label, placeholder=example, key=f"{key} {name}").strip()
    return f"{name}:{rest}" if rest else ""


@st.fragment(run_every=1.0)
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


def link_page(page: str, label: str, icon: str = ":material/arrow_forward:") -> None:
    """A link to another page of the menu; nothing where a test shows one page alone."""
    with suppress(StreamlitPageNotFoundError):
        st.page_link(f"views/{page}.py", label=label, icon=icon)
