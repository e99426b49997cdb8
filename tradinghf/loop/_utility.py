"""Whose utility a gate looks at: a hidden taste, or what a run learned from its rankings."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from tradinghf.errors import FeedbackError
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback.store import Store, locate
from tradinghf.learning.reward import Reward, RewardModel, learned_score
from tradinghf.learning.runs import recall
from tradinghf.loop._collect import EpisodeScore


def trader_utility(trader: str, answers: Sequence[str] = ()) -> tuple[EpisodeScore, list[str]]:
    """[B] utilities of B episodes, and the keys of the answers that they were learned from.

    Args:
        trader: a built-in taste, FILE.py:function, or a run directory, whose reward is learned
            again from its rankings.
        answers: of a run: the keys of those to learn from; none: all that are there now.

    Raises:
        FeedbackError: an unknown taste, or a run without rankings.

    """
    if not Path(trader).is_dir():
        return SyntheticTrader(trader).utilities, []
    model, keys = fitted_reward_of(Path(trader), answers)
    return learned_score(model), keys


def fitted_reward_of(run: Path, answers: Sequence[str] = ()) -> tuple[Reward, list[str]]:
    """What a run's rankings value; see `trader_utility`."""
    name = _store_of(run)
    found = locate(name)
    if found.sqlite and not found.database.is_file():
        raise FeedbackError(
            f"{run} has no store of rankings ({name}), so the trader's utility is not known. Name "
            "a taste with --trader; --trader profit looks at profit alone."
        )
    with Store(name) as store:
        rankings = (
            recall(store, answers) if answers else store.rankings(purposes=["learn", "repeat"])
        )
        names = sorted({episode for ranking in rankings for episode in ranking.episodes})
        episodes = dict(zip(names, store.episodes(names), strict=True))
    return RewardModel().fit(rankings, episodes), [ranking.key for ranking in rankings]


def _store_of(run: Path) -> str:
    """Where the rankings are that a run learned from: its own store, or the one it was given."""
    trader, fitted = "", ""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        trader = str(json.loads((run / "config.json").read_text())["experiment"]["trader"])
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        fitted = str(json.loads((run / "reward.json").read_text())["answers"]["store"])
    return trader.removeprefix("store:") if "store:" in trader[:6] else fitted or str(run / "store")
