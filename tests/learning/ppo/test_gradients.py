"""The gradient of PPO's loss, by whatever way it is computed: one loss, as papers write it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.learning import table_of
from torch import Tensor

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo import blocked
from tradinghf.learning.ppo import learners as learning
from tradinghf.learning.ppo.learners import Learners
from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.surrogate import Batch, Weights


def reference_loss(network: ActorCritic, obs: Tensor, batch: Batch, weights: Weights) -> Tensor:
    """PPO's loss as papers write it, by torch.distributions and automatic differentiation."""
    out, values = network.policy_out(obs), network.value_out(obs)
    if network.shape["discrete"]:
        dist = torch.distributions.Categorical(logits=out)
        log_prob, entropy = dist.log_prob(batch.actions), dist.entropy()
        kl_to = torch.distributions.Categorical
        other = None if batch.reference is None else kl_to(logits=batch.reference)
    else:
        dist = torch.distributions.Normal(out, network.log_std.exp())
        tanh = torch.distributions.TanhTransform(cache_size=1)
        squashed = torch.distributions.TransformedDistribution(dist, tanh)
        log_prob = squashed.log_prob(tanh(batch.actions)).sum(-1)
        entropy = dist.entropy().sum(-1)
        other = None
        if batch.reference is not None and batch.reference_log_std is not None:
            spread = batch.reference_log_std[0].exp()
            other = torch.distributions.Normal(batch.reference, spread)
    ratio = (log_prob - batch.log_prob).exp()
    gain = torch.min(
        ratio * batch.advantage,
        ratio.clamp(1 - weights.clip, 1 + weights.clip) * batch.advantage,
    )
    loss = -gain.mean() + weights.value * (values - batch.target).square().mean()
    loss = loss - weights.entropy * entropy.mean()
    if other is not None:
        kl = torch.distributions.kl_divergence(dist, other)
        loss = loss + weights.reference_kl * (kl.sum(-1) if kl.dim() > 1 else kl).mean()
    return loss


