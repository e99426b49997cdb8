"""How fast policies train."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tradinghf.bench._core import Row, benchmark, timed
from tradinghf.errors import TradingHFError

if TYPE_CHECKING:
    from tradinghf.learning.ppo import Stream
    from tradinghf.learning.reward import RewardModel
    from tradinghf.market import MarketData


@dataclass(frozen=True)
class _Case:
    """What is timed: N environments, what is paid, on how many threads, which networks."""

    envs: int
    paid: Literal["env reward", "learned + PnL"]
    threads: int = 1
    joint: bool = False
    assets: int = 1
    device: str = "cpu"
    graphs: Literal["none", "step"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __str__(self) -> str:
        joint = ", one body, 16 bars" if self.joint else ""
        held = f", portfolio of {self.assets}" if self.assets > 1 else ""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        graphs = "" if self.graphs == "none" else ", graphs"
        half = ", bfloat16" if self.precision == "bfloat16" else ""
        return f"N={self.envs}, {self.paid}{joint}{held}, {self.device}{threads}{graphs}{half}"


def _cases(quick: bool) -> list[_Case]:
    import torch

    from tradinghf.workers import has_matrix_unit

    paid: tuple[Literal["env reward", "learned + PnL"], ...] = ("env reward", "learned + PnL")
    if quick:
        return [_Case(64, "env reward"), _Case(64, "learned + PnL"), _Case(16, paid[0], assets=3)]
    cases = [_Case(envs, each) for envs in (64, 512, 2_048) for each in paid]
    joint = [_Case(4_096, each, joint=True) for each in paid]
    cases += joint
    if has_matrix_unit():
        cases += [replace(case, precision="bfloat16") for case in joint]
    cases.append(_Case(256, "env reward", assets=30))
    if (os.cpu_count() or 1) > 1:
        cases += [replace(c, threads=2) for c in cases if c.envs > 64]
    if torch.cuda.is_available():
        sizes = (2_048, 16_384, 65_536, 262_144)
        on_gpu = [_Case(envs, each, device="cuda") for envs in sizes for each in paid]
        cases += on_gpu
        cases += [replace(case, graphs="step") for case in on_gpu]
    return cases


@benchmark("ppo", help="steps per second of a whole PPO iteration: rollout, rewards, update")
def ppo_speed(quick: bool) -> list[Row]:
    """PPO on `MarketEnv`, with the environment's reward alone and with two streams.

    Two streams are what `tradinghf rlhf` trains on: a reward model fitted to rankings, and sparse
    PnL. "One body" is the workload that published trainers of trading agents are compared on: 16
    bars of 5 features and 4 account values, 128 bars per rollout, actor and critics on one 2x64
    body, 4 epochs of 4 minibatches; in bfloat16 as well where there is a matrix unit. A portfolio's
    policy shares its weights over the assets, and its steps count once for all of them. Unless
    `quick`, learning is checked first: on a trending market the policy must earn more.
    `gemm_share` is the share of the machine's rate of float32 matrix products, measured in the
    same run, that the arithmetic of the networks amounts to: by processor time on one thread, by
    the clock on several.
    """
    import torch

    from tradinghf.learning.ppo import Stream, env_reward, learned_stream, sparse_pnl
    from tradinghf.market import synthetic

    market = synthetic(seed=0, bars=1_024 if quick else 8_192, assets=16)
    if not quick:
        _check_learning(market, iterations=40)
    model = fitted_reward(market)
    streams = {
        "env reward": {"env": Stream(env_reward)},
        "learned + PnL": {"learned": Stream(learned_stream(model)), "pnl": Stream(sparse_pnl)},
    }
    before, rows = torch.get_num_threads(), []
    try:
        for case in _cases(quick):
            torch.set_num_threads(case.threads)
            rows.append(_rate(market, case, streams[case.paid], 1 if quick else 5))
    finally:
        torch.set_num_threads(before)
    return rows


def _rate(market: MarketData, case: _Case, streams: dict[str, Stream], repeats: int) -> Row:
    from tradinghf.bench._ceilings import flops_per_step, gemm_rate
    from tradinghf.config import EnvConfig
    from tradinghf.learning.config import PPOConfig
    from tradinghf.learning.ppo import PPO
    from tradinghf.market import synthetic
    from tradinghf.simulation import MarketEnv

    task, config = EnvConfig(), PPOConfig()
    if case.assets > 1:
        market = synthetic(seed=0, bars=2_048, assets=case.assets)
        task = EnvConfig(portfolio=True)
    if case.joint:
        task, config = EnvConfig(lookback=16, horizon=128), PPOConfig(shared=True, minibatches=4)
    config = replace(config, graphs=case.graphs, precision=case.precision)
    env = MarketEnv(market, num_envs=case.envs, config=task, device=case.device, seed=0)
    agent = PPO(env, streams, config, seed=0)
    rate = timed(lambda: agent.train(1), agent.steps_per_iteration, "steps/s", repeats=repeats)
    about: Row = {"case": str(case), "envs": case.envs, "device": case.device}
    about["threads"] = case.threads
    if case.device == "cpu" and case.assets == 1:  # shared weights work once for each asset
        done = rate["per_cpu_second"] if case.threads == 1 else rate["best"] / case.threads
        about["gemm_share"] = done * flops_per_step(agent) / gemm_rate()
    return about | rate


def _check_learning(market: MarketData, iterations: int) -> None:
    from tradinghf.learning.ppo import PPO, Stream, env_reward
    from tradinghf.simulation import MarketEnv

    agent = PPO(MarketEnv(market, num_envs=128, seed=0), {"env": Stream(env_reward)}, seed=0)
    pnl = [row["pnl"] for row in agent.train(iterations)]
    before, after = statistics.mean(pnl[:5]), statistics.mean(pnl[-5:])
    if not after > before:
        raise TradingHFError(
            f"ppo: mean profit per episode went from {before:.4g} to {after:.4g} in {iterations} "
            "iterations on a trending market; not timed. Please report this."
        )


def fitted_reward(market: MarketData) -> RewardModel:
    """A reward model fitted to 12 rankings; the size of the fit does not change what it pays."""
    from tradinghf.config import EnvConfig
    from tradinghf.feedback import SyntheticTrader
    from tradinghf.learning.config import AspectConfig, RewardConfig
    from tradinghf.learning.reward import RewardModel
    from tradinghf.loop import collect, random_actor, strategy_actor
    from tradinghf.simulation import random_windows
    from tradinghf.strategies import strategy_names

    actors = [strategy_actor(name, market) for name in strategy_names()]
    actors.append(random_actor(market, EnvConfig(), seed=0, hold=6))
    groups = collect(market, actors, random_windows(market, EnvConfig(), 12, seed=0))
    trader = SyntheticTrader("drawdown")
    answers = [trader.rank(group, f"window {i}") for i, group in enumerate(groups)]
    config = RewardConfig(head=AspectConfig(max_terms=1), learned=0.0)
    return RewardModel(config).fit(answers, {e.id: e for group in groups for e in group})
