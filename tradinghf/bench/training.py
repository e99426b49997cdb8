"""How fast policies train, one at a time and many at once."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from tradinghf.bench.core import Row, benchmark, timed
from tradinghf.errors import TradingHFError

if TYPE_CHECKING:
    from tradinghf.learning.many import ManyPPO
    from tradinghf.learning.ppo import PPO
    from tradinghf.learning.reward_model import RewardModel
    from tradinghf.market.data import MarketData


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
    """S small trainings (N environments each, 40 iterations): in a row, stacked, on all cores.

    Before timing, learners side by side must have learned what they learn alone. What is stacked
    in more than one process is compared by the clock.
    """
    import torch

    from tradinghf.learning.many import ManyPPO, cores
    from tradinghf.learning.ppo import PPO, Stream
    from tradinghf.learning.streams import env_reward, sparse_pnl
    from tradinghf.market.synthetic import synthetic
    from tradinghf.simulation.env import MarketEnv

    market = synthetic(seed=0, bars=1_024, assets=16)
    streams = {"env": Stream(env_reward), "pnl": Stream(sparse_pnl, 0.3)}

    def make_env(count: int) -> MarketEnv:
        return MarketEnv(market, num_envs=count, seed=0)

    rows, calls = [], 1 if quick else 8  # iterations in a call, which forks the processes
    for envs, learners in ((4, 2),) if quick else ((16, 16), (16, 64), (64, 64)):
        alone = PPO(make_env(envs), streams, seed=0)
        cases: dict[str, tuple[PPO | ManyPPO, int]] = {"in a row": (alone, 1)}
        for count in sorted({1, cores()}):
            many = ManyPPO(make_env, streams, range(learners), envs=envs, processes=count)
            cases["stacked" + (f", {count} processes" if count > 1 else "")] = many, learners
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for agent, _ in cases.values():
                agent.train(2, total=40)
                _same_weights(agent, alone)
            for case, (agent, amount) in cases.items():

                def work(agent: PPO | ManyPPO = agent) -> None:
                    agent.train(calls, total=40)

                repeats = 1 if quick else 2
                rate = timed(work, 60.0 * amount * calls / 40, "trainings/min", repeats=repeats)
                about = {"envs": envs, "learners": learners}
                rows.append({"case": f"N={envs}, S={learners}, {case}"} | about | rate)
        finally:
            torch.set_num_threads(before)
    return rows


def _same_weights(many: PPO | ManyPPO, alone: PPO) -> None:
    """The first learner has learned what it learns alone.

    Raises:
        TradingHFError: its weights differ.

    """
    from tradinghf.learning.ppo import PPO

    network = many.network if isinstance(many, PPO) else many.networks[0]
    assert network is not None
    assert alone.network is not None
    pairs = zip(network.parameters(), alone.network.parameters(), strict=True)
    gap = max(float((a - b).detach().abs().max()) for a, b in pairs)
    if not gap <= 1e-4:
        raise TradingHFError(
            f"stacked: weights differ by {gap:.3g} from a training alone; not timed. Please "
            "report this."
        )


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
