"""The compiled way through `simulate` for orders that wait and exits, and for rules that step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market import Floats, MarketData
from tradinghf.simulation import _account_kernel as at
from tradinghf.simulation._bars import Extras, volatility_before
from tradinghf.simulation._path_kernel import SPAN
from tradinghf.simulation._program_kernel import KINDS, close_ruined, give, run, through
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._working_orders import IN_SHARES

TABLES = ("size", "limit", "stop", "stop_loss", "take_profit")
_SIDES = {"both": 0, "long": 1, "short": -1}
_LIMITS = ("min_size", "lot", "max_size", "max_position", "min_notional")
_FILLS = ("account", "bar", "asset", "signed", "price", "fee", "before")


def program_covers(setup: Setup, extras: Extras, kinds: Sequence[str]) -> bool:
    """Whether the kernel does all that these orders may lead to."""
    rates, limits = setup.rates, setup.limits
    numbers = [getattr(rates, f.name) for f in fields(rates)]
    numbers += [getattr(limits, n) for n in _LIMITS]
    plain = all(isinstance(value, float | int) for value in numbers)
    return plain and not limits.lock_cash and set(kinds) <= set(KINDS)


class _Numbers:
    """Settings, switches and bars as the kernel reads them."""

    def __init__(self, market: MarketData, setup: Setup, extras: Extras) -> None:
        """Lay them out."""
        self.x, self.i = _settings(setup), _switches(setup, extras)
        self.bars = _bars(market, setup, extras)
        # Copies: for arrays that may not be written the kernels would be compiled once more.
        none = np.empty((market.bars, 0))
        funding, member = extras.funding, extras.member
        self.funding = none if funding is None else np.array(funding, np.float64, order="C")
        self.member = none if member is None else np.array(member, np.float64, order="C")


def _settings(setup: Setup) -> Floats:
    """[SETTINGS] costs, rules and levels."""
    rates, limits, brackets, held = setup.rates, setup.limits, setup.brackets, setup.financing
    x = np.zeros(at.SETTINGS)
    x[at.FEE], x[at.FIXED], x[at.PER_SHARE] = rates.fee, rates.fixed, rates.per_share
    x[at.MAKER_FEE], x[at.PENALTY_FEE] = setup.passive_rates.fee, setup.penalty_rates.fee
    x[at.LEAST_FEE], x[at.MOST_FEE] = rates.least, rates.most
    x[at.SLIPPAGE], x[at.IMPACT] = rates.slippage, rates.impact
    x[at.LEAST], x[at.LOT], x[at.LEAST_NOTIONAL] = limits.min_size, limits.lot, limits.min_notional
    x[at.MAX_SIZE], x[at.MAX_POSITION] = limits.max_size, limits.max_position
    x[at.PARTICIPATION], x[at.RUIN] = setup.participation, setup.ruin
    x[at.LEVERAGE], x[at.MAINTENANCE] = setup.margin.leverage, setup.margin.maintenance
    x[at.STOP_LOSS], x[at.TAKE_PROFIT] = brackets.stop_loss, brackets.take_profit
    x[at.TRAILING] = brackets.trailing_stop
    if held is not None:
        x[at.BORROW], x[at.MARGIN] = held.borrow, held.margin
        x[at.INTEREST], x[at.FUNDING] = held.cash, held.funding
    return x


def _switches(setup: Setup, extras: Extras) -> NDArray[np.int64]:
    """[SWITCHES] what an account uses."""
    i = np.zeros(at.SWITCHES, dtype=np.int64)
    i[at.SIDE], i[at.WAITS], i[at.EXITS] = _SIDES[setup.limits.side], setup.waits, setup.exits
    i[at.FINANCES], i[at.MEMBERS] = setup.financing is not None, extras.member is not None
    i[at.AT_CLOSE], i[at.HOPEFUL] = setup.fill == "close", setup.reading == "optimistic"
    i[at.EXACT_LOTS], i[at.PARTIAL] = setup.limits.exact_lots, setup.limits.allow_partial
    i[at.ADJUSTS] = extras.split is not None or extras.dividend is not None
    return i


def _bars(market: MarketData, setup: Setup, extras: Extras) -> Floats:
    """[T, rows, A] prices; volume and volatility, and splits and dividends, where one is used."""
    rows = [market.open, market.high, market.low, market.close]
    adjusts = extras.split is not None or extras.dividend is not None
    if adjusts or setup.participation or setup.rates.impact:
        rows += [market.volume, volatility_before(market)]
    if adjusts:
        shape = market.close.shape
        rows.append(np.ones(shape) if extras.split is None else extras.split)
        rows.append(np.zeros(shape) if extras.dividend is None else extras.dividend)
    return np.ascontiguousarray(np.stack(rows, axis=1))


def open_account(market: MarketData, cash: float) -> tuple[Floats, Floats]:
    """Money and positions of a flat account at the first close."""
    money, positions = np.zeros(at.MONEY), np.full((at.ROWS, market.assets), np.nan)
    positions[at.SHARES] = positions[at.SIZE] = positions[at.BEGUN] = 0.0
    positions[at.CLOSE], money[at.CASH] = market.close[0], cash
    return money, positions


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
    split = np.ones_like(market.close) if extras.split is None else extras.split
    changed = (split[1:] != 1).any(axis=1) & (setup.fill == "next_open")
    splits: list[int] = np.flatnonzero(changed).tolist()
    fills = []
    for s in range(count):
        tables = np.full((market.bars, len(TABLES), market.assets), np.nan)
        for k, name in enumerate(TABLES):
            if name in orders:
                tables[:, k] = orders[name][s if len(orders[name]) > 1 else 0]
        for row in splits:
            tables[row] = _after_split(tables[row], kinds[row], split[row + 1])
        money, unsure = np.empty((market.bars, at.EXPOSURE)), np.zeros(market.assets)
        m, p = open_account(market, float(cash))
        # Mostly an order is one fill, and an exit closes what it opened; where volume fills in
        # parts there is more, and the kernel comes back for another table.
        room = 2 * int(np.isfinite(tables[:, 0]).sum()) + at.MOST_FILLS * market.assets
        bar = 0
        while bar < market.bars:
            out = np.empty((room, 6))
            bar, done = run(
                bar,
                n.bars,
                n.funding,
                n.member,
                tables,
                codes,
                n.x,
                n.i,
                m,
                p,
                money,
                found["shares"][s],
                found["fees"][s],
                unsure,
                out,
            )
            fills.append(np.column_stack([np.full(done, float(s)), out[:done]]))
        found["cash"][s], found["owed"][s] = money[:, at.CASH], money[:, at.OWED]
        found["financing"][s] = money[:, at.FINANCING]
        found["equity"][s] = money[:, at.CASH] + _held(found["shares"][s], market.close)
        found["ambiguous"][s] = int(unsure.sum())
    return found, _fill_frame(np.concatenate(fills))


def _after_split(orders: Floats, kind: str, split: Floats) -> Floats:
    """[5, A] orders decided before a split; see `_working_orders.after_split`."""
    sizes = split if kind in IN_SHARES else np.ones_like(split)
    return np.vstack([orders[:1] * sizes, orders[1:] / split])


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
        self._split = extras.split
        self._m, self._p = open_account(market, cash)
        self._w, self._s = np.zeros((at.WORK, assets)), np.zeros((SPAN, assets))
        self._fees, self._tried = np.zeros(assets), np.zeros(assets)
        self._out = np.empty((at.MOST_FILLS * assets, 6))

    def carry(self, bar: int, kind: str, orders: Floats) -> None:
        """Through a bar, with `orders` [5, A] for its open."""
        n = self._n
        if self._split is not None and n.i[at.AT_CLOSE] == 0:
            orders = _after_split(orders, kind, self._split[bar])
        through(
            bar, self._m, self._p, self._w, self._s, n.bars[bar], n.funding[bar], n.member[bar],
            orders, KINDS.index(kind), self._fees, self._out, n.x, n.i,
        )  # fmt: skip

    def fill_at_close(self, bar: int, kind: str, orders: Floats) -> None:
        """Fill `orders` [5, A] at a bar's close."""
        n = self._n
        give(
            bar, self._m, self._p, self._w, n.bars[bar], orders, KINDS.index(kind), n.bars[bar, 3],
            self._tried, self._fees, self._out, 0, n.x, n.i,
        )  # fmt: skip
        close_ruined(bar, self._m, self._p, n.bars[bar, 3], self._out, 0, n.x)

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
