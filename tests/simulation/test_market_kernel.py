"""The compiled way through `simulate` against the tensor step, on random order programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tradinghf.config import CostModel, EnvConfig, TradingRules
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import _simulate as module
from tradinghf.simulation import simulate

PRICES = ("open", "high", "low", "close")
KINDS = ("target_percent", "target_value", "target_amount", "value", "amount", "signal")
SCALE = {"target_percent": 1.0, "signal": 1.0, "target_value": 1e5, "value": 3e4}


def _wild(market: MarketData, rng: np.random.Generator) -> MarketData:
    """The market with moves that ruin shorts now and then."""
    jumps = np.exp(np.cumsum(rng.choice([0.0, 0.0, 0.0, 0.9, -0.9], (market.bars, 1)), axis=0))
    parts: dict[str, Any] = {
        n: getattr(market, n) * jumps for n in ("open", "high", "low", "close")
    }
    return MarketData(
        **parts, volume=market.volume, timestamps=market.timestamps, symbols=market.symbols
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_two_ways_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    assets, bars = int(rng.integers(1, 4)), 24
    market = synthetic(seed, bars, assets)
    market = _wild(market, rng) if seed % 3 == 0 else market
    kind = KINDS[seed % 6]
    orders = rng.normal(0, 0.6, (2, bars, assets)) * SCALE.get(kind, 300.0)
    orders[rng.random(orders.shape) < 0.5] = np.nan
    orders[rng.random(orders.shape) < 0.1] = 0.0
    costs = CostModel(
        fee_bps=float(rng.choice([0, 30])),
        fixed_fee=float(rng.choice([0, 20])),
        per_share_fee=float(rng.choice([0, 0.01])),
        slippage_bps=float(rng.choice([0, 15])),
        borrow_rate=float(rng.choice([0, 0.5])),
        margin_rate=float(rng.choice([0, 0.3])),
        cash_rate=float(rng.choice([0, 0.1])),
        funding_bps=float(rng.choice([0, -3])),
    )
    options: dict[str, Any] = {
        "kind": kind,
        "costs": costs,
        "fill": str(rng.choice(["next_open", "close"])),
        "config": EnvConfig(rules=TradingRules(side=str(rng.choice(["both", "long", "short"])))),
        "funding": rng.normal(0, 1e-3, (bars, assets)) if seed % 4 == 0 else None,
        "member": rng.random((bars, assets)) < 0.8 if seed % 5 == 0 else None,
    }
    compiled = simulate(market, orders, **options)
    monkeypatch.setattr(module, "compiled_covers", lambda *_: False)
    defined = simulate(market, orders, **options)
    for name in ("equity", "cash", "shares", "fees", "financing", "owed"):
        ours, theirs = getattr(compiled, name), getattr(defined, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-7, err_msg=name)
    pd.testing.assert_frame_equal(compiled.fills, defined.fills, rtol=1e-10, atol=1e-9)


def test_what_the_kernel_does_not_know_goes_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the kernel was asked")

    monkeypatch.setattr(module, "run_compiled", refuse)
    market, one = synthetic(0, 30, 1), np.full((30, 1), np.nan)
    one[0] = 0.5
    for options in (
        {"limit": one * 200},
        {"stop_loss": one},
        {"kind": "percent"},
        {"dtype": "float32"},
        {"split": np.ones(30)},
        {"costs": CostModel(impact=1.0)},
        {"config": EnvConfig(rules=TradingRules(lot=1.0))},
    ):
        simulate(market, one, **{"kind": "amount", **options})
    with pytest.raises(AssertionError, match="the kernel was asked"):
        simulate(market, one)
