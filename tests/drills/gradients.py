"""Drill of rewards that are NaN or infinite: updates are skipped, then training stops."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drills.core import Outcome, Say, counted
from tradinghf.config import EnvConfig
from tradinghf.errors import CheckpointError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Metrics, RewardStream, Rollout, Stream, sparse_pnl
from tradinghf.learning.ppo._trainer import MAX_BAD_ITERATIONS
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

HORIZON, ENVS, ITERATIONS = 16, 16, 8
VALUES = {"NaN": math.nan, "infinity": math.inf, "-infinity": -math.inf, "overflow": 3e38}


def poisoned(value: float, first: int, length: int, everywhere: bool) -> RewardStream:
    """Sparse PnL with `value` among the rewards of iterations `first` to `first + length - 1`."""
    calls = itertools.count()

    def reward(rollout: Rollout) -> Tensor:
        paid = sparse_pnl(rollout).clone()
        if first <= next(calls) < first + length:
            if everywhere:
                paid.fill_(value)
                paid[:, ::2] *= -1  # a constant would cancel out
            else:
                paid[3, 5] = value
        return paid

    return reward


def nan_gradients(work: Path, count: int, say: Say) -> Outcome:
    """Every kind of bad number, for 1 to 3 iterations; the first iteration refuses them by name."""
    cases = list(itertools.product(VALUES, (1, 2, MAX_BAD_ITERATIONS), (1, 3), (False, True)))
    every = max(len(cases) // count, 1)
    chosen = cases[::every][:count] if count < len(cases) else cases
    market = synthetic(seed=1, bars=300, assets=2)
    failures: list[str] = []
    stopped = 0
    for number, case in enumerate(counted(say, len(chosen), chosen, "trainings")):
        problems = _train(work / f"run-{number}", market, *case)
        failures += [f"{case}: {problem}" for problem in problems]
        stopped += case[1] == MAX_BAD_ITERATIONS
    return Outcome(len(chosen), tuple(failures), {"stopped": stopped})


def _train(
    folder: Path, market: Any, value: str, length: int, first: int, everywhere: bool
) -> list[str]:
    env = MarketEnv(market, num_envs=ENVS, config=EnvConfig(horizon=HORIZON, lookback=2))
    config = PPOConfig(hidden=(16,), minibatches=2, epochs=2)
    stream = Stream(poisoned(VALUES[value], first, length, everywhere))
    agent = PPO(env, {"pnl": stream}, config, seed=5)
    run = RunDirectory(folder)
    bad: list[bool] = []
    weights = [_weights(agent)]

    def after(agent: PPO, metrics: Metrics) -> None:
        bad.append(metrics["bad_gradients"] > 0)
        weights.append(_weights(agent))
        run.save(agent.iteration, agent.state())

    stopped = False
    try:
        agent.train(ITERATIONS, after=after)
    except CheckpointError as error:
        stopped = "not finite" in str(error)
    problems = []
    if stopped != (length >= MAX_BAD_ITERATIONS):
        problems.append(f"training {'stopped' if stopped else 'went on'}")
    spoilt = range(first, min(first + length, len(bad)))
    if not stopped and [i for i, b in enumerate(bad) if b] != list(spoilt):
        problems.append(f"iterations with bad gradients are {bad}; expected {list(spoilt)}")
    changed = [i for i in spoilt if not torch.equal(weights[i], weights[i + 1])]
    problems += [f"iterations {changed} changed the weights"] if changed else []
    if not _weights(agent).isfinite().all():
        problems.append("the weights are not finite")
    if not stopped and torch.equal(weights[-1], weights[-2]):
        problems.append("nothing is learned afterwards")
    found = run.latest()
    if first + length > 1 and found is None:
        problems.append("there is no checkpoint")
    if found is not None:
        agent.restore(found[1])
        if not (_weights(agent).isfinite().all() and agent.scale.isfinite().all()):
            problems.append("the last checkpoint is not finite")
    return problems


def _weights(agent: PPO) -> Tensor:
    return torch.cat([p.detach().flatten() for p in agent.network.parameters()])
