"""One training of the benchmark: a market, a seed, and who or what the policy learned from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tradinghf.errors import check_setting
from tradinghf.evaluation import GateConfig
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import RewardConfig, RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import sparse_pnl, utility_stream
from tradinghf.learning.reward import PlainReward, Reward, RewardModel
from tradinghf.loop import (
    RLHF,
    UNSEEN_SEED,
    Acting,
    Actor,
    Experiment,
    Split,
    baseline_training,
    env_like,
    episode_batch,
    random_actor,
    split_market,
    train_baseline,
)
from tradinghf.simulation import MarketEnv

Kind = Literal["pnl", "true", "plain", "rlhf"]
Gating = Literal["all", "harmed", "none"]
IN_SPAN = (
    "drawdown",
    "mean_variance",
    "turnover_averse",
    "dislikes_shorts",
    "trend_rider",
    "quick_loss_cutter",
    "dislikes_giving_back",
    "time_in_market",
)
_CURVE = 8  # points on a learning curve
_GATE_SEED = 500_000  # of the paths that the gate judges on
_GATE_BARS = 8192
_ANY_PROFIT = 1.0  # margin of profit
_BITS_OF_FIVE = math.log2(120)
_HELD_OUT = ("accuracy", "f1", "ece", "log_loss", "brier")


@dataclass(frozen=True)
class LabelBench:
    """Settings of the benchmark.

    Attributes:
        traders: hidden utilities: names, or FILE.py:function.
        teachers: how faithfully they answer; the first is asked for every number of rankings,
            the others for the largest number only.
        markets: synthetic regimes that the policies trade.
        seeds: seeds per market; each draws its own training and unseen paths.
        rankings: numbers of rankings of five.
        plain: also train the plain network on pairs, at as many bits as the most rankings have.
        steps: environment steps of every training.
        yardstick_steps: of PPO on the true utility, where it gets more.
        yardsticks: seeds of PPO on the true utility; the best is the yardstick.
        gate: ask the no-harm gate about every training, about those that end below PPO on PnL
            (only they can harm), or about none.
        envs: parallel environments of every training.
        test_episodes: episodes of unseen paths behind each utility.
        loop: the other settings of the loop.
        reward: the reward model.

    """

    traders: tuple[str, ...] = IN_SPAN
    teachers: tuple[str, ...] = ("oracle",)
    markets: tuple[str, ...] = ("momentum", "mean_reversion")
    seeds: int = 3
    rankings: tuple[int, ...] = (10, 25, 50)
    plain: bool = True
    steps: int = 800_000
    yardstick_steps: int | None = None
    yardsticks: int = 1
    gate: Gating = "all"
    envs: int = 128
    test_episodes: int = 2048
    loop: RLHFConfig = field(default_factory=RLHFConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        check_setting(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        for name in ("traders", "teachers", "markets", "rankings"):
            check_setting(len(getattr(self, name)) > 0, name, getattr(self, name), "at least one")

    def cells(self) -> list[list[Cell]]:
        """Every training; a list may start when the one before is done."""
        places = [(market, seed) for market in self.markets for seed in range(self.seeds)]
        chance = [Cell("pnl", *place) for place in places]
        true = [Cell("true", *place, trader) for trader in self.traders for place in places]
        ranked = [
            Cell("rlhf", *place, trader, teacher, count)
            for index, teacher in enumerate(self.teachers)
            for count in sorted(self.rankings, reverse=True)[: 1 if index else None]
            for trader in self.traders
            for place in places
        ]
        plain = [
            Cell("plain", *place, trader, self.teachers[0], count)
            for count in [max(self.rankings)] * self.plain
            for trader in self.traders
            for place in places
        ]
        return [chance, true, [*ranked, *plain]]


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        kind: PPO on sparse PnL, PPO on the true utility, the plain network, or the loop.
        market: regime.
        seed: of paths, questions, answers and training.
        trader, teacher: who ranks; empty for PnL.
        rankings: how many rankings of five, or as many bits in pairs for "plain".

    """

    kind: Kind
    market: str
    seed: int
    trader: str = ""
    teacher: str = ""
    rankings: int = 0

    @property
    def name(self) -> str:
        """Unique among cells, and a file name."""
        who = self.trader.rpartition("/")[2].replace(".py:", ".").replace(":", ".")
        parts = (self.kind, self.market, who, self.teacher, self.rankings or "", f"s{self.seed}")
        return "-".join(str(part) for part in parts if part != "")


def run_cell(bench: LabelBench, cell: Cell, folder: Path) -> dict[str, Any]:
    """Train, and measure on unseen paths.

    Args:
        bench: settings.
        cell: which training.
        folder: where the policies of "pnl" cells are left for the others to be compared with.

    Returns:
        The cell's fields, and `utility` (mean true utility on unseen paths); "true" cells also
        the utility of chance and of PPO on PnL, and a learning curve; "rlhf" and "plain" ones the
        reward model's held-out metrics, the bits of feedback, the no-harm gate's answer when a
        policy of the training would replace PPO on PnL, and the utility of the one deployed.

    """
    experiment = Experiment(
        trader=cell.trader or "profit",
        teacher=cell.teacher or "oracle",
        data=f"synthetic:regime={cell.market}",
        envs=bench.envs,
        loop=dataclasses.replace(bench.loop, steps=bench.steps, seed=cell.seed),
        reward=dataclasses.replace(bench.reward, seed=cell.seed),
        seed=cell.seed,
    )
    split = split_market(experiment)
    work = {"pnl": _pnl, "true": _true, "plain": _loop, "rlhf": _loop}[cell.kind]
    return dataclasses.asdict(cell) | work(bench, cell, experiment, split, folder)


