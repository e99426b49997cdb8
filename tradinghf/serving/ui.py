"""Parts of every Streamlit page: who looks at it, its head, tables and charts."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from tradinghf._outside_text import defused, defused_table
from tradinghf.feedback import Leaderboard, Ranking, leaderboard
from tradinghf.serving._access import LOCAL, Identity, Role
from tradinghf.serving._accounts import UserAccount
from tradinghf.serving._dashboard import Dashboard, current_dashboard
from tradinghf.serving._edits import shown_after_the_vote

_P = ParamSpec("_P")
_log = logging.getLogger(__name__)
UP, DOWN, GREY = "#2F81F7", "#E8833A", "#7C8896"
_INK = {"light": "#3B4450", "dark": "#C3CAD3"}
_CHART_HEIGHT = 300
_NUMBER = "%.1f"
_LONGEST_NAME = 100
_CONFIRMED = "confirmed"
# Figures with intervals go on a second line; where nothing hovers, tables always show their
# buttons, which would lie on the text above.
_STYLE = """<style>
[data-testid="stMetricValue"] *, [data-testid="stMetricLabel"] * { white-space: normal !important; }
@media (hover: none) { [data-testid="stFullScreenFrame"]:has(> .stDataFrame) { margin-top: 36px; } }
</style>"""
_PLAIN_NUMBER = re.compile(r"[-+\u2212]?[0-9][0-9., ]*%?", re.ASCII)
_ADDRESS = re.compile(r"[^\s@:]+@[^\s@:]+")


def say_failed(error: OSError) -> None:
    """Say on a page that the machine refused to read or write; paths go to the log alone."""
    _log.error("page failed", exc_info=error)
    st.error("This page could not be finished. Nothing of it was kept.")
    st.text(f"The server's disk says: {error.strerror}. Tell who looks after it, then try again.")


def has_sign_in() -> bool:
    """Whether people sign in here: team mode."""
    return current_dashboard().settings.auth != "none"


def current_identity() -> Identity | None:
    """Who looks at this page; None for those who have not signed in or may not."""
    board = current_dashboard()
    if board.settings.auth == "none":
        return LOCAL
    if board.settings.auth == "local":
        return board.signed_in(st.context.cookies)
    return None if _provided_problem(board) else _provided(board)


def require_identity() -> Identity:
    """Who looks at this page; stops the page for those who have not signed in."""
    who = current_identity()
    if who is not None:
        return who
    board = current_dashboard()
    if board.settings.auth == "local":
        st.warning("You are signed out.")
        link_here("Sign in", "/login")
    elif not st.user.is_logged_in:
        st.title("Sign in to tradinghf", anchor=False)
        st.text("Rank trading without knowing whose it is. Your answers stay under your name.")
        st.button("Sign in", on_click=st.login)
    else:
        st.error(_provided_problem(board))
        st.button("Sign in as somebody else", on_click=st.logout)
    st.stop()


def live_part(
    seconds: float, role: Role = "rater"
) -> Callable[[Callable[_P, None]], Callable[_P, None]]:
    """A part of a page that is drawn again by itself, while its reader may see it.

    Streamlit draws such a part alone, without the page's own check of who looks at it: who has
    signed out, or lost the role, would go on seeing it, and its buttons would still work.

    Args:
        seconds: between two drawings.
        role: that the page needs.

    """

    def of(draw: Callable[_P, None]) -> Callable[_P, None]:
        @wraps(draw)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> None:
            who = current_identity()
            if who is None or not who.may(role):
                st.rerun()
            draw(*args, **kwargs)

        return st.fragment(checked, run_every=seconds)

    return of


def _provided_account(board: Dashboard) -> UserAccount | None:
    """The account with the e-mail address that the identity provider gives."""
    email = _claim("email")
    return board.accounts.by_address(email) if email else None


def _claim(name: str) -> str:
    """A claim of the identity provider, as text."""
    found = st.user.get(name)
    return found.strip() if isinstance(found, str) else ""


def _provided_name(board: Dashboard) -> str:
    """Under which name answers are stored; a subject without address is no account's name."""
    account = _provided_account(board)
    if account is not None:
        return account.name
    email, subject = _claim("email"), _claim("sub")
    if email and not _ADDRESS.fullmatch(email):
        return ""  # "local", say, is another's name here
    return (email.lower() if email.isascii() else email) or (f"sub:{subject}" if subject else "")


def _provided_problem(board: Dashboard) -> str:
    """Why the person whom the identity provider names may not enter; empty when they may."""
    if not st.user.is_logged_in:
        return "Nobody has signed in."
    verified = st.user.get("email_verified")
    said = verified is True or str(verified).lower() == "true"
    silent = verified is None and board.settings.unverified_email == "accept"
    name = _provided_name(board)
    plain = name.isprintable() and unicodedata.normalize("NFKC", name) == name
    if not (said or silent) or not plain or not 0 < len(name) <= _LONGEST_NAME:
        return "Your identity provider gave no verified e-mail address."
    account = _provided_account(board)
    if account is not None and not account.active:
        return "Your account is switched off. Ask an admin."
    return ""


def _provided(board: Dashboard) -> Identity:
    """Who the identity provider says this is; the role is the one that an admin gave the name."""
    account = _provided_account(board)
    if account is None:
        return Identity(_provided_name(board))
    return Identity(account.name, account.role, board.accounts.stamp(account.name))


