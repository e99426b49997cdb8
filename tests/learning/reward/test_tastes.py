"""Learned features: causal, additive, weighed by what they foresee, and told as one thing."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from support.episodes import window_groups

from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import RewardModel, TradePaths
from tradinghf.learning.reward._facts import bar_facts
from tradinghf.learning.reward._stacking import HARDLY, Foresight
from tradinghf.learning.reward._tastes import (
    WEIGHTS,
    facts_tensor,
    taste_count,
    taste_rewards,
    taste_totals,
    taste_weights,
)

GROUPS, HELD = window_groups(24), window_groups(20, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}
PATHS = TradePaths.from_episodes([e for group in window_groups(3, length=32) for e in group])
FEW = AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
DOUBLE = torch.float64


def trader(function):
    judge = SyntheticTrader("profit")
    judge.function, judge.label, judge._batched = function, function.__name__, False
    return judge


def answers(judge, groups=GROUPS):
    return [judge.rank(group, f"q{i}") for i, group in enumerate(groups)]


def losses_in_a_row(e):
    """No plain aspect describes it: each losing bar after another costs."""
    losing = np.diff(e.equity, axis=-1) < -1e-9
    return e.net_return - 0.01 * (losing[..., 1:] & losing[..., :-1]).sum(-1)


def test_the_shipped_weights_are_small_and_fit_the_facts():
    assert WEIGHTS.stat().st_size < 5_000_000
    facts = facts_tensor(PATHS, 0.01)
    assert taste_weights()["flow.0.weight"].shape[1] == facts.shape[-1] == len(bar_facts(PATHS, 1))
    assert taste_totals(facts, taste_weights()).shape == (15, taste_count())
    assert float(facts.abs().max()) <= 4


def test_what_the_bars_are_paid_adds_up():
    paid = taste_rewards(PATHS, 0.01)
    whole = taste_totals(facts_tensor(PATHS, 0.01), taste_weights())
    torch.testing.assert_close(paid.sum(-2), whole, atol=1e-4, rtol=1e-4)


def test_no_bar_knows_what_comes_later():
    before = taste_rewards(PATHS, 0.01)
    generator = torch.Generator().manual_seed(1)
    for t in (1, 9, 20, 31):
        bumped = {}
        for name in ("close", "position", "equity", "turnover", "costs"):
            array = getattr(PATHS, name).clone()
            after = array[:, t + 1 :] if array.shape[1] == 33 else array[:, t:]
            after.mul_(1 + 0.1 * torch.rand(after.shape, generator=generator))
            bumped[name] = array
        changed = taste_rewards(TradePaths(**bumped), 0.01)
        torch.testing.assert_close(changed[:, :t], before[:, :t], atol=1e-5, rtol=1e-4)


def test_the_weight_follows_what_is_foreseen():
    even, far = torch.full((20,), -4.0, dtype=DOUBLE), torch.full((20,), -6.0, dtype=DOUBLE)
    assert Foresight(even, far, 20).best_share(0.5) < 0.1
    assert Foresight(far, even, 20).best_share(0.5) > 0.9
    assert Foresight(even, even, 20).best_share(0.5) == pytest.approx(0.5)
    assert Foresight(even, even, 60).log_likelihood(0.3) == pytest.approx(-240)
    mixed = Foresight(even, far, 20).log_likelihood(0.5)
    assert mixed == pytest.approx(20 * math.log(0.5 * (math.exp(-4) + math.exp(-6))))


def test_a_taste_beyond_the_terms_is_learned_and_told():
    judge = trader(losses_in_a_row)
    config = RewardConfig(head=FEW)
    alone = RewardModel(dataclasses.replace(config, learned=0.0)).fit(answers(judge), EVERYONE)
    beside = RewardModel(config).fit(answers(judge), EVERYONE)
    assert alone.beyond == 0.0
    assert beside.beyond > 0.5
    truth = np.stack([judge.utilities(group) for group in HELD])
    right = []
    for model in (alone, beside):
        scores = np.stack([model.score(group).double().numpy() for group in HELD])
        first, second = np.triu_indices(5, 1)
        same = np.sign(scores[:, first] - scores[:, second]) == np.sign(
            truth[:, first] - truth[:, second]
        )
        right.append(same.mean())
    assert right[1] > right[0] + 0.04
    (row,) = [row for row in beside.explain() if row["name"] == "something else"]
    assert row["probability"] == beside.beyond
    assert row["share"] > 0.1
    assert any("no aspect describes" in text for text in beside.warnings)
    # Where no term is right, an interval around one would be surely wrong: there is none.
    assert all(row["low"] is None and row["high"] is None for row in beside.explain())
    assert all(row["low"] is not None for row in alone.explain())
    assert beside.foreseen is not None
    assert 0 < beside.explained < 1


def test_a_taste_of_the_terms_stays_with_them():
    judge = SyntheticTrader("drawdown")
    model = RewardModel(RewardConfig(head=FEW)).fit(answers(judge), EVERYONE)
    assert model.beyond < HARDLY
    assert not model.warnings
    assert not any(model.terms[i].learned for i in model.active.tolist())
    assert all(row["name"] != "something else" for row in model.explain())


def test_few_answers_are_weighed_by_evidence():
    judge = SyntheticTrader("drawdown")
    model = RewardModel(RewardConfig(head=FEW)).fit(answers(judge)[:4], EVERYONE)
    assert model.foreseen is None
    assert 0 < model.beyond < 1


def test_the_learned_features_never_pay_more_together_than_they_paid_a_ranked_episode():
    model = RewardModel(RewardConfig(head=FEW)).fit(answers(trader(losses_in_a_row)), EVERYONE)
    column = sum(not model.terms[i].learned for i in model.active.tolist())
    paid = torch.full((1, 64, len(model.active)), 10.0)
    capped = model._capped(paid)
    assert capped.shape[-1] == column + 1
    assert float(capped[..., column].sum()) <= float(model.limit[column]) + 1e-4
