"""PPO's Triton kernels, in Triton's interpreter, against the functions that they stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.triton_interpreter import interpreted

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward, sparse_pnl
from tradinghf.learning.ppo._fused import TritonAdam, triton_discounted
from tradinghf.learning.ppo._gae import discounted
from tradinghf.learning.ppo._update import Adam, Update
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
def test_a_training_by_all_kernels_in_a_recorded_iteration_learns_the_same() -> None:
    market, found = synthetic(seed=0, bars=200, assets=2), []
    streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl)}
    base = PPOConfig(hidden=(8,), minibatches=2, epochs=1)
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
