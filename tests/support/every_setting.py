"""Every setting of a task that a step depends on, and configurations that cover their pairs."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from support.engines import crashing

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv

# Values that matter.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "assets": (1, 1, 2, 5),  # 1: single assets; else a portfolio
    "calm": (True, False),
    "dtype": ("float32", "float64"),
    "fill": ("next_open", "close"),
    "review": (None, 3),
    "observation": ("flat", "dict", "index"),
    "time_left": (False, True),
    "reward": ("log_equity", "differential_sharpe"),
    "ruin": (1e-3, 0.4),
    "random_fee": (None, (0, 30)),
    "random_slippage": (None, (0, 20)),
    "fee_bps": (0.0, 2.0, 97.0),
    "fixed_fee": (0.0, 5.0, 20_000.0),
    "slippage_bps": (0.0, 1.0, 90.0),
    "spread_bps": (0.0, 3.0),
    "per_share_fee": (0.0, 0.01),
    "impact": (0.0, 0.5, 40.0),
    "borrow_rate": (0.0, 0.5),
    "margin_rate": (0.0, 0.3),
    "cash_rate": (0.0, 0.2),
    "funding_bps": (0.0, -3.0),
    "side": ("both", "long", "short"),
    "lot": (0.0, 1.0, 0.1, 300.0),
    "lot_mode": ("exact", "vectorbt"),
    "min_size": (1e-8, 0.0, 40.0),
    "max_size": (0.0, 250.0),
    "min_notional": (0.0, 9_000.0),
    "max_position": (0.0, 400.0),
    "participation": (0.0, 1e-3, 0.3),
    "allow_partial": (True, False),
    "lock_cash": (False, True),
    "leverage": (1.0, 2.0),
    "maintenance": (0.0, 0.3),
    "penalty_bps": (0.0, 50.0),
    "stop_loss": (0.0, 0.02),
    "take_profit": (0.0, 0.03),
    "trailing_stop": (0.0, 0.025),
    "funding": (False, True),
    "split": (False, True),
    "dividend": (False, True),
    "member": (False, True),
}
BARS = 120
MARKETS = {
    (calm, assets): synthetic(1, BARS, assets) if calm else crashing(BARS, assets)
    for calm in (True, False)
    for assets in (2, 3, 5)
}


def random_row(rng: np.random.Generator) -> dict[str, Any]:
    return {name: values[rng.integers(len(values))] for name, values in SETTINGS.items()}


def _pairs(row: dict[str, Any]) -> set[Any]:
    return set(combinations(sorted((k, str(v)) for k, v in row.items()), 2))


def covering(seed: int, tries: int = 60) -> list[dict[str, Any]]:
    """Configurations in which every pair of values of two settings occurs."""
    rng = np.random.default_rng(seed)
    missing = {
        pair
        for one, other in combinations(sorted(SETTINGS), 2)
        for a in SETTINGS[one]
        for b in SETTINGS[other]
        for pair in [((one, str(a)), (other, str(b)))]
    }
    rows = []
    while missing:
        row = max((random_row(rng) for _ in range(tries)), key=lambda r: len(_pairs(r) & missing))
        (one, a), (other, b) = min(missing)
        row[one] = next(v for v in SETTINGS[one] if str(v) == a)
        row[other] = next(v for v in SETTINGS[other] if str(v) == b)
        missing -= _pairs(row)
        rows.append(row)
    return rows


def _extras(row: dict[str, Any], market: MarketData, rng: np.random.Generator) -> dict[str, Any]:
    shape = market.close.shape
    jump = np.where(rng.random(shape) < 0.1, rng.choice([0.5, 2.0, 3.0], shape), 1.0)
    paid = np.where(rng.random(shape) < 0.1, 0.4, 0.0)
    listed = np.ones(shape)
    listed[:, -1] = np.arange(len(listed)) // 40 % 2 == 0
    arrays = {"funding": rng.normal(0, 1e-4, shape), "split": jump, "dividend": paid}
    return {k: v for k, v in {**arrays, "member": listed}.items() if row[k]}


def make_env(
    row: dict[str, Any], count: int, seed: int, horizon: int = 12, **options: Any
) -> MarketEnv:
    """An environment of these settings; `options` of `MarketEnv` such as engine and device."""

    def some(kind: Any) -> dict[str, Any]:
        return {k: v for k, v in row.items() if k in kind.__dataclass_fields__}

    portfolio = row["assets"] > 1
    config = EnvConfig(
        horizon=horizon,
        lookback=4,
        portfolio=portfolio,
        rules=TradingRules(**some(TradingRules)),
        margin=Margin(**some(Margin)),
        brackets=Brackets(**some(Brackets)),
        randomise=Randomisation(row["random_fee"], row["random_slippage"]),
        **some(EnvConfig),
    )
    market = MARKETS[row["calm"], row["assets"] if portfolio else 3]
    extras = _extras(row, market, np.random.default_rng(seed))
    return MarketEnv(
        market,
        num_envs=count,
        config=config,
        costs=CostModel(**some(CostModel)),
        reward=row["reward"],
        **extras,
        **options,
    )
