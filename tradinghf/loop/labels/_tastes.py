"""How well a taste is learned from so many rankings, without training a policy on it.

Hundreds of tastes, numbers of answers and seeds can be measured in the time of a few trainings.
Questions are about rules, chance, and stand-ins for a policy that learns; what is foreseen are
windows of another market, and what policies do there that were trained on other rewards. Last, the
learned reward chooses one of the candidates in each window, and it is told what that is worth.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from tradinghf.durable import make_folder, write_atomic
from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.errors import check_setting
from tradinghf.executors import ExecutorLike, as_executor
from tradinghf.feedback import Ranking, SyntheticTrader
from tradinghf.learning.config import RewardConfig, RLHFConfig
from tradinghf.learning.ppo import utility_stream
from tradinghf.learning.reward import RewardModel, predicted_pairs, summarise
from tradinghf.loop import (
    Actor,
    Experiment,
    collect,
    distinct_columns,
    env_like,
    pool_actors,
    split_market,
    train_baseline,
)
from tradinghf.loop.labels._cells import IN_SPAN
from tradinghf.market import MarketData
from tradinghf.simulation import random_windows

Progress = Callable[[str, int, int, dict[str, float]], None]
_SIZE = 5  # episodes per question
_EXPLORE = (0.0, 0.15, 0.5)  # of the policies whose episodes are judged
_METRICS = ("accuracy", "f1", "ece", "log_loss")


@dataclass(frozen=True)
class TasteBench:
    """Settings of the benchmark.

    Attributes:
        traders: hidden utilities: names, or FILE.py:function.
        teachers: how faithfully they answer.
        markets: synthetic regimes.
        seeds: worlds per market; each draws its own windows, rules of chance and policies.
        rankings: numbers of rankings of five; the fewer are the first of the more.
        windows: unseen market windows.
        stand_ins: for policies, in the questions and among the candidates.
        steps: environment steps of each policy that is judged.
        reward: the reward model.

    """

    traders: tuple[str, ...] = IN_SPAN
    teachers: tuple[str, ...] = ("oracle",)
    markets: tuple[str, ...] = ("momentum", "mean_reversion")
    seeds: int = 3
    rankings: tuple[int, ...] = (3, 5, 10, 25, 50, 100, 200)
    windows: int = 40
    stand_ins: int = 16
    steps: int = 200_000
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        check_setting(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        check_setting(self.windows >= 2, "windows", self.windows, "at least 2")
        for name in ("traders", "teachers", "markets", "rankings"):
            check_setting(len(getattr(self, name)) > 0, name, getattr(self, name), "at least one")


@dataclass(frozen=True, eq=False)
class TasteWorld:
    """One market, and what happened in it.

    Attributes:
        questions: groups of five episodes of one window each.
        fresh: such groups of windows of the unseen market.
        unseen: [W][G] episodes of all candidates in its windows; the policies' are the last.
        policies: how many are theirs.

    """

    questions: list[list[Episode]]
    fresh: list[list[Episode]]
    unseen: list[list[Episode]]
    policies: int

    @property
    def candidates(self) -> list[Episode]:
        """[W·G] the episodes of all candidates."""
        return [episode for row in self.unseen for episode in row]


def run_tastes(
    bench: TasteBench,
    folder: Path,
    *,
    executor: ExecutorLike = "local",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Measure what is not measured yet.

    Args:
        bench: settings.
        folder: one JSON file per market, seed, trader and teacher; those that exist are kept.
        executor: where worlds are measured, see `tradinghf.executors.as_executor`.
        progress: called with (phase, done, total, {}).

    Returns:
        One dict per market, seed, trader, teacher and number of rankings (`measure`).

    """
    make_folder(folder)
    tasks = [
        (seed, market, trader, teacher)
        for seed in range(bench.seeds)
        for market in bench.markets
        for teacher in bench.teachers
        for trader in bench.traders
    ]
    missing = [task for task in tasks if not _file(folder, *task).is_file()]
    done = len(tasks) - len(missing)
    for number, rows in as_executor(executor)(_measure, bench, missing):
        write_atomic(_file(folder, *missing[number]), json.dumps(rows).encode())
        done += 1
        if progress is not None:
            progress("tastes", done, len(tasks), {})
    return [row for task in tasks for row in json.loads(_file(folder, *task).read_text())]


