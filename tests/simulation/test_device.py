"""Environments on a GPU that is not there: no mix of devices, no waiting, a CPU's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.engines import same
from support.every_setting import SETTINGS, covering, make_env
from support.pretended_device import DeviceError, PretendedDevice

from tradinghf.config import Allocation, EnvConfig
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, Transition

MARKET = synthetic(seed=0, bars=200, assets=3)
STEPS = 6  # beyond the end of an episode


def _weights(env: MarketEnv, seed: int) -> torch.Tensor:
    """[STEPS, N(, A)] target weights, some absent, some too many."""
    rng = np.random.default_rng(seed)
    book = (env.market.assets,) if env.config.portfolio else ()
    weights = rng.uniform(-1.5, 1.5, (STEPS, env.num_envs, *book))
    weights[rng.random(weights.shape) < 0.3] = np.nan
    return torch.as_tensor(weights, dtype=torch.float32)


def _told(env: MarketEnv, weights: torch.Tensor, seed: int) -> list[Any]:
    told: list[Any] = [env.reset(seed=seed)]
    told += [env.step_weights(row) for row in weights.unbind()]
    return [*told, env.state]


def test_every_setting_steps_on_the_device_without_waiting() -> None:
    rows = covering(1)[:14]  # every value of every setting, and most pairs of them
    assert all({str(row[k]) for row in rows} == set(map(str, v)) for k, v in SETTINGS.items())
    for seed, row in enumerate(rows):
        expected = make_env(row, 4, seed, horizon=4, engine="tensor")
        weights = _weights(expected, seed)
        with PretendedDevice() as gpu:
            env = make_env(row, 4, seed, horizon=4, device="cuda")
            env.reset(seed=seed)
            env.step_weights(weights[0].to(env.device))  # the first rewards are looked at
            there = weights.to(env.device)
            try:
                with gpu.iteration():
                    told = _told(env, there, seed)
            except DeviceError as fault:
                raise AssertionError(f"{row}: {fault}") from fault
            assert all(gpu.holds(x) for x in told[-2][:4] if isinstance(x, torch.Tensor))
        same(tuple(told), tuple(_told(expected, weights, seed)))


@pytest.mark.parametrize(
    ("config", "actions"),
    [
        (EnvConfig(horizon=4, lookback=4), torch.tensor([0, 1, 2])),
        (EnvConfig(horizon=4, lookback=4, rebalance=False), torch.tensor([0, 1, 2])),
        (EnvConfig(horizon=4, lookback=4, actions="continuous"), torch.tensor([-1.0, 0.5, 1.0])),
        (
            EnvConfig(horizon=4, lookback=4, actions="continuous", portfolio=True),
            torch.tensor([[-1.0, 0.5, 1.0]] * 3),
        ),
        (
            EnvConfig(
                horizon=4,
                lookback=4,
                actions="continuous",
                portfolio=True,
                allocation=Allocation(net=0.0, most=0.4, band=0.05, names=2),
            ),
            torch.tensor([[-1.0, 0.5, 1.0]] * 3),
        ),
        (EnvConfig(horizon=4, lookback=4, portfolio=True), torch.tensor([[0, 1, 2]] * 3)),
    ],
)
def test_every_kind_of_action_is_read_on_the_device(config: EnvConfig, actions: Any) -> None:
    expected = MarketEnv(MARKET, num_envs=3, config=config, engine="tensor")
    told = [expected.reset(seed=5), *(expected.step(actions) for _ in range(STEPS))]
    with PretendedDevice() as gpu:
        env = MarketEnv(MARKET, num_envs=3, config=config, device="cuda")
        env.reset(seed=5)
        there = actions.to(env.device)
        env.step(there)
        with gpu.iteration():
            found = [env.reset(seed=5), *(env.step(there) for _ in range(STEPS))]
    same(tuple(found), tuple(told))


def test_a_base_is_modulated_on_the_device() -> None:
    config = EnvConfig(horizon=4, lookback=4)
    base = "sma_cross:fast=3,slow=8"
    expected = MarketEnv(MARKET, num_envs=3, config=config, base=base, engine="tensor")
    actions = torch.tensor([0, 1, 0])
    told = [expected.reset(seed=5), *(expected.step(actions) for _ in range(STEPS))]
    with PretendedDevice() as gpu:
        env = MarketEnv(MARKET, num_envs=3, config=config, base=base, device="cuda")
        env.reset(seed=5)
        there = actions.to(env.device)
        env.step(there)
        with gpu.iteration():
            found = [env.reset(seed=5), *(env.step(there) for _ in range(STEPS))]
    same(tuple(found), tuple(told))


def _reads_a_value(now: Transition) -> torch.Tensor:
    return now.equity * (2.0 if float(now.equity[0]) > 0 else 1.0)


def _picks_by_a_mask(now: Transition) -> torch.Tensor:
    return now.equity + now.equity[now.equity > 0].mean()


def _mixes_devices(now: Transition) -> torch.Tensor:
    return now.equity * torch.ones(now.equity.shape)


def _sends_a_list(now: Transition) -> torch.Tensor:
    return now.equity * torch.tensor([1.0, 2.0], device=now.equity.device)[0]


@pytest.mark.parametrize(
    ("reward", "fault"),
    [
        (_reads_a_value, "waits for the device"),
        (_picks_by_a_mask, "index by a mask"),
        (_mixes_devices, "two devices"),
        (_sends_a_list, "copies ordinary memory"),
    ],
)
def test_planted_faults_are_found(reward: Callable[..., torch.Tensor], fault: str) -> None:
    with PretendedDevice() as gpu:
        env = MarketEnv(MARKET, num_envs=3, device="cuda", reward=reward)
        env.reset(seed=0)
        actions = torch.zeros(3, dtype=torch.long, device="cuda")
        if reward is not _mixes_devices:
            env.step(actions)
        with gpu.iteration(), pytest.raises(DeviceError, match=fault):
            env.step(actions)
