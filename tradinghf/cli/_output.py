"""Tables and numbers for people; plain text when the output is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from tradinghf.evaluation import Verdict
    from tradinghf.market import MarketData

# Wide enough that a table piped to a file is not cut.
_PIPED_WIDTH = 200


def console() -> Console:
    """Where commands print."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False, emoji=False)


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
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for i, column in enumerate(columns):
        figures = all(isinstance(row[i], int | float | None) for row in rows) and bool(rows)
        right = figures or (numeric and i > 0)
        out.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        out.add_row(*(Text(number(cell, digits)) for cell in row))
    if title:
        line(title)
    console().print(out)


def pairs(values: Mapping[str, object], *, title: str | None = None) -> None:
    """Print names and values, one per line."""
    table(["", ""], [(name, number(value)) for name, value in values.items()], title=title)


def line(text: str) -> None:
    """Print one line of plain text."""
    console().print(text, markup=False, soft_wrap=True)


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
