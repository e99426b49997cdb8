"""From a strategy and a few rankings: how much of what can be gained is, and is it ever harmed?

In every world a trader with a hidden taste trades a base strategy. From so many rankings a reward
is learned; by it the base's parameters are tuned, and an overlay of the base is trained. The same
is done with the true utility, which shows what can be reached, on bars that nothing has seen. Then
the gate decides between the base, the tuned one and the overlay, as it would for a user.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tradinghf._intervals import clusters, means, ratio_ends
from tradinghf.bench._core import stamp
from tradinghf.config import EnvConfig
from tradinghf.durable import write_atomic
from tradinghf.errors import check_setting

if TYPE_CHECKING:
    from tradinghf.market import Floats, MarketData
    from tradinghf.strategies import Strategy

Row = dict[str, Any]
GRID = {
    "fast": (3, 5, 8, 12, 20, 30),
    "slow": (10, 20, 35, 50, 75, 100),
    "short": (False, True),
}
TASK = EnvConfig(lookback=1, features=("momentum_5", "momentum_20", "volatility_20", "drawdown_60"))
_HIDDEN, _RATE = (32, 32), 3e-3  # few steps, each of which has to count
_WARM = 256  # bars before the first window, for the slowest average
_UNSEEN = 1_000_000  # seeds of the bars that the gate sees; twice that, of those that judge


@dataclass(frozen=True)
class OwnBench:
    """What is measured.

    Attributes:
        runs: worlds, each with rankings and trainings of its own.
        reached: in so many of them the best is also sought with the true utility.
        trader: the hidden taste.
        base: the strategy that is traded now.
        rankings: answers of five.
        regime: of the synthetic market.
        bars: of one asset to train on, and of 8 assets for the gate, and of 8 more to judge by.
        steps: environment steps of each training.
        envs: environments.
        margin: a mean profit a window lower by up to this is no harm [fraction of equity].
        data: real bars instead: the first 70 % train, the rest judges and is the gate's too.

    """

    runs: int = 200
    reached: int = 40
    trader: str = "drawdown"
    base: str = "sma_cross"
    rankings: int = 15
    regime: str = "momentum"
    bars: int = 8_192
    steps: int = 128_000
    envs: int = 128
    margin: float = 0.0025
    data: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_setting(self.runs >= 1, "runs", self.runs, "at least 1")
        check_setting(self.reached >= 0, "reached", self.reached, "0 or more")
        check_setting(self.bars >= 2_048, "bars", self.bars, "at least 2048")


def measure_own(
    bench: OwnBench,
    *,
    file: Path | None = None,
    until: float | None = None,
    progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Run all worlds; those that `file` holds already, with the same settings, are kept.

    Args:
        bench: what to measure.
        file: results so far, written after every world.
        until: begin no world after this time (`time.time()`); the summary says how many there are.
        progress: called with (phase, done, total, {}).

    """
    about = {k: v for k, v in asdict(bench).items() if k not in ("runs", "reached")}
    settings = json.loads(json.dumps(about))
    known: dict[str, Any] = json.loads(file.read_text()) if file and file.is_file() else {}
    rows: list[Row] = known.get("worlds", []) if known.get("settings") == settings else []
    done = {row["seed"] for row in rows}
    for seed in range(bench.runs):
        if seed in done:
            continue
        if until is not None and time.time() > until:
            break
        if progress:
            progress("own", len(rows), bench.runs, {})
        rows.append(measure_world(bench, seed))
        if file:
            _write(file, {"benchmark": "own", **stamp(), "settings": settings, "worlds": rows})
    found = {"benchmark": "own", **stamp(), "settings": settings}
    found |= {"summary": summarise_own(rows, bench.margin), "worlds": rows}
    if file:
        _write(file, found)
    return found


