"""Products in bfloat16 on the processor's matrix unit, against the same roundings in float64."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import numpy as np
import pytest
import torch
from learning.ppo.test_compiled import WEIGHTS, network_of, random_table
from numba import njit
from support.half import carried, expected
from torch import nn

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.learning.ppo._compiled import CompiledUpdate, HalfUpdate
from tradinghf.learning.ppo._forward import CompiledForward, forward_of
from tradinghf.learning.ppo._matrix_unit import configure, product, release, tile_shapes
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._update import STATISTICS, Update
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv
from tradinghf.workers import has_matrix_unit

pytestmark = pytest.mark.skipif(
    not has_matrix_unit(), reason="this processor has no matrix unit for bfloat16 (AMX)"
)
_TILES = tile_shapes()
HALF = PPOConfig(max_gradient_norm=1e9, precision="bfloat16")


@njit
def multiply(a: Any, b: Any, c: Any, add: Any) -> None:
    """`product`, in a thread that gets the unit ready first."""
    configure(_TILES)
    product(a, b, c, add)
    release()


def both(network: ActorCritic) -> tuple[HalfUpdate, Update]:
    """The same training on the matrix unit, and by tensors in float32."""
    half = PackedActorCritic(copy.deepcopy(network), "bfloat16")
    return HalfUpdate(half, HALF), Update(PackedActorCritic(copy.deepcopy(network)), HALF)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("size", [1, 31, 161, 1_000, 9_000])
def test_gradients_are_those_of_the_same_roundings(size: int, shared: bool) -> None:
    """Of one row, of rests of blocks, and of several shares; layers that fill no tile."""
    g = torch.Generator().manual_seed(size)
    table, rows = random_table(10_000), torch.randperm(10_000, generator=g)[:size]
    network = network_of((40, 12), shared=shared)
    ours, single = both(network)
    stats = [x.step(rows, table, WEIGHTS, 0.0) for x in (ours, single)]
    torch.testing.assert_close(stats[0][:5], stats[1][:5], rtol=0.03, atol=0.02)
    wanted, packed = expected(network, *table.pick(rows), WEIGHTS), ours.network
    for name, grad in wanted.items():
        found = packed.view(packed.grad, name)
        assert float((found - grad).norm()) <= 3e-3 * float(grad.norm()) + 1e-7, name
    apart = float((packed.grad - single.network.grad).norm() / single.network.grad.norm())
    assert 1e-5 < apart < 0.5  # and not by chance those of float32


def test_threads_change_nothing() -> None:
    table, rows = random_table(17_000), torch.randperm(17_000)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            learner = both(network_of())[0]
            with learner.threads():
                learner.step(rows, table, WEIGHTS, 1e-3)
            found.append(learner.network.data.clone())
        finally:
            torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_an_epoch_is_its_steps() -> None:
    """One call for all minibatches, against a call for each and Adam by tensors."""
    table, order = random_table(500), torch.randperm(500)
    ours, again = (both(network_of())[0] for _ in range(2))
    stats = ours.epoch(order, 60, table, WEIGHTS, 1e-3)
    steps = [again.step(rows, table, WEIGHTS, 1e-3) for rows in order[:480].split(60)]
    torch.testing.assert_close(stats, torch.stack(steps).sum(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.network.data, again.network.data, rtol=1e-4, atol=1e-5)


def test_gradients_that_are_not_finite_are_skipped() -> None:
    learner, table = both(network_of())[0], random_table(400)
    table.columns[2, 5] = torch.nan
    before = learner.network.data.clone()
    stats = learner.epoch(torch.arange(200), 200, table, WEIGHTS, 1e-3)
    assert stats[STATISTICS.index("bad_gradients")] == 1.0
    assert torch.equal(learner.network.data, before)
    nan = random_table(400)
    nan.obs[7] = torch.nan
    stats = learner.epoch(torch.arange(200), 200, nan, WEIGHTS, 1e-3)
    assert stats[STATISTICS.index("bad_gradients")] == 1.0
    assert torch.equal(learner.network.data, before)


@pytest.mark.parametrize("count", [1, 255, 700])
def test_acting_gives_the_outputs_of_the_same_roundings(count: int) -> None:
    network = network_of(shared=True)
    forward = forward_of(PackedActorCritic(copy.deepcopy(network), "bfloat16"))
    assert isinstance(forward, CompiledForward)
    obs = torch.randn(count, 7, generator=torch.Generator().manual_seed(2))
    copied = torch.empty_like(obs)
    with torch.no_grad():
        out, values = forward(obs, copied)
        trunk, actor, critic = (
            [m for m in part.children() if isinstance(m, nn.Linear)]
            for part in (network.trunk, network.actor, network.critic)
        )
        features = carried(trunk, obs, tanh_last=True)[-1]
        wanted = [carried(part, features, tanh_last=False)[-1] for part in (actor, critic)]
    assert torch.equal(copied, obs)
    for found, right in zip((out, values), wanted, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(("m", "k", "n"), [(32, 32, 32), (160, 96, 64), (64, 160, 32)])
def test_products_and_turns_are_exact(m: int, k: int, n: int) -> None:
    """Small whole numbers are exact in bfloat16."""
    from tradinghf.learning.ppo import _matrix_unit as unit

    g = np.random.default_rng(0)
    a, b = g.integers(-8, 9, (m, k)), g.integers(-8, 9, (k, n))

    def narrow(x: Any) -> Any:
        return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint32)

    pairs = np.ascontiguousarray(narrow(b)[::2] | (narrow(b)[1::2] << 16)).astype(np.uint32)
    out = np.ones((m, n), np.float32)
    multiply(narrow(a).astype(np.uint16), pairs, out, True)
    assert np.array_equal(out, a @ b + 1)
    multiply(narrow(a).astype(np.uint16), pairs, out, False)
    assert np.array_equal(out, a @ b)
    turned = np.empty((n, k // 2), np.uint32)
    unit.transpose(pairs, turned)
    assert np.array_equal(turned, pairs.T)


@pytest.mark.slow
def test_what_is_learned_is_what_float32_learns() -> None:
    """On a market that trends, over seeds: the same profit, within what seeds differ by."""
    market, found = synthetic(seed=0, bars=2_048, assets=4), {}
    for precision in ("float32", "bfloat16"):
        profits = []
        for seed in range(4):
            env = MarketEnv(market, num_envs=128, seed=seed)
            config = PPOConfig(precision=precision)
            agent = PPO(env, {"env": Stream(env_reward)}, config, seed=seed)
            assert isinstance(agent._update, CompiledUpdate)
            rows = agent.train(40)
            profits.append(statistics.mean(row["pnl"] for row in rows[-5:]))
            assert statistics.mean(row["pnl"] for row in rows[:3]) < profits[-1]
        found[precision] = profits
    spread = max(statistics.stdev(profits) for profits in found.values())
    means = [statistics.mean(profits) for profits in found.values()]
    assert abs(means[0] - means[1]) <= 2 * spread
