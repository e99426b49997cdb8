"""Bars in CSV and Parquet files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd

from tradinghf.errors import MarketDataError
from tradinghf.market.data import MarketData
from tradinghf.market.tables import Table

SUFFIXES = (".csv", ".parquet", ".pq")


def parse_csv(
    data: bytes, *, symbol: str, adjust: bool = True, date_format: str | None = None
) -> Table:
    """Bars from the bytes of a CSV file; rows are numbered as a spreadsheet shows them."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    columns = list(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    return Table.from_columns(
        columns, symbol=symbol, adjust=adjust, first_row=2, date_format=date_format
    )


def load_file(path: Path | str, **options: Any) -> MarketData:
    """Bars from a .csv or .parquet file."""
    path = Path(path)
    if path.suffix == ".csv":
        table = parse_csv(path.read_bytes(), symbol=path.stem)
        return MarketData.from_table(table, name=path.stem, source=str(path), **options)
    if path.suffix in SUFFIXES:
        return MarketData.from_frame(pd.read_parquet(path), name=path.stem, **options)
    raise MarketDataError(f"{path}: expected a .csv or .parquet file.")
