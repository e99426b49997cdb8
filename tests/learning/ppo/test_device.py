"""PPO on a GPU that is not there: an iteration never waits, and its numbers are a CPU's."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from support.learning import taught
from support.pretended_device import DeviceError, PretendedDevice

from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig, RewardConfig
from tradinghf.learning.ppo import PPO, Stream, learned_stream, sparse_pnl
from tradinghf.learning.ppo import _graphs as recording
from tradinghf.learning.ppo._schedule import StepRates
from tradinghf.learning.reward import PlainReward, RewardModel, TradePaths
from tradinghf.learning.reward._tastes import _weights_on
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=300, assets=3)
TASK = EnvConfig(horizon=12, lookback=8)
BOOK = replace(TASK, portfolio=True)
LEARNED = taught(RewardModel(RewardConfig(learned=0.0)))
SMALL = PPOConfig(hidden=(8, 8), minibatches=2, epochs=2)
CASES = {
    "discrete": (TASK, SMALL),
    "shared body, bootstrapped": (TASK, replace(SMALL, shared=True, bootstrap=True)),
    "gaussian": (replace(TASK, actions="continuous"), SMALL),
    "beta": (replace(TASK, actions="continuous"), replace(SMALL, head="beta")),
    "attention": (TASK, replace(SMALL, network="attention")),
    "attention, beta": (
        replace(TASK, actions="continuous"),
        replace(SMALL, network="attention", head="beta", shared=True),
    ),
    "bfloat16": (TASK, replace(SMALL, precision="bfloat16")),
    "by index": (replace(TASK, observation="index"), SMALL),
    "portfolio": (replace(BOOK, actions="continuous"), SMALL),
    "portfolio, beta": (replace(BOOK, actions="continuous"), replace(SMALL, head="beta")),
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
        rates = [StepRates.at(config, share) for share in (0.5, 1.0)]
        with gpu.iteration():
            rows = [(each, agent._iterate(each)) for each in rates]
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


def _draws(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rand_like(x)


def _pins_memory(x: torch.Tensor) -> torch.Tensor:
    return x * torch.ones(()).pin_memory().item()


def _synchronises(x: torch.Tensor) -> torch.Tensor:
    torch.cuda.synchronize()
    return x


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (_draws, "draws random numbers"),
        (_pins_memory, "allocates memory of the host"),
        (_synchronises, "waits for the device"),
        (lambda x: x * float(x.sum()), "waits for the device"),
        (lambda x: x - x[x > 0].mean(), "index by a mask"),
        (lambda x: x * torch.ones(x.shape), "two devices"),
        (lambda x: x * torch.tensor(2.0, device=x.device), "copies ordinary memory"),
    ],
)
def test_faults_planted_in_what_is_recorded_are_found(function: Any, fault: str) -> None:
    with PretendedDevice() as gpu:
        given = torch.ones(3, device="cuda")
        with gpu.recording(), pytest.raises(DeviceError, match=fault):
            function(given)


@pytest.mark.parametrize("learn", [taught, lambda: taught(PlainReward())], ids=["terms", "network"])
def test_what_was_learned_pays_on_the_device(learn: Any) -> None:
    """Fits run where the answers are, on the host; what they found pays for every iteration."""
    model, agent = learn(), _agent(TASK, SMALL, engine="tensor")
    paths = agent._act(torch.Generator().manual_seed(0)).paths()
    expected = model.rewards(paths)
    _weights_on.cache_clear()  # of another device that was not there
    with PretendedDevice() as gpu:
        given = {f.name: getattr(paths, f.name) for f in fields(paths)}
        there = TradePaths(**{k: v.to("cuda") for k, v in given.items() if v is not None})
        model.rewards(there)  # what it knows is copied once
        with gpu.iteration():
            found = model.rewards(there)
        assert gpu.holds(found)
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-6)
    _weights_on.cache_clear()
