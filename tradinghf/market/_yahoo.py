"""The CSV that `yfinance.download` writes: three lines of header, and tickers side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tradinghf.market._column_names import canonical_name
from tradinghf.market._text_table import TextTable

_FIRST, _SECOND = ("price", "attributes", ""), ("ticker", "symbols", "")


def by_ticker(table: TextTable) -> TextTable:
    """One row per bar and ticker of such a table; any other stays as it is.

    Its header says "Price,Close,High,...", its first rows "Ticker,SPY,SPY,..." and "Date,,...";
    older versions leave the first two words out.
    """
    names, cells = table.names, table.cells
    if not names or names[0].strip().lower() not in _FIRST or len(cells[0]) < 2:
        return table
    if cells[0][0].strip().lower() not in _SECOND or any(column[1].strip() for column in cells[1:]):
        return table
    if canonical_name(cells[0][1]) != "timestamp":
        return table
    tickers = [column[0].strip() for column in cells[1:]]
    fields = list(dict.fromkeys(names[1:]))
    keys = list(zip(tickers, names[1:], strict=True))
    where = {key: i for i, key in enumerate(keys)}
    bars = len(cells[0]) - 2
    out: dict[str, list[str]] = {"Date": [], "Symbol": [], **{name: [] for name in fields}}
    for ticker in dict.fromkeys(tickers):
        out["Date"] += cells[0][2:]
        out["Symbol"] += [ticker] * bars
        for name in fields:
            at = where.get((ticker, name))
            out[name] += [""] * bars if at is None else cells[at + 1][2:]
    repeats = len(dict.fromkeys(tickers))
    ragged = {
        i - 2 + bars * k: finding for i, finding in table.ragged.items() for k in range(repeats)
    }
    return replace(
        table,
        names=tuple(out),
        cells=list(out.values()),
        rows=np.tile(table.rows[2:], repeats),
        ragged=ragged,
    )
