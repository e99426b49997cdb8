"""Which assets belonged to a universe when: a file of periods, or of 1 and 0 by date."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._data import MarketData
from tradinghf.market._times import read_times, session_times

_COLUMNS = ("symbol", "first", "last")


def membership(path: Path | str, market: MarketData) -> NDArray[np.bool_]:
    """[T, A] which assets belonged to a universe at each bar.

    Args:
        path: a CSV or Parquet file with columns symbol, first and last: days of a membership,
            both inclusive; empty is open; a symbol may have several rows. Or dates in the first
            column and 1 or 0 for every symbol, which holds until the next row.
        market: the bars.

    Raises:
        MarketDataError: a column is missing, a day cannot be read, or the file does not say
            anything of a symbol.

    """
    path = Path(path)
    try:
        packed = path.suffix == ".parquet"
        table = pd.read_parquet(path) if packed else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise MarketDataError(f"{path}: cannot be read as a table: {error}.") from error
    names = [str(name).strip().lower() for name in table.columns]
    if twice := [name for name in _COLUMNS if names.count(name) > 1]:
        raise MarketDataError(f"{path}: the column {twice[0]!r} is there twice; expected it once.")
    if not set(_COLUMNS) <= set(names):
        return _from_table(table, path, market)
    return _from_periods(table.set_axis(names, axis=1).fillna("").astype(str), path, market)


def _from_table(table: pd.DataFrame, path: Path, market: MarketData) -> NDArray[np.bool_]:
    """Of 1 and 0 by date and symbol; days between two rows repeat the earlier one."""
    missing = [symbol for symbol in market.symbols if symbol not in table.columns]
    if missing:
        raise MarketDataError(
            f"{path}: {unknown_name('column', missing[0], [str(c) for c in table.columns])} "
            "Expected columns symbol, first and last; or dates, and 1 or 0 for every symbol."
        )
    try:
        dated = isinstance(table.index, pd.DatetimeIndex)
        times = session_times(table.index if dated else table.iloc[:, 0]).tz_localize("UTC")
        numbers = table[list(market.symbols)].astype(float).set_axis(times, axis=0)
    except (ValueError, TypeError, OverflowError) as error:
        why = str(error).rstrip(".")
        raise MarketDataError(f"{path}: no table of dates, and of 1 and 0: {why}.") from error
    if not numbers.isin([0.0, 1.0]).all(axis=None) or times.hasnans or times.has_duplicates:
        raise MarketDataError(
            f"{path}: expected a day in every row, no day twice, and 1 or 0 for every symbol."
        )
    found: NDArray[np.bool_] = (
        numbers.sort_index().reindex(market.index, method="ffill").fillna(0.0).to_numpy() != 0
    )
    return found


def _from_periods(table: pd.DataFrame, path: Path, market: MarketData) -> NDArray[np.bool_]:
    """Of one row per period."""
    days = market.index.tz_localize(None)
    found = np.zeros(market.close.shape, dtype=np.bool_)
    for row, (symbol, first, last) in enumerate(table[list(_COLUMNS)].to_numpy()):
        if symbol.strip() not in market.symbols:
            continue
        start = _day(first, path, row) or days[0].normalize()
        final = _day(last, path, row)
        if final is not None and first.strip() and final < start:
            raise MarketDataError(f"{path}: row {row + 2}: {last!r} is before {first!r}.")
        end = (final or days[-1]) + pd.Timedelta(days=1)
        found[:, market.symbols.index(symbol.strip())] |= (days >= start) & (days < end)
    missing = [s for s in market.symbols if s not in set(table["symbol"].str.strip())]
    if missing:
        raise MarketDataError(
            f"{path}: no row for {', '.join(missing[:3])}; expected one for every symbol of "
            f"{market.name}. Add it, or leave the asset out of the bars."
        )
    return found


def _day(text: str, path: Path, row: int) -> pd.Timestamp | None:
    if not text.strip():
        return None
    stamp = read_times([text.strip()])
    if np.isnat(stamp.stamps[0]) or not stamp.are_dates:
        raise MarketDataError(
            f"{path}: row {row + 2}: {text!r} is no day; expected 2020-01-31, or nothing."
        )
    return pd.Timestamp(stamp.stamps[0])
