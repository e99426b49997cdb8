"""Large data: seconds and memory to load, check, make an environment, backtest and sweep.

Run `python benchmarks/large_data.py --json benchmarks/results/large_data.json`. Bars are made once
as Parquet files; then every step runs in a fresh process, first on 400 bars of two assets (which
imports and compiles), then on the large file. Memory is the growth of the peak over what the small
one took, in multiples of the bars' arrays; seconds are of the processor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SIZES = {
    "500,000 minutes": (500_000, 1),
    "2,000 assets, 10 years": (2_500, 2_000),
    "500 assets, 20 years": (5_040, 500),
}
STEPS = ("load", "check", "backtest", "env", "sweep")
SMALL = (400, 2)


def make(path: Path, bars: int, assets: int) -> None:
    """A file of random walks, minutes where they are many."""
    import numpy as np

    from tradinghf import MarketData
    from tradinghf.market import save_market

    rng = np.random.default_rng(0)
    minutes = bars > 100_000
    scale = 0.0003 if minutes else 0.01
    close = 100 * np.exp(np.cumsum(rng.normal(0, scale, (bars, assets)), axis=0))
    first = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, scale / 5, (bars, assets)))
    step = np.timedelta64(1, "m") if minutes else np.timedelta64(1, "D")
    market = MarketData(
        open=first,
        high=np.maximum(first, close) * (1 + scale / 3),
        low=np.minimum(first, close) * (1 - scale / 3),
        close=close,
        volume=rng.integers(1_000, 100_000, (bars, assets)).astype(float),
        timestamps=np.datetime64("2000-01-03", "ns") + np.arange(bars) * step,
        symbols=tuple(f"S{k:04d}" for k in range(assets)),
    )
    save_market(market, path)


def do(step: str, path: Path) -> None:
    """One step on the bars of a file."""
    from tradinghf import load_market
    from tradinghf.market import check_market_file

    if step == "check":
        assert not any(found.severity == "error" for found in check_market_file(path))
        return
    market = load_market(path)
    if step == "env":
        import numpy as np

        from tradinghf.config import EnvConfig
        from tradinghf.simulation import MarketEnv

        portfolio = market.assets > 1
        env = MarketEnv(market, num_envs=16, config=EnvConfig(portfolio=portfolio), seed=0)
        env.reset(seed=0)
        space = env.action_space
        space.seed(0)
        for _ in range(20):
            env.step(np.asarray(space.sample()))
    if step == "backtest":
        from tradinghf import backtest

        backtest("sma_cross", market, record=False, **_slow(market.bars))
    if step == "sweep":
        from tradinghf.evaluation import sweep

        slow = _slow(market.bars)["slow"]
        grid = {"fast": [slow // 10, slow // 5], "slow": [slow, 2 * slow]}
        sweep("sma_cross", market, grid, record=False)


def _slow(bars: int) -> dict[str, int]:
    """Averages long enough that costs do not ruin an account of minutes."""
    return {"fast": 2_000, "slow": 20_000} if bars > 100_000 else {"fast": 20, "slow": 100}


def measure(step: str, small: Path, large: Path) -> None:
    """Print what a step took, in this process."""
    do(step, small)
    before, began = _peak(), time.process_time()
    do(step, large)
    seconds = time.process_time() - began
    mib = round((_peak() - before) / 2**10, 1)
    sys.stdout.write(json.dumps({"seconds": round(seconds, 2), "mib": mib}) + "\n")


def _peak() -> int:
    """Largest memory of this program so far [KiB]; getrusage would count what started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def results(sizes: list[str], steps: list[str]) -> Iterator[dict[str, Any]]:
    """Every step of every size, the cheapest step first."""
    with TemporaryDirectory() as folder:
        small = Path(folder, "small.parquet")
        make(small, *SMALL)
        for size in sizes:
            _run("make", str(Path(folder, f"{size}.parquet")), *map(str, SIZES[size]))
        for step in steps:
            for size in sizes:
                bars, assets = SIZES[size]
                arrays = bars * (assets * 5 + 1) * 8 / 2**20
                found = json.loads(
                    _run(step, str(small), str(Path(folder, f"{size}.parquet"))).splitlines()[-1]
                )
                times = round(found["mib"] / arrays, 2)
                row = {"size": size, "step": step, "arrays_mib": round(arrays, 1), "times": times}
                seconds = found["seconds"]
                sys.stdout.write(f"{size}, {step}: {seconds} s, {times} x the arrays\n")
                sys.stdout.flush()
                yield row | found


def _run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    return done.stdout


def main() -> None:
    """Measure, or do one step of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=STEPS)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one and given.one[0] == "make":
        make(Path(given.one[1]), int(given.one[2]), int(given.one[3]))
    elif given.one:
        measure(given.one[0], Path(given.one[1]), Path(given.one[2]))
    else:
        from tradinghf.bench import stamp
        from tradinghf.durable import write_atomic

        found: dict[str, Any] = {"benchmark": "large_data", **stamp(), "results": []}
        for row in results(given.sizes, given.steps):
            found["results"].append(row)
            if given.json is not None:
                write_atomic(given.json, (json.dumps(found, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
