"""Rankings across market windows: refused, or taken on request and weighed for what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.episodes import window_groups

from tradinghf import RewardModel
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward import ScoreModel

GROUPS = window_groups(40, size=4, length=24)
EPISODES = {e.id: e for group in GROUPS for e in group}
(A, B), C = GROUPS[0][:2], GROUPS[1][0]
ACROSS = Ranking("across", (A.id, C.id), (1, 2), rater="me")
WITHIN = Ranking("within", (A.id, B.id), (1, 2), rater="me")


def test_a_store_takes_them_on_request_only(tmp_path: Path) -> None:
    with Store(str(tmp_path / "store")) as store:
        store.add_episodes([A, B, C])
        with pytest.raises(FeedbackError, match=r"2 market windows \(24 bars of asset from bar"):
            store.submit(ACROSS)
        assert not store.rankings()
        assert store.submit(WITHIN)
        assert store.submit(ACROSS, across_windows=True)
        store.export(tmp_path / "x.jsonl")
        skipped = Ranking("skipped", (A.id, C.id), (), rater="me", outcome="skipped")
        assert store.submit(skipped), "it ranks nothing"
    with Store(str(tmp_path / "other")) as other:
        with pytest.raises(FeedbackError, match=r"x\.jsonl, line .*2 market windows"):
            other.import_from(tmp_path / "x.jsonl")
        assert not other.rankings(), "all of a file or nothing"
        assert other.import_from(tmp_path / "x.jsonl", across_windows=True) == 2


def test_no_reward_is_fitted_to_them_without_leave() -> None:
    models = (RewardModel(), ScoreModel(lambda e: e.net_return))
    for model in models:
        with pytest.raises(FeedbackError, match="'across' compares episodes of 2 market windows"):
            model.fit([WITHIN, ACROSS], EPISODES)
    allowed = ScoreModel(lambda e: e.net_return, across_windows=True).fit([ACROSS], EPISODES)
    assert allowed.blank().fit([ACROSS], EPISODES).fitted


def test_luck_between_windows_costs_such_answers_their_weight() -> None:
    """One rater: by drawdown within a window, by nothing in particular across windows."""
    rng = np.random.default_rng(0)
    rankings = []
    for number, group in enumerate(GROUPS):
        order = np.argsort([e.drawdown.max() for e in group]).argsort() + 1
        ids = tuple(e.id for e in group)
        rankings.append(Ranking(f"w{number}", ids, tuple(map(int, order)), rater="me"))
    for number in range(30):
        ids = tuple(GROUPS[i][0].id for i in rng.choice(len(GROUPS), 4, replace=False))
        ranks = tuple(map(int, rng.permutation(4) + 1))
        rankings.append(Ranking(f"x{number}", ids, ranks, rater="me"))
    model = RewardModel(RewardConfig(across_windows=True, learned=0.0))
    model.fit(rankings, EPISODES)
    assert model.trust["me across windows"] < 0.5 * model.trust["me"]
    within = RewardModel(RewardConfig(learned=0.0)).fit(rankings[:40], EPISODES)
    assert model.explain()[0]["name"] == within.explain()[0]["name"]