def random_batch(discrete: bool, rows: int, reference: bool) -> tuple[Tensor, Batch]:
    g = torch.Generator().manual_seed(5)
    raw = torch.randn(1, rows, 3, generator=g)
    batch = Batch(
        actions=torch.randint(3, (1, rows), generator=g) if discrete else raw,
        log_prob=torch.randn(1, rows, generator=g) * 0.3 - (1.1 if discrete else 3.0),
        advantage=torch.randn(1, rows, generator=g),
        target=torch.randn(1, rows, 2, generator=g),
        reference=torch.randn(1, rows, 3, generator=g) if reference else None,
        reference_log_std=torch.randn(1, 1, 3, generator=g) if reference else None,
    )
    return torch.randn(1, rows, 7, generator=g), batch


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)])
@pytest.mark.parametrize("compiled", [True, False])
def test_gradients_are_those_of_the_loss(
    shared: bool,
    discrete: bool,
    reference: bool,
    hidden: tuple[int, ...],
    compiled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    network = ActorCritic(7, 3, 2, hidden, discrete, shared)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    twin = copy.deepcopy(network)
    obs, batch = random_batch(discrete, 33, reference)
    weights = Weights(0.2, 0.5, 0.01, 0.3 if reference else 0.0)
    loss = reference_loss(twin, obs[0], _squeezed(batch), weights)
    names = [n for n, p in twin.named_parameters() if p.requires_grad]
    expected = dict(
        zip(
            names,
            torch.autograd.grad(loss, [p for p in twin.parameters() if p.requires_grad]),
            strict=True,
        )
    )
    if not compiled:
        monkeypatch.setattr(learning, "covers", lambda *_: False)
    learners = Learners([network], PPOConfig(max_gradient_norm=1e9))
    rows = torch.randperm(33)[None]
    statistics = []
    for size in (33, 10):  # at once, and in parts that add up to it
        monkeypatch.setattr(learning, "PART_ROWS", size)
        statistics.append(learners.step(rows, table_of(obs, batch), weights, 0.0))
        for name in names:
            got = learners.flat.view(learners.flat.grad, name)[0]
            torch.testing.assert_close(got, expected[name], rtol=2e-4, atol=2e-6)
    torch.testing.assert_close(*statistics, rtol=1e-4, atol=1e-6)


def _squeezed(batch: Batch) -> Batch:
    return Batch(**{k: v[0] for k, v in vars(batch).items() if isinstance(v, Tensor)})


@pytest.mark.parametrize("discrete", [True, False])
def test_half_precision_gives_nearly_the_same_gradient(
    discrete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    network = ActorCritic(7, 3, 2, (16, 16), discrete, False)
    obs, batch = random_batch(discrete, 64, False)
    gradients = []
    for precision in ("float32", "bfloat16"):
        config = PPOConfig(precision=precision, max_gradient_norm=1e9)  # type: ignore[arg-type]
        learners = Learners([copy.deepcopy(network)], config)
        for size in (64, 24):
            monkeypatch.setattr(learning, "PART_ROWS", size)
            rows = torch.arange(64)[None]
            learners.step(rows, table_of(obs, batch), Weights(0.2, 0.5, 0.01), 0.0)
            gradients.append(learners.flat.grad[0].clone())
    for exact, half in zip(gradients[:2], gradients[2:], strict=True):
        assert half.dtype == torch.float32
        assert not torch.equal(half, exact)
        assert float((half - exact).norm() / exact.norm()) < 0.02
        assert float(torch.cosine_similarity(half, exact, dim=0)) > 0.9995


# ---------------------------------------------------------------------- the compiled kernel


def random_table(rows: int, learners: int = 1, seed: int = 0) -> Experience:
    """Rows of several learners of 7 observations, 3 actions and 2 critics."""
    g = torch.Generator().manual_seed(seed)
    count = rows * learners
    action = torch.randint(3, (1, count), generator=g).float()
    other = torch.randn(4, count, generator=g)
    other[0] = other[0] * 0.3 - 1.1
    obs = torch.randn(count, 7, generator=g)
    columns = torch.cat([action, other])
    return Experience(obs, columns, rows, learners, rows, 1, True, 2, None)


def networks(count: int, hidden: tuple[int, ...] = (16, 12), **kinds: Any) -> list[ActorCritic]:
    """Actor-critics with weights of some size."""
    torch.manual_seed(1)
    made = [ActorCritic(7, 3, 2, hidden, True, **kinds) for _ in range(count)]
    for network in made:
        for parameter in network.parameters():
            parameter.data = torch.randn_like(parameter) * 0.4
    return made


def by_tensors(nets: list[ActorCritic], config: PPOConfig, patch: pytest.MonkeyPatch) -> Learners:
    with patch.context() as context:
        context.setattr(learning, "covers", lambda *_: False)
        return Learners(copy.deepcopy(nets), config)


WEIGHTS = Weights(0.2, 0.5, 0.01)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [1, 95, 97, 1_000, 2_500])
def test_blocks_add_up_to_the_minibatch(
    size: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one row, of rests of blocks, and of several shares."""
    nets, config = networks(1, shared=shared), PPOConfig(max_gradient_norm=1e9)
    table, rows = random_table(3_000), torch.randperm(3_000)[None, :size]
    ours, theirs = Learners(copy.deepcopy(nets), config), by_tensors(nets, config, monkeypatch)
    stats = [x.step(rows, table, WEIGHTS, 0.0) for x in (ours, theirs)]
    torch.testing.assert_close(*stats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.flat.grad, theirs.flat.grad, rtol=1e-3, atol=2e-6)


def test_threads_change_nothing() -> None:
    table, rows = random_table(6_000), torch.randperm(6_000)[None]
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            learners = Learners(networks(1), PPOConfig())
            with learners.updating():
                assert torch.get_num_threads() == 1
                stats = learners.step(rows, table, WEIGHTS, 1e-3)
            assert torch.get_num_threads() == threads
            found.append((stats, learners.flat.data.clone()))
        finally:
            torch.set_num_threads(before)
    for stats, data in found[1:]:
        assert torch.equal(stats, found[0][0])
        assert torch.equal(data, found[0][1])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("limit", [0.05, 1e9])
def test_an_epoch_is_its_steps_with_the_optimisers(
    count: int, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets, config = networks(count), PPOConfig(max_gradient_norm=limit)
    table, g = random_table(500, count), torch.Generator().manual_seed(3)
    ours, theirs = Learners(copy.deepcopy(nets), config), by_tensors(nets, config, monkeypatch)
    for rate in (1e-3, 5e-4):
        order = torch.stack([torch.randperm(500, generator=g) + 500 * s for s in range(count)])
        (stats, steps), (others, more) = (
            x.epoch(order, 60, table, WEIGHTS, rate) for x in (ours, theirs)
        )
        assert steps == more == 8
        torch.testing.assert_close(stats, others, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.flat.data, theirs.flat.data, rtol=1e-4, atol=2e-5)
    for name, value in ours.adam.state().items():
        torch.testing.assert_close(value, theirs.adam.state()[name], rtol=1e-3, atol=1e-5)
    for network in ours.networks:
        assert not torch.equal(network.actor[0].weight, nets[0].actor[0].weight)


def test_an_epoch_skips_gradients_that_are_not_finite() -> None:
    learners, table = Learners(networks(2), PPOConfig()), random_table(200, 2)
    table.columns[2, 5] = torch.nan  # an advantage of the first learner's
    before = learners.flat.data.clone()
    order = torch.stack([torch.arange(200), torch.arange(200, 400)])
    stats, steps = learners.epoch(order, 200, table, WEIGHTS, 1e-3)
    assert steps == 1
    assert stats[-1].tolist() == [1.0, 0.0]
    assert bool(stats.isfinite().all())
    assert torch.equal(learners.flat.data[0], before[0])
    assert not torch.equal(learners.flat.data[1], before[1])
    assert learners.adam.count.tolist() == [0.0, 1.0]


def test_the_kernels_tanh_is_tanh() -> None:
    from numba import njit

    from tradinghf.learning.ppo.blocks import _tanh

    kernels = njit(lambda x: _tanh(x))
    xs = torch.cat([torch.linspace(-12, 12, 4_001), torch.tensor([0.0, 1e-30, -1e-4])])
    found = torch.tensor([float(kernels(x)) for x in xs.numpy()], dtype=torch.float64)
    assert float((found - xs.double().tanh()).abs().max()) < 3e-7
    assert math.isnan(kernels(np.float32("nan")))


def test_the_products_use_one_thread_while_shares_are_dealt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[list[int]] = []
    learners, table = Learners(networks(1), PPOConfig()), random_table(300)
    share_out: Callable[..., None] = blocked.Blocked._share_out

    def watched(self: blocked.Blocked, *arguments: Any) -> None:
        counts.append([library.get_num_threads() for library in blocked._blas()])
        share_out(self, *arguments)

    monkeypatch.setattr(blocked.Blocked, "_share_out", watched)
    before = [library.get_num_threads() for library in blocked._blas()]
    with learners.updating():
        learners.epoch(torch.arange(300)[None], 100, table, WEIGHTS, 1e-3)
    assert counts == [[1] * len(before)]
    assert [library.get_num_threads() for library in blocked._blas()] == before
