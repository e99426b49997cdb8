"""From a strategy and a few rankings: how much of what can be gained is, and is it ever harmed?

In every world a trader with a hidden taste trades a base strategy. From so many rankings a reward
is learned; by it the base's parameters are tuned, and an overlay of the base is trained. The same
is done with the true utility, which shows what can be reached, on bars that nothing has seen. Then
the gate decides between the base, the tuned one and the overlay, as it would for a user.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tradinghf._intervals import clusters, means, ratio_ends
from tradinghf.bench._core import earlier_results, stamp
from tradinghf.bench._own_bench import OwnBench
from tradinghf.bench._own_table import own_table, pooled
from tradinghf.bench._own_world import Row, measure_world
from tradinghf.durable import write_atomic
from tradinghf.executors import ExecutorLike, as_executor

if TYPE_CHECKING:
    from tradinghf.market import Floats


def measure_own(
    bench: OwnBench,
    *,
    file: Path | None = None,
    until: float | None = None,
    executor: ExecutorLike = "local",
    progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Run all worlds; those that `file` holds already, with the same settings, are kept.

    Args:
        bench: what to measure.
        file: results so far, written after every world.
        until: begin no world after this time (`time.time()`); the summary says how many there are.
        executor: where worlds are measured, see `tradinghf.executors.as_executor`.
        progress: called with (phase, done, total, {}).

    """
    varied = ("runs", "reached", "traders", "bases")
    about = {k: v for k, v in asdict(bench).items() if k not in varied}
    settings = json.loads(json.dumps(about))
    known = earlier_results(file)
    rows: list[Row] = known.get("worlds", []) if known.get("settings") == settings else []
    done = {(row["seed"], row["trader"], row["base"]) for row in rows}
    cells = bench.cells()
    missing = [cell for cell in cells if cell not in done]
    for _, row in as_executor(executor)(_measure, (bench, until), missing):
        rows += [] if row is None else [row]
        if progress:
            progress("own", len(rows), len(cells), {})
        if file:
            _write(file, {"benchmark": "own", **stamp(), "settings": settings, "worlds": rows})
    rows.sort(key=lambda row: cells.index((row["seed"], row["trader"], row["base"])))
    found = {"benchmark": "own", **stamp(), "settings": settings}
    found |= {"summary": summarise_own(rows, bench.margin), "worlds": rows}
    if bench.data:
        table = pooled(rows)
        found |= {"table": table, "markdown": own_table(table)}
    if file:
        _write(file, found)
    return found


def _measure(setting: tuple[OwnBench, float | None], cell: tuple[int, str, str]) -> Row | None:
    """One world, or None after its time; runs wherever the executor puts it."""
    bench, until = setting
    return None if until is not None and time.time() > until else measure_world(bench, *cell)


def summarise_own(rows: Sequence[Row], margin: float) -> dict[str, Any]:
    """Shares of what can be reached, with intervals over worlds, and how many ended worse."""
    found: dict[str, Any] = {"worlds": len(rows)}
    reached = [row for row in rows if "best overlay" in row]
    for name, top in (("overlay", "best overlay"), ("tuned", "best tuned")):
        own, best = (np.array([row[key]["utility"] for row in reached]) for key in (name, top))
        found[name] = _share(own, best) | {
            "better_than_base": sum(row[name]["utility"] > 0 for row in rows)
        }
    ended = [row["deployed"] for row in rows]
    found["deployed"] = {
        name: sum((row["chosen"] or "").removesuffix(" kept") == name for row in rows)
        for name in ("overlay", "tuned")
    } | {
        "base": sum(row["chosen"] is None for row in rows),
        "profit_worse_than_margin": sum(e["profit"] < -margin for e in ended),
        "utility_worse": sum(e["utility"] < 0 for e in ended),
        "worst_profit": min(e["profit"] for e in ended),
        "worst_utility": min(e["utility"] for e in ended),
        "mean_utility": float(np.mean([e["utility"] for e in ended])),
        "mean_profit": float(np.mean([e["profit"] for e in ended])),
    }
    return found


def _share(own: Floats, best: Floats) -> dict[str, Any]:
    """G: mean gain over the base, as a share of the gain that the true utility finds."""
    if not len(own):
        return {"worlds": 0, "G": None, "interval": None}
    blocks = clusters(np.arange(len(own)))
    gain = means(np.stack([own, best]), blocks).value
    return {
        "worlds": len(own),
        "G": float(gain[0] / gain[1]) if gain[1] > 0 else None,
        "interval": ratio_ends(own, best, blocks),
        "gain": float(gain[0]),
        "best_gain": float(gain[1]),
    }


def _write(file: Path, found: Mapping[str, Any]) -> None:
    write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
