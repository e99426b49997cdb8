"""The reward model: what it recovers, what it refuses, and that it cannot be fooled cheaply."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from support.episodes import window_groups

from tradinghf.errors import FeedbackError
from tradinghf.feedback import MAX_PANELS, Query, Ranking, SyntheticTrader
from tradinghf.feedback._traders import UTILITIES
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import (
    Choices,
    RewardModel,
    TradePaths,
    cross_validate,
    predicted_pairs,
    summarise,
)
from tradinghf.learning.reward._held_out import pair_metrics
from tradinghf.learning.reward._protocol import NEVER_TIED

PLAIN = RewardConfig(learned=0.0)
PLAIN_ASPECTS = RewardConfig(
    learned=0.0, head=AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
)
GROUPS = window_groups(40)
HELD = window_groups(30, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}


def answers(name, groups, teacher="oracle"):
    trader = SyntheticTrader(name, teacher)
    return [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]


def accuracy(model, rankings):
    return pair_metrics(*predicted_pairs(model, rankings, EVERYONE)[:2])["accuracy"]


@pytest.mark.parametrize("name", list(UTILITIES))
def test_fifteen_rankings_recover_every_built_in_utility(name):
    model = RewardModel(PLAIN).fit(answers(name, GROUPS[:15]), EVERYONE)
    assert accuracy(model, answers(name, HELD)) >= 0.95


def test_the_weights_are_those_of_the_hidden_utility():
    model = RewardModel(PLAIN).fit(answers("drawdown", GROUPS), EVERYONE)
    rows = {row["name"]: row for row in model.explain()}
    assert rows["max_drawdown"]["probability"] > 0.95
    assert rows["max_drawdown"]["weight"] == pytest.approx(-1.5, abs=0.25)
    assert rows["max_drawdown"]["low"] <= -1.5 <= rows["max_drawdown"]["high"]
    assert all(row["probability"] < 0.2 for name, row in rows.items() if name not in KEPT)
    assert "costs you as much as 1." in rows["max_drawdown"]["sentence"]


KEPT = {"profit", "max_drawdown"}


def test_noise_in_the_answers_costs_accuracy_but_not_the_direction():
    model = RewardModel(PLAIN).fit(answers("drawdown", GROUPS, "stochastic"), EVERYONE)
    assert accuracy(model, answers("drawdown", HELD)) >= 0.85


def test_ties_are_learned_from_and_predicted():
    model = RewardModel(PLAIN).fit(answers("drawdown", GROUPS, "ties"), EVERYONE)
    assert float(model.log_tie) > NEVER_TIED
    probabilities, outcomes, _ = predicted_pairs(model, answers("drawdown", HELD, "ties"), EVERYONE)
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert probabilities[outcomes == 1, 1].mean() > 2 * probabilities[outcomes != 1, 1].mean()


def test_a_saved_model_is_loaded_as_it_was(tmp_path):
    config = dataclasses.replace(PLAIN_ASPECTS, aspects=("profit", "max_drawdown"), seed=3)
    model = RewardModel(config).fit(answers("drawdown", GROUPS[:6]), EVERYONE)
    model.save(tmp_path / "taste.json")
    again = RewardModel.load(tmp_path / "taste.json")
    assert again.config == config
    episodes = list(EVERYONE.values())
    assert torch.equal(again.member_scores(episodes), model.member_scores(episodes))
    with pytest.raises(FeedbackError, match="has not been fitted"):
        RewardModel().save(tmp_path / "x.json")
    altered = (tmp_path / "taste.json").read_text().replace("tradinghf-reward-1", "other")
    for text in (altered, "{}", "no json", "[" * 100_000):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(FeedbackError, match=r"x.json is no saved reward model"):
            RewardModel.load(tmp_path / "x.json")
    with pytest.raises(FeedbackError, match=r"none.json is no saved reward model"):
        RewardModel.load(tmp_path / "none.json")


def test_no_rankings_are_refused():
    with pytest.raises(FeedbackError, match="needs at least 1"):
        RewardModel(PLAIN).fit([], {})
    skipped = Ranking(key="k", episodes=("a", "b"), ranks=(), outcome="skipped")
    with pytest.raises(FeedbackError, match="0 usable rankings among 1"):
        RewardModel(PLAIN).fit([skipped], {})


def test_missing_episodes_are_named():
    ranking = answers("profit", GROUPS[:1])[0]
    with pytest.raises(FeedbackError, match="5 ranked episodes are missing"):
        RewardModel(PLAIN).fit([ranking], {})


def test_all_tied_rankings_warn_in_words_and_stay_finite():
    tied = [
        Ranking(key=f"k{i}", episodes=tuple(e.id for e in group), ranks=(1,) * 5)
        for i, group in enumerate(GROUPS[:10])
    ]
    with pytest.warns(UserWarning, match="ties all of its episodes"):
        model = RewardModel(PLAIN).fit(tied, EVERYONE)
    assert torch.isfinite(model.weights).all()
    assert model.to_dict()["warnings"]


def test_contradictory_rankings_stay_finite_near_chance_and_warn():
    rng = np.random.default_rng(0)
    random = [
        Ranking(
            key=f"k{i}",
            episodes=tuple(e.id for e in group),
            ranks=tuple(int(r) for r in rng.permutation(5) + 1),
        )
        for i, group in enumerate(GROUPS)
    ]
    with pytest.warns(UserWarning, match="no better than chance"):
        model = RewardModel(PLAIN).fit(random, EVERYONE)
    assert torch.isfinite(model.draws).all()
    held = cross_validate_quietly(random)
    assert 0.3 < held["accuracy"] < 0.7


def cross_validate_quietly(rankings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cross_validate(rankings, EVERYONE, RewardModel(PLAIN))


def test_the_rewards_of_an_episode_add_up_to_its_score():
    model = RewardModel(PLAIN).fit(answers("turnover_averse", GROUPS[:15]), EVERYONE)
    group = HELD[0]
    per_bar = model.rewards(TradePaths.from_episodes(group))
    assert per_bar.shape == (5, 64)
    torch.testing.assert_close(per_bar.sum(-1), model.score(group))


def test_pessimism_takes_away_the_variance_of_the_score_over_the_draws():
    bold = RewardModel(dataclasses.replace(PLAIN, pessimism=0.0))
    cautious = RewardModel(dataclasses.replace(PLAIN, pessimism=0.2))
    for model in (bold, cautious):
        model.fit(answers("drawdown", GROUPS[:6]), EVERYONE)
    paths = TradePaths.from_episodes(HELD[0])
    active = cautious.active
    values = cautious.term_values(paths, active.tolist()).sum(1) - cautious.centre[active]
    scores = values.double() @ cautious.draws[:, active].double().T  # every draw's own score
    taken = (bold.rewards(paths) - cautious.rewards(paths)).sum(-1)
    assert float(taken.min()) > 0
    torch.testing.assert_close(taken.double(), 0.2 * scores.var(-1), rtol=1e-3, atol=1e-6)


def test_rewards_never_look_ahead():
    model = RewardModel().fit(answers("quick_loss_cutter", GROUPS), EVERYONE)
    paths = TradePaths.from_episodes(HELD[0])
    whole = model.rewards(paths)
    for t in (1, 7, 30, 63):
        cut = TradePaths(
            paths.close[:, : t + 1],
            paths.position[:, :t],
            paths.equity[:, : t + 1],
            paths.turnover[:, :t],
            paths.costs[:, :t],
        )
        noisy = [
            getattr(paths, n).clone() for n in ("close", "position", "equity", "turnover", "costs")
        ]
        for array, width in zip(noisy, (t + 1, t, t + 1, t, t), strict=True):
            array[:, width:] *= 1.05
        assert torch.equal(model.rewards(TradePaths(*noisy))[:, :t], whole[:, :t])
        assert cut.bars == t


def test_an_unfitted_model_says_so():
    with pytest.raises(FeedbackError, match="call fit"):
        RewardModel().score(HELD[0])


def test_pair_metrics_by_hand():
    probabilities = np.array([[0.9, 0.0, 0.1], [0.2, 0.5, 0.3], [0.6, 0.0, 0.4], [0.1, 0.1, 0.8]])
    outcomes = np.array([0, 1, 2, 2])
    got = pair_metrics(probabilities, outcomes)
    assert got["accuracy"] == pytest.approx(0.75)
    assert got["recall"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert got["precision"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert got["log_loss"] == pytest.approx(-np.log([0.9, 0.5, 0.4, 0.8]).mean())
    assert got["brier"] == pytest.approx(((0.02) + (0.04 + 0.25 + 0.09) + 0.72 + 0.06) / 4)
    assert got["ece"] == pytest.approx((0.1 + 0.5 + 0.6 + 0.2) / 4)


def test_intervals_take_whole_rankings_for_independent_cases():
    pairs = predicted_pairs(
        RewardModel(PLAIN).fit(answers("drawdown", GROUPS[:8], "stochastic"), EVERYONE),
        answers("drawdown", HELD, "stochastic"),
        EVERYONE,
    )
    found = summarise(pairs)
    low, high = found["accuracy_interval"]
    assert low < found["accuracy"] < high
    assert found["held_out_rankings"] == 30
    assert found["pairs"] == 300
    assert "ece_interval" not in found
    perfect = summarise((np.eye(3)[[0] * 30], np.zeros(30, dtype=int), np.repeat([0, 1, 2], 10)))
    low, high = perfect["accuracy_interval"]
    assert (perfect["accuracy"], high) == (1.0, 1.0)
    assert 0.2 < low < 0.6


def relabelled(rankings, **changes):
    """The same answers, given by somebody else or with something added."""
    return [
        dataclasses.replace(r, **{k: v(r) if callable(v) else v for k, v in changes.items()})
        for r in rankings
    ]


def test_ratings_teach_what_tied_rankings_leave_open():
    trader = SyntheticTrader("drawdown")
    edges = np.quantile(np.concatenate([trader.utilities(g) for g in GROUPS]), [0.2, 0.4, 0.6, 0.8])

    def stars(ranking):
        shown = [EVERYONE[e] for e in ranking.episodes]
        return tuple(int(1 + np.searchsorted(edges, u)) for u in trader.utilities(shown))

    tied = relabelled(answers("drawdown", GROUPS[:8]), ranks=(1,) * 5, ratings=stars)
    with pytest.warns(UserWarning, match="ties all"):
        model = RewardModel(PLAIN).fit(tied, EVERYONE)
    scores = np.stack([model.score(g).numpy() for g in HELD])
    truth = np.stack([trader.utilities(g) for g in HELD])
    first, second = np.triu_indices(5, 1)
    gap, real = scores[:, first] - scores[:, second], truth[:, first] - truth[:, second]
    assert (np.sign(gap) == np.sign(real)).mean() >= 0.85


def test_a_comment_points_at_an_aspect_and_the_rankings_give_its_sign():
    few = answers("drawdown", GROUPS[:6])
    said = relabelled(few, comment="I do not like deep drawdowns")

    def found(rankings):
        rows = RewardModel(PLAIN).fit(rankings, EVERYONE).explain()
        return next(row for row in rows if row["name"] == "max_drawdown")

    assert found(said)["probability"] > found(few)["probability"]
    assert -found(said)["low"] > max(found(said)["high"], 0.0)
    praised = relabelled(few, comment="what a lovely drawdown")
    assert -found(praised)["low"] > max(found(praised)["high"], 0.0)


def test_a_contrarian_among_raters_is_found_out_and_does_no_harm():
    honest = [
        r
        for name in "abc"
        for r in relabelled(
            answers("drawdown", GROUPS[:12]), rater=name, key=lambda r, n=name: r.key + n
        )
    ]
    contrary = relabelled(
        answers("drawdown", GROUPS[:12]),
        rater="contrarian",
        key=lambda r: r.key + "x",
        ranks=lambda r: tuple(6 - rank for rank in r.ranks),
    )
    model = RewardModel(PLAIN).fit(honest + contrary, EVERYONE)
    assert model.trust["contrarian"] < 0 < min(model.trust[n] for n in "abc")
    assert accuracy(model, answers("drawdown", HELD)) >= 0.95


def ratings_of(*stars):
    """Choices from one rater's ratings."""
    features = torch.arange(len(stars), dtype=torch.float64)[:, None]
    return Choices.from_ratings(features, torch.tensor(stars), torch.zeros(len(stars)).long(), 0.3)


