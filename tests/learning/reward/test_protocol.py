"""Every learned reward does all that the loop asks of one, before and after it is fitted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from support.episodes import window_groups

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking, SyntheticTrader
from tradinghf.learning.config import AspectConfig, PPOConfig, RewardConfig, RLHFConfig
from tradinghf.learning.reward import (
    CalibratedReward,
    PlainReward,
    Reward,
    RewardModel,
    ScoreModel,
    TradePaths,
    cross_validate,
    predicted_pairs,
)
from tradinghf.learning.reward import _plain as plain
from tradinghf.learning.reward._protocol import NEVER_TIED, share_explained
from tradinghf.loop import RLHF
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

GROUPS = window_groups(12, size=4, length=24)
EVERYONE = {e.id: e for group in GROUPS for e in group}
SMALL = RewardConfig(
    learned=0.0, head=AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
)
TRADER = SyntheticTrader("drawdown")
ANSWERS = [TRADER.rank(group, f"q{i}") for i, group in enumerate(GROUPS)]


class Thrift(CalibratedReward):
    """A user's own: profit less a price of trading, which is the price that foresees most."""

    def blank(self):
        return Thrift()

    def fit(self, rankings, episodes):
        ranked = [r for r in rankings if r.outcome == "ranked"]
        best = [episodes[r.episodes[r.ranks.index(1)]] for r in ranked]
        others = [episodes[name] for r in ranked for name in r.episodes]
        gap = sum(e.turnover.sum() for e in others) / len(others)
        gap -= sum(e.turnover.sum() for e in best) / len(best)
        self.price, self.temperature, self.answers = 1e-3 * float(gap), 50.0, len(ranked)
        return self

    def rewards(self, paths):
        self._require_fit()
        return paths.pnl - self.price * paths.turnover


