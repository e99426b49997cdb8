"""Advantages and discounted sums against loops."""

from __future__ import annotations

import pytest
import torch

from tradinghf.learning.ppo._gae import discounted, gae


@pytest.mark.parametrize("length", [1, 2, 3, 64, 100])
def test_discounted_sums_equal_the_loop(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    values = torch.randn(length, 3, 2, generator=generator, dtype=torch.float64)
    decay = torch.rand(length, 3, 2, generator=generator, dtype=torch.float64)
    decay[torch.rand(length, 3, 2, generator=generator) < 0.2] = 0
    expected, running = torch.empty_like(values), torch.zeros(3, 2, dtype=torch.float64)
    for t in reversed(range(length)):
        running = values[t] + decay[t] * running
        expected[t] = running
    before = values.clone(), decay.clone()
    torch.testing.assert_close(discounted(values, decay), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(values, before[0])
    assert torch.equal(decay, before[1])


def test_gae_in_single_precision_stays_close_to_double() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(64, 50, generator=generator, dtype=torch.float64) for _ in range(3)]
    done = torch.rand(64, 50, generator=generator) < 0.05
    exact = gae(*parts, done, done, gamma=1.0, lam=0.95)
    single = gae(*(p.float() for p in parts), done, done, gamma=1.0, lam=0.95)
    assert float((single - exact).abs().max()) < 1e-5


def test_gae_equals_the_definition_with_random_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    steps, envs, gamma, lam = 17, 5, 0.97, 0.9
    rewards, values, following = (
        torch.randn(steps, envs, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    terminated = torch.rand(steps, envs, generator=generator) < 0.1
    done = terminated | (torch.rand(steps, envs, generator=generator) < 0.1)
    got = gae(rewards, values, following, terminated, done, gamma=gamma, lam=lam)
    for env in range(envs):
        for start in range(steps):
            total, weight = 0.0, 1.0
            for t in range(start, steps):
                beyond = 0.0 if terminated[t, env] else float(following[t, env])
                delta = float(rewards[t, env]) + gamma * beyond - float(values[t, env])
                total += weight * delta
                if done[t, env]:
                    break
                weight *= gamma * lam
            assert float(got[start, env]) == pytest.approx(total, abs=1e-12)
