"""Episodes: what was recorded, one at a time in the open, only after the vote."""

import plotly.graph_objects as go
import streamlit as st

from tradinghf.serving import analysis, components, ui
from tradinghf.serving.runs import BARS, list_runs

board, who = ui.page(
    "Episodes", "Names and results show only once you have voted; leads see everything."
)


def visible_ids() -> list[str] | None:
    """Ids that this person may see; None for all."""
    if who.may("lead"):
        return None
    answered = board.store.rankings(who.rater, include_superseded=True)
    return sorted({episode for ranking in answered for episode in ranking.episodes})


def tear_sheet(episode_id: str) -> None:
    """One episode: figures, charts, and what the reward model pays for each bar."""
    episode = board.store.episode(episode_id)
    years = episode.bars / 252
    ui.metrics(
        {
            "Source": episode.source,
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
    components.episode_charts(board, episode)
    learned_reward(episode_id)


def learned_reward(episode_id: str) -> None:
    """Reward of each bar, cumulated, with two standard deviations, from the newest model."""
    for run in list_runs(board.settings.runs, BARS):
        if (rewards := run.bar_rewards(episode_id)) is not None:
            break
    else:
        st.caption("No learned reward yet: fit a reward model on the page Reward model.")
        return
    mean, spread = rewards
    bars = list(range(1, mean.size + 1))
    band = go.Scatter(
        x=bars + bars[::-1],
        y=[*(mean + 2 * spread), *(mean - 2 * spread)[::-1]],
        fill="toself",
        line={"width": 0},
        fillcolor="rgba(76,141,255,0.18)",
        name="± 2 standard deviations",
        hoverinfo="skip",
    )
    line = go.Scatter(x=bars, y=mean, line={"color": ui.UP, "width": 2}, name="learned reward")
    st.subheader(f"Learned reward so far (model {run.name})", anchor=False)
    ui.chart(go.Figure([band, line]))


ids = visible_ids()
infos = board.store.episode_infos(ids)
if not infos:
    ui.empty("There is nothing here yet: rank a query first.")
names = sorted({info.source for info in infos})
left, middle, right = st.columns([2, 1, 1])
sources = left.multiselect("Source", names, placeholder="all sources")
symbols = middle.multiselect("Symbol", sorted({info.symbol for info in infos}), placeholder="all")
order = right.selectbox("Order", ["newest", "best return", "smallest drawdown"])
kept = [
    info
    for info in reversed(infos)
    if (not sources or info.source in sources) and (not symbols or info.symbol in symbols)
]
if order == "best return":
    kept.sort(key=lambda info: -info.net_return)
elif order == "smallest drawdown":
    kept.sort(key=lambda info: info.max_drawdown)
if not kept:
    ui.empty("No episode matches these filters.")
frame = analysis.episodes_table(kept)
linked = st.query_params.get("episode", "")
chosen = ui.table(frame, key="episodes", select=True, hide=("id",), height=250)
known = {info.id for info in infos}
if chosen is not None:
    linked = frame["id"][chosen]
    st.query_params["episode"] = linked
if linked in known:
    tear_sheet(linked)
elif linked:
    st.warning("You cannot see that episode: it is unknown here, or you have not ranked it yet.")
else:
    st.caption("Select an episode; the address of the page then leads back to it.")
