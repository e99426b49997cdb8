"""Benchmarks: how fast, on what, and whether the answer was right before it was timed.

Each benchmark first checks its result against a second way of computing it, then warms up, then
times several repeats and reports their median and their best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use
from tradinghf.bench import _backtests, _environment, _training  # noqa: F401   they register
from tradinghf.bench._core import BENCHMARKS, run_benchmark, stamp

if TYPE_CHECKING:
    from tradinghf.bench._board import measure_board
    from tradinghf.bench._board_cells import BoardBench
    from tradinghf.bench._coverage import coverage_table, measure_coverage
    from tradinghf.bench._no_harm import measure_gate
    from tradinghf.bench._own import measure_own
    from tradinghf.bench._own_bench import OwnBench
    from tradinghf.bench._trust import measure_trust

__all__ = [
    "BENCHMARKS",
    "BoardBench",
    "OwnBench",
    "coverage_table",
    "measure_board",
    "measure_coverage",
    "measure_gate",
    "measure_own",
    "measure_trust",
    "run_benchmark",
    "stamp",
]

__getattr__ = on_first_use(
    __name__,
    {
        "BoardBench": "tradinghf.bench._board_cells",
        "measure_board": "tradinghf.bench._board",
        "coverage_table": "tradinghf.bench._coverage",
        "measure_coverage": "tradinghf.bench._coverage",
        "measure_gate": "tradinghf.bench._no_harm",
        "OwnBench": "tradinghf.bench._own_bench",
        "measure_own": "tradinghf.bench._own",
        "measure_trust": "tradinghf.bench._trust",
    },
)