def measure_world(bench: OwnBench, seed: int) -> Row:
    """One world: learn, tune, train, gate, and judge on bars that nothing has seen."""
    from tradinghf.evaluation import GateConfig, Taste, decide, sweep
    from tradinghf.feedback import SyntheticTrader
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.learning.ppo import utility_stream
    from tradinghf.loop import RLHF, train_baseline
    from tradinghf.simulation import MarketEnv
    from tradinghf.strategies import load_strategy

    began = time.process_time()
    train, test, truth = _markets(bench, seed)
    trader, base = SyntheticTrader(bench.trader, seed=seed), load_strategy(bench.base)
    env = MarketEnv(train, num_envs=bench.envs, config=TASK, base=bench.base, seed=seed)
    ppo = PPOConfig(hidden=_HIDDEN, learning_rate=_RATE)
    loop = RLHFConfig(
        rankings=bench.rankings, rounds=1, steps=bench.steps, uniform=0.0, seed=seed, ppo=ppo
    )
    agent = RLHF(env, trader=trader, config=loop)
    agent.train()
    own = {"overlay": agent.policy}
    taste = Taste.of(agent.reward_model)
    tuned = sweep(base, train, GRID, objective=taste, record=False)
    contenders = own | {"tuned": base.with_defaults(**tuned.params[tuned.best_row()])}
    if seed < bench.reached:
        stream = utility_stream(trader)
        contenders["best overlay"] = train_baseline(
            MarketEnv(train, num_envs=bench.envs, config=TASK, base=bench.base, seed=seed),
            "true",
            stream,
            loop,
            score=trader.utilities,
        )
        top = Taste(trader.utilities, window=TASK.horizon)
        best = sweep(base, train, GRID, objective=top, record=False)
        contenders["best tuned"] = base.with_defaults(**best.params[best.best_row()])
    rows = _less_base(truth, contenders, base, trader.utilities)
    found = {
        name: {key: value for m in rows for key, value in _mean(m, rows[m][k]).items()}
        for k, name in enumerate(contenders)
    }
    offered = {name: contenders[name] for name in ("overlay", "tuned")}
    config = GateConfig(margin=bench.margin)
    chosen = decide(list(offered), _less_base(test, offered, base, taste.score), config).chosen
    nothing = {"utility": 0.0, "profit": 0.0, "utility_error": 0.0, "profit_error": 0.0}
    return {
        "seed": seed,
        "params": {k: int(v) for k, v in tuned.params[tuned.best_row()].items()},
        "explained": agent.reward_model.explained,
        **{name: values for name, values in found.items()},
        "chosen": chosen,
        "deployed": nothing if chosen is None else found[chosen],
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def _markets(bench: OwnBench, seed: int) -> tuple[MarketData, MarketData, MarketData]:
    """Bars to train on, for the gate, and to judge by."""
    from tradinghf.market import load_market

    if bench.data:
        market = load_market(bench.data[seed % len(bench.data)])
        cut = int(0.7 * market.bars)
        test = market.rows(cut, market.bars)
        return market.rows(0, cut), test, test

    def drawn(number: int, assets: int, bars: int) -> MarketData:
        options = f"seed={number},regime={bench.regime},assets={assets},bars={bars}"
        return load_market(f"synthetic:{options}")

    return (
        drawn(seed, 1, bench.bars),
        drawn(seed + _UNSEEN, 8, bench.bars),
        drawn(seed + 2 * _UNSEEN, 8, bench.bars),
    )


def _less_base(
    market: MarketData, contenders: Mapping[str, Any], base: Strategy, utility: Any
) -> dict[str, Floats]:
    """Measure -> [C, N] differences to the base in windows side by side, each begun from flat."""
    from tradinghf.evaluation import PROFIT, UTILITY
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import Actor, strategy_actor, traded
    from tradinghf.simulation import MarketEnv, Windows

    starts = np.arange(_WARM, market.bars - TASK.horizon, TASK.horizon)
    windows = Windows(
        np.tile(np.arange(market.assets), len(starts)), np.repeat(starts, market.assets)
    )
    policies = [x for x in contenders.values() if isinstance(x, Policy)]
    env = MarketEnv(
        market, num_envs=len(windows), config=policies[0].config, scaler=policies[0].scaler
    )
    found: dict[str, list[Floats]] = {PROFIT: [], UTILITY: []}
    for x in (*contenders.values(), base):
        actor = Actor("own", policy=x) if isinstance(x, Policy) else strategy_actor(x, market)
        batch = traded(env, actor, windows)
        for measure, values in ((PROFIT, batch.net_return), (UTILITY, utility(batch))):
            found[measure].append(values.reshape(len(starts), -1).mean(axis=1))
    return {m: np.stack([row - rows[-1] for row in rows[:-1]]) for m, rows in found.items()}


def _mean(measure: str, values: Floats) -> dict[str, float]:
    """A mean over windows, and its standard error."""
    error = float(values.std(ddof=1) / len(values) ** 0.5)
    return {measure: float(values.mean()), f"{measure}_error": error}


def summarise_own(rows: Sequence[Row], margin: float) -> dict[str, Any]:
    """Shares of what can be reached, with intervals over worlds, and how many ended worse."""
    found: dict[str, Any] = {"worlds": len(rows)}
    reached = [row for row in rows if "best overlay" in row]
    for name, top in (("overlay", "best overlay"), ("tuned", "best tuned")):
        own, best = (np.array([row[key]["utility"] for row in reached]) for key in (name, top))
        found[name] = _share(own, best) | {
            "better_than_base": sum(row[name]["utility"] > 0 for row in rows)
        }
    ended = [row["deployed"] for row in rows]
    found["deployed"] = {
        name: sum(row["chosen"] == name for row in rows) for name in ("overlay", "tuned")
    } | {
        "base": sum(row["chosen"] is None for row in rows),
        "profit_worse_than_margin": sum(e["profit"] < -margin for e in ended),
        "utility_worse": sum(e["utility"] < 0 for e in ended),
        "worst_profit": min(e["profit"] for e in ended),
        "worst_utility": min(e["utility"] for e in ended),
        "mean_utility": float(np.mean([e["utility"] for e in ended])),
        "mean_profit": float(np.mean([e["profit"] for e in ended])),
    }
    return found


def _share(own: Floats, best: Floats) -> dict[str, Any]:
    """G: mean gain over the base, as a share of the gain that the true utility finds."""
    if not len(own):
        return {"worlds": 0, "G": None, "interval": None}
    blocks = clusters(np.arange(len(own)))
    gain = means(np.stack([own, best]), blocks).value
    return {
        "worlds": len(own),
        "G": float(gain[0] / gain[1]) if gain[1] > 0 else None,
        "interval": ratio_ends(own, best, blocks),
        "gain": float(gain[0]),
        "best_gain": float(gain[1]),
    }


def _write(file: Path, found: Mapping[str, Any]) -> None:
    write_atomic(file, (json.dumps(found, indent=1) + "\n").encode())
