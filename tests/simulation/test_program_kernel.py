"""Compiled orders that wait, and exits, against the tensor step: the same numbers, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, TradingRules
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import _program_kernel as kernel
from tradinghf.simulation import _simulate as module
from tradinghf.simulation import _stepped as stepped
from tradinghf.simulation import decide_stepwise, simulate

KINDS = ("target_percent", "target_value", "target_amount", "value", "amount", "signal")
SCALE = {"target_percent": 1.0, "signal": 1.0, "target_value": 1e5, "value": 3e4}
BARS = 40
_EVENTS = ("funding", "member", "split", "dividend")


def _coarse(market: MarketData, rng: np.random.Generator, wild: bool) -> MarketData:
    """Prices on a coarse grid, so that levels are met exactly, with gaps and perhaps ruin."""
    steps = rng.choice([0.0, 0.0, 0.9, -0.9], (market.bars, 1)) if wild else 0.0
    jumps = np.exp(np.cumsum(rng.normal(0, 0.02, market.close.shape) + steps, axis=0))
    raw = {n: getattr(market, n) * jumps for n in ("open", "high", "low", "close")}
    parts = {n: np.maximum(np.round(v * 2) / 2, 0.5) for n, v in raw.items()}
    parts["high"] = np.maximum.reduce(list(parts.values()))
    parts["low"] = np.minimum.reduce(list(parts.values()))
    return MarketData(
        **parts, volume=market.volume, timestamps=market.timestamps, symbols=market.symbols
    )


def _program(seed: int) -> tuple[MarketData, dict[str, Any], dict[str, Any]]:
    """A market, tables of orders and options of `simulate`."""
    rng = np.random.default_rng(seed)
    assets = int(rng.integers(1, 4))
    market = _coarse(synthetic(seed, BARS, assets), rng, wild=seed % 4 == 0)
    kind = KINDS[seed % 6]
    shape = (2, BARS, assets)
    size = rng.normal(0, 0.6, shape) * SCALE.get(kind, 300.0)
    size[rng.random(shape) < 0.5] = np.nan
    size[rng.random(shape) < 0.1] = 0.0

    def level(share: float) -> np.ndarray:
        near = np.round(market.close * np.exp(rng.normal(0, 0.03, shape)) * 2) / 2
        return np.where(rng.random(shape) < share, np.maximum(near, 0.5), np.nan)

    tables: dict[str, Any] = {"weights": size}
    tables |= {n: level(0.5) for n in ("limit", "stop") if rng.random() < 0.7}
    tables |= {n: level(0.5) for n in ("stop_loss", "take_profit") if rng.random() < 0.7}
    pick = lambda *values: float(rng.choice(values))  # noqa: E731
    costs = CostModel(
        fee_bps=pick(0, 30),
        fixed_fee=pick(0, 20),
        per_share_fee=pick(0, 0.01, -0.02),
        impact=pick(0, 0, 0.7),
        min_fee=pick(0, 0, 5),
        max_fee_bps=pick(0, 0, 40),
        slippage_bps=pick(0, 15),
        borrow_rate=pick(0, 0.5),
        margin_rate=pick(0, 0.3),
        cash_rate=pick(0, 0.1),
        maker_fee_bps=None if rng.random() < 0.5 else pick(-2, 5),
    )
    side = str(rng.choice(["both", "long", "short"]))
    rules = TradingRules(
        side=side,
        lot=pick(0, 0, 3),
        lot_mode=str(rng.choice(["exact", "vectorbt"])),
        max_size=pick(0, 0, 200),
        max_position=pick(0, 0, 400),
        min_notional=pick(0, 0, 500),
        allow_partial=bool(rng.random() < 0.8),
        participation=0.0 if kind == "percent" else pick(0, 0, 2e-4, 1e-3),
    )
    leverage = pick(1, 1, 3)
    margin = Margin(leverage, pick(0, 0.3) if leverage > 1 else 0.0, penalty_bps=pick(0, 50))
    brackets = Brackets(pick(0, 0.02), pick(0, 0.03), pick(0, 0.02))
    options: dict[str, Any] = {
        "kind": kind,
        "costs": costs,
        "fill": str(rng.choice(["next_open", "close"])),
        "config": EnvConfig(rules=rules, margin=margin, brackets=brackets),
        "funding": rng.normal(0, 1e-3, (BARS, assets)) if seed % 3 == 0 else None,
        "member": rng.random((BARS, assets)) < 0.8 if seed % 5 == 0 else None,
        "split": rng.choice([1.0, 1.0, 2.0, 0.5], (BARS, assets)) if seed % 7 == 0 else None,
        "dividend": rng.choice([0.0, 0.0, 0.3], (BARS, assets)) if seed % 7 < 2 else None,
    }
    return market, tables, options


def _same(one: Any, other: Any) -> None:
    for name in ("equity", "cash", "shares", "fees", "financing", "owed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.ambiguous, other.ambiguous)
    np.testing.assert_array_equal(one.optimistic_gain, other.optimistic_gain)
    pd.testing.assert_frame_equal(one.fills, other.fills, check_exact=True)


@pytest.mark.parametrize("block", range(6))
def test_random_programs_are_equal_bit_by_bit(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for seed in range(20 * block, 20 * block + 20):
        market, tables, options = _program(seed)
        monkeypatch.setattr(module, "compiled_covers", lambda *_: False)
        compiled = simulate(market, **tables, **options)
        with monkeypatch.context() as patch:
            patch.setattr(module, "program_covers", lambda *_: False)
            defined = simulate(market, **tables, **options)
        _same(compiled, defined)
        seen += len(compiled.fills)
    assert seen > 300


@pytest.mark.parametrize("seed", range(12))
def test_a_rule_sees_the_same_account_on_both_ways(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, tables, options = _program(seed)
    kind, events = options.pop("kind"), {k: options.pop(k) for k in _EVENTS}
    seen: list[list[Any]] = []

    def decide(bar: int, account: Any) -> tuple[str, dict[str, Any]]:
        seen[-1].append((account.cash, account.equity, *account.shares, *account.waiting))
        rows = {name: values[0, bar] for name, values in tables.items()}
        return kind, {"size": rows.pop("weights"), **rows}

    for compiled in (True, False):
        seen.append([])
        with monkeypatch.context() as patch:
            if not compiled:
                patch.setattr(stepped, "program_covers", lambda *_: False)
            decide_stepwise(market, decide, cash=1e5, **options, **events)
    assert seen[0] == seen[1]


def test_arrays_that_may_not_be_written_need_no_second_compilation() -> None:
    market, tables, options = _program(0)
    signatures = []
    for given in (None, 1e-3):
        funding = None if given is None else np.full(market.close.shape, given)
        if funding is not None:
            funding.flags.writeable = False
        before = set(kernel.run.signatures)
        simulate(market, **tables, **options | {"funding": funding, "member": None})
        signatures.append(set(kernel.run.signatures) - before)
    assert not signatures[1]
