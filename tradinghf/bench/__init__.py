"""Benchmarks: how fast, on what, and whether the answer was right before it was timed.

Each benchmark first checks its result against a second way of computing it, then warms up, then
times several repeats and reports their median and their best.
"""

from tradinghf.bench import backtests, environment, training
from tradinghf.bench.core import BENCHMARKS, Benchmark, commit, device, run_benchmark, stamp, timed

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "backtests",
    "commit",
    "device",
    "environment",
    "run_benchmark",
    "stamp",
    "timed",
    "training",
]
