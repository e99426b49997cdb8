"""What `run_tastes` measured, as a table: inside the aspects' span and outside of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradinghf.loop.labels._cells import IN_SPAN

_COLUMNS = {
    "accuracy": "accuracy",
    "rank_unseen": "order of unseen episodes",
    "rank_policies": "order of policies' episodes",
    "worth": "worth of choice",
    "worth_pnl": "worth of choice by profit",
    "ece": "ECE",
    "log_loss": "log-loss",
}


def taste_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: mean over tastes, markets and seeds, and the worst taste's mean."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        span = "in span" if row["trader"] in IN_SPAN else "outside"
        groups.setdefault((span, row["teacher"], row["rankings"]), []).append(row)
    header = ["tastes", "teacher", "rankings", "bits", "runs", *_COLUMNS.values()]
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "---:|" * (len(header) - 2)]
    for (span, teacher, count), found in sorted(groups.items()):
        bits = float(np.mean([row["bits"] for row in found]))
        cells = [span, teacher, str(count), f"{bits:.0f}", str(len(found))]
        cells += [_cell(found, name) for name in _COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    by_taste: dict[str, list[float]] = {}
    for row in rows:
        by_taste.setdefault(row["trader"], []).append(row[name])
    means = [float(np.mean(values)) for values in by_taste.values()]
    worst = max(means) if name in ("ece", "log_loss") else min(means)
    return f"{np.mean(means):.3f} ({worst:.2f})"
