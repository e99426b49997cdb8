"""`tradinghf data`: the catalogue, one data set, and whether a file can be trusted."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING

from tyro.conf import Positional

from tradinghf.cli import output
from tradinghf.cli.options import End, Start

if TYPE_CHECKING:
    from tradinghf.market.data import MarketData


def data_list() -> None:
    """List the data sets and sources that --data takes.

    Example: `tradinghf data list`
    """
    from tradinghf.market.sources import SOURCES, drop_in_files, drop_in_folders

    rows = []
    for name in SOURCES:
        defaults = {o.name: o.default for o in SOURCES[name].options.values()}
        options = ", ".join(n if v is Parameter.empty else f"{n}={v}" for n, v in defaults.items())
        rows.append((name, SOURCES[name].help, options or "-"))
    rows.extend((path.stem, f"file {path}", "-") for path in drop_in_files())
    output.table(["--data", "what it is", "options (NAME:option=value,...)"], rows)
    places = ", ".join(str(folder) for folder in drop_in_folders())
    output.line(f"Or a path to a .csv or .parquet file. Drop-in folders: {places}")


def data_show(
    data: Positional[str],
    /,
    *,
    start: Start = None,
    end: End = None,
    rows: int = 5,
) -> None:
    """Show what a data set holds: bars, span, assets, hash, and its last rows.

    Example: `tradinghf data show sp500 --start 2005 --end 2012`

    Args:
        data: A data set, a source with options ("synthetic:seed=3"), or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        rows: How many of the last bars of the first asset to print.

    """
    market = load(data, start, end)
    summary(market)
    if rows > 0:
        first = market.select([market.symbols[0]]) if market.assets > 1 else market
        last = first.rows(max(first.bars - max(rows, 2), 0), first.bars)
        stamps = last.index.strftime("%Y-%m-%d %H:%M")
        bars = zip(
            stamps,
            *(getattr(last, name)[:, 0].tolist() for name in output.BAR_FIELDS),
            strict=True,
        )
        output.table(
            ["close of bar (UTC)", *output.BAR_FIELDS], bars, title=first.symbols[0], digits=6
        )


def data_check(data: Positional[str], /) -> None:
    """Check that bars can be trusted; says which row and column cannot, and what to do.

    Example: `tradinghf data check my_bars.csv`

    Args:
        data: A data set, a source with options, or a CSV or Parquet file.

    """
    market = load(data)
    summary(market)
    output.line("ok: prices, order of timestamps and volumes are consistent.")


def load(data: str, start: str | None = None, end: str | None = None) -> MarketData:
    """The bars that --data, --start and --end name."""
    from tradinghf.market.sources import load_market

    market = load_market(data)
    return market.between(start, end) if start or end else market


def summary(market: MarketData) -> None:
    """Print what a data set is."""
    symbols = ", ".join(market.symbols[:8]) + (" ..." if market.assets > 8 else "")
    output.pairs(
        {
            "name": market.name,
            "bars": market.bars,
            "assets": f"{market.assets} ({symbols})",
            "from": str(market.index[0]),
            "to": str(market.index[-1]),
            "bars per year": market.bars_per_year,
            "source": market.source,
            "sha256": market.sha256,
        }
    )
