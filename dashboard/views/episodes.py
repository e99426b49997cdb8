"""Episodes: what was recorded, one at a time in the open, only after the vote."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from tradinghf.episodes import Episode
from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import EpisodeInfo, Store
from tradinghf.serving import components, reward_runs, source_label, tables, ui

ROWS = 20
RESULTS = {
    "all": lambda info: True,
    "gained": lambda info: info.net_return > 0,
    "lost": lambda info: info.net_return < 0,
}
ORDERS = {
    "newest": None,
    "best return": lambda info: -info.net_return,
    "worst return": lambda info: info.net_return,
    "smallest drawdown": lambda info: info.max_drawdown,
    "deepest drawdown": lambda info: -info.max_drawdown,
}
board, who = ui.open_page(
    "Episodes", "What you have ranked, in the open. Names and results show only after the vote."
)


def visible_ids() -> list[str] | None:
    """Ids that this person sees; None for all: leads may ask for them, and rank no longer blind."""
    unblind = "Also what you have not ranked: shows who traded, and you no longer rank it blind"
    if who.may("lead") and st.toggle(unblind, key="unblind"):
        return None
    # Not those skipped: with a look at who traded, a skip could still be corrected into a vote.
    answered = ui.own_rankings(board, who, include_superseded=False)
    hidden = {e for ranking in answered if not ranking.ranks for e in ranking.episodes}
    return sorted({e for ranking in answered for e in ranking.episodes} - hidden)


def tear_sheet(episode_id: str) -> None:
    """One episode: figures, charts, and what the reward model pays for each bar."""
    episode = board.store.episode(episode_id)
    years = episode.bars / 252
    ui.show_metrics(
        {
            "Who": source_label(episode.source),
            "Return": f"{100 * episode.net_return:+.1f} %",
            "Max drawdown": f"{100 * episode.drawdown.max():.1f} %",
            "Turnover": f"{episode.turnover.sum():.1f} ×",
            "Costs": f"{100 * episode.costs.sum():.2f} %",
            "Mean position": f"{100 * episode.position.mean():+.0f} %",
        }
    )
    first, last = episode.timestamps[0], episode.timestamps[-1]
    st.caption(
        f"{episode.symbol}, {str(first)[:10]} to {str(last)[:10]}, {episode.bars} bars "
        f"({years:.1f} years of daily bars); episode {episode.id[:12]}"
    )
    components.mount_episode_charts(board, episode)
    learned_reward(episode)


def learned_reward(episode: Episode) -> None:
    """What the newest model of this store pays for each bar, and how sure it is of the sum."""
    for model in reward_runs(board.settings.runs, board.store)[0]:
        if (rewards := model.run.bar_rewards(episode.id)) is not None:
            break
    else:
        st.caption("No learned reward for this episode yet: fit a model on the page Reward model.")
        return
    so_far, spread = rewards
    unit = model.found.get("bar_unit", "points")
    st.subheader(f"Learned reward, in {unit}", anchor=False)
    st.caption(
        f"Model {model.run.name}: {so_far[-1]:+.2f} ± {2 * spread[-1]:.2f} for the whole episode. "
        "The band is two standard deviations of what the answers leave open."
    )
    ui.show_chart(reward_chart(episode, so_far, spread), height=380)


def reward_chart(episode: Episode, so_far: np.ndarray, spread: np.ndarray) -> go.Figure:
    """Reward up to each bar with its band, above the reward of each bar."""
    dates = episode.timestamps[1:]
    each = np.diff(so_far, prepend=0.0)
    band = go.Scatter(
        x=np.concatenate([dates, dates[::-1]]),
        y=np.concatenate([so_far + 2 * spread, (so_far - 2 * spread)[::-1]]),
        fill="toself",
        line={"width": 0},
        fillcolor="rgba(76,141,255,0.20)",
        name="± 2 standard deviations",
        hoverinfo="skip",
    )
    line = go.Scatter(x=dates, y=so_far, line={"color": ui.UP, "width": 2}, name="so far")
    colours = np.where(each >= 0, ui.UP, ui.DOWN)
    bars = go.Bar(x=dates, y=each, marker={"color": colours}, name="each bar", showlegend=False)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[2, 1], vertical_spacing=0.06)
    figure.add_traces([band, line], rows=[1, 1], cols=[1, 1])
    figure.add_trace(bars, 2, 1)
    figure.update_traces(hovertemplate="%{y:+.3f}", selector={"type": "bar"})
    figure.update_traces(hovertemplate="%{y:+.2f}", selector={"name": "so far"})
    figure.update_yaxes(title_text="so far", row=1, col=1)
    figure.update_yaxes(title_text="each bar", row=2, col=1)
    return figure


def filtered(infos: list[EpisodeInfo]) -> list[EpisodeInfo]:
    """Those that the fields above the table leave, in the order asked for."""
    left, middle, right, last = st.columns([3, 2, 2, 2])
    names = sorted({info.source for info in infos})
    sources = left.multiselect("Who", names, placeholder="all", format_func=source_label)
    every = sorted({info.symbol for info in infos})
    symbols = middle.multiselect("Symbol", every, placeholder="all")
    result = right.selectbox("Result", list(RESULTS))
    order = last.selectbox("Order", list(ORDERS))
    kept = [
        info
        for info in reversed(infos)
        if (not sources or info.source in sources)
        and (not symbols or info.symbol in symbols)
        and RESULTS[result](info)
    ]
    if (key := ORDERS[order]) is not None:
        kept.sort(key=key)
    return kept


def one_page(kept: list[EpisodeInfo], every: int) -> list[EpisodeInfo]:
    """Rows of one page of the table, and how many there are."""
    pages = max(1, -(-len(kept) // ROWS))
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    number = 1
    if pages > 1:
        number = int(right.number_input(f"Page, 1 to {pages}", 1, pages, 1))
    first = (number - 1) * ROWS
    shown = kept[first : first + ROWS]
    of_all = "" if len(kept) == every else f" of {every:,}"
    left.text(f"{len(kept):,}{of_all} episodes; {first + 1:,} to {first + len(shown):,} shown")
    return shown


@st.cache_data(max_entries=4096, show_spinner=False)
def days_of(episode_id: str, _store: Store) -> tuple[str, str]:
    """First and last day of an episode, which never change; dashes where its file is damaged."""
    try:
        stamps = _store.episode(episode_id).timestamps
    except TradingHFError:
        return "–", "–"
    return str(stamps[0])[:10], str(stamps[-1])[:10]


infos = board.store.episode_infos(visible_ids())
if not infos:
    ui.stop_empty(
        "What you have ranked appears here in the open: who traded, when, how well.", "rank"
    )
kept = filtered(infos)
if not kept:
    ui.stop_empty("No episode matches these filters.")
rows = one_page(kept, len(infos))
frame = tables.episodes_table(rows, {info.id: days_of(info.id, board.store) for info in rows})
linked = st.query_params.get("episode", "")
chosen = ui.show_table(frame, key="episodes", select=True, hide=("id",), height="content")
if chosen is not None:
    linked = frame["id"][chosen]
    st.query_params["episode"] = linked
if linked in {info.id for info in infos}:
    tear_sheet(linked)
elif linked:
    st.warning("You cannot see that episode: it is unknown here, or you have not ranked it yet.")
else:
    st.caption(
        "Tick a row on its left to look at that episode; the page's address then leads back to it."
    )
