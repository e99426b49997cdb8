"""Benchmarks: how fast, on what, and whether the answer was right before it was timed.

Each benchmark first checks a result against a second way of computing it, then warms up, then
times several repeats and reports their median and their best.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradinghf.errors import TradingHFError
from tradinghf.registry import Registry

if TYPE_CHECKING:
    from tradinghf.learning.ppo import PPO
    from tradinghf.learning.reward_model import RewardModel
    from tradinghf.market.data import MarketData
    from tradinghf.simulation.env import MarketEnv

Row = dict[str, Any]
ENOUGH_SECONDS = 10.0
PACKAGES = ("torch", "gymnasium", "numpy", "pandas", "vectorbt", "numba")


@dataclass(frozen=True)
class Benchmark:
    """A named measurement.

    Attributes:
        name: as on the command line.
        help: one line.
        run: takes `quick` (smaller sizes, for tests) and returns rows: case, value, unit, best,
            repeats, and whatever describes the case.

    """

    name: str
    help: str
    run: Callable[[bool], list[Row]]


BENCHMARKS: Registry[Benchmark] = Registry("benchmark")


def benchmark(
    name: str,
    *,
    help: str,  # noqa: A002 (as argparse names it)
) -> Callable[[Callable[[bool], list[Row]]], Callable[[bool], list[Row]]]:
    """Register a function as the benchmark `name`."""

    def decorate(function: Callable[[bool], list[Row]]) -> Callable[[bool], list[Row]]:
        BENCHMARKS.add(name, Benchmark(name, help, function))
        return function

    return decorate


def run_benchmark(name: str, *, quick: bool = False) -> dict[str, Any]:
    """Run one benchmark.

    Args:
        name: of a registered benchmark.
        quick: small sizes and few repeats: shows that it works, not how fast.

    Returns:
        JSON-ready: benchmark, quick, created, device, versions, commit, results (rows).

    Raises:
        TradingHFError: no such benchmark, or its result was wrong and so it was not timed.

    """
    results = BENCHMARKS[name].run(quick)
    return {"benchmark": name, "quick": quick, **stamp(), "results": results}


def stamp() -> dict[str, Any]:
    """When, on what and with which code something was measured."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device(),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": commit(),
    }


def device() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    from tradinghf import __version__

    return {"tradinghf": __version__, **{name: metadata.version(name) for name in PACKAGES}}


def commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "tradinghf")
    return head + ("+" if changed else "") if head else None


def timed(work: Callable[[], object], amount: float, unit: str, *, repeats: int) -> Row:
    """Rate of `work`, which does `amount` units of something.

    One warm-up call is not counted; slow work stops repeating after `ENOUGH_SECONDS`.

    Returns:
        value (median) and best rate by the clock; per_cpu_second, the best rate by the processor
        time of all threads, which other processes on the machine disturb less; unit; repeats.

    """
    work()
    rates: list[float] = []
    cpu_rates: list[float] = []
    spent = 0.0
    while len(rates) < repeats and (len(rates) < 2 or spent < ENOUGH_SECONDS):
        begin, cpu = time.perf_counter(), time.process_time()
        work()
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        spent += took
        rates.append(amount / took)
        cpu_rates.append(amount / max(cpu, 1e-9))
    about = {"per_cpu_second": max(cpu_rates), "unit": unit, "repeats": len(rates)}
    return {"value": statistics.median(rates), "best": max(rates)} | about


def _agree(what: str, left: Any, right: Any, tolerance: float) -> None:
    import numpy as np

    gap = float(np.max(np.abs(np.asarray(left) / np.asarray(right) - 1.0)))
    if not gap <= tolerance:
        raise TradingHFError(
            f"{what}: the results differ by {gap:.3g}, more than {tolerance:g}; not timed, since a "
            "fast wrong answer is no benchmark. Please report this."
        )


@benchmark("backtest", help="bars per second of both backtest engines")
def backtest_speed(quick: bool) -> list[Row]:
    """SMA cross and daily rebalancing of A assets through vectorbt and the simulator.

    The rate counts bar-assets: bars x assets of one backtest, by its time, from weights to equity;
    then bars x columns of sweeps, from weights to Sharpe ratios.
    """
    import numpy as np

    from tradinghf.config import CostModel
    from tradinghf.evaluation.engines import run
    from tradinghf.evaluation.sweep_speed import sweep_speed
    from tradinghf.market.synthetic import synthetic
    from tradinghf.strategies import load_strategy

    rows = []
    bars, repeats = (120, 1) if quick else (5_000, 7)
    costs = CostModel(fee_bps=1.0, slippage_bps=1.0)
    for assets in (2,) if quick else (1, 16, 64):
        market = synthetic(seed=0, bars=bars, assets=assets)
        rng = np.random.default_rng(0)
        cases = {
            "sma_cross": load_strategy("sma_cross").orders(market),
            "rebalance": rng.uniform(0, 1.0 / assets, size=(bars, assets)),
        }
        for case, orders in cases.items():
            accounts = {
                engine: run(engine, market, orders, costs, "next_open", 1e5)
                for engine in ("vectorbt", "simulator")
            }
            _agree(case, accounts["vectorbt"].equity, accounts["simulator"].equity, 1e-9)
            for engine in accounts:

                def work(engine: str = engine, orders: Any = orders, market: Any = market) -> None:
                    run(engine, market, orders, costs, "next_open", 1e5)

                rate = timed(work, bars * assets, "bar-assets/s", repeats=repeats)
                about = {"case": f"A={assets}, {case}, {engine}", "bars": bars, "assets": assets}
                rows.append(about | rate)
    return rows + sweep_speed(timed, _agree, quick)


