"""Synthetic traders and their teachers: each against a plain restatement or known answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.episodes import random_episode

from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import FeedbackError
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback._teachers import TEACHERS, SimulatedTeacher
from tradinghf.feedback._traders import UTILITIES
from tradinghf.learning.reward import growth

EPISODES = [random_episode(seed) for seed in range(40)]


@pytest.mark.parametrize("name", list(UTILITIES))
def test_utilities_agree_between_one_episode_and_a_batch(name):
    trader = SyntheticTrader(name)
    batch = trader.utilities(EpisodeBatch.stack(EPISODES))
    np.testing.assert_allclose(batch, trader.utilities(EPISODES), rtol=1e-12)
    assert np.ptp(batch) > 0


def one_at_a_time(e):
    assert e.equity.ndim == 1, "an episode"
    return float(e.equity[-1])


def whole_batch_at_once(e):
    return e.net_return - e.drawdown.max()  # of a batch: the deepest of all


def looks_back_twenty_bars(e):
    return e.equity[..., -1] - e.equity[..., -21]


def either(e):
    return e.net_return - e.drawdown.max(axis=-1)


@pytest.mark.parametrize("utility", [one_at_a_time, whole_batch_at_once, either])
def test_a_function_of_the_users_judges_a_batch_as_it_judges_its_episodes(utility):
    trader = SyntheticTrader("drawdown")
    trader.function, trader._batched = utility, False
    batch = EpisodeBatch.stack(EPISODES)
    for bars in (9, batch.position.shape[1], 9):
        cut = batch.first(bars)
        expected = [float(utility(episode)) for episode in cut.episodes()]
        np.testing.assert_allclose(trader.utilities(cut), expected, rtol=1e-12)


def test_a_function_that_takes_batches_is_called_once_for_all_of_them():
    calls = []
    trader = SyntheticTrader("drawdown")
    trader._batched = False
    trader.function = lambda e: (calls.append(e.equity.ndim), either(e))[1]
    batch = EpisodeBatch.stack(EPISODES)
    trader.utilities(batch)
    calls.clear()
    trader.utilities(batch)
    assert calls == [2]


def test_what_cannot_be_judged_yet_is_paid_when_it_can():
    """Growth of a utility that looks further back than an episode has gone."""
    trader = SyntheticTrader("drawdown")
    trader.function, trader._batched = looks_back_twenty_bars, False
    batch = EpisodeBatch.stack(EPISODES)
    paid = growth(trader.utilities, batch, 4)
    assert (paid[:, :19] == 0).all()
    np.testing.assert_allclose(paid[:, 19], batch.equity[:, 20] - batch.equity[:, 0])
    np.testing.assert_allclose(paid.sum(1), looks_back_twenty_bars(batch))
    with pytest.raises(FeedbackError, match="failed on an episode"):
        growth(trader.utilities, batch.first(12), 4)


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


def shown_alike():
    """Three equity curves that hardly part, and two far away."""
    base = EPISODES[0]
    bumps = (0.0, 1e-4, 2e-4, 0.3, 0.6)
    line = np.linspace(0, 1, base.bars + 1)
    return [dataclasses.replace(base, equity=1 + bump * line) for bump in bumps]


def test_the_confused_swap_what_looks_alike_only():
    shown = shown_alike()
    trader = SyntheticTrader("profit", SimulatedTeacher(confusion=1.0))
    answers = [trader.rank(shown, str(i)).ranks for i in range(30)]
    assert len({ranks[:3] for ranks in answers}) > 1
    assert np.mean([ranks[4] < ranks[3] for ranks in answers]) > 0.5  # mostly as it is
    far = [shown[0], shown[4]]
    doubtful = SyntheticTrader("profit", SimulatedTeacher(confusion=0.5))
    swapped = [doubtful.rank(far, str(i)).ranks == (1, 2) for i in range(200)]
    assert 0.05 < np.mean(swapped) < 0.35  # half of exp(-1)


def test_the_first_panel_gains_by_its_place():
    shown = shown_alike()[:3]
    same = [
        dataclasses.replace(e, equity=shown[0].equity, source=str(i)) for i, e in enumerate(shown)
    ]
    assert SyntheticTrader("profit", "in_order").rank(same, "q").ranks == (1, 2, 3)


def test_a_tiring_teacher_errs_more_and_more():
    shown = [EPISODES[i : i + 5] for i in range(35)] * 6
    trader = SyntheticTrader("profit", "tiring")
    truth = SyntheticTrader("profit")
    wrong = [trader.rank(s, str(i)).ranks != truth.rank(s, "q").ranks for i, s in enumerate(shown)]
    assert np.mean(wrong[:8]) < np.mean(wrong[60:])
    assert SimulatedTeacher(fatigue=40).swap(20) == pytest.approx(0.125)
    assert SimulatedTeacher(mistake=0.1, fatigue=40).swap(80) == pytest.approx(0.25)
    assert SimulatedTeacher(mistake=0.1).swap(80) == pytest.approx(0.1)


def test_the_anchored_follow_the_final_profit():
    shown = EPISODES[:5]
    anchored = SyntheticTrader("drawdown", SimulatedTeacher(anchor=1.0)).rank(shown, "q")
    assert anchored.ranks == SyntheticTrader("profit").rank(shown, "q").ranks


def test_the_impatient_see_the_beginning_only():
    shown = EPISODES[:5]
    seen = SyntheticTrader("profit", SimulatedTeacher(visible=0.5)).rank(shown, "q")
    halves = [e.equity[e.bars // 2] for e in shown]
    assert seen.ranks == tuple(int(sum(h >= own for h in halves)) for own in halves)
    shown[0].head(0.5).check()
    assert shown[0].head(0.5).bars == shown[0].bars // 2


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


def test_the_brief_name_the_best_and_the_worst_only():
    shown = EPISODES[:5]
    whole = SyntheticTrader("drawdown").rank(shown, "q").ranks
    brief = SyntheticTrader("drawdown", "brief").rank(shown, "q").ranks
    assert brief == tuple({1: 1, 5: 3}.get(rank, 2) for rank in whole)


def test_the_rating_call_good_what_is_better_than_staying_out():
    """For plain profit, what earned; for one who is paid for trades, every trader."""
    by_profit = sorted(EPISODES, key=lambda e: e.net_return)
    shown = [*by_profit[:2], *by_profit[-3:]]
    answer = SyntheticTrader("profit", "rating").rank(shown, "q")
    assert answer.ratings == tuple(5 if e.net_return > 0 else 1 for e in shown)
    assert len(set(answer.ratings)) == 2
    busy = SyntheticTrader("profit", "rating")
    busy.function, busy._batched = (lambda e: float(e.turnover.sum())), False
    assert busy.rank(shown, "q").ratings == (5,) * 5


def test_the_explaining_name_what_differs_most_in_their_eyes():
    trader = SyntheticTrader("drawdown", "explaining")
    said = {trader.rank(EPISODES[i : i + 4], "q").comment for i in range(30)}
    assert said == {"#drawdown", "#profit"}
    assert SyntheticTrader("profit", "explaining").rank(EPISODES[:4], "q").comment == ""
    assert SyntheticTrader("drawdown").rank(EPISODES[:4], "q").comment == ""
