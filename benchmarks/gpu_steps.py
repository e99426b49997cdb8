"""What `gpu.py` measures: generators of rows, each of which takes whether sizes are tiny."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plain_ppo import plain_loop
from torch import Tensor
from torchrl_ppo import torchrl_loop

from tradinghf.bench._ceilings import bytes_per_step, copy_rate, flops_per_step
from tradinghf.bench._training import fitted_reward
from tradinghf.config import Brackets, EnvConfig, Margin
from tradinghf.errors import TradingHFError
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.ppo import PPO, Stream, learned_stream, sparse_pnl
from tradinghf.learning.reward import RewardModel
from tradinghf.loop import RLHF, Actor, collect
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv, random_windows
from tradinghf.simulation._engines import Engine

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Until the device has done what it was asked for."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def rate(work: Callable[[], object], amount: float, repeats: int = 5) -> float:
    """Units per second of the clock, the median of some runs after two to warm up."""
    found = []
    for repeat in range(repeats + 2):
        wait()
        begin = time.perf_counter()
        work()
        wait()
        if repeat >= 2:
            found.append(amount / (time.perf_counter() - begin))
    return float(np.median(found))


def attempt(case: str, measure: Callable[[], Row]) -> Row:
    """A row of figures, or of what went wrong: one kind that fails does not cost the others."""
    try:
        return {"case": case, **measure()}
    except (RuntimeError, ValueError, TradingHFError) as error:
        return {"case": case, "failed": f"{type(error).__name__}: {error}"[:2000]}


@cache
def market(smoke: bool, assets: int = 16) -> MarketData:
    """The bars of all benchmarks."""
    return synthetic(seed=0, bars=600 if smoke else 8_192, assets=assets)


def tests(smoke: bool) -> Iterator[Row]:
    """The tests that need a GPU; only found, where there is none."""
    # Their files alone: others need packages that a borrowed machine lacks, and one that cannot be
    # imported stops the run.
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in p.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
    command += ["--collect-only"] if smoke else []
    command += sorted(str(p) for p in files if not smoke or p.name == "test_graphs.py")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    yield {
        "case": "tests",
        "passed": done.returncode == 0,
        "summary": lines[-1:],
        "tail": lines[-40:],
    }


def rlhf(smoke: bool) -> Iterator[Row]:
    """The loop on both devices: what unseen windows of its policy are worth to the trader."""
    bars = market(smoke, assets=4)
    train, unseen = bars.rows(0, bars.bars * 7 // 10), bars.rows(bars.bars * 7 // 10, bars.bars)
    config = (
        RLHFConfig(rankings=4, rounds=1, steps=2_000, windows=4)
        if smoke
        else RLHFConfig(rankings=25, rounds=2, steps=4_000_000)
    )
    trader = SyntheticTrader("drawdown")
    for device in dict.fromkeys((DEVICE, "cpu")):
        env = MarketEnv(train, num_envs=16 if smoke else 2_048, device=device, seed=0)
        begin = time.perf_counter()
        agent = RLHF(env, trader="drawdown", config=config)
        agent.train()
        seconds = time.perf_counter() - begin
        windows = random_windows(unseen, env.config, 32 if smoke else 512, seed=1)
        actor = Actor("policy", policy=agent.policy)
        judged = env.like(unseen, num_envs=len(windows))
        episodes = [row[0] for row in collect(unseen, [actor], windows, env=judged)]
        yield {
            "case": f"rlhf, {device}",
            "seconds": seconds,
            "true_utility": float(np.mean(trader.utilities(episodes))),
            "rankings": len(agent.rankings),
        }


TASKS = {
    "plain": EnvConfig(),
    "by index": EnvConfig(observation="index"),
    "stops": EnvConfig(brackets=Brackets(stop_loss=0.02, take_profit=0.03)),
    "margin": EnvConfig(margin=Margin(leverage=2.0, maintenance=0.3)),
    "portfolio of 30": EnvConfig(portfolio=True, actions="continuous"),
}


# On a processor the kernels would run in Triton's interpreter, which times nothing.
TRITON: tuple[Engine, ...] = ("triton",) if DEVICE == "cuda" and find_spec("triton") else ()


def sizes(smoke: bool) -> tuple[int, ...]:
    """N, those that tell most first: a run that is cut off has them."""
    return (64,) if smoke else (65_536, 262_144, 16_384, 2_048)


def env_of(task: EnvConfig, count: int, smoke: bool, engine: Engine = "tensor") -> MarketEnv:
    """N environments on the device, in the tensor step."""
    bars = market(smoke, assets=30 if task.portfolio else 16)
    return MarketEnv(bars, num_envs=count, config=task, device=DEVICE, engine=engine, seed=0)


def env_speed(smoke: bool) -> Iterator[Row]:
    """Environment steps per second; what compiles for minutes comes last."""
    steps, repeats = (4, 1) if smoke else (32, 5)
    engines: tuple[Engine, ...] = ("tensor", *TRITON, *(() if smoke else ("compiled",)))
    for engine in sorted(engines, key=("triton", "tensor", "compiled").index):
        for name, task in TASKS.items():
            for count in sizes(smoke):
                if task.portfolio and count > 65_536:
                    continue  # thirty accounts' worth of memory each

                def speed(
                    task: EnvConfig = task, count: int = count, engine: Engine = engine
                ) -> Row:
                    env = env_of(task, count, smoke, engine)
                    env.reset(seed=0)
                    actions = _actions(env)

                    def walk() -> None:
                        for _ in range(steps):
                            env.step(actions)

                    return {"steps_per_second": rate(walk, float(steps * count), repeats)}

                yield attempt(f"env, {name}, N={count}, {engine}", speed)


def _actions(env: MarketEnv) -> Tensor:
    """[N] or [N, A] actions of every kind."""
    count = torch.arange(env.num_envs, device=env.device)
    if env.config.portfolio:
        return torch.linspace(-1, 1, env.market.assets, device=env.device).expand(len(count), -1)
    return count % len(env.config.levels)


def long_task(smoke: bool) -> EnvConfig:
    """The workload that trainers of trading agents are compared on: 16 bars seen, 128 traded."""
    return EnvConfig(lookback=16, horizon=12 if smoke else 128)


@cache
def reward_of(smoke: bool) -> RewardModel:
    """What a simulated trader taught, once for all kinds of PPO."""
    return fitted_reward(market(smoke))


def agent_of(config: PPOConfig, count: int, smoke: bool, task: EnvConfig | None = None) -> PPO:
    """PPO on the learned reward and PnL, the workload of a round of the loop."""
    engine: Engine = "triton" if config.kernels == "triton" else "tensor"
    env = env_of(task or long_task(smoke), count, smoke, engine)
    streams = {
        "learned": Stream(learned_stream(reward_of(smoke))),
        "pnl": Stream(sparse_pnl),
    }
    return PPO(env, streams, config, seed=0)


def iteration_rate(agent: PPO, repeats: int) -> float:
    """Environment steps per second of iterations after the second, which is the recorded one."""
    times: list[float] = []

    def note(*_: object) -> None:
        wait()
        times.append(time.perf_counter())

    agent.train(repeats + 2, after=note)
    return float(agent.steps_per_iteration / np.median(np.diff(times)[1:]))


def ppo_kinds() -> dict[str, tuple[PPOConfig, str]]:
    """What is compared: settings, and the precision of float32 products."""
    base = PPOConfig(shared=True, minibatches=4)
    whole = replace(base, graphs="iteration")
    kinds = {
        "float32": (base, "highest"),
        "float32, iteration in a graph": (whole, "highest"),
        "tf32, iteration in a graph": (whole, "high"),
        "bfloat16, iteration in a graph": (replace(whole, precision="bfloat16"), "high"),
        "float32, step in a graph": (replace(base, graphs="step"), "highest"),
    }
    if TRITON:
        fused = replace(whole, kernels="triton")
        own = {
            "float32, iteration in a graph, triton": (fused, "highest"),
            "tf32, iteration in a graph, triton": (fused, "high"),
            "bfloat16, iteration in a graph, triton": (
                replace(fused, precision="bfloat16"),
                "high",
            ),
            "float32, triton": (replace(base, kernels="triton"), "highest"),
        }
        kinds = own | kinds
    return kinds


def ppo_speed(smoke: bool) -> Iterator[Row]:
    """Environment steps per second of whole iterations."""
    kinds, repeats = ppo_kinds(), 1 if smoke else 3
    for count in sizes(smoke):
        for name, (config, products) in kinds.items():
            torch.set_float32_matmul_precision(products)
            yield attempt(
                f"ppo, N={count}, {name}",
                lambda config=config, count=count: {
                    "steps_per_second": iteration_rate(agent_of(config, count, smoke), repeats)
                },
            )
        torch.set_float32_matmul_precision("highest")
        yield attempt(f"plain loop, N={count}", partial(plain_speed, count, smoke, repeats))
        if find_spec("torchrl"):
            yield attempt(f"torchrl, N={count}", partial(torchrl_speed, count, smoke, repeats))
    if not find_spec("torchrl"):
        yield {"case": "torchrl", "left_out": "not installed; its wheels go into the folder WHEELS"}


def plain_speed(count: int, smoke: bool, repeats: int) -> Row:
    """Environment steps per second of a page of PPO."""
    iteration, steps = plain_loop(env_of(long_task(smoke), count, smoke))
    return {"steps_per_second": rate(iteration, steps, repeats)}


def torchrl_speed(count: int, smoke: bool, repeats: int) -> Row:
    """Environment steps per second of torchrl's PPO, with as many passes and minibatches."""
    env = env_of(long_task(smoke), count, smoke)

    def network(outputs: int) -> torch.nn.Module:
        widths = torch.nn.Linear(env.obs_dim, 64), torch.nn.Linear(64, 64)
        last = torch.nn.Linear(64, outputs)
        return torch.nn.Sequential(widths[0], torch.nn.Tanh(), widths[1], torch.nn.Tanh(), last)

    iteration, steps = torchrl_loop(env, env.config.horizon, 4, 4, network)
    return {"steps_per_second": rate(iteration, steps, repeats)}