class FromScratch:
    """A user's own that takes nothing from us: profit is all."""

    def __init__(self):
        self.fitted, self.explained = False, 0.0

    def blank(self):
        return FromScratch()

    def fit(self, rankings, episodes):
        if not rankings:
            raise FeedbackError("There is nothing to learn from.")
        self.fitted = True
        return self

    def rewards(self, paths):
        if not self.fitted:
            raise FeedbackError("Call fit first.")
        return paths.pnl

    def member_scores(self, episodes):
        if not self.fitted:
            raise FeedbackError("Call fit first.")
        return torch.tensor([[100 * e.net_return for e in episodes]], dtype=torch.float64)

    def predict_pairs(self, first, second):
        wins = torch.sigmoid(first - second).mean(0)
        return torch.stack([wins, torch.zeros_like(wins), 1 - wins], -1)

    def explain(self):
        return []

    def to_dict(self):
        return {}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The network learns little here; what it can be asked is what matters."""
    monkeypatch.setattr(plain, "_STEPS", 20)


def calm(e):
    return e.net_return - 1.5 * e.drawdown.max(axis=-1)


MAKERS = {
    "aspects": lambda: RewardModel(SMALL),
    "score": lambda: ScoreModel(calm, stride=8),
    "network": lambda: PlainReward(SMALL),
    "own": Thrift,
    "from scratch": FromScratch,
}


@pytest.fixture(params=list(MAKERS))
def made(request) -> Reward:
    return MAKERS[request.param]()


def test_before_it_is_fitted_it_says_so(made):
    assert not made.fitted
    assert made.explained == 0.0
    with pytest.raises(FeedbackError, match=r"[Cc]all fit"):
        made.rewards(TradePaths.from_episodes(GROUPS[0]))
    with pytest.raises(FeedbackError, match=r"[Cc]all fit"):
        made.member_scores(GROUPS[0])
    if isinstance(made, CalibratedReward):
        with pytest.raises(FeedbackError, match=f"{type(made).__name__} has not been fitted"):
            made.score(GROUPS[0])


def test_fitted_it_pays_scores_predicts_and_tells(made):
    assert made.fit(ANSWERS, EVERYONE) is made
    assert made.fitted
    assert 0.0 <= made.explained <= 1.0
    paid = made.rewards(TradePaths.from_episodes(GROUPS[0]))
    assert paid.shape == (4, 24)
    assert bool(torch.isfinite(paid).all())
    scores = made.member_scores(GROUPS[0] + GROUPS[1])
    assert scores.shape[1] == 8
    pairs = made.predict_pairs(scores[:, :4], scores[:, 4:])
    assert pairs.shape == (4, 3)
    torch.testing.assert_close(pairs.sum(-1), torch.ones(4, dtype=pairs.dtype))
    order = made.predict_pairs(scores[:, [0]], scores[:, [0]])[0]
    assert float(order[0]) == pytest.approx(float(order[2])), "an episode equals itself"
    json.dumps({"told": made.to_dict(), "values": made.explain()})
    if isinstance(made, CalibratedReward):
        torch.testing.assert_close(made.score(GROUPS[0]), paid.sum(-1))


@pytest.mark.parametrize(
    ("log_tie", "expected"),
    [(NEVER_TIED, (0.96, 0.0, 0.04)), (0.0, (0.92 + 0.08 / 3, 0.08 / 3, 0.08 / 3))],
)
def test_slips_leave_no_pair_certain(log_tie, expected):
    made = ScoreModel(calm, stride=8)
    made.log_tie, made.slip = torch.tensor(log_tie, dtype=torch.float64), 0.08
    sure, none = torch.full((1, 1), 200.0, dtype=torch.float64), torch.zeros(1, 1).double()
    found = made.predict_pairs(sure, none)[0]
    wanted = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_the_slips_that_answers_show_are_foreseen():
    rankings = [
        replace(r, ranks=tuple(5 - rank for rank in r.ranks)) if i % 4 == 0 else r
        for i, r in enumerate(ANSWERS)
    ]
    steady, hasty = RewardModel().fit(ANSWERS, EVERYONE), RewardModel().fit(rankings, EVERYONE)
    assert steady.slip < hasty.slip
    assert hasty.posterior is not None
    assert hasty.slip == hasty.posterior.noise
    sure, none = torch.full((1, 1), 200.0, dtype=torch.float64), torch.zeros(1, 1).double()
    wins = hasty.predict_pairs(sure, none)[0, 0]
    assert float(wins) == pytest.approx(1 - hasty.slip / 2)


def test_a_blank_one_is_of_the_same_kind_and_knows_nothing(made):
    made.fit(ANSWERS, EVERYONE)
    assert type(made.blank()) is type(made)
    assert not made.blank().fitted
    assert made.fitted


def test_a_second_fit_replaces_the_first(made):
    once = MAKERS_OF[type(made)]().fit(ANSWERS[6:], EVERYONE).member_scores(GROUPS[0])
    twice = made.fit(ANSWERS[:6], EVERYONE).fit(ANSWERS[6:], EVERYONE).member_scores(GROUPS[0])
    torch.testing.assert_close(once, twice)


MAKERS_OF = {type(make()): make for make in MAKERS.values()}


def test_cross_validation_judges_its_kind_and_leaves_it_as_it_was(made):
    found = cross_validate(ANSWERS, EVERYONE, made, folds=2)
    assert found["held_out_rankings"] == len(ANSWERS)
    assert not made.fitted
    half = made.blank().fit(ANSWERS[6:], EVERYONE), made.blank().fit(ANSWERS[:6], EVERYONE)
    right = [
        (pairs := predicted_pairs(model, held, EVERYONE))[0].argmax(1) == pairs[1]
        for model, held in zip(half, (ANSWERS[:6], ANSWERS[6:]), strict=True)
    ]
    assert found["accuracy"] == pytest.approx(sum(r.mean() for r in right) / 2)


def test_the_loop_asks_learns_and_trains_with_it(made):
    config = RLHFConfig(
        rankings=6, rounds=2, steps=1_000, windows=6, ppo=PPOConfig(hidden=(8,), epochs=1)
    )
    env = MarketEnv(synthetic(0, 400, 2), num_envs=8)
    agent = RLHF(env, made, trader="drawdown", config=config).train()
    assert made.fitted
    assert agent.pnl_weight == pytest.approx(config.pnl_weight * (1 - made.explained) ** 4)
    assert 0.0 <= agent.evaluate(rankings=4, windows=16)["accuracy"] <= 1.0


def test_profit_fades_where_a_score_of_ones_own_explains_the_answers():
    right = ScoreModel(calm).fit(ANSWERS, EVERYONE)
    wrong = ScoreModel(lambda e: -calm(e)).fit(ANSWERS, EVERYONE)
    noise = ScoreModel(lambda e: (1e4 * e.net_return) % 1.0).fit(ANSWERS, EVERYONE)
    assert right.explained > 0.5
    assert wrong.explained == 0.0
    assert noise.explained < 0.1
    few = ScoreModel(calm).fit(ANSWERS[:1], EVERYONE)
    assert few.explained < right.explained, "one answer might be an accident"


def test_a_score_and_the_aspects_measure_what_they_explain_alike():
    by_aspects = RewardModel(SMALL).fit(ANSWERS, EVERYONE)
    by_score = ScoreModel(calm).fit(ANSWERS, EVERYONE)
    assert by_score.explained > by_aspects.explained - 0.05, "it need not find the weights first"
    assert share_explained(-5.0, -10.0) == 0.5
    assert share_explained(-20.0, -10.0) == 0.0
    assert share_explained(0.0, 0.0) == 0.0, "nothing was compared"


def test_cant_tell_with_ratings_is_no_tie_to_the_network():
    undecided = [
        Ranking(f"r{i}", tuple(e.id for e in group), (), ratings=(3, 3, 1, 5), outcome="cant_tell")
        for i, group in enumerate(GROUPS[:6])
    ]
    alone = PlainReward(SMALL).fit(ANSWERS[6:], EVERYONE)
    # The same episodes, so that the networks see the same inputs.
    rated = [
        Ranking("again", ANSWERS[6].episodes, (), ratings=(3, 3, 1, 5), outcome="cant_tell"),
        *ANSWERS[6:],
    ]
    both = PlainReward(SMALL).fit(rated, EVERYONE)
    torch.testing.assert_close(alone.member_scores(GROUPS[0]), both.member_scores(GROUPS[0]))
    only = PlainReward(SMALL).fit(undecided, EVERYONE)
    assert only.fitted
    assert bool(torch.isfinite(only.member_scores(GROUPS[0])).all())
