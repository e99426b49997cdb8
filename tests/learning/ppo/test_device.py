"""PPO on a GPU that is not there: an iteration never waits, and its numbers are a CPU's."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.learning import taught
from support.pretended_device import PretendedDevice

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig, RewardConfig
from tradinghf.learning.ppo import PPO, Stream, learned_stream, sparse_pnl
from tradinghf.learning.ppo import _graphs as recording
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=300, assets=3)
TASK = EnvConfig(horizon=12, lookback=8)
BOOK = replace(TASK, portfolio=True)
LEARNED = taught(RewardConfig(learned=0.0))
SMALL = PPOConfig(hidden=(8, 8), minibatches=2, epochs=2)
CASES = {
    "discrete": (TASK, SMALL),
    "shared body, bootstrapped": (TASK, replace(SMALL, shared=True, bootstrap=True)),
    "gaussian": (replace(TASK, actions="continuous"), SMALL),
    "beta": (replace(TASK, actions="continuous"), replace(SMALL, head="beta")),
    "attention": (TASK, replace(SMALL, network="attention")),
    "bfloat16": (TASK, replace(SMALL, precision="bfloat16")),
    "by index": (replace(TASK, observation="index"), SMALL),
    "portfolio": (replace(BOOK, actions="continuous"), SMALL),
    "portfolio of levels": (BOOK, SMALL),
    "portfolio, one network": (
        replace(BOOK, actions="continuous"),
        replace(SMALL, network="mlp"),
    ),
    "towards a reference": (TASK, replace(SMALL, reference_kl=0.1)),
}


def _agent(task: EnvConfig, config: PPOConfig, **options: Any) -> PPO:
    env = MarketEnv(MARKET, num_envs=6, config=task, **options)
    streams = {
        "learned": Stream(learned_stream(copy.deepcopy(LEARNED))),
        "pnl": Stream(sparse_pnl, 0.5),
    }
    agent = PPO(env, streams, config, seed=3)
    if config.reference_kl:
        agent.freeze_reference()
    return agent


@pytest.mark.parametrize("name", CASES)
def test_an_iteration_on_the_device_waits_for_nothing(name: str) -> None:
    task, config = CASES[name]
    expected = _agent(task, config, engine="tensor")
    metrics = expected.train(3)
    with PretendedDevice() as gpu:
        agent = _agent(task, config, device="cuda")
        found = agent.train(1, total=3)
        with gpu.iteration():
            rows = [agent._iterate(0.5), agent._iterate(1.0)]
        found += agent._read(rows)
        assert all(gpu.holds(p) for p in agent.network.parameters())
        weights = [p.detach().cpu() for p in agent.network.parameters()]
    for ours, theirs in zip(found, metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5), name
    for mine, other in zip(weights, expected.network.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-3, atol=1e-4)


def test_what_is_recorded_neither_waits_nor_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    with PretendedDevice() as gpu:

        def record(device: torch.device, function: Any) -> Any:
            assert device.type == "cuda"
            with gpu.recording():
                return recording.call_again(function)

        monkeypatch.setattr(recording, "_capture", record)
        agent = _agent(TASK, replace(SMALL, graphs=True), device="cuda")
        found = agent.train(2)
    expected = _agent(TASK, SMALL, engine="tensor").train(2)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
