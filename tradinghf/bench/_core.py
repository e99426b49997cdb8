"""What every benchmark has in common: its name, its clock, and what it ran on.

Each benchmark first checks a result against a second way of computing it, then warms up, then
times several repeats and reports their median and their best.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tradinghf._json import parse_json
from tradinghf.errors import ConfigError, TradingHFError
from tradinghf.registry import Registry

Row = dict[str, Any]
ENOUGH_SECONDS = 10.0
PACKAGES = ("torch", "gymnasium", "numpy", "pandas", "vectorbt", "numba")


@dataclass(frozen=True)
class Benchmark:
    """A named measurement.

    Attributes:
        name: as on the command line.
        help: one line.
        run: takes `quick` (smaller sizes, for tests) and returns rows: case, value, unit, best,
            repeats, and whatever describes the case.

    """

    name: str
    help: str
    run: Callable[[bool], list[Row]]


BENCHMARKS: Registry[Benchmark] = Registry("benchmark")


def benchmark(
    name: str,
    *,
    help: str,  # noqa: A002 (as argparse names it)
) -> Callable[[Callable[[bool], list[Row]]], Callable[[bool], list[Row]]]:
    """Register a function as the benchmark `name`."""

    def decorate(function: Callable[[bool], list[Row]]) -> Callable[[bool], list[Row]]:
        BENCHMARKS.add(name, Benchmark(name, help, function))
        return function

    return decorate


def run_benchmark(name: str, *, quick: bool = False) -> dict[str, Any]:
    """Run one benchmark.

    Args:
        name: of a registered benchmark.
        quick: small sizes and few repeats: shows that it works, not how fast.

    Returns:
        JSON-ready: benchmark, quick, created, device, versions, commit, results (rows).

    Raises:
        TradingHFError: no such benchmark, or its result was wrong and so it was not timed.

    """
    results = BENCHMARKS[name].run(quick)
    return {"benchmark": name, "quick": quick, **stamp(), "results": results}


def stamp() -> dict[str, Any]:
    """When, on what and with which code something was measured."""
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device(),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": commit(),
    }


def device() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    from tradinghf import __version__

    return {"tradinghf": __version__, **{name: metadata.version(name) for name in PACKAGES}}


def commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "tradinghf")
    return head + ("+" if changed else "") if head else None


def processor_time() -> float:
    """Processor time of this process, its threads and its ended children [seconds]."""
    return time.process_time() + sum(os.times()[2:4])


def timed(work: Callable[[], object], amount: float, unit: str, *, repeats: int) -> Row:
    """Rate of `work`, which does `amount` units of something.

    One warm-up call is not counted; slow work stops repeating after `ENOUGH_SECONDS`.

    Returns:
        value (median) and best rate by the clock; per_cpu_second, the best rate by the processor
        time of all threads, which other processes on the machine disturb less; unit; repeats.

    """
    work()
    rates: list[float] = []
    cpu_rates: list[float] = []
    spent = 0.0
    while len(rates) < repeats and (len(rates) < 2 or spent < ENOUGH_SECONDS):
        begin, cpu = time.perf_counter(), processor_time()
        work()
        took, cpu = time.perf_counter() - begin, processor_time() - cpu
        spent += took
        rates.append(amount / took)
        cpu_rates.append(amount / max(cpu, 1e-9))
    about = {"per_cpu_second": max(cpu_rates), "unit": unit, "repeats": len(rates)}
    return {"value": statistics.median(rates), "best": max(rates)} | about


def agree(what: str, left: Any, right: Any, tolerance: float) -> None:
    """Raise where two results differ: a fast wrong answer is not timed.

    Raises:
        TradingHFError: by more than `tolerance`, relatively.

    """
    import numpy as np

    gap = float(np.max(np.abs(np.asarray(left) / np.asarray(right) - 1.0)))
    if not gap <= tolerance:
        raise TradingHFError(
            f"{what}: the results differ by {gap:.3g}, more than {tolerance:g}; not timed, since a "
            "fast wrong answer is no benchmark. Please report this."
        )


def earlier_results(file: Path | None) -> dict[str, Any]:
    """What a benchmark that was stopped has written; nothing where there is no such file.

    Raises:
        ConfigError: the file holds something else.

    """
    try:
        found = parse_json(file.read_text()) if file and file.is_file() else {}
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} holds no results of a benchmark ({error}). Name another file, or remove it."
        ) from error
    return found
