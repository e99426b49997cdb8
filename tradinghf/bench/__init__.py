"""Benchmarks: how fast, on what, and whether the answer was right before it was timed.

Each benchmark first checks its result against a second way of computing it, then warms up, then
times several repeats and reports their median and their best.
"""

from __future__ import annotations

from tradinghf.bench import _backtests as backtests
from tradinghf.bench import _environment as environment
from tradinghf.bench import _training as training
from tradinghf.bench._core import BENCHMARKS, Benchmark, commit, device, run_benchmark, stamp, timed
from tradinghf.bench._training import fitted_reward

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "backtests",
    "commit",
    "device",
    "environment",
    "fitted_reward",
    "run_benchmark",
    "stamp",
    "timed",
    "training",
]