@benchmark("env", help="steps per second of MarketEnv for several numbers of environments")
def env_speed(quick: bool) -> list[Row]:
    """`MarketEnv.step` with random actions, fees, slippage, autoreset, and the default observation.

    A step is one environment advancing one bar. On a CPU both engines are timed, after their
    observations and rewards were found equal. `copy_share` is the least memory traffic of the
    steps (`bytes_per_step`) as a share of the machine's rate of copying memory.
    """
    import torch

    from tradinghf.ceilings import bytes_per_step, copy_rate
    from tradinghf.market.synthetic import synthetic
    from tradinghf.simulation.engines import Engine
    from tradinghf.simulation.env import MarketEnv

    market = synthetic(seed=0, bars=1_024 if quick else 16_384, assets=16)
    engines: tuple[Engine, ...] = ("fused", "tensor")
    sizes = (1, 64) if quick else (1, 64, 1_024, 16_384)
    cases: list[tuple[str, Engine, int]] = [("cpu", e, n) for n in sizes for e in engines]
    if torch.cuda.is_available() and not quick:
        cases += [("cuda", "tensor", n) for n in (2_048, 16_384, 65_536, 262_144)]
    ceilings = {target: copy_rate(target) for target in {case[0] for case in cases}}
    rows = []
    for target, engine, count in cases:
        env = MarketEnv(market, num_envs=count, device=target, seed=0, engine=engine)
        generator = torch.Generator(device=target).manual_seed(0)
        shape = (32 if quick else 128, count)
        levels = len(env.config.levels)
        actions = torch.randint(levels, shape, generator=generator, device=target)
        if engine == "fused":
            _same_steps(env, MarketEnv(market, num_envs=count, seed=0, engine="tensor"), actions)

        def work(env: MarketEnv = env, actions: torch.Tensor = actions) -> None:
            for action in actions:
                env.step(action)
            if env.device.type == "cuda":
                torch.cuda.synchronize()

        traffic = bytes_per_step(env, actions[0])
        rate = timed(work, actions.numel(), "steps/s", repeats=2 if quick else 7)
        done = rate["per_cpu_second" if target == "cpu" else "best"]
        about: Row = {"case": f"N={count}, {engine}, {target}", "envs": count, "device": target}
        about |= {"bytes_per_step": traffic, "copy_share": done * traffic / ceilings[target]}
        rows.append(about | rate)
    return rows


def _same_steps(one: MarketEnv, other: MarketEnv, actions: Any) -> None:
    import torch

    one.reset(seed=0)
    other.reset(seed=0)
    for action in actions:
        (obs, reward, *_), (obs_too, reward_too, *_) = one.step(action), other.step(action)
        if not (
            torch.equal(torch.as_tensor(obs), torch.as_tensor(obs_too))
            and torch.equal(reward, reward_too)
        ):
            raise TradingHFError(
                f"env: engines disagree with N={one.num_envs}; not timed. Please report this."
            )