def _file(folder: Path, seed: int, market: str, trader: str, teacher: str) -> Path:
    return folder / f"{market}-s{seed}-{_label(trader)}-{teacher}.json"


def _label(trader: str) -> str:
    return trader.rpartition(":")[2]


def _measure(bench: TasteBench, task: tuple[int, str, str, str]) -> list[dict[str, Any]]:
    """Rows of one trader in one world; runs wherever the executor puts it."""
    seed, market, trader, teacher = task
    cell = {"market": market, "seed": seed, "trader": _label(trader), "teacher": teacher}
    world, judge = make_world(bench, market, seed), SyntheticTrader(trader, teacher, seed)
    return [cell | row for row in measure(bench, world, judge)]


@lru_cache(maxsize=1)  # traders come one after the other in each world
def make_world(bench: TasteBench, market: str, seed: int) -> TasteWorld:
    """Questions about one market, and candidates on bars that no question was about."""
    experiment = Experiment(data=f"synthetic:regime={market}", seed=seed, envs=128)
    split, rng = split_market(experiment), np.random.default_rng(seed)
    env, loop = experiment.environment(split), RLHFConfig(steps=bench.steps, seed=seed)
    policies = [
        Actor(f"{name}-{explore}", policy=policy, explore=explore)
        for name in IN_SPAN
        for policy in [train_baseline(env, name, utility_stream(SyntheticTrader(name)), loop)]
        for explore in _EXPLORE
    ]

    def traded(bars: MarketData, count: int, actors: Sequence[Actor]) -> list[list[Episode]]:
        places = random_windows(bars, env.config, count, seed)
        return collect(bars, actors, places, env=env_like(env, bars, len(places)), seed=seed)

    pool = pool_actors(split.train, env.config, seed)
    near = slipping_traders(split.train, env.config.levels, bench.stand_ins, seed)
    most = max(bench.rankings)
    rows = traded(split.train, most + most // 4, [*pool, *near])
    questions: list[list[Episode]] = []
    for number, row in enumerate(rows):
        shown = distinct_columns(row)
        # The loop's first round asks before there is a policy.
        shown = [c for c in shown if c < len(pool)] if number < max(most // 8, 3) else shown
        if len(shown) >= _SIZE and len(questions) < most:
            questions.append([row[c] for c in rng.choice(shown, _SIZE, replace=False)])
    actors = [
        *pool_actors(split.test, env.config, seed + 1),
        *slipping_traders(split.test, env.config.levels, bench.stand_ins, seed + 1),
    ]
    unseen = traded(split.test, bench.windows, [*actors, *policies])
    fresh = [
        [row[c] for c in rng.choice(distinct_columns(row), _SIZE, replace=False)]
        for row in unseen
        if len(distinct_columns(row)) >= _SIZE
    ]
    return TasteWorld(questions, fresh, unseen, len(policies))


def slipping_traders(
    market: MarketData, levels: Sequence[float], count: int, seed: int
) -> list[Actor]:
    """Traders that see a few bars ahead and slip: what policies look like while they learn."""
    rng = np.random.default_rng(seed)
    log = np.log(market.close)
    found = []
    for index in range(count):
        ahead, slip = int(rng.integers(3, 15)), rng.uniform(0.05, 0.5)
        hold, size = rng.uniform(2, 12), rng.choice([0.5, 1.0])
        future = np.concatenate([log[ahead:], np.repeat(log[-1:], ahead, axis=0)]) - log
        flat = rng.choice([0.0, 0.5]) * np.std(future)
        target = size * np.sign(future) * (np.abs(future) > flat)
        target = np.maximum(target, 0.0 if rng.random() < 0.4 else -1.0)
        drawn = rng.choice(np.array(levels), size=target.shape)
        keep = rng.random(target.shape) >= 1.0 / hold
        keep[0] = False
        target = np.where(rng.random(target.shape) < slip, drawn, target)
        row = np.maximum.accumulate(np.where(keep, 0, np.arange(len(log))[:, None]), axis=0)
        found.append(Actor(f"slipping_{index}", np.take_along_axis(target, row, axis=0)))
    return found


def measure(bench: TasteBench, world: TasteWorld, trader: SyntheticTrader) -> list[dict[str, Any]]:
    """One dict per number of rankings: what a model fitted to them is worth in the world.

    Returns:
        accuracy, macro F1, ECE and log-loss on fresh questions that the same teacher answers;
        `rank_unseen` and `rank_policies`, Spearman's correlation of learned and true worth within
        a window, over all candidates and over the policies; `worth`, what the
        candidate with the highest learned reward in each window is truly worth (1 the best, 0 the
        average), and `worth_pnl` the one with the highest profit; `explained`, `beyond`, and the
        seconds that the fit took.

    """
    answers = [trader.rank(group, f"q{i}") for i, group in enumerate(world.questions)]
    fresh = [trader.rank(group, f"fresh{i}") for i, group in enumerate(world.fresh)]
    every = [*world.questions, *world.fresh]
    episodes = {episode.id: episode for group in every for episode in group}
    truth = trader.utilities(EpisodeBatch.stack(world.candidates)).reshape(len(world.unseen), -1)
    profit = np.array([e.net_return for e in world.candidates]).reshape(truth.shape)
    rows = []
    for count in bench.rankings:
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = RewardModel(bench.reward).fit(answers[:count], episodes)
        seconds = time.perf_counter() - began
        about = {
            "rankings": count,
            "bits": sum(answer.bits for answer in answers[:count]),
            "worth_pnl": choice(profit, truth),
            "seconds": seconds,
            "explained": model.explained,
            "beyond": model.beyond,
        }
        rows.append(about | judged(model, world, truth, fresh, episodes))
    return rows


def judged(
    model: RewardModel,
    world: TasteWorld,
    truth: Floats,
    fresh: Sequence[Ranking],
    episodes: Mapping[str, Episode],
) -> dict[str, float]:
    """What a fitted model foresees; see `measure`."""
    found = summarise(predicted_pairs(model, fresh, episodes))
    learned = model.score(world.candidates).double().numpy().reshape(truth.shape)
    return {
        **{name: float(found[name]) for name in _METRICS},
        "rank_unseen": rank_correlation(learned, truth),
        "rank_policies": rank_correlation(
            learned[:, -world.policies :], truth[:, -world.policies :]
        ),
        "worth": choice(learned, truth),
    }


def rank_correlation(learned: Floats, truth: Floats) -> float:
    """Mean over the windows of Spearman's correlation within one; both [W, G]."""
    found = [
        spearmanr(one, other).statistic if np.ptp(one) > 0 else 0.0
        for one, other in zip(learned, truth, strict=True)
        if np.ptp(other) > 0
    ]
    return float(np.mean(found)) if found else 0.0


def choice(learned: Floats, truth: Floats) -> float:
    """True worth of the candidate that is best in learned worth, over the windows.

    Args:
        learned, truth: [W, G] worth of G candidates in W windows.

    Returns:
        1 where the best of every window is chosen, 0 for the average candidate.

    """
    chosen = np.take_along_axis(truth, learned.argmax(1)[:, None], 1).mean()
    span = float(truth.max(1).mean() - truth.mean())
    return float(chosen - truth.mean()) / span if span > 0 else 1.0
