"""A reward model of one's own: calibrated, paid in full, and accepted by the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.episodes import window_groups

from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import ConfigError, FeedbackError
from tradinghf.feedback import Ranking, SyntheticTrader
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.reward import (
    ScoreModel,
    TradePaths,
    cross_validate,
    growth,
    predicted_pairs,
)
from tradinghf.learning.reward._held_out import pair_metrics
from tradinghf.loop import RLHF
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

GROUPS = window_groups(60, size=4)
HELD = window_groups(40, size=4, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}


def calm(e):
    return e.net_return - 1.5 * e.drawdown.max(axis=-1)


def answers(groups, teacher):
    trader = SyntheticTrader("drawdown", teacher)
    return [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]


def test_the_right_score_predicts_as_well_as_the_noise_allows_and_is_calibrated():
    exact = ScoreModel(calm).fit(answers(GROUPS, "oracle"), EVERYONE)
    found = pair_metrics(*predicted_pairs(exact, answers(HELD, "oracle"), EVERYONE)[:2])
    assert found["accuracy"] == 1.0
    noisy = ScoreModel(calm).fit(answers(GROUPS, "stochastic"), EVERYONE)
    assert noisy.temperature < exact.temperature / 3, "noise must lower the confidence"
    found = pair_metrics(*predicted_pairs(noisy, answers(HELD, "stochastic"), EVERYONE)[:2])
    assert found["ece"] < 0.08


def test_temperature_is_that_of_the_rater():
    """Plackett-Luce choices at a known rate: adding Gumbel noise and sorting draws from it."""
    rate, rng = 60.0, np.random.default_rng(0)
    groups = window_groups(250, size=4, length=24, seed=5)
    rankings = []
    for i, group in enumerate(groups):
        noisy = [rate * e.net_return + rng.gumbel() for e in group]
        ranks = tuple(1 + sum(other > own for other in noisy) for own in noisy)
        rankings.append(Ranking(f"k{i}", tuple(e.id for e in group), ranks))
    model = ScoreModel(lambda e: e.net_return)
    model.fit(rankings, {e.id: e for group in groups for e in group})
    assert model.temperature / model.spread == pytest.approx(rate, rel=0.12)


@pytest.mark.parametrize("stride", [1, 7, 64, 1000])
def test_payments_add_up_to_the_score(stride):
    batch = EpisodeBatch.stack(GROUPS[0])
    paid = growth(calm, batch, stride)
    np.testing.assert_allclose(paid.sum(1), calm(batch))
    model = ScoreModel(calm, stride=stride).fit(answers(GROUPS[:10], "oracle"), EVERYONE)
    rewards = model.rewards(TradePaths.from_episodes(GROUPS[0]))
    assert rewards.shape == (4, 64)
    torch.testing.assert_close(
        rewards.double().sum(1) * model.temperature,
        model.member_scores(GROUPS[0])[0],
        rtol=1e-4,
        atol=1e-4,
    )


def test_ties_are_foreseen_where_raters_tie():
    tied = ScoreModel(calm).fit(answers(GROUPS, "ties"), EVERYONE)
    strict = ScoreModel(calm).fit(answers(GROUPS, "oracle"), EVERYONE)
    near = torch.zeros(1, 1)
    assert float(tied.predict_pairs(near, near)[0, 1]) > float(
        strict.predict_pairs(near, near)[0, 1]
    )


def test_what_cannot_be_a_score_is_refused():
    rankings = answers(GROUPS[:3], "oracle")
    with pytest.raises(FeedbackError, match="same for all episodes"):
        ScoreModel(lambda e: np.zeros(len(e))).fit(rankings, EVERYONE)
    with pytest.raises(FeedbackError, match="axis=-1"):
        ScoreModel(lambda e: e.drawdown.max()).fit(rankings, EVERYONE)
    with pytest.raises(FeedbackError, match="finite"):
        ScoreModel(lambda e: np.full(len(e), np.nan)).fit(rankings, EVERYONE)
    with pytest.raises(FeedbackError, match="has not been fitted"):
        ScoreModel(calm).rewards(TradePaths.from_episodes(GROUPS[0]))
    with pytest.raises(ConfigError, match="stride"):
        ScoreModel(calm, stride=0)


def test_the_loop_learns_and_trains_with_it(tmp_path):
    taught = []
    model = ScoreModel(calm, learn=lambda rankings, episodes: taught.append(len(rankings)))
    config = RLHFConfig(
        rankings=8, rounds=2, steps=2_000, windows=8, ppo=PPOConfig(hidden=(8,), epochs=1)
    )
    env = MarketEnv(synthetic(0, 400, 2), num_envs=16)
    agent = RLHF(env, model, trader="drawdown", config=config, out=tmp_path / "run")
    agent.train()
    assert taught == [4, 8]
    assert agent.evaluate(rankings=10, windows=32)["accuracy"] > 0.9
    assert (tmp_path / "run" / "reward.json").is_file()


def test_cross_validation_judges_the_score_and_not_the_usual_model():
    """The score ranks as the trader does; its opposite must be wrong on most pairs."""
    rankings = answers(GROUPS[:12], "oracle")
    good = cross_validate(rankings, EVERYONE, ScoreModel(calm))
    learned: list[int] = []
    wrong = ScoreModel(
        lambda e: np.sin(1e4 * e.net_return), learn=lambda r, _: learned.append(len(r))
    )
    poor = cross_validate(rankings, EVERYONE, wrong, folds=3)
    assert good["accuracy"] > 0.95
    assert poor["accuracy"] < 0.75
    assert learned == [8, 8, 8]
    assert not wrong.fitted
