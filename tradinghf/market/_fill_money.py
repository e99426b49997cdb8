"""Money that a list of fills moves beside its trades, and where a file reports other figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tradinghf.market._bar_rules import Finding, Floats
from tradinghf.market._data import MarketData
from tradinghf.market._fill_bars import Placed
from tradinghf.market._fills import Fills, TradeFill


@dataclass(frozen=True, eq=False)
class Flows:
    """Money beside the trades of the bars' symbols.

    Attributes:
        start: cash before everything.
        moved: [T] deposits and what was traded in other symbols or before the bars.
        elsewhere: [T] worth of other symbols' holdings.

    """

    start: float
    moved: Floats
    elsewhere: Floats


def outside_money(
    fills: Fills,
    kept: Sequence[TradeFill],
    known: Mapping[str, str],
    placed: Mapping[str, Sequence[Placed]],
    market: MarketData,
    cash: float | None,
) -> tuple[Flows, list[Finding]]:
    """Cash to start with, and money that comes from outside the bars."""
    moved, elsewhere = np.zeros(market.bars), np.zeros(market.bars)

    daily = bool(np.median(np.diff(market.timestamps)) >= np.timedelta64(1, "D"))

    def bar(time: np.datetime64) -> int:
        at = time.astype("datetime64[D]").astype("datetime64[ns]") if daily else time
        return min(int(np.searchsorted(market.timestamps, at)), market.bars - 1)

    for _, time, amount in fills.deposits:
        moved[0 if np.isnat(time) else bar(time)] += amount
    for one in (p for found in placed.values() for p in found if p.bar < 0):
        moved[0] -= one.fill.quantity * one.fill.price + one.fill.fee
    others: dict[str, float] = {}
    worth: dict[str, float] = {}
    for fill in kept:
        if fill.symbol in known:
            continue
        at = bar(fill.time)
        moved[at] -= fill.quantity * fill.price + fill.fee
        others[fill.symbol] = others.get(fill.symbol, 0.0) + fill.quantity
        now = others[fill.symbol] * fill.price
        elsewhere[at:] += now - worth.get(fill.symbol, 0.0)
        worth[fill.symbol] = now
    if cash is not None:
        return Flows(float(cash), moved, elsewhere), []
    start, said = _start_cash(fills, kept)
    return Flows(start, moved, elsewhere), said


def _moves(
    fills: Fills, kept: Sequence[TradeFill]
) -> list[tuple[np.datetime64, float, TradeFill | None]]:
    """Every change of cash, oldest first."""
    trades = [(f.time, -(f.quantity * f.price + f.fee), f) for f in kept]
    money = [(time, amount, None) for _, time, amount in fills.deposits]
    return sorted([*money, *trades], key=lambda move: move[0])


def _start_cash(fills: Fills, kept: Sequence[TradeFill]) -> tuple[float, list[Finding]]:
    running = lowest = 0.0
    for _, amount, fill in _moves(fills, kept):
        running += amount
        if fill is not None and "cash" in (fill.reported or {}):
            return (fill.reported or {})["cash"] - running, []
        lowest = min(lowest, running)
    if fills.deposits:
        return 0.0, []
    start = -lowest if lowest < 0 else max(abs(f.quantity) * f.price for f in kept)
    problem = f"neither cash nor a deposit is named: {start:,.2f} is taken, enough for every fill"
    return start, [Finding("", "cash", problem, "Name it if it was more", "warning", "cash")]


def differences(
    fills: Fills,
    flows: Flows,
    placed: Mapping[str, Sequence[Placed]],
    held: Floats,
    market: MarketData,
) -> list[Finding]:
    """Where the account differs from what the file reports after a fill, each difference once."""
    if not fills.digits:
        return []
    counted = {id(p.fill): (p, symbol) for symbol, found in placed.items() for p in found}
    by_row = {p.fill.row: (p, symbol) for p, symbol in counted.values()}
    shares = dict(zip(market.symbols, held.tolist(), strict=True))
    cash, last, findings = flows.start, dict.fromkeys(fills.digits, 0.0), []
    books: dict[str, tuple[float, float]] = {}
    balance = flows.start
    for _, amount, raw in _moves(fills, fills.fills):
        if raw is None:
            cash, balance = cash + amount, balance + amount
            continue
        one, symbol = by_row.get(raw.row, (None, raw.symbol))
        fill = one.fill if one is not None else raw
        cash -= fill.quantity * fill.price + fill.fee
        shares[symbol] = shares.get(symbol, 0.0) + fill.quantity
        books[symbol], gained = _booked(books.get(symbol, (0.0, 0.0)), fill)
        balance += gained - fill.fee
        ours = {"cash": cash, "balance": balance, "position": shares[symbol]}
        for name, said in (fill.reported or {}).items():
            now = (
                said - ours[name]
                if name in ours
                else _equity_gap(said, cash, shares, fill, one, symbol, market)
            )
            tolerance = max(0.5 * 10.0 ** -fills.digits[name], 1e-9 * abs(said))
            if abs(now - last[name]) > tolerance * 1.001:
                value = said - now
                digits = fills.digits[name]
                problem = (
                    f"the file says {said:,.{digits}f} after it, the account has "
                    f"{value:,.{digits}f}"
                )
                findings.append(
                    Finding(
                        f"row {fill.row}",
                        name,
                        problem,
                        f"A difference of {now - last[name]:+,.{digits}f} from this row on",
                        "warning",
                        "differs",
                    )
                )
                last[name] = now
    return findings


def _booked(book: tuple[float, float], fill: TradeFill) -> tuple[tuple[float, float], float]:
    """Units and mean price after a fill, and the profit it realised."""
    units, mean = book
    if units * fill.quantity >= 0:
        total = units + fill.quantity
        return (total, (units * mean + fill.quantity * fill.price) / total), 0.0
    closed = min(abs(units), abs(fill.quantity)) * np.sign(units)
    gained = float(closed * (fill.price - mean))
    total = units + fill.quantity
    return (total, mean if total * units > 0 else fill.price), gained


def _equity_gap(
    said: float,
    cash: float,
    shares: Mapping[str, float],
    fill: TradeFill,
    one: Placed | None,
    symbol: str,
    market: MarketData,
) -> float:
    """What reported equity is above ours; brokers mark at the fill, or at a price of the bar."""
    if one is None or one.bar < 0:
        return 0.0
    held = np.array([shares[name] for name in market.symbols])
    own = market.symbols.index(symbol)
    marks = [market.open[one.bar], market.close[one.bar], market.close[max(one.bar - 1, 0)]]
    at_fill = []
    for mark in marks:
        at_fill.append(mark.copy())
        at_fill[-1][own] = fill.price
    gaps = [said - cash - float(held @ mark) for mark in (*marks, *at_fill)]
    return min(gaps, key=abs)
