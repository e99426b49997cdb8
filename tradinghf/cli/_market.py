"""`tradinghf data`: the catalogue, one data set, and whether a file can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._options import End, Start

if TYPE_CHECKING:
    from tradinghf.market import MarketData

_DIGITS = 16  # of a hash; data show prints all
_MOST_ASSETS = 6
_BAR_FIELDS = ("open", "high", "low", "close", "volume")


def data_list() -> None:
    """List the data sets and sources that --data takes.

    Example: `tradinghf data list`
    """
    from tradinghf.market import SOURCES, catalogue

    rows = []
    for entry in catalogue():
        options = SOURCES[entry.name].usage if entry.name in SOURCES else ""
        here = "" if entry.available else " (not installed)"
        what = f"{entry.title}{here}. {entry.span}".rstrip(". ")
        origin = entry.source or entry.kind
        digest = entry.sha256[:_DIGITS] or "-"
        rows.append((entry.name, what, origin, entry.licence, digest, options or "-"))
    head = ["--data", "what it is", "from", "licence of the data", "sha256", "options"]
    output.table(head, rows)
    output.line("Options: NAME:option=value,... Or give a path to a bar file.")
    output.line("Real bars not installed yet come with: pip install 'tradinghf[samples,data]'")


def data_show(
    data: Positional[str], /, *, start: Start = None, end: End = None, rows: int = 5
) -> None:
    """Show what a data set holds: span, hash, statistics, oddities, and its last rows.

    Example: `tradinghf data show sp500 --start 2005 --end 2012`

    Args:
        data: A data set, a source with options ("synthetic:seed=3"), or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        rows: How many of the last bars of the first asset to print.

    """
    from tradinghf.market import load_market

    market = load_market(data).between(start, end)
    _print_summary(market)
    if rows > 0:
        first = market.select([market.symbols[0]]) if market.assets > 1 else market
        last = first.rows(max(first.bars - max(rows, 2), 0), first.bars)
        columns = last.to_long()
        stamps = columns["timestamp"].dt.strftime("%Y-%m-%d %H:%M")
        bars = zip(stamps, *(columns[name].tolist() for name in _BAR_FIELDS), strict=True)
        output.table(["close of bar (UTC)", *_BAR_FIELDS], bars, title=first.symbols[0], digits=6)


def data_check(data: Positional[str], /) -> int:
    """Check that bars can be trusted: every problem with its row, column and fix.

    Exit code 2 when the bars cannot be used; oddities that deserve a look are warnings.

    Example: `tradinghf data check my_bars.csv:zone=Europe/Berlin`

    Args:
        data: A data set, a source with options, or a CSV or Parquet file, perhaps with options.

    """
    from tradinghf.market import check_market_file, file_and_options, load_market, market_warnings

    file = file_and_options(data)
    if file is None:
        found = market_warnings(load_market(data))
    else:
        path, options = file
        found = check_market_file(path, **options)
    if found:
        rows = [(f.severity, f.place, f.column, f.problem, f.fix) for f in found]
        output.table(["", "where", "column", "problem", "what to do"], rows)
    errors = sum(finding.severity == "error" for finding in found)
    if errors:
        output.line(f"{data}: not usable, {errors} problem{'s' if errors > 1 else ''}.")
        return 2
    output.line(f"{data}: usable, {len(found)} warning{'' if len(found) == 1 else 's'}.")
    return 0


def _print_summary(market: MarketData) -> None:
    """Print what a data set is, and how each asset behaved."""
    from tradinghf.market import describe_market

    facts = describe_market(market)
    assets, notes = facts.pop("per_asset"), facts.pop("warnings")
    output.pairs(facts)
    columns = list(next(iter(assets.values())))
    names = list(assets)[:_MOST_ASSETS]
    output.table(["", *names], [(c, *(assets[name][c] for name in names)) for c in columns])
    if len(assets) > _MOST_ASSETS:
        output.line(f"... and {len(assets) - _MOST_ASSETS} more assets.")
    for note in notes:
        output.line(f"warning: {note}")
