"""How often the product's intervals hold the truth, in worlds where it is known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.bench._core import earlier_results, stamp
from tradinghf.bench._coverage_worlds import (
    Held,
    World,
    agreement,
    ratings,
    runs,
    scores,
    track,
    weights,
    windows,
)
from tradinghf.durable import write_atomic
from tradinghf.errors import ConfigError, check_setting, unknown_name
from tradinghf.executors import ExecutorLike, as_executor, in_order

LOW, HIGH = 0.93, 0.97
"""A nominal 95 % interval is good where it covers that often."""

_TOGETHER = 10  # worlds that are drawn as one task
WORLDS: dict[str, Callable[[], World]] = {
    "one asset, 31 windows apart": lambda: windows(2020, 1, 0.0, 64, 2048),
    "one asset, 15 windows apart": lambda: windows(1020, 1, 0.0, 64, 2048),
    "20 independent assets": lambda: windows(2020, 20, 0.0, 64, 2048),
    "20 assets, correlation 0.36": lambda: windows(2020, 20, 0.36, 64, 2048),
    "20 assets, correlation 0.36, short windows": lambda: windows(2020, 20, 0.36, 16, 2048),
    "track of 500 bars": lambda: track("independent", 500),
    "track of 500 bars, fat tails": lambda: track("fat tails", 500),
    "track of 1,000 bars, autocorrelation 0.3": lambda: track("autocorrelated", 1000),
    "track of 1,000 bars, clustered volatility": lambda: track("clustered", 1000),
    "track of 1,000 bars, volatility rises after falls": lambda: track("leverage", 1000),
    "10 held-out rankings": lambda: scores(10, 0.9),
    "40 held-out rankings": lambda: scores(40, 0.9),
    "40 held-out rankings, sure model": lambda: scores(40, 0.995),
    "160 held-out rankings": lambda: scores(160, 0.7),
    "15 queries to two raters": lambda: agreement(15),
    "60 queries to two raters": lambda: agreement(60),
    "20 rankings of six sources": lambda: ratings(20),
    "100 rankings of six sources": lambda: ratings(100),
    "explanation from 12 rankings": lambda: weights(12),
    "explanation from 40 rankings": lambda: weights(40),
    "3 seeds of 16 cases": lambda: runs(3),
}


def measure(
    kind: str, worlds: int, seed: int, executor: ExecutorLike = "local"
) -> list[dict[str, Any]]:
    """Coverage of each interval that a kind of world prints.

    Args:
        kind: of `WORLDS`.
        worlds: how many.
        seed: world i draws from (seed, i).
        executor: where they are drawn, see `tradinghf.executors.as_executor`.

    Returns:
        per interval: printed (in how many worlds), covered (a share) and its standard error.

    """
    parts = [range(first, min(first + _TOGETHER, worlds)) for first in range(0, worlds, _TOGETHER)]
    found: dict[str, list[float]] = {}
    for part in in_order(as_executor(executor)(_draw, (kind, seed), parts)):
        for held in part:
            for name, value in held.items():
                seen = found.setdefault(name, [])
                if value is not None:
                    seen.append(float(value))
    return [_row(name, seen) for name, seen in found.items()]


def _draw(setting: tuple[str, int], numbers: range) -> list[Held]:
    """Which intervals held in some worlds of a kind; runs wherever the executor puts it."""
    kind, seed = setting
    world = WORLDS[kind]()
    return [world(np.random.default_rng((seed, number))) for number in numbers]


def _row(name: str, seen: Sequence[float]) -> dict[str, Any]:
    count = len(seen)
    covered = sum(seen) / count if count else None
    error = float(np.std(seen)) / math.sqrt(count) if count else None
    return {"interval": name, "printed": count, "covered": covered, "error": error}


def measure_coverage(
    worlds: int,
    *,
    names: Sequence[str] = (),
    seed: int = 0,
    file: Path | None = None,
    executor: ExecutorLike = "local",
    progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Measure the intervals, one kind of world after the other.

    Args:
        worlds: draws of each kind.
        names: kinds, of `WORLDS`; all by default.
        seed: of the draws.
        file: results so far; kinds that it holds with as many worlds are not drawn again, and
            every kind is written when it is done.
        executor: where worlds are drawn, see `tradinghf.executors.as_executor`.
        progress: called with (kind, done, total, {}).

    Returns:
        `rows` with the kind of world and the columns of `measure`, and what `stamp` says.

    Raises:
        ConfigError: fewer worlds than one, a negative seed, an unknown kind, or a damaged file.

    """
    check_setting(worlds >= 1, "worlds", worlds, "at least 1")
    check_setting(seed >= 0, "seed", seed, "0 or more")
    run = as_executor(executor)
    earlier = earlier_results(file).get("rows", [])
    rows = [row for row in earlier if (row["worlds"], row["seed"]) == (worlds, seed)]
    wanted = tuple(names) or tuple(WORLDS)
    for name in wanted:
        if name not in WORLDS:
            raise ConfigError(unknown_name("kind of world", name, WORLDS))
    for number, name in enumerate(wanted):
        if progress:
            progress(name, number, len(wanted), {})
        if not any(row["world"] == name for row in rows):
            about = {"world": name, "worlds": worlds, "seed": seed}
            rows += [about | row for row in measure(name, worlds, seed, run)]
        found = {"benchmark": "coverage", **stamp(), "rows": rows}
        if file:
            write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
    return {"benchmark": "coverage", **stamp(), "rows": rows}


def coverage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The results as a Markdown table; what covers too rarely or too often is marked."""
    lines = ["| world | interval | printed | covers | |", "|---|---|---:|---:|---|"]
    for row in rows:
        if row["covered"] is None:
            cells = "never", "", "withheld"
        else:
            mark = "" if LOW <= row["covered"] <= HIGH else "outside 93 to 97 %"
            cells = f"{row['printed'] / row['worlds']:.0%}", f"{100 * row['covered']:.1f} %", mark
        lines.append(
            f"| {row['world']} | {row['interval'].replace('_', ' ')} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"
