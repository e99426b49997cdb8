"""Fills placed in the bars in which they happened, and what does not fit, row by row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import SLACK, Finding
from tradinghf.market._data import MarketData
from tradinghf.market._fills import TradeFill

FAR = 0.05  # a price further outside its bar is of other bars: another symbol, day or split
_SPLITS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0, 1.5)
_DAY = np.timedelta64(1, "D")

Splits = Mapping[str, Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class Placed:
    """A fill and its bar.

    Attributes:
        fill: in the units of the bars.
        bar: index of the bar in which it happened; -1 before the bars.
        fits: whether its price is one that the bar can have had.

    """

    fill: TradeFill
    bar: int
    fits: bool = True


def symbols_of(
    fills: Sequence[TradeFill], market: MarketData, names: Mapping[str, str]
) -> dict[str, str]:
    """The bars' symbol of each symbol of the fills; those that the bars lack are absent."""
    plain = {_plain(symbol): symbol for symbol in market.symbols}
    theirs = list(dict.fromkeys(fill.symbol for fill in fills))
    for name, symbol in names.items():
        if symbol not in market.symbols:
            raise MarketDataError(
                f"The fills' {name!r} is to be {symbol!r}, which the bars do not have. They have "
                f"{', '.join(market.symbols[:8])}."
            )
    found = {
        name: names.get(name) or plain[_plain(name)]
        for name in theirs
        if name in names or _plain(name) in plain
    }
    if not found and len(theirs) == 1 and market.assets == 1:
        return {theirs[0]: market.symbols[0]}
    return found


def _plain(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())


def without_repeats(
    fills: Sequence[TradeFill], keep: bool
) -> tuple[list[TradeFill], list[Finding]]:
    """Fills without those that are in the file twice."""
    seen: dict[tuple[object, ...], TradeFill] = {}
    kept, findings = [], []
    for fill in fills:
        same = (fill.time, fill.symbol, fill.quantity, fill.price, fill.fee, fill.id)
        first = seen.setdefault((fill.symbol, fill.id) if fill.id else same, fill)
        if first is fill or (keep and not fill.id):
            kept.append(fill)
            continue
        alike = (first.time, first.quantity, first.price) == (fill.time, fill.quantity, fill.price)
        if fill.id and not alike:
            kept.append(fill)
            problem = f"trade {fill.id} is also row {first.row}, with other numbers"
            findings.append(_finding(fill, problem, "Kept both: check them", "duplicate", True))
            continue
        by = f"trade {fill.id}" if fill.id else "every field"
        fix = "Left out" if fill.id else "Left out; if both happened, keep duplicates"
        findings.append(_finding(fill, f"repeats row {first.row} ({by})", fix, "duplicate"))
    return kept, findings


def placed_fills(
    fills: Sequence[TradeFill], market: MarketData, symbol: str, splits: Splits
) -> tuple[list[Placed], list[Finding]]:
    """The fills of one of the bars' symbols, each in its bar.

    Args:
        fills: of that symbol, oldest first.
        market: the bars.
        symbol: as the bars call it.
        splits: of each symbol, (first day, ratio): bars that are adjusted for a 4:1 split trade
            four of today's units for each one bought before it.

    """
    stamps, column = market.timestamps, market.symbols.index(symbol)
    step = np.median(np.diff(stamps))
    daily = bool(step >= _DAY)
    placed, findings = [], []
    for raw in fills:
        fill = _adjusted(raw, splits.get(symbol, ()))
        time = fill.day.astype("datetime64[ns]") if daily else fill.time
        bar = int(np.searchsorted(stamps, time))
        if bar == len(stamps):
            problem = f"is after the last bar ({_at(stamps[-1], daily)})"
            findings.append(_finding(fill, problem, "Left out; load later bars", "after"))
            continue
        if bar == 0 and time <= stamps[0] - (0 if daily else step):
            problem = f"is before the first bar ({_at(stamps[0], daily)})"
            fix = "Counted in what the account holds there"
            findings.append(_finding(fill, problem, fix, "before", True))
            placed.append(Placed(fill, -1))
            continue
        if stamps[bar] != time if daily else stamps[bar] - time >= step:
            problem = f"the market is closed; the next bar is {_at(stamps[bar], daily)}"
            findings.append(_finding(fill, problem, "Counted there", "closed", True))
        low, high = float(market.low[bar, column]), float(market.high[bar, column])
        fits, said = _price(fill, low, high, _at(stamps[bar], daily))
        findings += said
        placed.append(Placed(fill, bar, fits))
    return placed, findings