def test_one_dissenting_rating_among_99_weighs_as_one_rating():
    lone = ratings_of(5, *[3] * 99)
    assert len(lone.weight) == 8
    assert float(lone.weight.sum()) <= 2 * 0.3 + 1e-12
    varied = ratings_of(*np.random.default_rng(0).integers(1, 6, 100).tolist())
    assert 0.2 * 100 < float(varied.weight.sum()) <= 0.3 * 100 + 1e-9
    assert len(ratings_of(3, 3, 3).weight) == len(ratings_of(4).weight) == 0


@pytest.mark.parametrize("weight", [0.3, 1.0, 50.0])
@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_ratings_never_weigh_more_than_a_ranking_of_the_same_episodes(weight, count):
    rng = np.random.default_rng(count)
    for stars in ([1, *[5] * (count - 1)], rng.integers(1, 6, count).tolist()):
        features = torch.zeros(count, 1, dtype=torch.float64)
        answer = torch.zeros(count).long()
        found = Choices.from_ratings(features, torch.tensor(stars), answer, weight)
        assert float(found.weight.sum()) <= min(weight * count, count - 1) + 1e-9


def test_no_window_is_on_both_sides_of_cross_validation(monkeypatch):
    """Two raters answer every query; windows of two assets overlap in time by half."""

    def moved(episode, window):
        later = (window * 40 - episode.start) * np.timedelta64(1, "D")
        return dataclasses.replace(
            episode,
            start=window * 40,
            symbol=("one", "other")[window % 2],
            timestamps=episode.timestamps + later,
        )

    shifted = [[moved(e, window) for e in group] for window, group in enumerate(GROUPS[:10])]
    shown = {e.id: e for group in shifted for e in group}
    trader = SyntheticTrader("drawdown")
    both = [
        dataclasses.replace(trader.rank(group, f"q{i}"), rater=rater, key=f"{rater}{i}")
        for rater in ("ann", "bob")
        for i, group in enumerate(shifted)
    ]
    seen = []

    def spans(rankings):
        return {(e := shown[r.episodes[0]]).start: e.start + e.bars for r in rankings}

    def watched(model, held, episodes):
        seen.append((spans(fitted[-1]), spans(held)))
        return predicted_pairs(model, held, episodes)

    fitted = []
    fit = RewardModel.fit

    def noting(self, rankings, episodes):
        fitted.append(rankings)
        return fit(self, rankings, episodes)

    monkeypatch.setattr(RewardModel, "fit", noting)
    monkeypatch.setattr("tradinghf.learning.reward._held_out.predicted_pairs", watched)
    found = cross_validate(both, shown, RewardModel(PLAIN_ASPECTS), folds=5)
    assert found["held_out_rankings"] == 20
    assert len(seen) == 5
    for train, held in seen:
        assert train
        for start, end in train.items():
            assert all(end < s or e < start for s, e in held.items())
    with pytest.raises(FeedbackError, match="all about the same bars"):
        cross_validate([both[0], both[10]], shown, RewardModel(PLAIN_ASPECTS))


def test_a_tie_of_more_panels_than_fit_in_memory_is_refused_at_the_door():
    names = tuple(f"e{i}" for i in range(MAX_PANELS + 1))
    with pytest.raises(FeedbackError, match=f"expected 2 to {MAX_PANELS} distinct episodes"):
        Ranking("k", names, (1,) * len(names))
    with pytest.raises(FeedbackError, match=f"expected 2 to {MAX_PANELS} distinct episodes"):
        Query.of(names)
    totals = torch.zeros(1, MAX_PANELS, 1, dtype=torch.float64)
    everyone = torch.ones(1, MAX_PANELS, dtype=torch.bool)
    tied = Choices.from_rankings(totals, torch.ones(1, MAX_PANELS).long(), everyone)
    assert tied.features.shape[1] == 2**MAX_PANELS - 1
