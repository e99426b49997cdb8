"""Labels and demonstrations are learned from, and survive the store."""

from __future__ import annotations

import numpy as np
import pytest
from support.episodes import random_episode, window_groups

from tradinghf.errors import FeedbackError
from tradinghf.feedback.judgements import demonstrated, labelled
from tradinghf.feedback.store import Store
from tradinghf.feedback.traders import SyntheticTrader
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward.model import RewardModel

HEAD = AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0)
PLAIN = RewardConfig(residual=None, head=HEAD)
GROUPS, HELD = window_groups(20, length=32), window_groups(40, length=32, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}
TRADER = SyntheticTrader("time_in_market")


def accuracy(model):
    right = []
    for group in HELD:
        truth, scores = TRADER.utilities(group), model.score(group).double().numpy()
        i, j = np.triu_indices(len(group), 1)
        right += list(np.sign(scores[i] - scores[j]) == np.sign(truth[i] - truth[j]))
    return np.mean(right)


def by_profit():
    right = []
    for group in HELD:
        truth, profit = TRADER.utilities(group), np.array([e.net_return for e in group])
        i, j = np.triu_indices(len(group), 1)
        right += list(np.sign(profit[i] - profit[j]) == np.sign(truth[i] - truth[j]))
    return np.mean(right)


def test_labels_alone_teach():
    typical = np.median([u for g in GROUPS for u in TRADER.utilities(g)])
    answers = [
        labelled(
            {e.id: bool(u > typical) for e, u in zip(g, TRADER.utilities(g), strict=True)},
            session=f"s{i}",
        )
        for i, g in enumerate(GROUPS)
    ]
    model = RewardModel(PLAIN).fit(answers, EVERYONE)
    assert accuracy(model) >= 0.9
    assert accuracy(model) > by_profit() + 0.02
    assert not model.ties  # two good ones are not told to be equal
    assert not model.warnings


def test_demonstrations_teach():
    answers = []
    for group in GROUPS:
        own = group[int(np.argmax(TRADER.utilities(group)))]
        answers += demonstrated(own, group, rater="ann")
    assert len(answers) == 4 * len(GROUPS)
    model = RewardModel(PLAIN).fit(answers, EVERYONE)
    assert accuracy(model) >= 0.9


def test_what_cannot_be_compared_is_refused():
    first, other = GROUPS[0][0], GROUPS[1][0]
    with pytest.raises(FeedbackError, match="episodes of its own window"):
        demonstrated(first, [other])
    with pytest.raises(FeedbackError, match="no other episode"):
        demonstrated(first, [first])
    with pytest.raises(FeedbackError, match="expected 2 to"):
        labelled({first.id: True})


def test_the_store_keeps_labels_and_the_same_label_twice_is_one_answer(tmp_path):
    group = [random_episode(i, window=1) for i in range(3)]
    said = labelled({e.id: i == 0 for i, e in enumerate(group)}, rater="ann")
    with Store(tmp_path / "store") as store:
        store.add_episodes(group)
        store.submit(said)
        store.submit(labelled({e.id: i == 0 for i, e in enumerate(group)}, rater="ann"))
        kept = store.rankings()
    assert [r.ratings for r in kept] == [(5, 1, 1)]
    assert kept[0].key == said.key