def _price(fill: TradeFill, low: float, high: float, when: str) -> tuple[bool, list[Finding]]:
    """Whether the price fits a bar, and what there is to say."""
    outside = max(low / fill.price, fill.price / high) - 1.0
    if outside <= SLACK:
        return True, []
    where = f"outside the bar of {when} ({low:g} to {high:g}) by {100 * outside:.2g} %"
    if outside <= FAR:
        said = _finding(fill, f"the price {fill.price:g} is {where}", "Counted", "price", True)
        return True, [said]
    fix = "Its round trip is left out of the episodes; is it this symbol, day and zone?"
    for ratio in _SPLITS:
        for times, name in ((ratio, f"{ratio:g}:1"), (1 / ratio, f"1:{ratio:g}")):
            price = fill.price / times
            if low * (1 - FAR / 5) <= price <= high * (1 + FAR / 5):
                day = "its first day"
                fix = (
                    f"It fits after a {name} split: name it with {day}, for example "
                    f"{fill.symbol}=DAY:{times:g}. Until then its round trip is left out"
                )
                return False, [_finding(fill, f"the price {fill.price:g} is {where}", fix, "split")]
    return False, [_finding(fill, f"the price {fill.price:g} is {where}", fix, "price")]


def _adjusted(fill: TradeFill, splits: Sequence[tuple[str, float]]) -> TradeFill:
    """The fill in units of today, after the splits that came later."""
    ratio = float(np.prod([r for day, r in splits if fill.day < np.datetime64(day)]))
    if ratio == 1.0:
        return fill
    reported = {
        k: v * (ratio if k == "position" else 1.0) for k, v in (fill.reported or {}).items()
    }
    return replace(
        fill, quantity=fill.quantity * ratio, price=fill.price / ratio, reported=reported
    )


def unknown_symbols(
    fills: Sequence[TradeFill], known: Mapping[str, str], market: MarketData
) -> list[Finding]:
    """A finding for each row of a symbol that the bars lack."""
    plain = {_plain(symbol): symbol for symbol in market.symbols}
    found = []
    for fill in fills:
        if fill.symbol in known:
            continue
        near = get_close_matches(_plain(fill.symbol), plain, n=1, cutoff=0.6)
        hint = f"; if it is {plain[near[0]]}, say so" if near else ""
        named = repr(fill.symbol) if fill.symbol else "a fill without a symbol"
        problem = f"the bars do not have {named}"
        fix = f"Counted in cash, no episodes{hint}"
        found.append(_finding(fill, problem, fix, "symbol"))
    return found


def _at(stamp: np.datetime64, daily: bool) -> str:
    return str(np.datetime_as_string(stamp, unit="D" if daily else "m")).replace("T", " ")


def _finding(fill: TradeFill, problem: str, fix: str, rule: str, kept: bool = False) -> Finding:
    """What is said of a fill; a warning where it counts all the same."""
    when = str(np.datetime_as_string(fill.time, unit="m")).replace("T", " ")
    side = "buy" if fill.quantity > 0 else "sell"
    what = f"{when}, {side} {abs(fill.quantity):g} {fill.symbol}: {problem}"
    return Finding(f"row {fill.row}", "", what, fix, "warning" if kept else "error", rule)
