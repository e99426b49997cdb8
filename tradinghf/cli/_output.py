"""Tables and numbers for people; plain text when the output is not a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from tradinghf._outside_text import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from tradinghf.evaluation import Verdict
    from tradinghf.market import MarketData

# Wide enough that a table piped to a file is not cut.
_PIPED_WIDTH = 200
_record: ContextVar[dict[str, Any] | None] = ContextVar("what is printed", default=None)


@contextmanager
def recorded() -> Iterator[dict[str, Any]]:
    """What is printed meanwhile, as values: {"values": {}, "tables": [], "lines": []}."""
    found: dict[str, Any] = {"values": {}, "tables": [], "lines": []}
    before = _record.set(found)
    try:
        yield found
    finally:
        _record.reset(before)


def console() -> Console:
    """Where commands print; a reader that leaves (`| head -1`) does not end their work."""
    from rich.console import Console

    class Patient(Console):
        """Prints no more once nobody reads, where rich would exit."""

        def on_broken_pipe(self) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Patient(width=width, highlight=False, soft_wrap=False, emoji=False)


def number(value: object, digits: int = 4) -> str:
    """A value for a table: significant digits, thousands separated, "-" for None."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:,.{digits}g}"
    return str(value)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    digits: int = 4,
    numeric: bool = False,
) -> None:
    """Print rows under headings; cells are text, never markup.

    Columns of numbers are right-aligned; numeric: all but the first column are.
    """
    rows = [list(row) for row in rows]
    if (record := _record.get()) is not None:
        names = [
            column or ("name" if k == 0 else f"column {k + 1}") for k, column in enumerate(columns)
        ]
        found = [dict(zip(names, row, strict=True)) for row in rows]
        record["tables"].append({"title": title, "rows": found})
    _print_table(columns, rows, title, digits, numeric)


def _print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str | None,
    digits: int = 4,
    numeric: bool = False,
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for i, column in enumerate(columns):
        figures = all(isinstance(row[i], int | float | None) for row in rows) and bool(rows)
        right = figures or (numeric and i > 0)
        out.add_column(
            Text(printable(column)), justify="right" if right else "left", overflow="fold"
        )
    for row in rows:
        out.add_row(*(Text(printable(number(cell, digits))) for cell in row))
    if title:
        _print_line(title)
    console().print(out)


def pairs(values: Mapping[str, object], *, title: str | None = None) -> None:
    """Print names and values, one per line."""
    if (record := _record.get()) is not None:
        record["values"] |= values if title is None else {title: dict(values)}
    _print_table(["", ""], [(name, number(value)) for name, value in values.items()], title)


def line(text: str) -> None:
    """Print one line of plain text."""
    if (record := _record.get()) is not None:
        record["lines"].append(text)
    _print_line(text)


def _print_line(text: str) -> None:
    console().print(printable(text), markup=False, soft_wrap=True)


def frame(values: pd.DataFrame, *, title: str | None = None) -> None:
    """Print a data frame without its index; what is missing as "-"."""
    rows = values.astype(object).where(values.notna(), None).to_numpy().tolist()
    table([str(name) for name in values], rows, title=title)


def span(market: MarketData) -> str:
    """The first and the last day of a market's bars."""
    return f"{market.index[0]:%Y-%m-%d} to {market.index[-1]:%Y-%m-%d}"


def verdict(found: Verdict, counted: str) -> None:
    """Print the verdict in words, and where its number of trials comes from."""
    line(f"Verdict: {found.headline}")
    line(counted)
