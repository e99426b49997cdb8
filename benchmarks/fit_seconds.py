"""How long a fit of the reward model takes on one core, for 50 and for 800 rankings of five.

    python benchmarks/fit_seconds.py --json fit_seconds.json

The answers are about random groups of what rules, chance and traders who slip did in windows of a
synthetic market. Tastes are those of the aspects' span, and some outside of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import torch

from tradinghf.bench import stamp
from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.reward import RewardModel
from tradinghf.loop import (
    Experiment,
    collect,
    distinct_columns,
    env_like,
    pool_actors,
    split_market,
)
from tradinghf.loop.labels._tastes import slipping_traders
from tradinghf.simulation import random_windows

OUTSIDE = "tests/support/outside_traders.py"
TASTES = ("drawdown", "trend_rider", f"{OUTSIDE}:few_trades", f"{OUTSIDE}:straight_curve")
COUNTS = (50, 800)
SIZE, STAND_INS = 5, 12


def questions(count: int, seed: int) -> list[list[Episode]]:
    """Random groups of five, each about a window of its own."""
    experiment = Experiment(data="synthetic:regime=momentum", seed=seed)
    split = split_market(experiment)
    market, env = split.train, experiment.environment(split)
    actors = [
        *pool_actors(market, env.config, seed),
        *slipping_traders(market, env.config.levels, STAND_INS, seed),
    ]
    rng, found = np.random.default_rng(seed), []
    places = random_windows(market, env.config, count + count // 8, seed)
    rows = collect(market, actors, places, env=env_like(env, market, len(places)), seed=seed)
    for row in rows:
        shown = distinct_columns(row)
        if len(shown) >= SIZE:
            found.append([row[c] for c in rng.choice(shown, SIZE, replace=False)])
    return found[:count]


def main() -> None:
    """Fit, time, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    groups = questions(max(COUNTS), asked.seed)
    episodes = {episode.id: episode for group in groups for episode in group}
    rows = []
    for taste in TASTES:
        trader = SyntheticTrader(taste, seed=asked.seed)
        answers = [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]
        RewardModel().fit(answers[:5], episodes)  # what is loaded once
        for count in COUNTS:
            wall, cpu = time.perf_counter(), time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                RewardModel().fit(answers[:count], episodes)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            name = taste.rpartition(":")[2]
            rows.append({"taste": name, "rankings": count, "seconds": wall, "cpu_seconds": cpu})
            sys.stdout.write(f"{name:16} {count:4} rankings: {wall:6.2f} s ({cpu:.2f} of CPU)\n")
    for count in COUNTS:
        each = [row["seconds"] for row in rows if row["rankings"] == count]
        told = f"median {median(each):.2f} s, longest {max(each):.2f} s"
        sys.stdout.write(f"{count} rankings: {told}\n")
    if asked.json is not None:
        found = {"benchmark": "fit_seconds", **stamp(), "rows": rows}
        write_atomic(asked.json, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
