"""The compiled kernel against the update that defines it (`update`)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._compiled import CompiledUpdate
from tradinghf.learning.ppo._distributed import ALONE
from tradinghf.learning.ppo._fastest import update_of
from tradinghf.learning.ppo._forward import CompiledForward, blas, forward_of
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import (
    STATISTICS,
    LossWeights,
    Update,
    policy_gradients,
    policy_loss,
)
from tradinghf.workers import Team

WEIGHTS = LossWeights(0.2, 0.5, 0.01)


def random_table(rows: int, seed: int = 0) -> Transitions:
    """Rows of 7 observations, 3 actions and 2 critics."""
    g = torch.Generator().manual_seed(seed)
    action = torch.randint(3, (1, rows), generator=g).float()
    other = torch.randn(4, rows, generator=g)
    other[0] = other[0] * 0.3 - 1.1
    obs = torch.randn(rows, 7, generator=g)
    return Transitions(obs, torch.cat([action, other]), 1, True, 2)


def network_of(hidden: tuple[int, ...] = (16, 12), **kinds: Any) -> ActorCritic:
    """An actor-critic with weights of some size."""
    torch.manual_seed(1)
    made = ActorCritic(7, 3, 2, hidden, True, **kinds)
    for parameter in made.parameters():
        parameter.data = torch.randn_like(parameter) * 0.4
    return made


def both(network: ActorCritic, config: PPOConfig) -> tuple[CompiledUpdate, Update]:
    """The same training by the kernel and by tensors."""
    packed = (PackedActorCritic(copy.deepcopy(network)) for _ in range(2))
    return CompiledUpdate(next(packed), config), Update(next(packed), config)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [1, 159, 161, 1_000, 2_500])
def test_blocks_add_up_to_the_minibatch(size: int, shared: bool) -> None:
    """Of one row, of rests of blocks, and of several shares."""
    table, rows = random_table(3_000), torch.randperm(3_000)[:size]
    ours, theirs = both(network_of(shared=shared), PPOConfig(max_gradient_norm=1e9))
    stats = [x.step(rows, table, WEIGHTS, 0.0) for x in (ours, theirs)]
    torch.testing.assert_close(*stats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.network.grad, theirs.network.grad, rtol=1e-3, atol=2e-6)


def test_the_pull_to_a_reference_is_the_losss() -> None:
    """By the kernel, in closed form, and by automatic differentiation of the loss."""
    table, rows = random_table(500), torch.randperm(500)[:200]
    logits = torch.randn(3, 500, generator=torch.Generator().manual_seed(5))
    table = replace(
        table, columns=torch.cat([table.columns, logits]), reference_log_std=torch.zeros(3)
    )
    weights = replace(WEIGHTS, reference_kl=0.3)
    ours, theirs = both(network_of(), PPOConfig(max_gradient_norm=1e9))
    for learner in (ours, theirs):
        learner.step(rows, table, weights, 0.0)
    torch.testing.assert_close(ours.network.grad, theirs.network.grad, rtol=1e-3, atol=2e-6)
    plain = ours.network.grad.clone()
    ours.step(rows, replace(table, reference_log_std=None), weights, 0.0)
    assert not torch.allclose(ours.network.grad, plain, rtol=1e-2)
    obs, batch = table.pick(rows)
    out = ours.network.network.policy_out(obs).detach().requires_grad_()
    loss, _ = policy_loss(ours.network.head, out, torch.zeros(3), batch, weights)
    (wanted,) = torch.autograd.grad(loss, (out,))
    found = policy_gradients(ours.network.head, out.detach(), torch.zeros(3), batch, weights)[1]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


def continuous_table(rows: int, seed: int = 0) -> Transitions:
    """Rows of 7 observations, 2 raw actions far and near, and 2 critics."""
    g = torch.Generator().manual_seed(seed)
    columns = torch.randn(6, rows, generator=g)
    columns[:2] *= 2
    columns[2] = columns[2] * 0.3 - 2.5
    return Transitions(torch.randn(rows, 7, generator=g), columns, 2, False, 2, single=False)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("pull", [0.0, 0.3])
@pytest.mark.parametrize("size", [1, 161, 2_500])
def test_gaussians_have_the_gradients_of_the_loss(size: int, pull: float, shared: bool) -> None:
    """Of means and log standard deviations, near to a reference or without one."""
    table, rows = continuous_table(3_000), torch.randperm(3_000)[:size]
    if pull:
        means = torch.randn(2, 3_000, generator=torch.Generator().manual_seed(5))
        away = torch.tensor([-0.4, 0.2])
        columns = torch.cat([table.columns, means])
        table = replace(table, columns=columns, reference_log_std=away)
    weights = replace(WEIGHTS, reference_kl=pull)
    network = ActorCritic(7, 2, 2, (16, 12), False, shared=shared)
    network.log_std.data = torch.tensor([-0.7, 0.1])
    ours, theirs = both(network, PPOConfig(max_gradient_norm=1e9))
    stats = [x.step(rows, table, weights, 0.0) for x in (ours, theirs)]
    torch.testing.assert_close(*stats, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.network.grad, theirs.network.grad, rtol=1e-3, atol=2e-6)
    assert float(ours.network.log_std_grad.abs().min()) > 0


def test_an_epoch_of_gaussians_is_its_steps() -> None:
    table, order = continuous_table(500), torch.randperm(500)
    ours, theirs = both(ActorCritic(7, 2, 2, (16, 12), False), PPOConfig())
    stats = [x.epoch(order, 60, table, WEIGHTS, 1e-3) for x in (ours, theirs)]
    torch.testing.assert_close(*stats, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.network.data, theirs.network.data, rtol=1e-4, atol=2e-5)


def test_threads_change_nothing() -> None:
    table, rows = random_table(6_000), torch.randperm(6_000)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            learner = both(network_of(), PPOConfig())[0]
            with learner.threads():
                assert torch.get_num_threads() == 1
                stats = learner.step(rows, table, WEIGHTS, 1e-3)
            assert torch.get_num_threads() == threads
            found.append((stats, learner.network.data.clone()))
        finally:
            torch.set_num_threads(before)
    for stats, data in found[1:]:
        assert torch.equal(stats, found[0][0])
        assert torch.equal(data, found[0][1])


@pytest.mark.parametrize("limit", [0.05, 1e9])
def test_an_epoch_is_its_steps_with_the_optimisers(limit: float) -> None:
    network, table = network_of(), random_table(500)
    g = torch.Generator().manual_seed(3)
    ours, theirs = both(network, PPOConfig(max_gradient_norm=limit))
    for rate in (1e-3, 5e-4):
        order = torch.randperm(500, generator=g)
        stats = [x.epoch(order, 60, table, WEIGHTS, rate) for x in (ours, theirs)]
        torch.testing.assert_close(*stats, rtol=1e-3, atol=1e-5)
    assert float(ours.adam.count) == 2 * 8
    torch.testing.assert_close(ours.network.data, theirs.network.data, rtol=1e-4, atol=2e-5)
    for name, value in ours.adam.state().items():
        torch.testing.assert_close(value, theirs.adam.state()[name], rtol=1e-3, atol=1e-5)
    trained = ours.network.network
    assert not torch.equal(trained.actor[0].weight, network.actor[0].weight)


def test_an_epoch_skips_gradients_that_are_not_finite() -> None:
    learner, table = both(network_of(), PPOConfig())[0], random_table(400)
    table.columns[2, 5] = torch.nan  # an advantage of the first minibatch
    before = learner.network.data.clone()
    stats = learner.epoch(torch.arange(200), 200, table, WEIGHTS, 1e-3)
    assert stats[STATISTICS.index("bad_gradients")] == 1.0
    assert bool(stats.isfinite().all())
    assert torch.equal(learner.network.data, before)
    stats = learner.epoch(torch.arange(400), 200, table, WEIGHTS, 1e-3)
    assert stats[STATISTICS.index("bad_gradients")] == 1.0
    assert bool(stats.isfinite().all())
    assert not torch.equal(learner.network.data, before)
    assert float(learner.adam.count) == 1.0


def test_the_kernels_tanh_is_tanh() -> None:
    from numba import njit

    from tradinghf.learning.ppo._tanh_kernel import tanh

    kernels = njit(lambda x: tanh(x))
    xs = torch.cat([torch.linspace(-12, 12, 4_001), torch.tensor([0.0, 1e-30, -1e-4])])
    found = torch.tensor([float(kernels(x)) for x in xs.numpy()], dtype=torch.float64)
    assert float((found - xs.double().tanh()).abs().max()) < 3e-7
    assert math.isnan(kernels(np.float32("nan")))


def test_the_products_use_one_thread_while_shares_are_dealt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: list[list[int]] = []
    learner, table = both(network_of(), PPOConfig())[0], random_table(4_000)
    share: Callable[..., None] = Team.share

    def watched(self: Team, *arguments: Any) -> None:
        counts.append([library.get_num_threads() for library in blas().lib_controllers])
        share(self, *arguments)

    monkeypatch.setattr(Team, "share", watched)
    before = [library.get_num_threads() for library in blas().lib_controllers]
    with learner.threads():
        learner.epoch(torch.arange(4_000), 4_000, table, WEIGHTS, 1e-3)
    assert counts == [[1] * len(before)]
    assert [library.get_num_threads() for library in blas().lib_controllers] == before


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rows", [1, 255, 257, 2_500])
def test_acting_through_the_kernel_is_acting(rows: int, shared: bool) -> None:
    packed = PackedActorCritic(network_of(shared=shared))
    obs, copy = torch.randn(rows, 7), torch.empty(rows, 7)
    out, values = CompiledForward(packed)(obs, copy)
    torch.testing.assert_close(out, packed.policy_out(obs), rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(values, packed.value_out(obs), rtol=1e-5, atol=2e-6)
    assert torch.equal(copy, obs)


def test_threads_change_nothing_in_acting() -> None:
    forward, obs = CompiledForward(PackedActorCritic(network_of())), torch.randn(9_000, 7)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            with forward.products():
                found.append(forward(obs))
        finally:
            torch.set_num_threads(before)
    for out, values in found[1:]:
        assert torch.equal(out, found[0][0])
        assert torch.equal(values, found[0][1])


def test_acting_follows_the_weights() -> None:
    packed, obs = PackedActorCritic(network_of()), torch.randn(300, 7)
    forward = forward_of(packed)
    assert forward is not None
    before = forward(obs)[0].clone()
    packed.data += 0.1
    assert not torch.equal(forward(obs)[0], before)


def test_without_a_matrix_unit_bfloat16_is_left_to_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_compiled", "_forward"):
        monkeypatch.setattr(f"tradinghf.learning.ppo.{module}.has_matrix_unit", lambda: False)
    half, config = PackedActorCritic(network_of(), "bfloat16"), PPOConfig(precision="bfloat16")
    assert forward_of(half) is None
    assert type(update_of(half, config, ALONE)) is Update
