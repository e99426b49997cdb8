"""Judging a parsed table: every broken rule, with its row, column and fix."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market.columns import shown
from tradinghf.market.rules import Finding, Violation, capped, violations
from tradinghf.market.tables import Table

_FIX_TIME = (
    "Write ISO 8601 (2020-01-31 or 2020-01-31T16:00:00Z) or Unix seconds, or name the format, "
    "for example date_format='%m/%d/%Y'"
)
_FIX_ZONE = "Give every time a zone (append Z for UTC), or none"


def table_findings(table: Table) -> list[Finding]:
    """Every broken rule, the earliest row first: cells, bars, times, and what assets lack."""
    if not len(table.rows):
        return [Finding("", "", "there are no rows", "Add bars below the header", rule="empty")]
    found = [*table.problems, *_bar_findings(table), *_time_findings(table)]
    return sorted(found, key=_row) or _alignment_findings(table)


def _row(finding: Finding) -> float:
    """Its row; the whole file comes before, "so many more rows" after every row."""
    named = re.match(r"row (\d+)", finding.place)
    return float(named[1]) if named else math.inf if finding.place else -math.inf


def raise_findings(name: str, findings: Sequence[Finding], *, hint: str = "") -> None:
    """Raise the first error among `findings`, with the number of the others.

    Raises:
        MarketDataError: there is one.

    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = len(errors) - 1
        more = f" ({count} more problem{'s' if count > 1 else ''}{hint})" if count else ""
        raise MarketDataError(f"{name}: {errors[0]}{more}")


def _bar_findings(table: Table) -> list[Finding]:
    found: list[Finding] = []
    for broken in violations(table.bars):
        at = np.flatnonzero(broken.mask).tolist()
        if broken.rule == "missing":
            at = [i for i in at if (i, broken.column) not in table.unread]
        found += capped(at, partial(_bar_finding, table, broken))
    return found


def _bar_finding(table: Table, broken: Violation, i: int) -> Finding:
    value = table.bars[broken.column][i]
    got = "empty" if np.isnan(value) else f"{value:.12g}"
    problem = f"{got}; expected {broken.expected((i,))}"
    return Finding(table.place(i), broken.column, problem, broken.fix, rule=broken.rule)


def _time_findings(table: Table) -> list[Finding]:
    stamps, texts, aware = table.times.stamps, table.times.texts, table.times.aware

    def unreadable(i: int) -> Finding:
        problem = f"{shown(texts[i]) if texts else 'NaT'} is not a readable time"
        return Finding(table.place(i), "timestamp", problem, _FIX_TIME, rule="unreadable_time")

    unread = np.flatnonzero(np.isnat(stamps)).tolist()
    found = capped([i for i in unread if (i, "timestamp") not in table.unread], unreadable)
    if table.times.mixed:
        read = np.flatnonzero(~np.isnat(stamps))
        odd = int(read[aware[read] != aware[read[0]]][0])
        problem = "some times carry a time zone and others do not"
        found.append(
            Finding(table.place(odd), "timestamp", problem, _FIX_ZONE, rule="mixed_time_zones")
        )
    for symbol in table.assets:
        at = np.flatnonzero((table.symbols == symbol) & ~np.isnat(stamps))
        found += _order_findings(table, at)
    return found


def _order_findings(table: Table, at: NDArray[np.intp]) -> list[Finding]:
    """Duplicate times, and the first row out of order, among the rows `at` of one asset."""
    stamps = table.times.stamps[at]
    order = np.argsort(stamps, kind="stable")
    again = np.sort(order[1:][stamps[order][1:] == stamps[order][:-1]])

    def duplicate(i: int) -> Finding:
        fix = "Keep one row per time and asset"
        return Finding(
            table.place(i), "timestamp", "the time occurs twice", fix, rule="duplicate_time"
        )

    found = capped(at[again].tolist(), duplicate)
    late = np.flatnonzero(stamps[1:] < stamps[:-1]) + 1
    if len(late):
        count = f" ({len(late)} such rows)" if len(late) > 1 else ""
        problem = f"the time is before that of the row above{count}"
        fix = "Sort the rows by time, oldest first"
        found.append(
            Finding(table.place(int(at[late[0]])), "timestamp", problem, fix, rule="unsorted")
        )
    return found


def _alignment_findings(table: Table) -> list[Finding]:
    nameless = [s for s in table.assets if s in ("", "nan", "None", "<NA>")]

    def unnamed(i: int) -> Finding:
        return Finding(
            table.place(i), "symbol", "the row names no asset", "Fill it in", rule="no_symbol"
        )

    if nameless:
        return capped(np.flatnonzero(np.isin(table.symbols, nameless)).tolist(), unnamed)
    several = len(table.assets) > 1
    every = np.unique(table.times.stamps) if several else table.times.stamps
    if len(every) < 2:
        problem = "there is one bar; at least 2 are needed"
        return [Finding("", "", problem, "Load a longer history", rule="one_bar")]
    found = []
    for symbol in table.assets if several else ():
        missing = np.setdiff1d(every, table.times.stamps[table.symbols == symbol])
        if len(missing):
            first = str(missing[0].astype("datetime64[s]")).replace("T00:00:00", "")
            problem = f"{symbol!r} lacks {len(missing)} of {len(every)} times, first {first}"
            fix = "Add the bars, or load with join='inner' to keep the common times"
            found.append(Finding("", "", problem, fix, rule="assets_not_aligned"))
    return found
