"""PPO on a GPU that is not there: an iteration never waits, and its numbers are a CPU's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from support.learning import taught
from support.pretended_device import DeviceError, PretendedDevice

from tradinghf.config import Brackets, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.learning.config import PPOConfig, RewardConfig
from tradinghf.learning.ppo import PPO, Rollout, Stream, env_reward, learned_stream, sparse_pnl
from tradinghf.learning.ppo import _graphs as recording
from tradinghf.learning.ppo._schedule import StepRates
from tradinghf.learning.reward import PlainReward, RewardModel, TradePaths, _states
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._tastes import _weights_on
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=300, assets=3)
TASK = EnvConfig(horizon=12, lookback=8)
BOOK = replace(TASK, portfolio=True)
LEARNED = taught(RewardModel(RewardConfig(learned=0.0)))
SMALL = PPOConfig(hidden=(8, 8), minibatches=2, epochs=2)
BEGIN = StepRates.at(SMALL, 0.0)
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
    "portfolio of levels": (BOOK, replace(SMALL, shared=True)),
    "portfolio, one network": (
        replace(BOOK, actions="continuous"),
        replace(SMALL, network="mlp"),
    ),
    "towards a reference": (TASK, replace(SMALL, reference_kl=0.1)),
    "a memory": (TASK, replace(SMALL, network="gru")),
    "a memory of a portfolio, towards a reference": (
        replace(BOOK, actions="continuous"),
        replace(SMALL, network="gru", shared=True, reference_kl=0.1),
    ),
    "critics told the time": (replace(TASK, time_left=True), SMALL),
}
AUTOMATIC = {
    name
    for name, (task, config) in CASES.items()
    if config.network in ("attention", "gru") or (task.portfolio and config.network == "auto")
}
PARTS = 5
"""Bars of a rollout that is no whole episode: its critics tell the bars of the episode apart."""


@pytest.fixture(autouse=True)
def _no_matrix_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a processor has one, it rounds in other places than the tensors of a GPU."""
    for module in ("_compiled", "_forward"):
        monkeypatch.setattr(f"tradinghf.learning.ppo.{module}.has_matrix_unit", lambda: False)


def _agent(task: EnvConfig, config: PPOConfig, steps: int | None = None, **options: Any) -> PPO:
    env = MarketEnv(MARKET, num_envs=4, config=task, **options)
    streams = {
        "learned": Stream(learned_stream(copy.deepcopy(LEARNED))),
        "pnl": Stream(sparse_pnl, 0.5),
    }
    if steps is not None:  # the learned reward is of whole episodes
        streams = {"env": Stream(env_reward), "other": Stream(env_reward, 0.5)}
    agent = PPO(env, streams, config, steps=steps, seed=3)
    if config.reference_kl:
        agent.freeze_reference()
    return agent


@pytest.mark.parametrize(
    ("name", "steps"),
    [*((name, None) for name in CASES), *((name, PARTS) for name in ("discrete", "a memory"))],
)
def test_an_iteration_on_the_device_waits_for_nothing(name: str, steps: int | None) -> None:
    task, config = CASES[name]
    expected = _agent(task, config, steps, engine="tensor")
    assert expected._units.bars == (0 if config.bootstrap or task.time_left else TASK.horizon)
    metrics = expected.train(2)
    with PretendedDevice() as gpu:
        agent = _agent(task, config, steps, device="cuda")
        found, rates = agent.train(1, total=2), StepRates.at(config, 1.0)
        with gpu.iteration():
            row = agent._iterate(rates)
        found += agent._read([(rates, row)])
        assert all(gpu.holds(p) for p in agent.network.parameters())
        weights = [p.detach().cpu() for p in agent.network.parameters()]
    for ours, theirs in zip(found, metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5), name
    for mine, other in zip(weights, expected.network.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-3, atol=1e-4)


EVENTFUL = replace(
    TASK,
    fill="close",
    rules=TradingRules(lot=0.1, participation=0.3),
    margin=Margin(leverage=2.0, maintenance=0.3),
    brackets=Brackets(stop_loss=0.02, take_profit=0.03, trailing_stop=0.025),
    randomise=Randomisation(fee_bps=(0, 10), slippage_bps=(0, 5)),
)
SCHEDULES: dict[str, Any] = {
    "learning_rate": lambda left: 2e-3 * left,
    "clip": lambda left: 0.05 + 0.1 * left,
    "entropy": lambda left: 0.01 * left,
}
RECORDED = {
    **{name: CASES[name] for name in CASES if name not in AUTOMATIC},
    "stops, margin, lots, random costs": (EVENTFUL, SMALL),
    "modulates a base": (TASK, SMALL),
    "every rate changes": (TASK, replace(SMALL, **SCHEDULES)),
    "steps only": (TASK, replace(SMALL, graphs="step", **SCHEDULES)),
}


