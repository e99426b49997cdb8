"""Warnings about valid bars that look odd, and a description of a market."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.market._bar_rules import PRICES, Finding
from tradinghf.market._data import MarketData

_SPLITS = (2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 1.5)
_STALE_BARS = 10
_MAX_PLACES = 100  # warnings of one kind


def market_warnings(market: MarketData) -> list[Finding]:
    """Oddities that validation lets pass: possible splits, stale prices, gaps, missing volume.

    Places are bars of the market, counted from 0, with their time.
    """
    found = [*_gaps(market), *_in_the_future(market)]
    for symbol in market.symbols:
        one = market.select([symbol])
        of = "" if market.assets == 1 else f" of {symbol}"
        of_one = (*_jumps(one), *_stale_prices(one), *_frequent_oddities(one))
        found += [replace(finding, place=(finding.place + of).strip()) for finding in of_one]
    return found


def _warning(column: str, problem: str, fix: str, rule: str, place: str = "") -> Finding:
    return Finding(place, column, problem, fix, "warning", rule)


def _place(market: MarketData, bar: int) -> str:
    when = str(market.timestamps[bar].astype("datetime64[s]")).replace("T00:00:00", "")
    return f"bar {bar} ({when})"


def _gaps(market: MarketData) -> Iterator[Finding]:
    step = np.diff(market.timestamps)
    longest = max(np.timedelta64(8, "D").astype("timedelta64[ns]"), 5 * np.median(step))
    for bar in np.flatnonzero(step > longest)[:_MAX_PLACES].tolist():
        problem = f"{step[bar] / np.timedelta64(1, 'D'):.1f} days after the bar before"
        place = _place(market, bar + 1)
        yield _warning("timestamp", problem, "Check for missing bars", "gap", place)


def _in_the_future(market: MarketData) -> Iterator[Finding]:
    """Bars of days to come, which nobody can have: a year or a month was read wrongly."""
    late = market.timestamps > np.datetime64("now") + np.timedelta64(2, "D")
    if late.any() and not market.made_up:
        first = int(np.argmax(late))
        problem = f"{int(late.sum())} bars lie in the future"
        fix = "Check how their dates are written, or were read"
        yield _warning("timestamp", problem, fix, "future", _place(market, first))


def _jumps(market: MarketData) -> Iterator[Finding]:
    """Large moves between two closes, among them splits that were not adjusted for."""
    close, opened = market.close[:, 0], market.open[:, 0]
    change = np.log(close[1:] / close[:-1])
    typical = 1.4826 * float(np.median(np.abs(change))) + 1e-12
    large = (np.abs(change) > 0.28) & (np.abs(change) > 10 * typical)
    for bar in np.flatnonzero(large)[:_MAX_PLACES].tolist():
        # Splits happen between bars: compare the open with the close before.
        ratio = close[bar] / opened[bar + 1]
        near = [s for s in _SPLITS if min(abs(ratio / s - 1), abs(ratio * s - 1)) < 0.05]
        kind = f"; looks like an unadjusted {near[0]:g}:1 split" if near else ""
        problem = f"moves by {100 * np.expm1(change[bar]):+.1f} % in one bar{kind}"
        fix = "Use adjusted prices (add an adj_close column), or confirm the move"
        yield _warning("close", problem, fix, "jump", _place(market, bar + 1))


def _stale_prices(market: MarketData) -> Iterator[Finding]:
    """Runs of identical bars."""
    bars = np.concatenate([getattr(market, name) for name in PRICES], axis=1)
    same = (bars[1:] == bars[:-1]).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2).tolist():
        if (count := stop - start + 1) >= _STALE_BARS:
            problem, fix = (
                f"{count} bars in a row are identical",
                "Drop bars that a vendor filled in",
            )
            yield _warning("close", problem, fix, "stale", _place(market, start))


def _frequent_oddities(market: MarketData) -> Iterator[Finding]:
    """Oddities that are normal in a single bar, and suspect when many bars have them."""
    bars = market.bars
    suspect = max(0.2 * bars, 10)
    empty = int((market.volume == 0).sum())
    if 0 < empty < bars:
        yield _warning("volume", f"0 in {empty} of {bars} bars", "Check those bars", "no_volume")
    rangeless = int((market.high == market.low).sum())
    if rangeless > suspect:
        problem = f"high equals low in {rangeless} of {bars} bars"
        yield _warning("high", problem, "Features of the range say little here", "no_range")
    copied = int((market.open[1:] == market.close[:-1]).sum())
    if copied > suspect:
        problem = f"equals the close before in {copied} of {bars} bars"
        fix = "It may be no traded price: fills at the next open are then optimistic"
        yield _warning("open", problem, fix, "open_copies_close")


def describe_market(market: MarketData) -> dict[str, Any]:
    """A market's size, span and statistics: JSON-ready, units in the names.

    Returns:
        name, source, sha256, bars, assets, first, last, bars_per_year, longest_gap_days,
        warnings (sentences), and per_asset: {symbol: statistics of the bar returns}.

    """
    step = np.diff(market.timestamps) / np.timedelta64(1, "D")
    return {
        "name": market.name,
        "source": market.source,
        "sha256": market.sha256,
        "bars": market.bars,
        "assets": market.assets,
        "first": market.index[0].isoformat(),
        "last": market.index[-1].isoformat(),
        "bars_per_year": market.bars_per_year,
        "longest_gap_days": float(step.max()),
        "per_asset": {symbol: _statistics(market, i) for i, symbol in enumerate(market.symbols)},
        "warnings": [str(finding) for finding in market_warnings(market)],
    }


def _statistics(market: MarketData, asset: int) -> dict[str, float | None]:
    close, volume = market.close[:, asset], market.volume[:, asset]
    per_year, offset = market.bars_per_year, float(market.lift[asset])
    simple = close[1:] / close[:-1] - 1
    log = pd.Series(np.log(close[1:] / close[:-1]))
    drawdown = 1 - close / np.maximum.accumulate(close)
    skew, kurtosis = (_finite(log.skew()), _finite(log.kurt()))
    return {
        "first_close": float(close[0]) - offset,
        "last_close": float(close[-1]) - offset,
        "total_return_pct": 100 * float(close[-1] / close[0] - 1),
        "annual_return_pct": _finite(100 * np.expm1(min(log.mean() * per_year, 700.0))),
        "annual_volatility_pct": _finite(100 * log.std() * np.sqrt(per_year)),
        "worst_bar_pct": 100 * float(simple.min()),
        "best_bar_pct": 100 * float(simple.max()),
        "max_drawdown_pct": 100 * float(drawdown.max()),
        "skew": skew,
        "kurtosis": None if kurtosis is None else kurtosis + 3.0,
        "mean_volume": float(volume.mean()),
    }


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
