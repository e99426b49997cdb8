"""Action distributions against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from support.learning import torchs_beta
from torch import nn
from torch.distributions import kl_divergence

from tradinghf.learning.policy._heads import BETA, CATEGORICAL, GAUSSIAN

NONE = torch.zeros(3)


def test_beta_equals_torchs_distribution() -> None:
    g = torch.Generator().manual_seed(0)
    out, other = (4 * torch.randn(500, 6, generator=g, dtype=torch.float64) for _ in range(2))
    raw = torch.rand(500, 3, generator=g, dtype=torch.float64).clamp(1e-6, 1 - 1e-6)
    ours, base = torchs_beta(out)
    log_prob = ours.log_prob(BETA.to_env(raw)).sum(-1)
    torch.testing.assert_close(BETA.log_prob(out, raw, NONE), log_prob)
    # torch has no entropy of the stretched distribution: that of [0, 1] plus log 2 each.
    entropy = (base.entropy() + np.log(2)).sum(-1)
    torch.testing.assert_close(BETA.entropy(out, NONE), entropy)
    divergence = kl_divergence(base, torchs_beta(other)[1]).sum(-1)
    torch.testing.assert_close(BETA.divergence(out, NONE, other, NONE), divergence)
    assert float(BETA.divergence(out, NONE, out, NONE).abs().max()) < 1e-12


def test_the_mode_of_a_beta_is_its_likeliest_action() -> None:
    out = 2 * torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    best = BETA.log_prob(out, BETA.mode(out), NONE)
    for step in (-1e-2, 1e-2):
        near = (BETA.mode(out) + step).clamp(1e-6, 1 - 1e-6)
        assert (BETA.log_prob(out, near, NONE) <= best + 1e-5).all()
    extreme = BETA.mode(torch.tensor([[-200.0, -200.0], [200.0, -200.0], [-200.0, 200.0]]))
    torch.testing.assert_close(extreme, torch.tensor([[0.5], [1.0], [0.0]]))


@pytest.mark.parametrize("shapes", [(1.0001, 1.0001), (1.0, 4.0), (2.5, 1.7), (60.0, 30.0)])
def test_draws_follow_the_beta_distribution(shapes: tuple[float, float]) -> None:
    rows = 50_000
    excess = torch.tensor(shapes) - 1
    out = (excess + torch.log(-torch.expm1(-excess.clamp(min=1e-4)))).repeat_interleave(2)
    uniform = torch.rand(rows, 2, generator=torch.Generator().manual_seed(2))
    raw = BETA.draw(out.expand(rows, 4), BETA.noise(uniform), NONE)
    assert raw.shape == (rows, 2)
    a, b = (float(1 + nn.functional.softplus(out[i])) for i in (0, 2))
    for column in raw.double().T:
        assert stats.kstest(column.numpy(), stats.beta(a, b).cdf).pvalue > 1e-3
    assert abs(float(np.corrcoef(raw.T.numpy())[0, 1])) < 0.02
    again = BETA.draw(out.expand(rows, 4), BETA.noise(uniform), NONE)
    assert torch.equal(raw, again), "a draw is a function of its uniform number"


def test_beta_gradients_stay_finite_at_the_bounds() -> None:
    out = torch.tensor([[-60.0, 60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, -60.0]])
    out.requires_grad_()
    raw = BETA.draw(out.detach(), BETA.noise(torch.tensor([[0.0], [0.5], [0.99], [1.0]])), NONE)
    assert ((raw > 0) & (raw < 1)).all()
    total = BETA.log_prob(out, raw, NONE) + BETA.entropy(out, NONE)
    (gradient,) = torch.autograd.grad(total.sum(), out)
    assert total.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("head", [CATEGORICAL, GAUSSIAN])
def test_draws_follow_the_distribution_that_log_prob_states(head: object) -> None:
    g = torch.Generator().manual_seed(0)
    out, log_std = torch.tensor([0.3, -0.8, 1.1]), torch.tensor([-0.3, 0.2, 0.0])
    rows = 200_000
    uniform = torch.rand(rows, 3, generator=g)
    raw = head.draw(out.expand(rows, 3), head.noise(uniform), log_std)  # type: ignore[attr-defined]
    if head is CATEGORICAL:
        share = torch.bincount(raw, minlength=3) / rows
        assert torch.allclose(share, out.softmax(-1), atol=5e-3)
    else:
        assert torch.allclose(raw.mean(0), out, atol=1e-2)
        assert torch.allclose(raw.std(0), log_std.exp(), atol=1e-2)
    # E[1/p] over draws is the number of actions.
    if head is CATEGORICAL:
        log_prob = CATEGORICAL.log_prob(out.expand(rows, 3), raw, log_std)
        assert float((-log_prob).exp().mean()) == pytest.approx(3, rel=0.02)
    dist = torch.distributions
    base = dist.Normal(out, log_std.exp())
    if head is GAUSSIAN:
        squashed = dist.TransformedDistribution(base, dist.TanhTransform(cache_size=1))
        near = raw[:100].clamp(-2, 2)
        expected = squashed.log_prob(near.tanh()).sum(-1)
        torch.testing.assert_close(
            GAUSSIAN.log_prob(out, near, log_std), expected, rtol=1e-3, atol=1e-3
        )
