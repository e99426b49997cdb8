"""Files that commands write: values as JSON; of a backtest, its round trips and all its numbers."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradinghf.durable import write_atomic

if TYPE_CHECKING:
    from tradinghf.evaluation import BacktestResult, Verdict


def write_files(
    report: BacktestResult, verdict: Verdict, *, trades: Path | None, json: Path | None
) -> list[str]:
    """Write the files that are asked for, and return what to say about them."""
    from tradinghf.evaluation import write_json, write_table

    written = []
    if trades is not None:
        written.append(f"Trades: {write_table(report.trades, trades)}")
    if json is not None:
        written.append(f"Numbers: {write_json(report, verdict, json)}")
    return written


def write_values(file: Path, found: Mapping[str, Any]) -> None:
    """Write values as one JSON object: what is not finite as null, times and paths as text."""
    text = json_text.dumps(_plain(found), indent=1, allow_nan=False) + "\n"
    write_atomic(file, text.encode())


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a number of NumPy
        value = value.item()
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)
