"""Assets that are quoted in several currencies, as one account in one currency sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._bar_rules import Floats
from tradinghf.market._data import MarketData
from tradinghf.market._times import session_times

_OLDEST = pd.Timedelta(days=100)
"""A rate of a quarter ago may be the newest there is; an older one is of a table that ended."""


def in_account_currency(
    market: MarketData, currencies: Mapping[str, str], rates: pd.DataFrame
) -> MarketData:
    """Bars with every price in the currency of the account.

    A position then earns what its asset does in the asset's currency and what that currency does:
    foreign currency is bought and sold with every fill, and nothing is hedged. Closes are
    converted at the last rate known then, opens at the one of the bar before (of the first bar: its
    own); highs and lows as closes, widened to contain both.

    Args:
        market: [T, A] bars, each asset in its own currency.
        currencies: currency of each asset that is not in the account's ("JPY").
        rates: units of the account's currency for one unit of a currency, one column each, by
            time; times between those of the bars are allowed, and no rate is looked up ahead.

    Raises:
        MarketDataError: an unknown symbol, a currency without a column, a rate that is missing at
            the first bar, more than 100 days old at a later one, said twice for one time or not
            above 0, or prices with an offset.

    """
    if market.offsets:
        raise MarketDataError(f"{market.name}: prices with an offset cannot be converted.")
    for symbol in currencies:
        if symbol not in market.symbols:
            raise MarketDataError(
                f"{market.name}: currencies: {unknown_name('symbol', symbol, market.symbols)}"
            )
    known = {code: _at_bars(market, rates, code) for code in dict.fromkeys(currencies.values())}
    one = np.ones(market.bars)
    rate = np.stack([known.get(currencies.get(s, ""), one) for s in market.symbols], axis=1)
    before = np.vstack([rate[:1], rate[:-1]])
    first, last = market.open * before, market.close * rate
    high = np.maximum.reduce([market.high * rate, first, last])
    low = np.minimum.reduce([market.low * rate, first, last])
    note = f"{market.source}; in the account's currency, from {', '.join(known)}"
    return replace(market, open=first, high=high, low=low, close=last, source=note)


def _at_bars(market: MarketData, rates: pd.DataFrame, code: str) -> Floats:
    """[T] the last rate known at each bar's close."""
    if not isinstance(rates.index, pd.DatetimeIndex):
        raise MarketDataError("rates: the index must hold times.")
    if code not in rates.columns:
        shown = [str(column) for column in rates.columns]
        raise MarketDataError(f"rates: {unknown_name('currency', code, shown)}")
    if (rates.columns == code).sum() > 1:
        raise MarketDataError(f"rates: there are two columns {code}; expected one.")
    values = pd.Series(
        rates[code].to_numpy(np.float64), session_times(rates.index).tz_localize("UTC")
    )
    values = values[values.index.notna()].dropna().sort_index()
    if values.index.has_duplicates:
        twice = values.index[values.index.duplicated()][0]
        raise MarketDataError(f"rates: {code} has two rates for {twice}; expected one.")
    if not ((values > 0) & np.isfinite(values)).all():
        raise MarketDataError(f"rates: {code} must be above 0 and finite.")
    at = values.index.searchsorted(market.index, side="right") - 1
    if (at < 0).any():
        raise MarketDataError(
            f"rates: no rate of {code} at or before {market.index[0]}, the first bar. Give earlier "
            "rates, or cut the bars with market.between(...)."
        )
    old = np.flatnonzero(market.index - values.index[at] > _OLDEST)
    if len(old):
        bar, rate = market.index[old[0]], values.index[at[old[0]]]
        raise MarketDataError(
            f"rates: at the bar {bar} the newest rate of {code} is of {rate:%Y-%m-%d}, more than "
            f"{_OLDEST.days} days old. Give rates up to the last bar."
        )
    found: Floats = values.to_numpy()[at]
    return found
