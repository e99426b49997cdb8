"""How fast the trading environment is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tradinghf.bench._core import Row, benchmark, timed
from tradinghf.bench._tasks import task_rows
from tradinghf.errors import TradingHFError

if TYPE_CHECKING:
    from torch import Tensor

    from tradinghf.market import MarketData
    from tradinghf.simulation import MarketEnv

SIZES = (1, 64, 1_024, 16_384)
GPU_SIZES = (2_048, 16_384, 65_536, 262_144)


@dataclass(frozen=True)
class _Case:
    """What is timed: N environments, how they step, what they show, on how many threads."""

    envs: int
    engine: Literal["fused", "tensor"] = "fused"
    observation: Literal["flat", "index"] = "flat"
    threads: int = 1
    device: str = "cpu"

    def __str__(self) -> str:
        shows = ", by index" if self.observation == "index" else ""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"N={self.envs}, {self.engine}{shows}, {self.device}{threads}"


def _cases(quick: bool) -> list[_Case]:
    import torch

    if quick:
        return [_Case(1), _Case(64, "tensor"), _Case(64), _Case(64, observation="index")]
    cases = []
    for envs in SIZES:
        cases += [_Case(envs), _Case(envs, observation="index"), _Case(envs, "tensor")]
    if (os.cpu_count() or 1) > 1:
        cases += [_Case(SIZES[-1], threads=2), _Case(SIZES[-1], observation="index", threads=2)]
    if torch.cuda.is_available():
        cases += [_Case(envs, "tensor", device="cuda") for envs in GPU_SIZES]
    return cases


@benchmark("env", help="steps per second of MarketEnv for several numbers of environments")
def env_speed(quick: bool) -> list[Row]:
    """`MarketEnv.step` with random actions, fees, slippage, autoreset and the default features.

    A step is one environment advancing one bar. On a CPU both engines are timed, and observations
    both as numbers and by index, after all of them were found equal to the tensor engine's.
    `copy_share` is the least memory traffic of the steps (`bytes_per_step`) as a share of the
    machine's rate of copying memory. Then a row for each kind of task, with its time as a multiple
    of the plain task's in the same run.
    """
    import torch

    from tradinghf.bench._ceilings import copy_rate
    from tradinghf.market import synthetic

    market = synthetic(seed=0, bars=1_024 if quick else 16_384, assets=16)
    cases, ceilings, rows = _cases(quick), {}, []
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # what has more than one thread is the fused step
    try:
        for case in cases:
            if case.device not in ceilings:
                ceilings[case.device] = copy_rate(case.device)
            rows.append(_rate(market, case, quick, ceilings[case.device]))
        rows += task_rows(quick, _same_steps)
    finally:
        torch.set_num_threads(before)
    return rows


def _rate(market: MarketData, case: _Case, quick: bool, ceiling: float) -> Row:
    import torch

    from tradinghf.bench._ceilings import bytes_per_step
    from tradinghf.config import EnvConfig

    env = _env(market, case, EnvConfig(observation=case.observation))
    generator = torch.Generator(device=case.device).manual_seed(0)
    shape = (32 if quick else 128, case.envs)
    levels = len(env.config.levels)
    actions = torch.randint(levels, shape, generator=generator, device=case.device)
    if case.engine == "fused":
        _same_steps(env, _env(market, _Case(case.envs, "tensor"), EnvConfig()), actions)

    def work() -> None:
        for action in actions:
            env.step(action)
        if env.device.type == "cuda":
            torch.cuda.synchronize()

    traffic = bytes_per_step(env, actions[0])
    rate = timed(work, actions.numel(), "steps/s", repeats=2 if quick else 7)
    done = rate["per_cpu_second" if case.device == "cpu" else "best"]
    about: Row = {"case": str(case), "envs": case.envs, "device": case.device}
    about |= {"observation": case.observation, "threads": case.threads}
    return about | {"bytes_per_step": traffic, "copy_share": done * traffic / ceiling} | rate


def _env(market: MarketData, case: _Case, config: Any) -> MarketEnv:
    from tradinghf.simulation import MarketEnv

    return MarketEnv(
        market,
        num_envs=case.envs,
        config=config,
        device=case.device,
        seed=0,
        engine=case.engine,
        threads=case.threads,
    )


def _same_steps(one: MarketEnv, other: MarketEnv, actions: Tensor) -> None:
    import torch

    one.reset(seed=0)
    other.reset(seed=0)
    for action in actions:
        (obs, reward, *_), (obs_too, reward_too, *_) = one.step(action), other.step(action)
        if not (
            torch.equal(one.dense(obs), other.dense(obs_too)) and torch.equal(reward, reward_too)
        ):
            raise TradingHFError(
                f"env: engines disagree with N={one.num_envs}; not timed. Please report this."
            )