def _recording(monkeypatch: pytest.MonkeyPatch, gpu: PretendedDevice) -> list[int]:
    """Let what a GPU records run under the rules of a recording, every time that it is replayed."""
    replays = [0]

    def record(device: torch.device, function: Any) -> Any:
        assert device.type == "cuda"

        def strictly() -> Any:
            replays[0] += 1
            with gpu.recording():
                return function()

        return recording.call_again(strictly)

    monkeypatch.setattr(recording, "_capture", record)
    return replays


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_neither_waits_nor_draws(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iterations on one and the same memory learn what eager ones do: step sizes have 32 bits."""
    (task, config), found = RECORDED[name], []
    base = {"base": "sma_cross:fast=3,slow=8"} if "base" in name else {}
    with PretendedDevice() as gpu:
        replays = _recording(monkeypatch, gpu)
        kind: Any = "iteration" if config.graphs == "none" else config.graphs
        for graphs in ("none", kind):
            agent = _agent(task, replace(config, graphs=graphs), device="cuda", **base)
            rows = agent.train(3)
            found.append((rows, [p.detach().cpu() for p in agent.network.parameters()]))
    assert replays[0] == (3 if kind == "iteration" else 3 * 4 + 1)
    for ours, theirs in zip(found[1][0], found[0][0], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    for mine, other in zip(found[1][1], found[0][1], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def _reads_a_value(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards * (1.0 if float(rollout.rewards.sum()) > 0 else 2.0)


def _mixes_devices(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards * torch.ones(rollout.rewards.shape)


def _draws(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards * torch.rand_like(rollout.rewards)


def _depends_on_values(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards - rollout.rewards[rollout.rewards > 0].mean()


def _sends_numbers(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards * torch.tensor(2.0, device=rollout.rewards.device)


def _pins_memory(rollout: Rollout) -> torch.Tensor:
    return rollout.rewards * torch.ones(()).pin_memory().item()


def _synchronises(rollout: Rollout) -> torch.Tensor:
    torch.cuda.synchronize()
    return rollout.rewards


@pytest.mark.parametrize(
    ("reward", "fault"),
    [
        (_reads_a_value, "waits for the device"),
        (_mixes_devices, "two devices"),
        (_draws, "draws random numbers"),
        (_depends_on_values, "index by a mask"),
        (_sends_numbers, "copies ordinary memory"),
        (_pins_memory, "allocates memory of the host"),
        (_synchronises, "waits for the device"),
    ],
)
def test_faults_planted_in_what_is_recorded_are_found(
    reward: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PretendedDevice() as gpu:
        _recording(monkeypatch, gpu)
        env = MarketEnv(MARKET, num_envs=6, config=TASK, device="cuda")
        agent = PPO(env, {"own": Stream(env_reward)}, replace(SMALL, graphs="iteration"))
        agent._iterate(BEGIN)
        agent.streams = {"own": Stream(reward)}
        with pytest.raises(DeviceError, match=fault):
            agent._iterate(BEGIN)


@pytest.mark.parametrize(
    "learn",
    [taught, lambda: taught(PlainReward())],
    ids=["with learned features", "a network"],
)
def test_what_was_learned_pays_on_the_device(learn: Any) -> None:
    """Fits run where the answers are, on the host; what they found pays for every iteration."""
    model = learn()
    agent = _agent(TASK, SMALL, engine="tensor")
    paths = agent._act(agent._draws(BEGIN)).paths()
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


def _counted(portfolio: bool) -> dict[str, Callable[[TradePaths], torch.Tensor]]:
    """All that a term may count, and all states that it may depend on."""
    aspects = [*(ASPECTS[name] for name in ASPECTS), *_states.EVENTS.values()]
    found = {f"aspect {a.name}": a.values for a in aspects if a.portfolio == portfolio}
    if portfolio:
        return found
    for name, state in _states.STATES.items():
        found[f"state {name}"] = partial(lambda holds, p: holds(p, 0.01), state.holds)
    for name, level in {**_states.LEVELS, **_states.KNOWN}.items():
        found[f"level {name}"] = level.values
    return found


@pytest.mark.parametrize("portfolio", [False, True])
def test_every_aspect_and_every_state_that_terms_keep_is_told_on_the_device(
    portfolio: bool,
) -> None:
    agent = _agent(BOOK if portfolio else TASK, SMALL, engine="tensor")
    paths, counted = agent._act(agent._draws(BEGIN)).paths(), _counted(portfolio)
    assert len(counted) > (2 if portfolio else 60)
    given = {f.name: getattr(paths, f.name) for f in fields(paths)}
    with PretendedDevice() as gpu:
        there = {k: v.to("cuda") for k, v in given.items() if v is not None}
        for name, values in counted.items():
            values(TradePaths(**there))  # constants are copied once
            with gpu.iteration():
                found = values(TradePaths(**there))
            assert gpu.holds(found), name
            torch.testing.assert_close(found.cpu(), values(paths), equal_nan=True)
