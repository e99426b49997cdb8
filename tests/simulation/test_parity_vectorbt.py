"""The accounting core against `vectorbt.Portfolio.from_orders`: 11,340 generated accounts.

Accounts are columns: one `from_orders` call simulates hundreds of them, each with its own prices,
orders, fees, sizes and limits, and the core simulates the same ones as one batch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import vectorbt as vbt

from tradinghf.simulation._account import Account, Limits, MarketOrder
from tradinghf.simulation._costs import Rates
from tradinghf.simulation._orders import SizeKind, order_size, order_value
from tradinghf.simulation._portfolio import execute_all

BARS = 24
DIRECTIONS = {"both": "both", "long": "longonly", "short": "shortonly"}
KINDS = {
    "amount": "amount",
    "value": "value",
    "percent": "percent",
    "target_amount": "targetamount",
    "target_value": "targetvalue",
    "target_percent": "targetpercent",
}
# What an order of about a third of the account is, in each kind's unit.
SCALES = {"amount": 3.0, "value": 300.0, "percent": 0.6, "target_amount": 4.0}
SCALES |= {"target_value": 500.0, "target_percent": 0.8}
CASH = 1000.0


@dataclass(frozen=True)
class Case:
    """S accounts of A assets each; arrays [T, S, A] or [S, A]."""

    close: np.ndarray
    size: np.ndarray
    fees: np.ndarray
    fixed: np.ndarray
    slippage: np.ndarray
    min_size: np.ndarray
    max_size: np.ndarray
    lot: np.ndarray
    kind: SizeKind
    side: str
    lock_cash: bool
    allow_partial: bool

    @property
    def sharing(self) -> bool:
        return self.close.shape[2] > 1


def generate(
    seed: int, accounts: int, assets: int, kind: SizeKind, side: str, lots: bool, **flags: bool
) -> Case:
    """Random prices, orders and settings; every setting is off in about half of the accounts."""
    rng = np.random.default_rng(seed)
    shape, each = (BARS, accounts, assets), (accounts, assets)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, shape), axis=0))
    size = rng.normal(0, SCALES[kind], shape)
    size = np.clip(size, -1, 1) if kind == "percent" else size
    size = np.where(rng.random(shape) < 0.2, np.nan, size)
    # vectorbt turns a percentage of 0 into 0 * inf = NaN cash: no order instead.
    size = np.where(rng.random(shape) < 0.1, np.nan if kind == "percent" else 0.0, size)

    def maybe(values: np.ndarray, off: float) -> np.ndarray:
        return np.where(rng.random(each) < 0.5, values, off)

    lot = rng.choice([0.125, 0.5, 1.0], each) if lots else np.full(each, np.nan)
    return Case(
        close=close,
        size=size,
        fees=maybe(rng.uniform(0, 0.02, each), 0.0),
        fixed=maybe(rng.uniform(0, 5, each), 0.0),
        slippage=maybe(rng.uniform(0, 0.01, each), 0.0),
        min_size=maybe(rng.uniform(0, 2, each), 1e-8),
        max_size=maybe(rng.uniform(1, 6, each), np.inf),
        lot=lot,
        kind=kind,
        side=side,
        lock_cash=flags["lock_cash"],
        allow_partial=flags["allow_partial"],
    )


def by_vectorbt(case: Case) -> Any:
    """One portfolio of S * A columns."""
    _, accounts, assets = case.close.shape
    flat = lambda x: x.reshape(-1, accounts * assets)  # noqa: E731
    sharing = {"group_by": np.repeat(np.arange(accounts), assets)} if case.sharing else {}
    return vbt.Portfolio.from_orders(
        pd.DataFrame(flat(case.close)),
        size=flat(case.size),
        size_type=KINDS[case.kind],
        direction=DIRECTIONS[case.side],
        fees=flat(case.fees),
        fixed_fees=flat(case.fixed),
        slippage=flat(case.slippage),
        min_size=flat(case.min_size),
        max_size=flat(case.max_size),
        size_granularity=flat(case.lot),
        lock_cash=case.lock_cash,
        allow_partial=case.allow_partial,
        init_cash=CASH,
        cash_sharing=case.sharing,
        call_seq="auto" if case.sharing else "default",
        engine="numba",
        **sharing,
    )


def by_core(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cash [T, S], shares [T, S, A] and fills [n, 5] (bar, column, signed size, price, fee)."""
    length, accounts, assets = case.close.shape
    t = lambda x: torch.tensor(x, dtype=torch.float64)  # noqa: E731
    rates = Rates(fee=t(case.fees), fixed=t(case.fixed), slippage=t(case.slippage))
    limits = Limits(
        side=case.side,  # type: ignore[arg-type]
        lot=0.0 if np.isnan(case.lot).all() else t(case.lot),
        exact_lots=False,
        min_size=t(case.min_size),
        max_size=t(case.max_size),
        allow_partial=case.allow_partial,
        lock_cash=case.lock_cash,
    )
    account = Account.open(
        torch.full((accounts, 1), CASH, dtype=torch.float64),
        torch.zeros(accounts, assets, dtype=torch.float64),
        track_shorts=True,
    )
    cash, shares, rows = [], [], []
    for bar in range(length):
        price, asked = t(case.close[bar]), t(case.size[bar])
        value = account.cash + (account.shares * price).sum(-1, keepdim=True)
        size, percent = order_size(case.kind, asked, account.shares, price, value, limits.side)
        first = order_value(case.kind, asked, account, price, value, limits.side)
        order = MarketOrder(size, price, percent=percent)
        account, fill = execute_all(account, order, rates, limits, order_value=first)
        cash.append(account.cash[:, 0].numpy())
        shares.append(account.shares.numpy())
        where = fill.size.nonzero().numpy()
        parts = [x.numpy()[where[:, 0], where[:, 1]] for x in (fill.size, fill.price, fill.fee)]
        column = where[:, 0] * assets + where[:, 1]
        rows.append(np.stack([np.full(len(where), bar), column, *parts], axis=1))
    fills = np.concatenate(rows)
    return np.array(cash), np.array(shares), fills[np.lexsort((fills[:, 0], fills[:, 1]))]


