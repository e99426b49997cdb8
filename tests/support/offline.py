"""Rankings without training: how well is a taste learned, where a policy would go?

Questions are chosen as the loop chooses them, in four rounds; from the second on, stand-ins for
the policy (noisy copies of good traders) are in the pool. The test windows are of another market.

    python tests/support/offline.py few_trades home_by_night --rankings 25 50 100
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from support import outside_traders

from tradinghf.config import EnvConfig
from tradinghf.episodes import Episode, EpisodeBatch
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback._traders import UTILITIES, SimulatedTeacher
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward import RewardModel, predicted_pairs
from tradinghf.learning.reward._held_out import pair_metrics
from tradinghf.loop import Actor, ask, collect, distinct_columns, pool_actors
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv, random_windows

CONFIG = EnvConfig()
ROUNDS = 4
NEAR = 0.1  # utilities closer than this share of the pool's spread are no test


def taste(name: str) -> Callable:
    """A utility of `outside_traders`, or a built-in one."""
    return getattr(outside_traders, name, None) or UTILITIES[name]


def trader(name: str, teacher: str | SimulatedTeacher = "oracle", seed: int = 0) -> SyntheticTrader:
    """A synthetic trader with that taste, fast on batches."""
    made = SyntheticTrader("profit", teacher, seed)
    made.function, made.label = taste(name), name
    return made


def stand_ins(market: MarketData, seed: int, count: int) -> list[Actor]:
    """Traders that do well and slip: what policies look like while they learn.

    Some see a few bars ahead, most of the time: as well as any policy could trade this market.
    """
    rng = np.random.default_rng(seed)
    log = np.log(market.close)
    found = []
    for index in range(count):
        ahead, slip = int(rng.integers(3, 15)), rng.uniform(0.05, 0.5)
        hold, size = rng.uniform(2, 12), rng.choice([0.5, 1.0])
        short = rng.random() < 0.6
        future = np.concatenate([log[ahead:], np.repeat(log[-1:], ahead, axis=0)]) - log
        flat = rng.choice([0.0, 0.5]) * np.std(future)
        target = size * np.sign(future) * (np.abs(future) > flat)
        target = target if short else np.maximum(target, 0)
        drawn = rng.choice(np.array(CONFIG.levels), size=target.shape)
        keep = rng.random(target.shape) >= 1.0 / hold
        keep[0] = False
        target = np.where(rng.random(target.shape) < slip, drawn, target)
        row = np.maximum.accumulate(np.where(keep, 0, np.arange(len(log))[:, None]), axis=0)
        found.append(Actor(f"stand-in:{index}", np.take_along_axis(target, row, axis=0)))
    return found


@functools.cache
def market(seed: int, regime: str = "momentum") -> MarketData:
    return synthetic(seed=seed, bars=1024, assets=16, regime=regime)


@dataclass(frozen=True, eq=False)
class Region:
    """Test episodes: [W][G], and the groups of each window that are compared."""

    episodes: list[list[Episode]]

    @functools.cached_property
    def flat(self) -> list[Episode]:
        return [e for row in self.episodes for e in row]

    def utilities(self, name: str) -> np.ndarray:
        """[W, G]"""
        batch = EpisodeBatch.stack(self.flat)
        return np.asarray(taste(name)(batch)).reshape(len(self.episodes), -1)


@functools.cache
def regions(regime: str = "momentum") -> tuple[Region, Region]:
    """Fresh windows of another seed: the pool of the questions, and stand-ins for policies."""
    bars = market(1001, regime)
    places = random_windows(bars, CONFIG, 40, seed=5)
    env = MarketEnv(bars, num_envs=len(places), config=CONFIG)
    pool = collect(bars, pool_actors(bars, CONFIG, 5), places, env=env, seed=5)
    near = collect(bars, stand_ins(bars, 77, 32), places, env=env, seed=6)
    return Region(pool), Region(near)


def learn(
    name: str,
    count: int,
    *,
    teacher: str | SimulatedTeacher = "oracle",
    regime: str = "momentum",
    config: RewardConfig | None = None,
    seed: int = 0,
) -> tuple[RewardModel, list, dict[str, Episode]]:
    """A reward model after `count` rankings in four rounds, the answers, and what was shown."""
    judge = trader(name, teacher, seed)
    bars = market(seed, regime)
    env = MarketEnv(bars, num_envs=2, config=CONFIG)
    model = RewardModel(config or RewardConfig())
    answers, shown = [], {}
    for round_ in range(ROUNDS):
        own = []
        if round_:
            own = stand_ins(bars, seed * 100 + round_, 10)
            places = random_windows(bars, CONFIG, 8, seed)
            rows = collect(bars, own, places, config=CONFIG)
            worth = model.score([e for row in rows for e in row]).reshape(8, -1).mean(0)
            own = [own[i] for i in worth.argsort(descending=True)[:4]]
        asked = ask(
            env,
            own,
            count=round(count * (round_ + 1) / ROUNDS) - round(count * round_ / ROUNDS),
            windows=48,
            size=5,
            uniform=0.2,
            seed=seed * 1_000_003 + round_,
            model=model,
            round_=round_,
        )
        for question in asked:
            shown |= {e.id: e for e in question.episodes}
            answers.append(judge.rank(question.episodes, question.query.id))
        model.fit(answers, shown)
    return model, answers, shown


def accuracy(scores: np.ndarray, truth: np.ndarray) -> float:
    """Share of the pairs of a window, with different worth, that scores put in order."""
    first, second = np.triu_indices(truth.shape[1], 1)
    gap, real = scores[:, first] - scores[:, second], truth[:, first] - truth[:, second]
    clear = np.abs(real) > NEAR * (truth - truth.mean(1, keepdims=True)).std()
    return float((np.sign(gap) == np.sign(real))[clear].mean())


def judged(model: RewardModel, name: str, regime: str = "momentum") -> dict[str, float]:
    """Accuracy in both regions, and the utility of what the model would choose.

    `chosen` is 1 where the model picks the best stand-in of every window, and 0 at chance.
    """
    pool, near = regions(regime)
    found = {}
    for key, region in (("pool", pool), ("near", near)):
        truth = region.utilities(name)
        scores = model.score(region.flat).double().numpy().reshape(truth.shape)
        if key == "near":
            best = truth.max(1).mean()
            picked = np.take_along_axis(truth, scores.argmax(1)[:, None], 1).mean()
            found["chosen"] = (picked - truth.mean()) / (best - truth.mean())
            # The better half is where a trained policy will be.
            half = np.argsort(-truth, axis=1)[:, : truth.shape[1] // 2]
            truth = np.take_along_axis(truth, half, 1)
            scores = np.take_along_axis(scores, half, 1)
        found[key] = accuracy(scores, truth)
    return {key: float(found[key]) for key in ("pool", "near", "chosen")}


def calibration(
    model: RewardModel,
    name: str,
    teacher: str | SimulatedTeacher,
    regime: str = "momentum",
    seed: int = 9,
) -> dict[str, float]:
    """Metrics on fresh random questions of the unseen market, answered by the same teacher."""
    judge = trader(name, teacher, seed)
    rng = np.random.default_rng(seed)
    answers, shown = [], {}
    for w, row in enumerate(regions(regime)[0].episodes):
        for part in range(2):
            group = [row[i] for i in rng.choice(distinct_columns(row), 5, replace=False)]
            shown |= {e.id: e for e in group}
            answers.append(judge.rank(group, f"c{w}-{part}"))
    return pair_metrics(*predicted_pairs(model, answers, shown)[:2])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    every = [f.__name__ for f in outside_traders.OUTSIDE]
    parser.add_argument("names", nargs="*", default=every)
    parser.add_argument("--rankings", type=int, nargs="*", default=[25, 50, 100])
    parser.add_argument("--teacher", default="oracle")
    parser.add_argument("--regime", default="momentum")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without the residual")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sets = {
        "inside": sorted(UTILITIES),
        "strangers": [f.__name__ for f in outside_traders.STRANGERS],
    }
    names = [name for given_name in given.names for name in sets.get(given_name, [given_name])]
    config = RewardConfig(residual=None) if given.plain else RewardConfig()
    totals: dict[int, list] = {}
    say("taste, then per number of rankings: pool / near / chosen (ece)  [seconds of a fit]")
    for name in names:
        line = []
        for count in given.rankings:
            rows = []
            for seed in range(given.seeds):
                model, answers, shown = learn(
                    name,
                    count,
                    teacher=given.teacher,
                    regime=given.regime,
                    config=config,
                    seed=seed,
                )
                began = time.perf_counter()
                model.fit(answers, shown)
                seconds = time.perf_counter() - began
                found = judged(model, name, given.regime)
                ece = calibration(model, name, given.teacher, given.regime)["ece"]
                rows.append([*found.values(), ece, seconds])
            mean = np.mean(rows, axis=0)
            totals.setdefault(count, []).append(mean)
            line.append("{:.3f} {:.3f} {:.3f} ({:.3f}) [{:.1f}]".format(*mean))
        say(f"{name:22s} " + " | ".join(line))
    for what, reduce in (("mean", np.mean), ("worst", np.min)):
        line = [
            "{:.3f} {:.3f} {:.3f} ({:.3f}) [{:.1f}]".format(*reduce(totals[c], axis=0))
            for c in given.rankings
        ]
        say(f"{what:22s} " + " | ".join(line))


if __name__ == "__main__":
    main()
