"""Instruments whose price may be zero or negative: every unit is held against more collateral."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._bar_rules import PRICES
from tradinghf.market._tables import Table

Offset = float | Mapping[str, float]


def lifted(table: Table, offset: Offset, what: str) -> tuple[Table, tuple[float, ...]]:
    """A table whose prices carry an offset, and that of each asset; () where there is none.

    A unit then pays the difference of two prices, and its return is that difference per price
    plus offset. The caller chooses the offset: taken from the lowest price it would tell a
    strategy of falls to come.

    Raises:
        MarketDataError: the offset is no number of 0 or more, names an asset that is not there, or
            does not lift every price above 0; the message says how large it has to be.

    """
    given = offset if isinstance(offset, Mapping) else dict.fromkeys(table.assets, offset)
    for symbol, value in given.items():
        if symbol not in table.assets:
            raise MarketDataError(f"{what}: offset: {unknown_name('symbol', symbol, table.assets)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise MarketDataError(
                f"{what}: the offset of {symbol!r} is {value!r}; expected a number of 0 or more "
                "[currency per unit]."
            )
    if not any(given.values()):
        return table, ()
    bars = {name: values.copy() for name, values in table.bars.items()}
    for symbol, rows in table.rows_of.items():
        value = float(given.get(symbol, 0.0))
        lowest = min(float(np.nanmin(bars[name][rows], initial=np.inf)) for name in PRICES)
        if value and lowest + value <= 0:
            raise MarketDataError(
                f"{what}: {symbol!r} falls to {lowest:.12g}; expected an offset of more than "
                f"{-lowest:.12g}, got {value:.12g}. Choose one that covers falls beyond these too."
            )
        for name in PRICES:
            bars[name][rows] += value
    note = "; ".join(part for part in (table.note, "prices carry an offset") if part)
    offsets = tuple(float(given.get(symbol, 0.0)) for symbol in table.assets)
    return replace(table, bars=bars, note=note), offsets