@benchmark("ppo", help="steps per second of a whole PPO iteration: rollout, rewards, update")
def ppo_speed(quick: bool) -> list[Row]:
    """PPO on `MarketEnv`, with the environment's reward alone and with two streams.

    Two streams are what `tradinghf rlhf` trains on: a reward model fitted to rankings, and sparse
    PnL. Unless `quick`, learning is checked first: on a trending market the policy must earn more.
    `gemm_share` is the share of the machine's matrix-product rate, measured in the same run, that
    the arithmetic of the networks amounts to, by processor time.
    """
    import torch

    from tradinghf.ceilings import flops_per_step, gemm_rate
    from tradinghf.learning.ppo import PPO, Stream
    from tradinghf.learning.streams import env_reward, learned_stream, sparse_pnl
    from tradinghf.market.synthetic import synthetic
    from tradinghf.simulation.env import MarketEnv

    market = synthetic(seed=0, bars=1_024 if quick else 8_192, assets=16)
    sizes = [("cpu", count) for count in ((64,) if quick else (64, 512, 2_048))]
    if torch.cuda.is_available() and not quick:
        sizes += [("cuda", count) for count in (2_048, 16_384, 65_536, 262_144)]
    if not quick:
        _check_learning(market, iterations=40)
    model = _fitted_reward(market)
    streams = {
        "env reward": {"env": Stream(env_reward)},
        "learned + PnL": {"learned": Stream(learned_stream(model)), "pnl": Stream(sparse_pnl)},
    }
    rows = []
    for target, count in sizes:
        for case, rewards in streams.items():
            env = MarketEnv(market, num_envs=count, device=target, seed=0)
            agent = PPO(env, rewards, seed=0)

            def work(agent: PPO = agent) -> None:
                agent.train(1)

            repeats = 1 if quick else 5
            rate = timed(work, agent.steps_per_iteration, "steps/s", repeats=repeats)
            about: Row = {"case": f"N={count}, {case}, {target}", "envs": count, "device": target}
            if target == "cpu":
                work_done = rate["per_cpu_second"] * flops_per_step(agent)
                about["gemm_share"] = work_done / gemm_rate()
            rows.append(about | rate)
    return rows


@benchmark("stacked", help="PPO trainings per minute, one after another and side by side")
def stacked_speed(quick: bool) -> list[Row]:
    """S small trainings (N environments each, 40 iterations) in a row, and stacked into one.

    Before timing, a stacked learner must have learned what it learns alone.
    """
    from tradinghf.learning.ppo import PPO, Stream
    from tradinghf.learning.stacked import StackedPPO
    from tradinghf.learning.streams import env_reward, sparse_pnl
    from tradinghf.market.synthetic import synthetic
    from tradinghf.simulation.env import MarketEnv

    market = synthetic(seed=0, bars=1_024, assets=16)
    streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}
    rows = []
    for envs, learners in ((4, 2),) if quick else ((16, 16), (16, 64), (64, 16), (64, 64)):
        together = StackedPPO(
            MarketEnv(market, num_envs=envs * learners, seed=0), streams, range(learners)
        )
        alone = PPO(MarketEnv(market, num_envs=envs, seed=0), streams, seed=0)
        together.train(2, total=40)
        alone.train(2, total=40)
        assert alone.network is not None
        pairs = zip(together.networks[0].parameters(), alone.network.parameters(), strict=True)
        gap = max(float((a - b).detach().abs().max()) for a, b in pairs)
        if not gap <= 1e-4:
            raise TradingHFError(
                f"stacked: weights differ by {gap:.3g} from a training alone; not timed. Please "
                "report this."
            )
        for case, agent, amount in (("in a row", alone, 1), ("stacked", together, learners)):

            def work(agent: PPO | StackedPPO = agent) -> None:
                agent.train(1, total=40)

            rate = timed(work, 60.0 * amount / 40, "trainings/min", repeats=1 if quick else 5)
            about = {"case": f"N={envs}, S={learners}, {case}", "envs": envs, "learners": learners}
            rows.append(about | rate)
    return rows


def _check_learning(market: MarketData, iterations: int) -> None:
    from tradinghf.learning.ppo import PPO, Stream
    from tradinghf.learning.streams import env_reward
    from tradinghf.simulation.env import MarketEnv

    agent = PPO(MarketEnv(market, num_envs=128, seed=0), {"env": Stream(env_reward)}, seed=0)
    pnl = [row["pnl"] for row in agent.train(iterations)]
    before, after = statistics.mean(pnl[:5]), statistics.mean(pnl[-5:])
    if not after > before:
        raise TradingHFError(
            f"ppo: mean profit per episode went from {before:.4g} to {after:.4g} in {iterations} "
            "iterations on a trending market; not timed. Please report this."
        )


def _fitted_reward(market: MarketData) -> RewardModel:
    """A reward model fitted to 12 rankings; the size of the fit does not change what it pays."""
    from tradinghf.collect import collect, random_actor, random_windows, strategy_actor
    from tradinghf.config import EnvConfig
    from tradinghf.feedback.traders import SyntheticTrader
    from tradinghf.learning.config import AspectConfig, RewardConfig
    from tradinghf.learning.reward_model import RewardModel
    from tradinghf.strategies import strategy_names

    actors = [strategy_actor(name, market) for name in strategy_names()]
    actors.append(random_actor(market, EnvConfig(), seed=0, hold=6))
    groups = collect(market, actors, random_windows(market, EnvConfig(), 12, seed=0))
    trader = SyntheticTrader("drawdown")
    answers = [trader.rank(group, f"window {i}") for i, group in enumerate(groups)]
    config = RewardConfig(head=AspectConfig(max_terms=1), residual=None)
    return RewardModel(config).fit(answers, {e.id: e for group in groups for e in group})
