"""Data: bars of one's own, from the file to questions on the page Rank."""

from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.market import MarketData, drawn_again, market_warnings
from tradinghf.serving import Asking, QuestionPlan, Uploads, parts, reading, ui
from tradinghf.strategies import strategy_names

MOST_FINDINGS = 20
CHART_POINTS = 1000
TRAINED_SHARE = 0.7  # of the bars; what comes later stays unseen, for judging policies

board, who = ui.open_page(
    "Data",
    "Your own bars, from the file to the first question: upload, look, collect questions, rank.",
    role="lead",
)
uploads = Uploads(board.settings.runs)
asking = Asking(board.settings, board.store)


@st.cache_data(max_entries=8, show_spinner="Reading the bars …")
def bars_of(name: str, _stamp: float) -> MarketData | str:
    """The bars of a name, or why they cannot be read."""
    try:
        return uploads.load(name)
    except TradingHFError as error:
        return str(error)


def stamp(name: str) -> float:
    """Changes with an uploaded file."""
    path = uploads.names().get(name)
    return path.stat().st_mtime if path else 0.0


def keep(file: reading.BarFile, options: dict[str, str], *, replace: bool) -> str:
    """Check one file and keep it; its name, or nothing where it was refused."""
    try:
        kept, market = uploads.add(file.name, file.data, replace=replace, **options)
    except TradingHFError as error:
        st.error(f"{file.name} was not kept. Fix this first:")
        st.text(str(error))
        return ""
    board.accounts.note(who.rater, "upload bars", kept)
    span = f"{market.index[0]:%Y-%m-%d} to {market.index[-1]:%Y-%m-%d}"
    st.success(f"Kept as {kept}: {market.bars:,} bars of {assets_of(market)}, {span}.")
    if changed := board.store.recognise(market).said:
        st.warning(changed)
    return kept


def look_at(file: reading.BarFile) -> dict[str, str]:
    """A file as it would be kept: a chart and the findings, or what to choose; how it is read."""
    with st.container(border=True):
        st.text(file.name)
        market, options = reading.read_file(uploads, file)
        if market is not None:
            draw(market, key=f"look {file.key}", drawn=False)
            tell_findings(market)
    return options


def from_folder() -> list[reading.BarFile]:
    """The files chosen from the server's folder, where there is one."""
    names = board.data_folder.names()
    if not names:
        return []
    chosen = st.multiselect("Or take files from the server's folder", names, placeholder="none")
    found = []
    for name in chosen:
        try:
            data = board.data_folder.read(name)
        except TradingHFError as error:
            st.error(str(error))
        else:
            key = f"{name} {board.data_folder.changed(name)}"
            found.append(reading.BarFile(Path(name).name, key, data))
    return found


def assets_of(market: MarketData) -> str:
    """Its one symbol, or how many there are."""
    return market.symbols[0] if market.assets == 1 else f"{market.assets} assets"


def upload() -> None:
    """The field for files, and what becomes of them; the last one kept is looked at below."""
    ui.allow_uploads(board)
    files = st.file_uploader(
        "Drop files of bars here (at most 20 MB a file)",
        ["csv", "tsv", "txt", "parquet", "xlsx", "gz", "zip"],
        accept_multiple_files=True,
    )
    st.caption(
        "Files as vendors write them: Yahoo, Stooq, Binance, MetaTrader, TradingView and others; "
        "time, open, high, low, close and, if there is one, volume. Every row is checked first."
    )
    given = [reading.BarFile(file.name, file.file_id, file.getvalue()) for file in files]
    given += from_folder()
    if not given:
        return
    told = [look_at(file) for file in given]
    replace = st.checkbox(
        "They replace sets of the same names",
        help="A longer file of the same bars: seals, counted trials and questions stay with it.",
    )
    if st.button("Check and keep", type="primary"):
        both = zip(given, told, strict=True)
        kept = [name for file, how in both if (name := keep(file, how, replace=replace))]
        if kept:
            st.session_state["data"] = kept[-1]


