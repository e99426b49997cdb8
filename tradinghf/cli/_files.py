"""Files that commands write about a backtest: its round trips and all its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
