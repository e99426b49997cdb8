"""The compiled way through `simulate` for orders that wait and exits, and for rules that step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.market import Floats, MarketData
from tradinghf.simulation import _path_kernel as at
from tradinghf.simulation._bars import Extras
from tradinghf.simulation._program_kernel import KINDS, give, run, through
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._tolerance import is_off

TABLES = ("size", "limit", "stop", "stop_loss", "take_profit")
_SIDES = {"both": 0, "long": 1, "short": -1}
_FILLS = ("account", "bar", "asset", "signed", "price", "fee", "before")


def program_covers(setup: Setup, extras: Extras, kinds: Sequence[str]) -> bool:
    """Whether the kernel does all that these orders may lead to."""
    limits, rates, margin = setup.limits, setup.rates, setup.margin
    whole = (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    return (
        all(is_off(value) for value in whole)
        and all(is_off(value) for value in (rates.impact, rates.least, rates.most))
        and is_off(setup.participation)
        and all(isinstance(getattr(rates, n), float | int) for n in ("fee", "fixed", "slippage"))
        and isinstance(rates.per_share, float | int)
        and rates.per_share >= 0
        and isinstance(rates.maker, float | int)
        and limits.allow_partial
        and not limits.lock_cash
        and margin.leverage == 1.0
        and margin.maintenance == 0
        and extras.split is None
        and extras.dividend is None
        and set(kinds) <= set(KINDS)
    )


class _Numbers:
    """Settings, switches and bars as the kernel reads them."""

    def __init__(self, market: MarketData, setup: Setup, extras: Extras) -> None:
        """Lay them out."""
        rates, brackets, held = setup.rates, setup.brackets, setup.financing
        passive = setup.passive_rates
        x = np.zeros(at.SETTINGS)
        x[at.FEE], x[at.FIXED], x[at.PER_SHARE] = rates.fee, rates.fixed, rates.per_share
        x[at.SLIPPAGE], x[at.MAKER_FEE] = rates.slippage, passive.fee
        x[at.LEAST], x[at.RUIN] = setup.limits.min_size, setup.ruin
        x[at.STOP_LOSS], x[at.TAKE_PROFIT] = brackets.stop_loss, brackets.take_profit
        x[at.TRAILING] = brackets.trailing_stop
        if held is not None:
            x[at.BORROW], x[at.MARGIN] = held.borrow, held.margin
            x[at.INTEREST], x[at.FUNDING] = held.cash, held.funding
        i = np.zeros(at.SWITCHES, dtype=np.int64)
        i[at.SIDE], i[at.WAITS], i[at.EXITS] = _SIDES[setup.limits.side], setup.waits, setup.exits
        i[at.FINANCES], i[at.MEMBERS] = held is not None, extras.member is not None
        i[at.AT_CLOSE], i[at.HOPEFUL] = setup.fill == "close", setup.reading == "optimistic"
        self.x, self.i = x, i
        names = ("open", "high", "low", "close")
        self.bars = np.ascontiguousarray(np.stack([getattr(market, n) for n in names], axis=1))
        none = np.empty((market.bars, 0))
        self.funding = none if extras.funding is None else np.ascontiguousarray(extras.funding)
        member = extras.member
        self.member = none if member is None else np.ascontiguousarray(member, dtype=np.float64)


def run_programs(
    market: MarketData,
    orders: Mapping[str, Floats],
    kinds: Sequence[str],
    setup: Setup,
    extras: Extras,
    cash: float,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """What `Simulation` holds of S accounts, and their fills with a column `account`.

    Args:
        market: [T, A] bars.
        orders: "size" and perhaps prices, [S or 1, T, A]; NaN is none.
        kinds: T kinds of size.
        setup: one that `program_covers` allows.
        extras: at most funding and membership.
        cash: of each account to start with.

    """
    n, count = _Numbers(market, setup, extras), len(orders["size"])
    shape = (count, market.bars, market.assets)
    found: dict[str, Any] = {k: np.empty(shape[:2]) for k in ("equity", "cash")}
    found |= {k: np.empty(shape[:2]) for k in ("financing", "owed")}
    found |= {"shares": np.empty(shape), "fees": np.zeros(shape)}
    found["ambiguous"] = np.zeros(count, dtype=np.int64)
    codes = np.array([KINDS.index(kind) for kind in kinds])
    fills = []
    for s in range(count):
        tables = np.full((market.bars, len(TABLES), market.assets), np.nan)
        for k, name in enumerate(TABLES):
            if name in orders:
                tables[:, k] = orders[name][s if len(orders[name]) > 1 else 0]
        money, unsure = np.empty((market.bars, at.MONEY)), np.zeros(market.assets)
        # Every exit closes what an order opened.
        out = np.empty((2 * int(np.isfinite(tables[:, 0]).sum()) + 2 * market.assets, 6))
        done = run(
            n.bars,
            n.funding,
            n.member,
            tables,
            codes,
            float(cash),
            n.x,
            n.i,
            money,
            found["shares"][s],
            found["fees"][s],
            unsure,
            out,
        )
        found["cash"][s], found["owed"][s] = money[:, at.CASH], money[:, at.OWED]
        found["financing"][s] = money[:, at.FINANCING]
        found["equity"][s] = money[:, at.CASH] + _held(found["shares"][s], market.close)
        found["ambiguous"][s] = int(unsure.sum())
        fills.append(np.column_stack([np.full(done, float(s)), out[:done]]))
    return found, _fill_frame(np.concatenate(fills))


def _held(shares: Floats, close: Floats) -> Floats:
    """[T] value of positions, added up in the order of the assets."""
    value: Floats = (shares * close).cumsum(axis=1)[:, -1]
    return value


def _fill_frame(rows: Floats) -> pd.DataFrame:
    table = dict(zip(_FILLS, rows.T, strict=True))
    signed, price = table.pop("signed"), table["price"]
    lost = np.abs(signed) * np.abs(price - table.pop("before"))
    whole = {k: table[k].astype(np.int64) for k in ("account", "bar", "asset")}
    return pd.DataFrame(
        whole
        | {"side": np.sign(signed).astype(np.int64), "size": np.abs(signed)}
        | {"price": price, "fee": table["fee"], "slippage": lost}
    )


class ProgramAccount:
    """One account that is carried from close to close, for rules that look at it in between."""

    def __init__(self, market: MarketData, setup: Setup, extras: Extras, cash: float) -> None:
        """Open it, flat, at the first close."""
        self._n, assets = _Numbers(market, setup, extras), market.assets
        self._m, self._p = np.zeros(at.MONEY), np.full((at.ROWS, assets), np.nan)
        self._w, self._s = np.zeros((at.WORK, assets)), np.zeros((at.SPAN, assets))
        self._p[at.SHARES] = self._p[at.SIZE] = 0.0
        self._p[at.CLOSE], self._m[at.CASH] = market.close[0], cash
        self._fees, self._tried = np.zeros(assets), np.zeros(assets)
        self._out = np.empty((8 * assets, 6))

    def carry(self, bar: int, kind: str, orders: Floats) -> None:
        """Through a bar, with `orders` [5, A] for its open."""
        n = self._n
        through(
            bar, self._m, self._p, self._w, self._s, n.bars[bar], n.funding[bar], n.member[bar],
            orders, KINDS.index(kind), self._fees, self._out, n.x, n.i,
        )  # fmt: skip

    def fill_at_close(self, bar: int, kind: str, orders: Floats) -> None:
        """Fill `orders` [5, A] at a bar's close."""
        n = self._n
        give(
            bar, self._m, self._p, self._w, orders, KINDS.index(kind), n.bars[bar, 3], self._tried,
            self._fees, self._out, 0, n.x, n.i,
        )  # fmt: skip

    @property
    def cash(self) -> float:
        """[currency]."""
        return float(self._m[at.CASH])

    @property
    def equity(self) -> float:
        """At the last close [currency]."""
        return self.cash + float((self._p[at.SHARES] * self._p[at.CLOSE]).cumsum()[-1])

    @property
    def shares(self) -> Floats:
        """[A] held."""
        held: Floats = self._p[at.SHARES].copy()
        return held

    @property
    def waiting(self) -> Floats:
        """[A] signed shares of orders that wait."""
        waits: Floats = self._p[at.SIZE].copy()
        return waits