def fills_of(portfolio: Any) -> np.ndarray:
    r = portfolio.orders.records
    signed = np.where(r["side"] == 0, 1.0, -1.0) * r["size"]
    table = np.stack([r["idx"], r["col"], signed, r["price"], r["fees"]], axis=1)
    return table[np.lexsort((table[:, 0], table[:, 1]))]


def settings() -> list[tuple[Any, ...]]:
    """54 batches: every kind and direction, with cash locked or not, shared or not."""
    found: list[tuple[Any, ...]] = []
    for kind in KINDS:
        for side in DIRECTIONS:
            for assets, lock, partial, lots in (
                (1, False, True, False),
                (1, True, False, True),
                (3, False, True, True),
            ):
                found.append((kind, side, assets, lock, partial, lots))
    return found


@pytest.mark.parametrize(("kind", "side", "assets", "lock", "partial", "lots"), settings())
def test_fills_cash_and_positions_agree(
    kind: SizeKind, side: str, assets: int, lock: bool, partial: bool, lots: bool
) -> None:
    accounts = 210
    seed = list(KINDS).index(kind) * 100 + list(DIRECTIONS).index(side) * 10 + assets
    case = generate(seed, accounts, assets, kind, side, lots, lock_cash=lock, allow_partial=partial)
    compare(case)


def compare(case: Case) -> None:
    """Fills, cash, shares and equity of both agree."""
    theirs = by_vectorbt(case)
    cash, shares, fills = by_core(case)
    expected = fills_of(theirs)
    np.testing.assert_array_equal(fills[:, :2], expected[:, :2], "which orders fill")
    np.testing.assert_allclose(fills[:, 2:], expected[:, 2:], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cash, theirs.cash().to_numpy(), rtol=1e-9, atol=1e-9)
    held = theirs.assets().to_numpy().reshape(shares.shape)
    np.testing.assert_allclose(shares, held, rtol=1e-9, atol=1e-9)
    equity = cash + (shares * case.close).sum(-1)
    np.testing.assert_allclose(equity, theirs.value().to_numpy(), rtol=1e-9, atol=1e-9)


def test_at_least_ten_thousand_cases_are_compared() -> None:
    assert 210 * len(settings()) >= 10_000


PORTFOLIOS = [(kind, side) for kind in KINDS for side in DIRECTIONS]


def portfolios(kind: SizeKind, side: str, assets: int, accounts: int) -> Case:
    """Accounts that share cash over `assets`, with the flags that the sum of all of them picks."""
    number = PORTFOLIOS.index((kind, side))
    flags = {"lock_cash": (number + assets) % 3 == 0, "allow_partial": (number + assets) % 2 == 0}
    lots = number % 2 == 1
    return generate(7_000 + 100 * number + assets, accounts, assets, kind, side, lots, **flags)


@pytest.mark.parametrize(("kind", "side"), PORTFOLIOS)
def test_portfolios_that_share_cash_agree(kind: SizeKind, side: str) -> None:
    compare(portfolios(kind, side, assets=7, accounts=20))


@pytest.mark.slow
@pytest.mark.parametrize("assets", [2, 5, 12, 30])
@pytest.mark.parametrize(("kind", "side"), PORTFOLIOS)
def test_ten_thousand_portfolios_agree(kind: SizeKind, side: str, assets: int) -> None:
    accounts = -(-10_000 // (4 * len(PORTFOLIOS)))
    compare(portfolios(kind, side, assets, accounts))


def digest(fills: np.ndarray) -> str:
    """Of a fill list, prices and sizes to 9 significant digits."""
    lines = (f"{int(b)} {int(c)} {s:.8e} {p:.8e} {f:.8e}" for b, c, s, p, f in fills)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


# Of the fills of `golden_case(i)`: they must not change, in this package or in vectorbt.
GOLDEN = (
    "3ae5003008811b9a",
    "16d6ce845c315657",
    "9bf8dfd6450460d8",
    "211d1c4b985243b6",
    "90f5f659104ef6c9",
    "42d4b802d0b2c356",
    "0ed50ea3fab07d72",
    "0a95f5346021424d",
    "b31ee6c498a44755",
    "a27f76c419b9ec67",
    "96b5fc9580d146c6",
    "12db66b31450b15a",
    "405e2aa025c0f8e4",
    "ddd28316e9e2ca49",
    "af00c5ef12219a29",
    "4fa8adc93a6a43b8",
    "65a25e5483d0e9aa",
    "2d9e7ee0a59e667d",
    "2cc279ef19f6447f",
    "eaab3268ec449e3e",
)


def golden_case(i: int) -> Case:
    """One account each, of every kind and direction, 1 to 4 assets."""
    kind, side = list(KINDS)[i % 6], list(DIRECTIONS)[i % 3]
    flags = {"lock_cash": i % 5 == 0, "allow_partial": bool(i % 2) or i % 3 != 1}
    return generate(3000 + i, 1, 1 + i % 4, kind, side, bool(i % 2), **flags)  # type: ignore[arg-type]


@pytest.mark.parametrize("i", range(20))
def test_golden_fill_lists(i: int) -> None:
    case = golden_case(i)
    _, _, fills = by_core(case)
    assert digest(fills) == GOLDEN[i]
    assert digest(fills_of(by_vectorbt(case))) == GOLDEN[i]
