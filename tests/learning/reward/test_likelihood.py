"""Ranking likelihoods against independent implementations and hand-made cases."""

from __future__ import annotations

import itertools
import math

import choix
import evalica
import numpy as np
import pytest
import torch
from statsmodels.datasets import modechoice

from tradinghf.errors import FeedbackError
from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward import Choices
from tradinghf.learning.reward._laplace import Mode, laplace, score_gains
from tradinghf.learning.reward._likelihood import RankingLikelihood, pair_probabilities

DOUBLE = torch.float64
NO_TIES = torch.tensor(-1e9, dtype=DOUBLE)


def minimise(loss, *parameters, steps=200):
    """Converge a smooth convex problem with L-BFGS."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=steps, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)


def weak_orderings(count):
    """All rankings with ties of `count` items, as dense ranks."""
    for ranks in itertools.product(range(1, count + 1), repeat=count):
        if set(ranks) == set(range(1, max(ranks) + 1)):
            yield ranks


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_probabilities_of_all_rankings_with_ties_sum_to_one(count, noise):
    ranks = torch.tensor(list(weak_orderings(count)))
    scores = torch.linspace(-1, 1.5, count, dtype=DOUBLE).expand(len(ranks), -1)
    log_tie = torch.tensor(-0.3, dtype=DOUBLE)
    log_p = RankingLikelihood(ranks, ties=count)(scores, log_tie, noise)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_without_ties_it_is_plackett_luce_by_hand():
    scores = torch.tensor([[0.5, -1.0, 2.0]], dtype=DOUBLE)
    ranks = torch.tensor([[2, 3, 1]])
    by_hand = 2.0 - math.log(sum(map(math.exp, (0.5, -1.0, 2.0))))
    by_hand += 0.5 - math.log(math.exp(0.5) + math.exp(-1.0))
    got = RankingLikelihood(ranks)(scores, NO_TIES)
    assert float(got) == pytest.approx(by_hand, abs=1e-12)


def test_two_episodes_give_davidson():
    log_tie = torch.tensor(0.2, dtype=DOUBLE)
    scores = torch.tensor([[0.7, -0.4]], dtype=DOUBLE).expand(3, -1)
    ranks = torch.tensor([[1, 2], [1, 1], [2, 1]])
    got = RankingLikelihood(ranks)(scores, log_tie).exp()
    expected = pair_probabilities(torch.tensor(1.1, dtype=DOUBLE), log_tie)
    torch.testing.assert_close(got, expected)


def test_masked_episodes_do_not_matter():
    scores = torch.tensor([[0.3, 1.0, -0.5, 9.0]], dtype=DOUBLE)
    ranks = torch.tensor([[2, 1, 3, 1]])
    mask = torch.tensor([[True, True, True, False]])
    log_tie = torch.tensor(-1.0, dtype=DOUBLE)
    whole = RankingLikelihood(ranks[:, :3])(scores[:, :3], log_tie)
    padded = RankingLikelihood(ranks, mask)(scores, log_tie)
    torch.testing.assert_close(padded, whole)


def test_too_many_episodes_are_refused():
    with pytest.raises(FeedbackError, match="11 episodes; at most 10"):
        RankingLikelihood(torch.ones(1, 11).long())


def test_plackett_luce_fit_equals_choix():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=6)
    rankings = [tuple(np.argsort(-(truth + rng.gumbel(size=6)))) for _ in range(300)]
    expected = choix.opt_rankings(6, rankings)
    ranks = torch.tensor(np.argsort(np.array(rankings), axis=1) + 1)
    worth = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
    likelihood = RankingLikelihood(ranks)
    minimise(lambda: -likelihood(worth.expand(len(ranks), -1), NO_TIES).sum(), worth)
    got = worth.detach() - worth.detach().mean()
    np.testing.assert_allclose(got.numpy(), expected - expected.mean(), atol=1e-5)


def test_davidson_fit_equals_evalica_newman():
    rng = np.random.default_rng(1)
    truth = np.array([0.0, 0.6, -0.8, 1.1])
    first, second, winners, ranks = [], [], [], []
    for _ in range(600):
        i, j = rng.choice(4, 2, replace=False)
        p = pair_probabilities(
            torch.tensor(truth[i] - truth[j]), torch.tensor(math.log(0.6))
        ).numpy()
        outcome = rng.choice(3, p=p / p.sum())
        first.append(i)
        second.append(j)
        winners.append([evalica.Winner.X, evalica.Winner.Draw, evalica.Winner.Y][outcome])
        ranks.append([(1, 2), (1, 1), (2, 1)][outcome])
    index = evalica.indexing(first, second)[2]
    oracle = evalica.newman(first, second, winners, index=index, tolerance=1e-12, limit=10_000)
    worth = torch.zeros(4, dtype=DOUBLE, requires_grad=True)
    log_tie = torch.zeros((), dtype=DOUBLE, requires_grad=True)
    pairs = torch.tensor(np.stack([first, second], axis=1))
    ordered = torch.tensor(ranks)
    likelihood = RankingLikelihood(ordered)
    minimise(lambda: -likelihood(worth[pairs], log_tie).sum(), worth, log_tie)
    assert float(log_tie.detach().exp()) == pytest.approx(2 * oracle.v, abs=1e-6)
    got = (worth - worth.mean()).detach().numpy()
    expected = np.log(oracle.scores.sort_index().to_numpy())
    np.testing.assert_allclose(got, expected - expected.mean(), atol=1e-6)


def test_conditional_logit_equals_the_published_travel_mode_estimates():
    """Greene, Econometric Analysis: 210 travellers choose among four modes."""
    data = modechoice.load_pandas().data
    modes = data["mode"].to_numpy().reshape(-1, 4)
    columns = [
        (modes == 1).astype(float),
        (modes == 2).astype(float),
        (modes == 3).astype(float),
        data["gc"].to_numpy().reshape(-1, 4),
        data["ttme"].to_numpy().reshape(-1, 4),
        data["hinc"].to_numpy().reshape(-1, 4) * (modes == 1),
    ]
    features = torch.tensor(np.stack(columns, axis=-1))
    chosen = torch.tensor(data["choice"].to_numpy().reshape(-1, 4))
    picked = chosen.argmax(-1)[:, None, None].expand(-1, 1, 6)
    design = features - features.gather(1, picked)
    choices = Choices(
        design,
        torch.ones(210, 4, dtype=torch.bool),
        torch.arange(210),
        torch.ones(210, dtype=DOUBLE),
    )
    weights = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
    scale = torch.tensor([1, 1, 1, 100, 100, 100], dtype=DOUBLE)
    minimise(lambda: -choices.log_likelihood(weights / scale).sum(), weights, steps=500)
    got = (weights / scale).detach().numpy()
    expected = [5.2074, 3.8690, 3.1632, -0.01550, -0.09612, 0.01329]
    np.testing.assert_allclose(got, expected, rtol=1e-3)
    value = float(choices.log_likelihood((weights / scale).detach()).sum())
    assert value == pytest.approx(-199.128, abs=1e-3)


def test_choices_have_the_likelihood_of_their_rankings():
    generator = torch.Generator().manual_seed(3)
    totals = torch.randn(4, 5, 3, generator=generator, dtype=DOUBLE)
    ranks = torch.tensor([[1, 2, 2, 3, 4], [1, 1, 1, 2, 3], [5, 4, 3, 2, 1], [1, 1, 1, 1, 1]])
    mask = torch.ones(4, 5, dtype=torch.bool)
    weights = torch.tensor([0.4, -1.0, 0.1, -0.7], dtype=DOUBLE)
    choices = Choices.from_rankings(totals, ranks, mask)
    by_choice = torch.zeros(4, dtype=DOUBLE)
    by_choice.index_add_(0, choices.answer, choices.log_likelihood(weights))
    whole = RankingLikelihood(ranks)(totals @ weights[:3], weights[3])
    torch.testing.assert_close(by_choice, whole)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_gain_of_one_more_column_is_foreseen(noise):
    """The score statistic against models that were fitted with the column."""
    generator = torch.Generator().manual_seed(0)
    totals = torch.randn(40, 5, 9, generator=generator, dtype=DOUBLE)
    worth = totals[..., 0] + 0.5 * totals[..., 4]
    worth = worth - torch.rand(40, 5, generator=generator, dtype=DOUBLE).log().neg().log()
    ranks = (-worth).argsort(-1).argsort(-1) + 1
    choices = Choices.from_rankings(totals, ranks, torch.ones(40, 5, dtype=torch.bool))
    config, spread = AspectConfig(), 1.0

    def fit(columns):
        prior = torch.zeros(1, len(columns) + 1, dtype=DOUBLE)
        precision = torch.full_like(prior, spread**-2)
        rows = torch.tensor([[*columns, choices.tie]])
        return laplace(choices, rows, prior, precision, noise, config)

    mean, covariance, evidence = fit([0])
    rows = torch.tensor([0, choices.tie])
    (foreseen,) = score_gains(choices, [Mode(rows, mean[0], covariance[0], spread)], noise)
    gained = torch.cat([fit([0, column])[2] - evidence for column in range(1, 9)])
    assert int(foreseen[1:].argmax()) == int(gained.argmax()) == 3
    torch.testing.assert_close(foreseen[1:], gained, atol=0.5, rtol=0.35)


def test_many_models_at_once_are_those_fitted_one_by_one():
    """Models that need more steps than their neighbours, or a shorter one, are not cut short."""
    generator = torch.Generator().manual_seed(1)
    totals = torch.randn(30, 5, 3, generator=generator, dtype=DOUBLE)
    totals[..., 1] *= 30  # a first step too far
    ranks = (-totals[..., 1]).argsort(-1).argsort(-1) + 1
    choices = Choices.from_rankings(totals, ranks, torch.ones(30, 5, dtype=torch.bool))
    columns = torch.tensor([[0, choices.blank], [1, choices.blank], [0, 1], [2, 1]])
    precision = torch.full((4, 2), 0.01, dtype=DOUBLE)
    together = laplace(choices, columns, 0 * precision, precision, 0.02, AspectConfig())
    for row in range(4):
        one = slice(row, row + 1)
        prior = precision[one]
        alone = laplace(choices, columns[one], 0 * prior, prior, 0.02, AspectConfig())
        for part, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(part[0], whole[row], atol=1e-3, rtol=1e-2)

    def log_posterior(weight):
        blocked = (choices.features[..., 1] * weight).masked_fill(~choices.available, -torch.inf)
        seen = 0.98 * (-blocked.logsumexp(-1)).exp() + 0.02 / choices.options
        return float(seen.log().sum() - 0.005 * weight**2)

    mode = float(together[0][1, 0])
    assert log_posterior(mode) >= max(log_posterior(0.9 * mode), log_posterior(1.1 * mode))
