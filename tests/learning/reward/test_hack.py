"""A reward hack, provoked: what search does to an unguarded network, and what stops it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.episodes import random_episode, window_groups
from torch import nn

from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import PlainReward, RewardModel, TradePaths
from tradinghf.loop._gaming import Foreseen, check_gaming, contradicted

HEAD = AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
TRADER = SyntheticTrader("drawdown")
WINDOWS, TRIES, COST = 24, 100, 4e-3
BLIND = [1, 2, 3, 4, 5]  # what the network is not shown: drawdown, open profit, returns, trend


def lucky(group):
    """How far those who trade more happened to do better."""
    return np.corrcoef([e.turnover.sum() for e in group], TRADER.utilities(group))[0, 1]


# By accident, whoever traded more in these eight windows was ranked higher.
GROUPS = sorted(window_groups(60, length=32), key=lucky)[-8:]
SHOWN = {e.id: e for group in GROUPS for e in group}
ANSWERS = [TRADER.rank(group, f"q{i}") for i, group in enumerate(GROUPS)]


def wild(window, number):
    """Changes its mind in any share of the bars; nothing like the busiest was ranked."""
    calm = random_episode(number, 32, window=window)
    rng = np.random.default_rng((3, window, number))
    position = np.where(rng.random(32) < rng.random(), rng.choice([-1.0, 0.0, 1.0], 32), 0.0)
    turnover = np.abs(np.diff(np.r_[0, position]))
    move = np.diff(calm.close) / calm.close[:-1]
    equity = np.cumprod(np.r_[1, 1 + position * move - COST * turnover])
    return dataclasses.replace(
        calm, position=position, turnover=turnover, costs=COST * turnover, equity=equity
    )


SEARCHED = [[wild(90_000 + w, 1000 * w + i) for i in range(TRIES)] for w in range(WINDOWS)]


class Blind(nn.Module):
    """A network that does not see what hurts."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, facts):
        seen = facts.clone()
        seen[..., BLIND] = 0.0
        return self.layers(seen)


@pytest.fixture(scope="module")
def guarded():
    return RewardModel(RewardConfig(head=HEAD)).fit(ANSWERS, SHOWN)


@pytest.fixture(scope="module")
def hacked():
    return PlainReward(network=Blind()).fit(ANSWERS, SHOWN)


def chosen(model, tries):
    """Of the first episodes of every window, the one that the model likes best."""
    found = []
    for row in SEARCHED:
        paid = model.rewards(TradePaths.from_episodes(row[:tries])).sum(-1)
        found.append(row[int(paid.argmax())])
    return found


def learned(model, episodes):
    return float(model.rewards(TradePaths.from_episodes(episodes)).sum(-1).mean())


def utility(episodes):
    return float(TRADER.utilities(episodes).mean())


def test_search_exploits_an_unguarded_network(hacked):
    few, many = chosen(hacked, 3), chosen(hacked, TRIES)
    assert learned(hacked, many) > learned(hacked, few)
    assert utility(many) < utility(few)


def test_the_guards_turn_the_same_search_to_good(guarded, hacked):
    few, many = chosen(guarded, 3), chosen(guarded, TRIES)
    assert learned(guarded, many) > learned(guarded, few)
    assert utility(many) > utility(few)
    assert utility(many) > utility(chosen(hacked, TRIES))


GOOD, BAD = Foreseen(0.9, 60), Foreseen(0.5, 60)


def test_the_check_tells_the_two_apart(guarded, hacked):
    plain = [row[0] for row in SEARCHED]
    found = check_gaming(hacked, plain, chosen(hacked, TRIES), foreseen=[GOOD, BAD])
    assert found.suspected
    assert found.stop
    assert found.learned > 0 > found.profit
    assert "gaming the learned reward" in found.text
    assert "50% of 60 fresh comparisons" in found.text
    assert not check_gaming(guarded, plain, chosen(guarded, TRIES), foreseen=[GOOD, BAD]).suspected


def test_a_taste_that_costs_profit_and_is_foreseen_is_not_suspected(hacked):
    plain = [row[0] for row in SEARCHED]
    gamed = chosen(hacked, TRIES)
    assert not check_gaming(hacked, plain, gamed, foreseen=[BAD, GOOD]).suspected
    assert not check_gaming(hacked, plain, plain, foreseen=[BAD]).suspected
    unknown = check_gaming(hacked, plain, gamed)
    assert unknown.suspected, "nobody was asked: nothing vouches for it"
    assert not unknown.stop, "and nothing contradicts it"


@pytest.mark.parametrize(
    ("foreseen", "against"),
    [
        ([Foreseen(0.9, 20), Foreseen(0.8, 20)], False),  # within the noise of twenty pairs
        ([Foreseen(0.9, 400), Foreseen(0.8, 400)], True),
        ([Foreseen(0.8, 400), Foreseen(0.9, 400)], False),
        ([Foreseen(0.59, 10)], True),
    ],
)
def test_fresh_answers_contradict_beyond_chance_only(foreseen, against):
    assert contradicted(foreseen) is against
