"""What `tradinghf bench own` found on real bars, pooled over bases and tastes, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradinghf._intervals import means, time_blocks
from tradinghf.bench._own_world import TASK

Row = Mapping[str, Any]
CONTENDERS = ("tuned", "tuned kept", "overlay", "overlay kept", "from nothing", "deployed")
MEASURES = ("utility", "profit")


def pooled(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Differences to the base in taste and profit, per window, with 95 % intervals.

    Args:
        rows: worlds of real bars, each with `windows`.

    Returns:
        One dict per base, per taste, and over all ("all", "all"): base, trader, worlds, and for
        each contender and measure `value`, `low` and `high` [fraction of equity a window]. Worlds
        over the same bars are averaged window by window; what is independent are blocks of time.

    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for base in (row["base"], "all"):
            for trader in (row["trader"], "all"):
                groups.setdefault((base, trader), []).append(row)
    order = sorted(groups, key=lambda key: (key[0] == "all", key[0], key[1] == "all", key[1]))
    return [
        {"base": base, "trader": trader, "worlds": len(groups[base, trader])}
        | {
            name: {measure: _estimate(groups[base, trader], name, measure) for measure in MEASURES}
            for name in CONTENDERS
        }
        for base, trader in order
    ]


def _estimate(rows: Sequence[Row], name: str, measure: str) -> dict[str, float | None]:
    values = [_windows(row, name, measure) for row in rows]
    fewest = min(len(each) for each in values)
    mean = np.mean([each[:fewest] for each in values], axis=0)
    starts = np.arange(fewest) * TASK.horizon  # side by side
    found = means(mean, time_blocks(starts, TASK.horizon))
    low, high = found.ends() or (None, None)
    return {"value": float(found.value[0]), "low": low, "high": high}


def _windows(row: Row, name: str, measure: str) -> list[float]:
    """[N] differences of a contender; of what the gate deployed, none where it kept the base."""
    if name == "deployed":
        name = row["chosen"] or ""
    every: Mapping[str, Mapping[str, list[float]]] = row["windows"]
    return every[name][measure] if name else [0.0] * len(every["overlay"][measure])


def own_table(rows: Sequence[Row]) -> str:
    """`pooled` as a Markdown table, in percent of equity a window."""
    lines = [
        "| base | taste | measure | " + " | ".join(CONTENDERS) + " |",
        "|---|---|---|" + "---:|" * len(CONTENDERS),
    ]
    for row in rows:
        for measure in MEASURES:
            cells = [_cell(row[name][measure]) for name in CONTENDERS]
            lines.append(f"| {row['base']} | {row['trader']} | {measure} | {' | '.join(cells)} |")
    return "\n".join(lines).replace("_", " ") + "\n"


def _cell(found: Mapping[str, float | None]) -> str:
    text = f"{100 * (found['value'] or 0.0):+.2f}"
    if found["low"] is None or found["high"] is None:
        return text
    return f"{text} ({100 * found['low']:+.2f} to {100 * found['high']:+.2f})"