def kernels(smoke: bool) -> Iterator[Row]:
    """Launches per step and iteration, and what share of the card's rates the work reaches."""
    count = sizes(smoke)[0]
    copied, products = copy_rate(DEVICE), _matrix_rate(smoke)
    yield {"case": "ceilings", "copy_bytes_per_second": copied, "flops_per_second": products}
    for name, task in TASKS.items():
        env = env_of(task, min(count, 16_384), smoke)
        actions = _actions(env)
        moved = bytes_per_step(env, actions) * env.num_envs
        env.reset(seed=0)
        done = rate(lambda env=env, actions=actions: env.step(actions), 1.0, 1 if smoke else 20)
        launches = _launches(lambda env=env, actions=actions: env.step(actions))
        yield {
            "case": f"step, {name}, N={env.num_envs}",
            "kernels": launches,
            "copy_share": done * moved / copied,
        }
    agent = agent_of(PPOConfig(shared=True, minibatches=4), count, smoke)
    done = rate(lambda: agent.train(1), 1.0, 1 if smoke else 3)
    arithmetic = flops_per_step(agent) * agent.steps_per_iteration
    yield {
        "case": f"iteration, N={count}",
        "kernels": _launches(lambda: agent.train(1)),
        "matrix_share": done * arithmetic / products,
    }


def _matrix_rate(smoke: bool) -> float:
    """Float32 operations per second of a square product."""
    size = 256 if smoke else 8_192
    left = torch.randn(size, size, device=DEVICE)
    return rate(lambda: left @ left, 2.0 * size**3)


def _launches(work: Callable[[], object]) -> int:
    """Kernels that the work starts; on a processor, the operations."""
    kind = torch.profiler.ProfilerActivity
    activities = [kind.CUDA if DEVICE == "cuda" else kind.CPU]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        wait()
    return sum(event.count for event in profile.key_averages())


MEASURES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "tests": tests,
    "rlhf": rlhf,
    "ppo": ppo_speed,
    "env": env_speed,
    "kernels": kernels,
}
