"""FinRL's StockTradingEnv and our portfolio task on the same 30 stocks, in the same run.

FinRL is on no package index with this environment; get the one file from its repository (MIT), at
finrl/meta/env_stock_trading/env_stocktrading.py, and name it:

    python benchmarks/finrl_peer.py env_stocktrading.py

First both trade the same random purchases and sales without costs: what the file's environment
held at each close is what ours is told to hold, and both accounts have to agree at every bar.
Then they take turns of half a second with random actions and costs of 0.1 %, ours once with one
environment and once with 1,024; rates are steps per second of processor time on one thread.
Writes benchmarks/results/finrl_peer.json.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch

from tradinghf.bench._core import commit, device
from tradinghf.config import CostModel, EnvConfig
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv

STOCKS, BARS, STEPS, CASH, TURN = 30, 2_500, 200, 1e6, 0.5
OUT = Path(__file__).resolve().parent / "results" / "finrl_peer.json"


def load(path: Path) -> Any:
    """The class in the file, without the libraries that it imports for plots and for others."""
    for name in ("matplotlib", "matplotlib.pyplot", "stable_baselines3.common.vec_env"):
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            try:
                importlib.import_module(".".join(parts[:depth]))
            except ImportError:
                sys.modules[".".join(parts[:depth])] = ModuleType(parts[depth - 1])
    sys.modules["matplotlib"].use = lambda *_: None  # type: ignore[attr-defined]
    setattr(sys.modules["stable_baselines3.common.vec_env"], "DummyVecEnv", object)  # noqa: B010
    spec = importlib.util.spec_from_file_location("env_stocktrading", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.StockTradingEnv


def make(kind: Any, market: MarketData, cost: float) -> Any:
    """Theirs on our closes; `macd` is the one indicator, and is 0: that it is none."""
    close = np.asarray(market.close)
    days = np.repeat(np.arange(len(close)), STOCKS)
    frame = pd.DataFrame(
        {
            "date": days.astype(str),
            "tic": np.tile([f"S{n:02d}" for n in range(STOCKS)], len(close)),
            "close": close.ravel(),
            "macd": 0.0,
        },
        index=days,
    )
    costs = [cost] * STOCKS
    return kind(
        frame, STOCKS, 100, CASH, [0] * STOCKS, costs, costs, 1e-4,
        1 + 3 * STOCKS, STOCKS, ["macd"], print_verbosity=10**9,
    )  # fmt: skip


def largest_gap(kind: Any, market: MarketData) -> float:
    """The largest difference of both accounts' values, as a fraction."""
    theirs, close = make(kind, market, 0.0), np.asarray(market.close)
    kinds: dict[str, Any] = {"actions": "continuous", "dtype": "float64"}
    task = EnvConfig(portfolio=True, fill="close", horizon=STEPS, **kinds)
    free = CostModel(fee_bps=0.0, slippage_bps=0.0)
    ours = MarketEnv(market, config=task, costs=free)
    start = 200
    theirs.reset()
    theirs.day = start
    theirs.data = theirs.df.loc[start, :]
    theirs.state = theirs._initiate_state()
    ours.reset(seed=0, options={"start": start})
    rng, gap = np.random.default_rng(0), 0.0
    for bar in range(start, start + STEPS):
        state = theirs.step(rng.uniform(-1, 1, STOCKS))[0]
        prices = np.array(state[1 : 1 + STOCKS])
        shares = np.array(state[1 + STOCKS : 1 + 2 * STOCKS])
        value = state[0] + shares @ prices
        before = state[0] + shares @ close[bar]
        info = ours.step_weights(torch.as_tensor(shares * close[bar] / before)[None])[4]
        gap = max(gap, abs(float(info["equity"][0]) * CASH / value - 1))
    return gap


def rate(step: Callable[[], int]) -> float:
    """Steps per second of processor time, of one turn."""
    begin, done = time.process_time(), 0
    while time.process_time() - begin < TURN:
        done += step()
    return done / (time.process_time() - begin)


def stepper_of(kind: Any, market: MarketData) -> Callable[[], int]:
    """One step of theirs with random actions."""
    env, rng = make(kind, market, 0.001), np.random.default_rng(0)
    env.reset()

    def step() -> int:
        if env.step(rng.uniform(-1, 1, STOCKS))[2]:
            env.reset()
        return 1

    return step


def stepper(market: MarketData, count: int) -> Callable[[], int]:
    """One step of `count` of ours with random actions."""
    task = EnvConfig(portfolio=True, actions="continuous")
    env = MarketEnv(market, num_envs=count, config=task, costs=CostModel(fee_bps=10.0), seed=0)
    env.reset(seed=0)
    g = torch.Generator().manual_seed(0)
    drawn = torch.rand(64, count, STOCKS, generator=g) * 2 - 1
    turns = iter(range(1 << 60))

    def step() -> int:
        env.step(drawn[next(turns) % 64])
        return count

    return step


def main() -> int:
    """Compare, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="FinRL's env_stocktrading.py")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kind, market = load(options.file), synthetic(seed=0, bars=BARS, assets=STOCKS)
    gap = largest_gap(kind, market)
    if not gap < 1e-9:
        sys.stderr.write(f"The accounts differ by {gap:.3g}; not timed.\n")
        return 1
    steppers = {"FinRL StockTradingEnv": stepper_of(kind, market)}
    steppers |= {f"tradinghf, N={count}": stepper(market, count) for count in (1, 1_024)}
    for step in steppers.values():
        step()
    found: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(options.turns):
        for name, step in steppers.items():
            found[name].append(rate(step))
    best = {name: max(rates) for name, rates in found.items()}
    rows = [
        {
            "contender": name,
            "value": float(np.median(found[name])),
            "best": most,
            "unit": "steps per CPU second",
            "times_finrl": most / best["FinRL StockTradingEnv"],
        }
        for name, most in best.items()
    ]
    about = {
        "benchmark": "finrl_peer",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": {**device(), "torch_threads": 1},
        "commit": commit(),
        "parity": gap,
        "stocks": STOCKS,
        "results": rows,
    }
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    for row in rows:
        times = f"{row['times_finrl']:,.1f} x FinRL"
        sys.stdout.write(f"{row['contender']}: {row['best']:,.0f} {row['unit']}, {times}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
