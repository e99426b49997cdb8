"""`replay_fills`: the account that a list of fills makes, bar by bar, held against what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import Finding, Floats
from tradinghf.market._data import MarketData
from tradinghf.market._fill_bars import (
    Placed,
    Splits,
    placed_fills,
    symbols_of,
    unknown_symbols,
    without_repeats,
)
from tradinghf.market._fill_money import differences, outside_money
from tradinghf.market._fills import Fills, TradeFill

_NOTHING = 1e-9  # of what was traded: less is held by rounding only


@dataclass(frozen=True, eq=False)
class FillAccount:
    """An account at every bar.

    Attributes:
        cash: [T] after the bar's fills [currency].
        shares: [T, A] held after them.
        equity: [T] cash and holdings at the close; what the bars lack at its last fill's price.
        paid: [T, A] cash received less paid for the bar's fills, with their fees [currency].
        fees: [T, A] of the bar's fills [currency].
        notional: [T, A] traded [currency].
        traded: [T, A] units traded.
        usable: [T, A] whether episodes may show the bar: all its round trip's fills fit.
        placed: symbol -> its fills in their bars.
        start_cash: before the first fill.
        counted: rows of the file that the account holds.
        findings: what does not fit, by row; errors were left out, warnings count all the same.

    """

    cash: Floats
    shares: Floats
    equity: Floats
    paid: Floats
    fees: Floats
    notional: Floats
    traded: Floats
    usable: NDArray[np.bool_]
    placed: Mapping[str, Sequence[Placed]]
    start_cash: float
    counted: frozenset[int]
    findings: tuple[Finding, ...]


def replay_fills(
    fills: Fills,
    market: MarketData,
    *,
    cash: float | None = None,
    holdings: Mapping[str, float] | None = None,
    names: Mapping[str, str] | None = None,
    splits: Splits | None = None,
    short: bool | None = None,
    keep_duplicates: bool = False,
) -> FillAccount:
    """Carry an account through its fills on bars.

    Args:
        fills: what was traded.
        market: the bars.
        cash: before the first fill; by default what the file reports or deposits, or else the
            least that pays for every purchase.
        holdings: units of each symbol before the first fill.
        names: the bars' symbol of a symbol of the fills, where they differ.
        splits: see `placed_fills`.
        short: whether more may be sold than is held; by default as the broker's accounts do.
        keep_duplicates: take rows that are alike in every field for fills of their own.

    Raises:
        MarketDataError: no fill is of these bars, or a name or holding is of no symbol.

    """
    kept, findings = without_repeats(fills.fills, keep_duplicates)
    known = symbols_of(kept, market, names or {})
    findings += unknown_symbols(kept, known, market)
    held = _holdings(holdings or {}, market)
    allowed = fills.shorts if short is None else short
    placed: dict[str, Sequence[Placed]] = {}
    for symbol in dict.fromkeys(known.values()):
        own = [fill for fill in kept if known.get(fill.symbol) == symbol]
        found, said = placed_fills(own, market, symbol, splits or {})
        start = held[market.symbols.index(symbol)]
        checked, oversold = _checked(found, float(start), allowed)
        placed[symbol] = checked
        findings += [*said, *oversold]
    if not any(placed.values()):
        raise MarketDataError(_nothing_fits(kept, market))
    tables = _tables(placed, held, market)
    flows, said = outside_money(fills, kept, known, placed, market, cash)
    balance = flows.start + np.cumsum(flows.moved + tables.paid.sum(1))
    equity = balance + (tables.shares * market.close).sum(1) + flows.elsewhere
    findings += [*said, *differences(fills, flows, placed, held, market)]
    return FillAccount(
        balance,
        tables.shares,
        equity,
        tables.paid,
        tables.fees,
        tables.notional,
        tables.traded,
        tables.usable,
        placed,
        flows.start,
        frozenset(
            {p.fill.row for found in placed.values() for p in found}
            | {fill.row for fill in kept if fill.symbol not in known}
        ),
        tuple(findings),
    )


def _holdings(given: Mapping[str, float], market: MarketData) -> Floats:
    """[A] units held before the first fill."""
    held = np.zeros(market.assets)
    for symbol, units in given.items():
        if symbol not in market.symbols:
            raise MarketDataError(
                f"holdings names {symbol!r}, which the bars do not have. They have "
                f"{', '.join(market.symbols[:8])}."
            )
        held[market.symbols.index(symbol)] = units
    return held


def _nothing_fits(fills: Sequence[TradeFill], market: MarketData) -> str:
    span = " to ".join(str(t)[:10] for t in market.timestamps[[0, -1]])
    theirs = ", ".join(dict.fromkeys(fill.symbol for fill in fills[:200]))
    days = f"{fills[0].day} to {fills[-1].day}" if fills else "none"
    return (
        f"No fill is of these bars. The fills are of {theirs[:120] or 'nothing'} from {days}, the "
        f"bars of {', '.join(market.symbols[:8])} from {span}. Load bars of those assets and "
        "days, or name what is what (for example names AAPL.US=AAPL)."
    )


def _checked(
    placed: Sequence[Placed], held: float, short: bool
) -> tuple[list[Placed], list[Finding]]:
    """Fills, with those that sell more than is held marked as not fitting, and named."""
    if short:
        return list(placed), []
    checked, findings = [], []
    for one in placed:
        fill = one.fill
        after = held + fill.quantity
        if fill.quantity < 0 and after < -_NOTHING * abs(fill.quantity):
            what = (
                f"{str(fill.time)[:16].replace('T', ' ')}, sell {-fill.quantity:g} {fill.symbol}: "
                f"only {held:g} are held"
            )
            fix = (
                f"Was it bought before the file begins (holdings {fill.symbol}={-after:g}), or is "
                "it a short sale? Episodes up to there are left out"
            )
            findings.append(Finding(f"row {fill.row}", "", what, fix, "error", "oversold"))
            one, after = Placed(fill, one.bar, False), 0.0
        held = after
        checked.append(one)
    return checked, findings


@dataclass(frozen=True, eq=False)
class _Tables:
    """[T, A] arrays of `FillAccount`."""

    shares: Floats
    paid: Floats
    fees: Floats
    notional: Floats
    traded: Floats
    usable: NDArray[np.bool_]


def _tables(placed: Mapping[str, Sequence[Placed]], held: Floats, market: MarketData) -> _Tables:
    shape = market.close.shape
    shares, paid, fees, notional, traded = np.zeros((5, *shape))
    usable = np.ones(shape, dtype=bool)
    found = _Tables(shares, paid, fees, notional, traded, usable)
    for a, symbol in enumerate(market.symbols):
        start, change = float(held[a]), np.zeros(shape[0])
        lowest = running = start
        for one in placed.get(symbol, ()):
            fill = one.fill
            running += fill.quantity
            lowest = min(lowest, running)
            if one.bar < 0:
                start += fill.quantity
                continue
            change[one.bar] += fill.quantity
            found.paid[one.bar, a] -= fill.quantity * fill.price + fill.fee
            found.fees[one.bar, a] += fill.fee
            found.notional[one.bar, a] += abs(fill.quantity) * fill.price
            found.traded[one.bar, a] += abs(fill.quantity)
        oversold = [p.bar for p in placed.get(symbol, ()) if not p.fits and p.fill.quantity < 0]
        if oversold and lowest < 0:
            start -= lowest  # what was sold had been there
        largest = max(abs(start), float(found.traded[:, a].max()))
        held_units = start + np.cumsum(change)
        found.shares[:, a] = np.where(np.abs(held_units) <= _NOTHING * largest, 0.0, held_units)
        for one in placed.get(symbol, ()):
            if not one.fits:
                _spoil(found.usable[:, a], found.shares[:, a], max(one.bar, 0))
        if oversold and lowest < 0:
            found.usable[: max(oversold) + 1, a] = False
    return found


def _spoil(usable: NDArray[np.bool_], shares: Floats, bar: int) -> None:
    """Mark the bars of the round trip that a bar belongs to."""
    flat = np.flatnonzero(shares == 0)
    before, after = flat[flat < bar], flat[flat >= bar]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) if len(after) else len(shares) - 1
    usable[first : last + 1] = False