def draw(market: MarketData, *, key: str, drawn: bool) -> None:
    """The closes; where bars are not drawn again, with those that stay unseen."""
    step = max(market.bars // CHART_POINTS, 1)
    close = pd.DataFrame(market.close[::step], market.index[::step], list(market.symbols))
    many = market.assets > 1
    close = 100 * close / close.iloc[0] if many else close
    figure = go.Figure(
        [
            go.Scatter(x=close.index, y=close[symbol], name=symbol, mode="lines", line={"width": 1})
            for symbol in close.columns[:12]
        ]
    )
    figure.update_layout(showlegend=many)
    if not drawn:
        figure.add_vrect(
            last_trained(market),
            market.index[-1],
            fillcolor=ui.GREY,
            opacity=0.15,
            line_width=0,
            annotation_text="left unseen, to judge policies on",
            annotation_position="top right",
        )
    figure.update_yaxes(title_text="close, first = 100" if many else "close")
    ui.show_chart(figure, height=260, key=key)


def preview(name: str, market: MarketData) -> None:
    """A chart, the size, and what is odd about them."""
    draw(market, key=f"preview {name}", drawn=drawn_again(name))
    tell_findings(market, f" In a terminal beside the runs: --data {name}")


def tell_findings(market: MarketData, more: str = "") -> None:
    """How many bars there are, what was done on the way in, and what looks odd."""
    st.caption(
        f"{market.bars:,} bars of {assets_of(market)}, {market.index[0]:%Y-%m-%d} to "
        f"{market.index[-1]:%Y-%m-%d}.{more}"
    )
    if note := market.source.partition("; ")[2]:
        st.caption(note)
    found = market_warnings(market)
    if not found:
        st.caption("Nothing odd was found in them.")
        return
    count = "1 finding" if len(found) == 1 else f"{len(found)} findings"
    with st.expander(f"{count} to look at", expanded=len(found) < 4):
        for finding in found[:MOST_FINDINGS]:
            st.text(f"• {finding}")


def last_trained(market: MarketData) -> pd.Timestamp:
    """The last of the bars that are asked about and trained on."""
    return market.index[int(TRAINED_SHARE * market.bars) - 1]


def manage(name: str) -> None:
    """Rename and delete an uploaded set."""
    left, right, _ = st.columns([1, 1, 4])
    with left.popover("Rename", width="stretch"):
        new = st.text_input("New name", name, key=f"rename {name}")
        if st.button("Rename it") and change(lambda: uploads.rename(name, new)):
            board.accounts.note(who.rater, "rename bars", f"{name} to {new}")
            st.rerun()
    with right.popover("Delete", width="stretch"):
        st.text("Its questions and answers stay; its bars go.")
        if st.button(f"Delete {name}", type="primary") and change(lambda: uploads.delete(name)):
            board.accounts.note(who.rater, "delete bars", name)
            st.rerun()


def change(action: Any) -> bool:
    """Do it, or say why not."""
    try:
        action()
    except TradingHFError as error:
        st.error(str(error))
        return False
    return True


def questions(name: str, market: MarketData) -> None:
    """The form that collects questions, or what it is doing."""
    st.subheader("Collect questions", anchor=False)
    st.caption(
        "Every strategy, and chance, trades the same stretches of these bars; traders then rank "
        "them blind. Bars after the last day stay unseen: policies are judged on them later."
    )
    job = asking.newest
    if job is not None and job.status == "running":
        parts.watch_job(asking.jobs, job.name, "Recording episodes …")
        return
    if job is not None:
        parts.tell_job(job)
        if job.status == "done":
            parts.link_page("rank", "Rank them")
    first, last = market.index[0].date(), market.index[-1].date()
    until = last if drawn_again(name) else last_trained(market).date()
    with st.form("questions"):
        cells = ui.flow("questions", 140)
        start = cells.date_input("From", first, first, last)
        end = cells.date_input("To", until, first, last)
        windows = cells.number_input("Questions", 1, 500, 60)
        panels = cells.number_input("Panels each", 2, 5, 4)
        longest = max(min(500, market.bars // 3), 8)
        bars = cells.number_input("Bars each", 8, longest, min(64, longest))
        chosen = st.multiselect(
            "Strategies", strategy_names(), placeholder="all of them, and constant positions"
        )
        if st.form_submit_button("Collect questions", type="primary"):
            plan = QuestionPlan(name, str(start), str(end), windows, panels, bars, tuple(chosen))
            if change(lambda: asking.collect(plan)):
                board.accounts.note(who.rater, "collect questions", plan.title)
                st.rerun()


if who.may("admin"):
    upload()
name = parts.data_field(st, uploads)
market = bars_of(name, stamp(name)) if name else "Say what to download."
if isinstance(market, str):
    st.warning(market)
else:
    preview(name, market)
    if who.may("admin") and name in uploads.names():
        manage(name)
    questions(name, market)
