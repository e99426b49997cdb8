"""Personal weights: the desk helps a newcomer, and does not talk a dissenter over."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.episodes import window_groups

from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback._traders import UTILITIES
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import RewardModel

# Plain aspects only: the tastes here are of that kind, and the fits many.
HEAD = AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
PLAIN = RewardConfig(learned=0.0, head=HEAD)
GROUPS, HELD = window_groups(45, length=32), window_groups(60, length=32, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}


def tempered(dislike):
    """Dislikes drawdown and shorts, more or less."""
    return lambda e: (
        e.net_return
        - dislike * e.drawdown.max(axis=-1)
        - 0.1 * dislike * np.maximum(-e.position, 0).mean(axis=-1)
    )


def answers(rater, taste, groups):
    judge = SyntheticTrader("profit")
    judge.function, judge.label = taste, rater
    found = [judge.rank(group, f"{rater}-{i}") for i, group in enumerate(groups)]
    return [dataclasses.replace(r, rater=rater, key=f"{rater}|{r.key}") for r in found]


def accuracy(model, taste):
    right = []
    for group in HELD:
        truth = np.array([taste(e) for e in group])
        scores = model.score(group).double().numpy()
        first, second = np.triu_indices(len(group), 1)
        right += list(
            np.sign(scores[first] - scores[second]) == np.sign(truth[first] - truth[second])
        )
    return float(np.mean(right))


@pytest.fixture(scope="module")
def desk():
    return [
        r
        for i, dislike in enumerate((1.2, 1.5, 1.8))
        for r in answers(f"desk-{i}", tempered(dislike), GROUPS[10 * i + 15 : 10 * i + 25])
    ]


def test_five_rankings_and_a_desk_beat_five_rankings_alone(desk):
    taste = tempered(1.4)
    own = answers("new", taste, GROUPS[:5])
    alone = RewardModel(PLAIN).fit(own, EVERYONE)
    together = RewardModel(PLAIN).fit(own + desk, EVERYONE).personal("new")
    missed = 1 - accuracy(together, taste)
    assert missed <= 0.05
    assert missed < 0.6 * (1 - accuracy(alone, taste))


def test_a_dissenter_is_learned_with_fifteen_rankings(desk):
    taste = UTILITIES["trend_rider"]
    own = answers("dissenter", taste, GROUPS[:15])
    pooled = RewardModel(PLAIN).fit(own + desk, EVERYONE)
    found = pooled.personal("dissenter")
    assert accuracy(found, taste) >= 0.95
    assert accuracy(found, taste) > accuracy(pooled, taste)
    rows = {row["name"]: row for row in found.explain()}
    assert rows["trend_riding"]["probability"] > 0.9


def test_without_own_answers_or_without_others_the_model_is_everybodys(desk):
    pooled = RewardModel(PLAIN).fit(desk, EVERYONE)
    assert pooled.personal("nobody") is pooled
    single = RewardModel(PLAIN).fit(answers("one", tempered(1.5), GROUPS[:4]), EVERYONE)
    assert single.personal("one") is single