def _pnl(
    bench: LabelBench, cell: Cell, experiment: Experiment, split: Split, folder: Path
) -> dict[str, Any]:
    env = experiment.environment(split)
    policy = train_baseline(env, "pnl", sparse_pnl, experiment.loop)
    policy.save(_pnl_policy(cell, folder))
    return {"utility": _utility(policy, SyntheticTrader("profit"), env, bench, split)}


def _true(
    bench: LabelBench, cell: Cell, experiment: Experiment, split: Split, folder: Path
) -> dict[str, Any]:
    trader, env = SyntheticTrader(cell.trader), experiment.environment(split)
    steps = bench.yardstick_steps or bench.steps
    curves = []
    for attempt in range(bench.yardsticks):
        loop = dataclasses.replace(experiment.loop, steps=steps, seed=cell.seed + 1000 * attempt)
        training, total = baseline_training(env, "true", utility_stream(trader), loop)
        curve = []
        for point in range(_CURVE):
            training.train_to(total * (point + 1) // _CURVE, total)
            curve.append([training.steps, _utility(training.network, trader, env, bench, split)])
        curves.append(curve)
    curve = max(curves, key=lambda c: c[-1][1])
    pnl = Policy.load(_pnl_policy(cell, folder))
    chance = random_actor(split.test, env.config, cell.seed, 1.0)
    unseen = env_like(env, split.test, bench.test_episodes)
    return {
        "utility": curve[-1][1],
        "utilities": [c[-1][1] for c in curves],
        "curve": curve,
        "utility_pnl": _utility(pnl, trader, env, bench, split),
        "utility_random": float(
            trader.utilities(episode_batch(unseen, chance, UNSEEN_SEED)).mean()
        ),
    }


def _loop(
    bench: LabelBench, cell: Cell, experiment: Experiment, split: Split, folder: Path
) -> dict[str, Any]:
    trader = SyntheticTrader(cell.trader, cell.teacher, cell.seed)
    loop = experiment.loop
    model: Reward = RewardModel(experiment.reward)
    if cell.kind == "plain":
        pairs = round(cell.rankings * _BITS_OF_FIVE)
        loop = dataclasses.replace(loop, size=2, uniform=1.0, pnl_weight=0.0, rankings=pairs)
        model = PlainReward(experiment.reward)
    else:
        loop = dataclasses.replace(loop, rankings=cell.rankings)
    agent = RLHF(
        experiment.environment(split), model, trader=trader, test_market=split.test, config=loop
    ).train()
    found = agent.evaluate()

    def judge(policy: Acting) -> float:
        return _utility(policy, trader, agent.env, bench, split)

    return {
        "utility": judge(agent.policy),
        "bits": sum(r.bits for r in agent.rankings if r.outcome == "ranked"),
        "explained": model.explained,
        **{name: found[name] for name in _HELD_OUT},
        **_gated(bench, agent, cell, experiment, folder, judge),
    }


def _gated(
    bench: LabelBench,
    agent: RLHF,
    cell: Cell,
    experiment: Experiment,
    folder: Path,
    judge: Callable[[Acting], float],
) -> dict[str, Any]:
    """May a policy of the training replace PPO on PnL? Judged on paths of their own.

    By the learned utility alone: harm is counted in the trader's utility here, so profit may fall.
    """
    file = _pnl_policy(cell, folder)
    if bench.gate == "none" or not file.is_file():
        return {}
    if bench.gate == "harmed" and judge(agent.policy) >= judge(Policy.load(file)):
        return {}
    data = f"{experiment.data},bars={_GATE_BARS}"
    paths = dataclasses.replace(experiment, seed=cell.seed + _GATE_SEED, data=data)
    agent.test_market, agent.baseline = split_market(paths).test, Policy.load(file)
    decision = agent.gate(GateConfig(margin=_ANY_PROFIT)).decision
    through = decision.answer == "deploy"
    return {"gate": decision.answer, "deployed": judge(agent.trained) if through else None}


def _pnl_policy(cell: Cell, folder: Path) -> Path:
    """Where PPO on PnL of the same market and seed is left."""
    return folder / f"{Cell('pnl', cell.market, cell.seed).name}.safetensors"


def _utility(
    policy: Acting, trader: SyntheticTrader, env: MarketEnv, bench: LabelBench, split: Split
) -> float:
    unseen = env_like(env, split.test, bench.test_episodes)
    batch = episode_batch(unseen, Actor("judged", policy=policy), UNSEEN_SEED)
    return float(trader.utilities(batch).mean())
