"""Aspects, teachers, query selection: each against a plain restatement or known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.episodes import random_episode

from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import FeedbackError
from tradinghf.feedback.queries import choose_groups, information_gain
from tradinghf.feedback.traders import (
    TEACHERS,
    UTILITIES,
    SimulatedTeacher,
    SyntheticTrader,
    open_profit,
)
from tradinghf.learning.reward.aspects import ASPECTS, TradePaths, aspect_totals, aspect_values

LENGTH = 24


EPISODES = [random_episode(seed) for seed in range(40)]


def test_open_profit_of_tensors_equals_the_loop():
    batch = EpisodeBatch.stack(EPISODES)
    profit, best = open_profit(batch)
    got_profit, got_best = TradePaths.from_episodes(EPISODES).open_profit()
    np.testing.assert_allclose(got_profit.numpy(), profit, atol=1e-5)
    np.testing.assert_allclose(got_best.numpy(), best, atol=1e-4)


def test_aspect_totals_are_what_their_names_say():
    batch = EpisodeBatch.stack(EPISODES)
    profit, best = open_profit(batch)
    trend = [
        np.mean(
            [e.position[t] * np.sign(e.close[t] - e.close[max(t - 10, 0)]) for t in range(LENGTH)]
        )
        for e in EPISODES
    ]
    expected = {
        "profit": batch.net_return,
        "max_drawdown": batch.drawdown.max(-1),
        "average_drawdown": batch.drawdown[:, 1:].mean(-1),
        "turnover": batch.turnover.sum(-1),
        "trades": (batch.turnover > 1e-3).sum(-1),
        "time_in_market": np.abs(batch.position).mean(-1),
        "short_exposure": np.maximum(-batch.position, 0).mean(-1),
        "variance": np.square(batch.returns).sum(-1),
        "downside_variance": np.square(np.minimum(batch.returns, 0)).sum(-1),
        "worst_bar": np.maximum(-batch.returns, 0).max(-1),
        "holding_losers": np.maximum(-profit, 0).mean(-1),
        "giving_back": np.where(best > 0, best - profit, 0).mean(-1),
        "trend_riding": trend,
    }
    assert set(expected) == set(ASPECTS)
    totals = aspect_totals(TradePaths.from_episodes(EPISODES), list(expected))
    for column, (name, value) in enumerate(expected.items()):
        np.testing.assert_allclose(totals[:, column], value, atol=3e-5, err_msg=name)


def test_aspects_never_look_ahead():
    """What happens after bar t changes no value up to t, bit for bit."""
    names = list(ASPECTS)
    whole = TradePaths.from_episodes(EPISODES)
    values = aspect_values(whole, names)
    generator = torch.Generator().manual_seed(1)
    for t in range(1, LENGTH):
        bumped = {}
        for name in ("close", "position", "equity", "turnover", "costs"):
            array = getattr(whole, name).clone()
            after = array[:, t + 1 :] if array.shape[1] == LENGTH + 1 else array[:, t:]
            after.mul_(1 + 0.1 * torch.rand(after.shape, generator=generator))
            bumped[name] = array
        changed = aspect_values(TradePaths(**bumped), names)
        assert torch.equal(changed[:, :t], values[:, :t])


@pytest.mark.parametrize("name", list(UTILITIES))
def test_utilities_agree_between_one_episode_and_a_batch(name):
    trader = SyntheticTrader(name)
    batch = trader.utilities(EpisodeBatch.stack(EPISODES))
    np.testing.assert_allclose(batch, trader.utilities(EPISODES), rtol=1e-12)
    assert np.ptp(batch) > 0


def test_an_oracle_ranks_by_utility_and_is_repeatable():
    shown = EPISODES[:5]
    trader = SyntheticTrader("drawdown")
    answer = trader.rank(shown, "q")
    by_utility = sorted(zip(trader.utilities(shown), answer.ranks, strict=True), reverse=True)
    assert [rank for _, rank in by_utility] == [1, 2, 3, 4, 5]
    assert trader.rank(shown, "q").ranks == answer.ranks


def test_teachers_err_in_their_own_way():
    shown = [EPISODES[i : i + 5] for i in range(0, 35, 1)]
    truth = [SyntheticTrader("profit").rank(s, str(i)).ranks for i, s in enumerate(shown)]
    for name in ("stochastic", "mistakes", "adversarial", "myopic"):
        trader = SyntheticTrader("profit", name)
        answers = [trader.rank(s, str(i)).ranks for i, s in enumerate(shown)]
        assert answers != truth, name
    skipping = [SyntheticTrader("profit", "skips").rank(s, str(i)) for i, s in enumerate(shown)]
    skipped = sum(a.outcome == "skipped" for a in skipping)
    assert 0 < skipped < len(shown)
    tying = [SyntheticTrader("profit", "ties").rank(s, str(i)).ranks for i, s in enumerate(shown)]
    assert any(len(set(r)) < 5 for r in tying)
    assert set(TEACHERS) >= {"oracle", "drifting"}


def test_a_contrarian_reverses_the_truth():
    trader = SyntheticTrader("profit", SimulatedTeacher(adversary=1.0))
    right = SyntheticTrader("profit").rank(EPISODES[:4], "q").ranks
    assert tuple(5 - r for r in trader.rank(EPISODES[:4], "q").ranks) == right


def test_a_utility_may_come_from_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def calm(e):\n    return -float(e.turnover.sum())\n\ndef bad(e):\n    return 'x'\n"
    )
    label, function = UTILITIES.find(f"{file}:calm")
    assert label == "mine:calm"
    assert function(EPISODES[0]) == pytest.approx(-EPISODES[0].turnover.sum())
    with pytest.raises(FeedbackError, match="no function 'clam'"):
        UTILITIES.find(f"{file}:clam")
    with pytest.raises(FeedbackError, match="failed on an episode"):
        SyntheticTrader(f"{file}:bad").rank(EPISODES[:3], "q")
    with pytest.raises(FeedbackError, match="does not exist"):
        UTILITIES.find(f"{tmp_path}/none.py:calm")
    with pytest.raises(FeedbackError, match="Did you mean 'drawdown'"):
        UTILITIES.find("drawdwon")


def test_information_gain_is_zero_for_agreement_and_one_bit_for_two_camps():
    agree = torch.zeros(4, 1, 3).double()
    assert float(information_gain(agree)) == pytest.approx(0.0, abs=1e-12)
    camps = torch.tensor([[[50.0, 0.0]], [[0.0, 50.0]]]).double()
    assert float(information_gain(camps)) == pytest.approx(math.log(2), abs=1e-9)


def test_questions_are_chosen_where_members_disagree():
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(1, 12, 8, generator=generator).repeat(16, 1, 1).double()
    scores[:, 7] += 4 * torch.randn(16, 8, generator=generator)
    rng = np.random.default_rng(0)
    groups = choose_groups(scores, [range(8)] * 12, 1, size=4, uniform=0.0, rng=rng)
    assert [g.window for g in groups] == [7]
    groups = choose_groups(scores, [range(8)] * 12, 10, size=4, uniform=0.2, rng=rng, keep=[3])
    assert sum(g.uniform for g in groups) == 2
    assert len({g.window for g in groups}) == 10
    assert all(3 in g.members for g in groups if not g.uniform)
    assert all(len(set(g.members)) == 4 for g in groups)


def test_windows_with_too_few_different_episodes_are_left_out():
    rng = np.random.default_rng(0)
    groups = choose_groups(None, [[0, 1], [0, 1, 2], [1]], 5, size=3, uniform=0.5, rng=rng)
    assert [g.window for g in groups] == [1]
