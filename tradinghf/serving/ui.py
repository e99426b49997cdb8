"""What every page needs of Streamlit: who is here, the page's head, tables and charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from tradinghf.feedback.ratings import Leaderboard, leaderboard
from tradinghf.feedback.types import Ranking
from tradinghf.serving.access import LOCAL, Identity, Role
from tradinghf.serving.state import Dashboard, dashboard

UP, DOWN, GREY = "#2F81F7", "#E8833A", "#7C8896"
METRICS_PER_ROW = 6
CHART_HEIGHT = 300
_NUMBER = "%.1f"


def identity() -> Identity:
    """Who looks at this page; stops the page for those who have not signed in."""
    board = dashboard()
    if board.settings.auth == "none":
        return LOCAL
    if board.settings.auth == "local":
        who = board.signed_in(st.context.cookies)
        if who is None:
            st.warning("You are signed out.")
            st.link_button("Sign in", "/login")
            st.stop()
        return who
    return _provided(board)


def _provided(board: Dashboard) -> Identity:
    """Who the identity provider says this is; the role is the one that an admin gave the name."""
    if not st.user.is_logged_in:
        st.title("Sign in to tradinghf", anchor=False)
        st.button("Sign in", on_click=st.login)
        st.stop()
    name = str(st.user.get("email") or st.user.get("sub") or "")
    if not name or st.user.get("email_verified") is False:
        st.error("Your identity provider gave no verified e-mail address.")
        st.stop()
    account = board.accounts.get(name)
    if account is not None and not account.active:
        st.error("Your account is switched off. Ask an admin.")
        st.stop()
    return Identity(name, account.role if account else "rater")


def page(title: str, text: str, role: Role = "rater") -> tuple[Dashboard, Identity]:
    """Head of a page, for people with at least this role."""
    who = identity()
    st.title(title, anchor=False)
    if not who.may(role):
        st.warning(f"This page is for the role {role!r}; yours is {who.role!r}.")
        st.stop()
    st.caption(text)
    return dashboard(), who


def empty(text: str) -> None:
    """Say what would be here and how it gets here, and end the page."""
    st.info(text)
    st.stop()


def table(
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
    shown = frame.drop(columns=list(hide))
    common: dict[str, Any] = {
        "hide_index": True,
        "column_config": config,
        "height": height,
        "width": "stretch",
    }
    if not select:
        st.dataframe(shown, key=key, **common)
        return None
    state = st.dataframe(shown, key=key, on_select="rerun", selection_mode="single-row", **common)
    rows = state["selection"]["rows"]
    return int(rows[0]) if rows and rows[0] < len(frame) else None


def chart(figure: go.Figure, *, height: int = CHART_HEIGHT, key: str | None = None) -> None:
    """A plotly figure in the page's theme."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 32, "b": 8},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        hovermode="x unified",
    )
    st.plotly_chart(figure, key=key, config={"displayModeBar": False}, width="stretch")


def thinned(frame: pd.DataFrame, most: int = 2000) -> pd.DataFrame:
    """Evenly spaced rows, the last one included: SVG charts slow down beyond a few thousand.

    (WebGL charts compile code from strings, which the content policy forbids.)
    """
    step = max(1, -(-len(frame) // most))
    return frame.iloc[(len(frame) - 1) % step :: step] if step > 1 else frame


def metrics(values: Mapping[str, str], helps: Mapping[str, str] | None = None) -> None:
    """Rows of figures; `helps` explains some of them in a tooltip."""
    rows = -(-len(values) // METRICS_PER_ROW)
    width = -(-len(values) // rows) if rows else 0
    columns: list[Any] = []
    for name, value in values.items():
        columns = columns or list(st.columns(width))
        columns.pop(0).metric(name, value, border=True, help=(helps or {}).get(name))


def share(value: float | None) -> str:
    """A share as a percentage; a dash when unknown."""
    return "–" if value is None else f"{100 * value:.0f} %"


@st.cache_data(max_entries=8, show_spinner=False)
def standings(store_name: str, head: str, _dashboard: Any) -> Leaderboard:
    """The leaderboard of all answers that count for learning; computed once per chain head."""
    store = _dashboard.store
    return leaderboard(store.rankings(purposes=("learn", "test")), store.sources())


def own_rankings(board: Dashboard, who: Identity) -> list[Ranking]:
    """All answers of this rater, corrected ones too."""
    return board.store.rankings(who.rater, include_superseded=True)


__all__ = [
    "DOWN",
    "GREY",
    "UP",
    "chart",
    "empty",
    "identity",
    "metrics",
    "own_rankings",
    "page",
    "share",
    "standings",
    "table",
    "thinned",
]