def link_here(text: str, path: str) -> None:
    """A link to a page of this server in the same tab; Streamlit's own open another one.

    Args:
        text: fixed words, never from outside.
        path: absolute, on this server.

    """
    st.html(f'<a href="{path}" target="_self">{text}</a>')


def open_page(title: str, text: str, role: Role = "rater") -> tuple[Dashboard, Identity]:
    """Head of a page, for people with at least this role."""
    who = require_identity()
    st.html(_STYLE)
    st.title(title, anchor=False)
    if not who.may(role):
        st.warning(f"This page is for the role {role!r}; yours is {who.role!r}.")
        st.stop()
    st.caption(text)
    if done := st.session_state.pop(_CONFIRMED, ""):
        st.success(done)
    return current_dashboard(), who


def confirm(text: str) -> None:
    """Say that something was done, at the head of the page, once it has been drawn again."""
    st.session_state[_CONFIRMED] = text
    st.rerun()


def allow_uploads(board: Dashboard) -> None:
    """Let the browser that shows this page send files; all others are refused."""
    context = get_script_run_ctx()
    if context is not None:
        board.upload_sessions.allow(context.session_id)


def stop_empty(text: str, go_on: str = "") -> None:
    """Say what would be here and how it gets here, perhaps link to a page, and end this one."""
    st.info(text)
    if go_on:
        # Tests of a single page have no menu to link into.
        with suppress(StreamlitPageNotFoundError):
            st.page_link(f"views/{go_on}.py", label="Rank now", icon=":material/arrow_forward:")
    st.stop()


def _kept_text(value: object) -> object:
    """A cell with a character that nobody sees before what a spreadsheet would run."""
    number = isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value)
    return value if number or defused(value) == value else f"\u200b{value}"


def show_table(
    frame: pd.DataFrame,
    *,
    key: str | None = None,
    select: bool = False,
    hide: tuple[str, ...] = (),
    height: int | str = "auto",
) -> int | None:
    """A table; with `select`, returns the number of the chosen row."""
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(format=_NUMBER)
        for name in frame.select_dtypes("float").columns
    }
    config |= {
        name: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")
        for name in frame.select_dtypes("datetimetz").columns
    }
    shown = defused_table(frame.drop(columns=list(hide)), _kept_text)  # a button saves it as CSV
    common: dict[str, Any] = {
        "hide_index": True,
        "column_config": config,
        "height": height,
        "width": "stretch",
        "placeholder": "–",
    }
    if not select:
        st.dataframe(shown, key=key, **common)
        return None
    state = st.dataframe(shown, key=key, on_select="rerun", selection_mode="single-row", **common)
    rows = state["selection"]["rows"]
    return int(rows[0]) if rows and rows[0] < len(frame) else None


def show_chart(figure: go.Figure, *, height: int = _CHART_HEIGHT, key: str | None = None) -> None:
    """A plotly figure in the page's theme."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 32, "b": 8},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="x unified",
    )
    # The library's own greys for text are hard to read on the light background.
    ink = {"color": _INK["light" if st.context.theme.type == "light" else "dark"]}
    figure.update_xaxes(tickfont=ink, title_font=ink)
    figure.update_yaxes(tickfont=ink, title_font=ink)
    figure.update_annotations(font=ink)
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, width="stretch")


def thinned(frame: pd.DataFrame, most: int = 2000) -> pd.DataFrame:
    """Evenly spaced rows, the last one included: SVG charts slow down beyond a few thousand.

    (WebGL charts compile code from strings, which the content policy forbids.)
    """
    step = max(1, -(-len(frame) // most))
    return frame.iloc[(len(frame) - 1) % step :: step] if step > 1 else frame


def flow(key: str, least: int = 150) -> Any:
    """A row whose parts go on the next line, side by side, where the page is narrow.

    Args:
        key: of the row, its own on the page.
        least: width of a part [pixels].

    """
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"flow-{key}")
    rule = f"flex: 1 1 {least}px !important; width: auto !important; min-width: {least}px"
    row.html(f"<style>.st-key-flow-{key} > div {{ {rule}; }}</style>")
    return row


def show_metrics(values: Mapping[str, str], helps: Mapping[str, str] | None = None) -> None:
    """A row of figures; `helps` explains some of them in a tooltip."""
    row = flow("metrics")
    row.html("<style>.st-key-flow-metrics { align-items: stretch !important; }</style>")
    for name, value in values.items():
        row.metric(name, value, border=True, help=(helps or {}).get(name), height="stretch")


def share_in_percent(value: float | None) -> str:
    """A share as a percentage; a dash when unknown."""
    return "–" if value is None else f"{100 * value:.0f} %"


@st.cache_data(max_entries=8, show_spinner=False)
def standings(store_name: str, head: str, _dashboard: Any) -> Leaderboard:
    """The leaderboard of all answers that count for learning; computed once per chain head."""
    store = _dashboard.store
    return leaderboard(store.rankings(purposes=("learn", "test")), store.sources())


def own_rankings(
    board: Dashboard, who: Identity, *, include_superseded: bool = True
) -> list[Ranking]:
    """All answers of this rater that may be shown, corrected ones too unless told otherwise."""
    found = board.store.rankings(who.rater, include_superseded=include_superseded)
    return shown_after_the_vote(found, board.store.sources())
