"""What a step of each kind of task takes, as a multiple of the plain task's in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tradinghf.bench._core import Row, processor_time
from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, TradingRules

if TYPE_CHECKING:
    from torch import Tensor

    from tradinghf.simulation import MarketEnv

TASK_SIZES = (64, 1_024, 16_384)


@dataclass(frozen=True)
class Task:
    """A kind of task: its settings, its costs, and the assets of its market."""

    config: EnvConfig = field(default_factory=EnvConfig)
    costs: CostModel = field(default_factory=CostModel)
    assets: int = 16


_STOPS = Brackets(stop_loss=0.05, take_profit=0.1)
_MARGIN = Margin(leverage=2.0, maintenance=0.25)
TASKS = {
    "plain": Task(),
    "fixed and per-share fees": Task(costs=CostModel(fixed_fee=1.0, per_share_fee=0.005)),
    "dict observations": Task(EnvConfig(observation="dict")),
    "whole shares": Task(EnvConfig(rules=TradingRules(lot=1.0))),
    "partial fills": Task(EnvConfig(rules=TradingRules(participation=0.1))),
    "market impact": Task(costs=CostModel(impact=0.5)),
    "cash locked by shorts": Task(EnvConfig(rules=TradingRules(lock_cash=True))),
    "stop-loss and take-profit": Task(EnvConfig(brackets=_STOPS)),
    "trailing stop": Task(EnvConfig(brackets=Brackets(trailing_stop=0.05))),
    "margin": Task(EnvConfig(margin=_MARGIN)),
    "stops, margin, lots, partial fills, impact": Task(
        EnvConfig(brackets=_STOPS, margin=_MARGIN, rules=TradingRules(lot=1.0, participation=0.1)),
        CostModel(impact=0.5),
    ),
    "portfolio of 2": Task(EnvConfig(portfolio=True), assets=2),
    "portfolio of 30": Task(EnvConfig(portfolio=True), assets=30),
    "portfolio of 30, by index": Task(EnvConfig(portfolio=True, observation="index"), assets=30),
}


def task_rows(quick: bool, same: Callable[[MarketEnv, MarketEnv, Tensor], None]) -> list[Row]:
    """A row for each task and number of environments, timed in turns.

    Args:
        quick: few tasks, small.
        same: raises where two environments differ after the same actions.

    """
    names = ["plain", "margin", "portfolio of 2"] if quick else list(TASKS)
    sizes = TASK_SIZES[:1] if quick else TASK_SIZES
    for name in names:
        one, actions = _env(TASKS[name], 16)
        same(one, _env(TASKS[name], 16, "tensor")[0], actions[:8])
    return [row for envs in sizes for row in _rows(names, envs, quick)]


def _env(task: Task, envs: int, engine: str = "fused") -> tuple[MarketEnv, Tensor]:
    """The environments, and actions [32, N, ...] for them."""
    import torch

    from tradinghf.market import synthetic
    from tradinghf.simulation import MarketEnv

    market = synthetic(seed=0, bars=4_096, assets=task.assets)
    env = MarketEnv(
        market,
        num_envs=envs,
        config=task.config,
        costs=task.costs,
        seed=0,
        engine=engine,  # type: ignore[arg-type]
        threads=1,
    )
    env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    shape = (32, *env.action_space.shape)  # type: ignore[misc]
    return env, torch.randint(len(task.config.levels), shape, generator=generator)


def _rows(names: list[str], envs: int, quick: bool) -> list[Row]:
    """The tasks with N environments each, in turns so that other work disturbs all alike."""
    ready = {name: _env(TASKS[name], envs) for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    cpu_rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(3 if quick else 16):
        for name, (env, actions) in ready.items():
            few = actions[: max(2, min(32, 65_536 // (envs * TASKS[name].assets)))]
            begin, cpu = time.perf_counter(), processor_time()
            for action in few:
                env.step(action)
            took, cpu = time.perf_counter() - begin, processor_time() - cpu
            if turn:  # the first one is a warm-up
                rates[name].append(len(few) * envs / took)
                cpu_rates[name].append(len(few) * envs / max(cpu, 1e-9))
    plain = max(cpu_rates["plain"])
    return [
        {
            "case": f"N={envs}, {name}",
            "envs": envs,
            "task": name,
            "value": statistics.median(rates[name]),
            "best": max(rates[name]),
            "per_cpu_second": max(cpu_rates[name]),
            "times_plain": plain / max(cpu_rates[name]),
            "unit": "steps/s",
            "repeats": len(rates[name]),
        }
        for name in names
    ]
