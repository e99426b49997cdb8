"""Wide frames of plain numbers: all assets share the times and hold the same fields.

Thousands of assets then are one array to be gathered from, instead of as many frames; whatever is
not plain takes the way of `Table`, which knows the row of every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tradinghf.market._bar_rules import FIELDS, PRICES, Floats
from tradinghf.market._column_names import canonical_name
from tradinghf.market._columns import symbol_level

NO_SYMBOL = ("", "nan", "None", "<NA>")


@dataclass(frozen=True, eq=False)
class WideBars:
    """What a wide frame holds.

    Attributes:
        symbols: A names.
        fields: open, high, low, close, volume: [T, A] as they are, not yet judged.

    """

    symbols: tuple[str, ...]
    fields: Mapping[str, Floats]


def wide_bars(frame: pd.DataFrame, what: str) -> WideBars | None:
    """The numbers of a frame whose columns are (symbol, field) or (field, symbol).

    None where a column is text or missing, means something beside a price or a volume, or where
    the index holds no times.

    Raises:
        MarketDataError: no column level holds the fields.

    """
    columns = frame.columns
    if not isinstance(columns, pd.MultiIndex):
        return None
    level = symbol_level(columns, what)
    if not isinstance(frame.index, pd.DatetimeIndex):
        return None
    if not all(isinstance(k, np.dtype) and k.kind in "fiu" for k in frame.dtypes.unique()):
        return None
    symbols, names = pd.factorize(columns.get_level_values(level))
    fields, found = pd.factorize(columns.get_level_values(1 - level))
    known = [canonical_name(name) for name in found]
    texts = tuple(str(name) for name in names)
    places = np.full((len(known), len(texts)), -1)
    places[fields, symbols] = np.arange(len(columns))
    whole = len(set(known)) == len(known) and set(PRICES) <= set(known) <= set(FIELDS)
    if not whole or places.size != len(columns) or (places < 0).any():
        return None
    if len(set(texts)) != len(texts) or set(texts) & set(NO_SYMBOL):
        return None
    numbers = frame.to_numpy(np.float64)
    none = np.zeros((len(frame), len(texts)))
    return WideBars(
        texts,
        {f: numbers[:, places[known.index(f)]] if f in known else none for f in FIELDS},
    )
