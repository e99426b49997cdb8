"""PPO's Triton kernels, in Triton's interpreter, against the functions that they stand for."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.half import expected
from support.learning import table_of
from support.triton_interpreter import interpreted

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import PPO, Stream, env_reward, sparse_pnl
from tradinghf.learning.ppo._fused import TritonAdam, triton_discounted
from tradinghf.learning.ppo._fused_update import FusedUpdate
from tradinghf.learning.ppo._gae import discounted
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Minibatch
from tradinghf.learning.ppo._update import Adam, LossWeights, Update
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.extra("triton")
@pytest.mark.parametrize("shape", [(1, 1), (7, 130), (33, 5, 2), (64, 128)])
def test_sums_are_those_of_a_loop(shape: tuple[int, ...]) -> None:
    values, decay = (torch.rand(shape, generator=GENERATOR) for _ in range(2))
    expected, y = torch.empty_like(values), torch.zeros(shape[1:])
    for t in reversed(range(len(values))):
        expected[t] = y = values[t] + decay[t] * y
    with interpreted():
        found = triton_discounted(values, decay)
    assert torch.equal(found, expected)
    torch.testing.assert_close(found, discounted(values, decay))


@pytest.mark.extra("triton")
@pytest.mark.parametrize("size", [5, 4096, 9001])
def test_a_step_of_adam_is_torchs(size: int) -> None:
    start = torch.randn(size, generator=GENERATOR)
    both = [kind(start.clone(), torch.zeros(size), limit=0.5) for kind in (Adam, TritonAdam)]
    for step in range(6):
        grad = torch.randn(size, generator=GENERATOR) * 10.0 ** (step - 4)
        if step == 3:
            grad[size // 2] = torch.nan if size % 2 else torch.inf
        for adam in both:
            adam.grad.copy_(grad)
        with interpreted():
            skipped = [float(adam.step(1e-3 / (step + 1))) for adam in both]
        assert skipped == [float(step == 3)] * 2
        assert both[0].count == both[1].count
        for name in ("data", "mean", "square", "norm"):
            ours, theirs = getattr(both[1], name), getattr(both[0], name)
            torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=1e-7, equal_nan=True)
    assert not torch.equal(both[1].data, start)


@pytest.mark.extra("triton")
@pytest.mark.parametrize(
    ("shared", "hidden", "seen", "levels", "critics", "count"),
    [
        (True, (64, 64), 33, 3, 2, 150),
        (False, (64, 64), 20, 3, 1, 64),
        (False, (5, 20), 70, 16, 3, 1),
        (True, (17, 8), 7, 2, 1, 131),
    ],
)
def test_a_minibatchs_gradient_is_that_of_the_tensors(
    shared: bool, hidden: tuple[int, ...], seen: int, levels: int, critics: int, count: int
) -> None:
    """Rows in any order, twice too, and numbers of them that fill no block."""
    torch.manual_seed(0)
    network = ActorCritic(seen, levels, critics, hidden, True, shared)
    config = PPOConfig(hidden=hidden, shared=shared)
    with torch.no_grad():  # as after some training: the last layers of a fresh one are small
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    packed = PackedActorCritic(network)
    batch = Minibatch(
        actions=torch.randint(levels, (200,)),
        log_prob=-torch.rand(200) * 2,
        advantage=torch.randn(200),
        target=torch.randn(200, critics),
    )
    table = table_of(torch.randn(200, seen), batch)
    weights = LossWeights(0.2, 0.5, torch.tensor(0.01, dtype=torch.float64))
    rows, found = torch.randint(200, (count,)), []
    with interpreted():
        for kind in (Update, FusedUpdate):
            packed.grad.fill_(7.0)
            packed.log_std_grad.zero_()  # which levels do not have
            stats = kind(packed, config).gradients(rows, table, weights)
            found.append((stats, packed.grad.clone()))
    (stats, grad), (own_stats, own_grad) = found
    torch.testing.assert_close(own_stats, stats, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(own_grad, grad, rtol=1e-4, atol=1e-6)
    assert grad.abs().max() > 0.01
    table.columns[2, rows[0]] = torch.nan  # of an advantage: the optimiser is to see it
    with interpreted():
        FusedUpdate(packed, config).gradients(rows, table, weights)
    assert not packed.grad.isfinite().all()


@pytest.mark.extra("triton")
@pytest.mark.parametrize(
    ("shared", "hidden", "count"), [(True, (17, 8), 131), (False, (64, 20), 60)]
)
def test_a_gradient_in_bfloat16_is_that_of_the_same_roundings(
    shared: bool, hidden: tuple[int, ...], count: int
) -> None:
    """Against float64 with the roundings of what products read."""
    torch.manual_seed(1)
    network = ActorCritic(33, 3, 2, hidden, True, shared)
    config = PPOConfig(hidden=hidden, shared=shared, precision="bfloat16")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    batch = Minibatch(
        actions=torch.randint(3, (200,)),
        log_prob=-torch.rand(200) * 2,
        advantage=torch.randn(200),
        target=torch.randn(200, 2),
    )
    table, rows = table_of(torch.randn(200, 33), batch), torch.randint(200, (count,))
    weights = LossWeights(0.2, 0.5, 0.01)
    single = PackedActorCritic(copy.deepcopy(network))
    Update(single, PPOConfig(hidden=hidden, shared=shared)).gradients(rows, table, weights)
    packed = PackedActorCritic(copy.deepcopy(network), "bfloat16")
    with interpreted():
        FusedUpdate(packed, config).gradients(rows, table, weights)
    for name, grad in expected(network, *table.pick(rows), weights).items():
        found = packed.view(packed.grad, name)
        assert float((found - grad).norm()) <= 3e-3 * float(grad.norm()) + 1e-7, name
    apart = float((packed.grad - single.grad).norm() / single.grad.norm())
    assert 1e-4 < apart < 0.1  # and not by chance those of float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("precision", "products", "apart"),
    [("float32", "highest", 1e-4), ("float32", "high", 1e-2), ("bfloat16", "high", 5e-2)],
)
@pytest.mark.parametrize("hidden", [(64, 64), (17, 8), (128, 128)])
def test_gradients_of_every_precision_are_those_of_the_tensors_on_a_gpu(
    hidden: tuple[int, ...], precision: Any, products: str, apart: float
) -> None:
    """By the norm of each parameter's, of which TF32 keeps ten bits and bfloat16 eight."""
    torch.manual_seed(0)
    network = ActorCritic(70, 3, 2, hidden, True, True).cuda()
    batch = Minibatch(
        actions=torch.randint(3, (900,)).cuda(),
        log_prob=-torch.rand(900).cuda() * 2,
        advantage=torch.randn(900).cuda(),
        target=torch.randn(900, 2).cuda(),
    )
    table, rows = table_of(torch.randn(900, 70).cuda(), batch), torch.randperm(900).cuda()[:777]
    weights, config = LossWeights(0.2, 0.5, 0.01), PPOConfig(hidden=hidden, shared=True)
    single = PackedActorCritic(copy.deepcopy(network))
    Update(single, config).gradients(rows, table, weights)
    packed = PackedActorCritic(copy.deepcopy(network), precision)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(products)
    try:
        FusedUpdate(packed, replace(config, precision=precision)).gradients(rows, table, weights)
    finally:
        torch.set_float32_matmul_precision(before)
    for name, _ in network.named_parameters():
        found, grad = (x.view(x.grad, name) for x in (packed, single))
        assert float((found - grad).norm()) <= apart * float(grad.norm()) + 1e-6, name


@pytest.mark.extra("triton")
def test_a_training_by_all_kernels_in_a_recorded_iteration_learns_the_same() -> None:
    market, found = synthetic(seed=0, bars=200, assets=2), []
    streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl)}
    base = PPOConfig(hidden=(8, 8), minibatches=2, epochs=1)
    with interpreted():
        for fused in (False, True):
            env = MarketEnv(
                market,
                num_envs=5,
                config=EnvConfig(horizon=7, lookback=3),
                engine="triton" if fused else "tensor",
            )
            config = replace(base, graphs="iteration", kernels="triton") if fused else base
            agent = PPO(env, streams, config, seed=1)
            assert isinstance(agent._update, FusedUpdate) == fused
            if not fused:
                agent._update = Update(agent._packed, config)
            found.append((agent.train(3), agent._packed.data.clone()))
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(found[1][0], found[0][0], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)


def test_kernels_without_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradinghf._triton.find_spec", lambda name: name)
    env = MarketEnv(synthetic(seed=0, bars=100, assets=1), num_envs=2)
    with pytest.raises(ConfigError, match=r"kernels='triton'.*needs a CUDA device"):
        PPO(env, {"env": Stream(env_reward)}, PPOConfig(kernels="triton"))
