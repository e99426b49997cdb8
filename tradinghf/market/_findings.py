"""Checks a parsed table: every broken rule, with its row, column and fix."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import Finding, Violation, violations
from tradinghf.market._columns import quoted
from tradinghf.market._tables import Table
from tradinghf.market._wide import NO_SYMBOL

_FIX_TIME = (
    "Write ISO 8601 (2020-01-31 or 2020-01-31T16:00:00Z) or Unix seconds, or name the format, "
    "for example date_format='%m/%d/%Y'"
)
_FIX_HOUR = (
    "Name the zone (FILE:zone=Europe/Berlin, or zone= in Python), or write times in UTC; do not "
    "delete rows"
)
_FIX_SAME = "The two rows are equal: delete one"
_FIX_OTHER = "The two rows differ: find out which time is wrong, and correct it"
_FIX_ZONE = "Give every time a zone (append Z for UTC), or none"


def table_findings(table: Table, *, aligned: bool = True) -> list[Finding]:
    """Every broken rule, the earliest row first: cells, bars, times, and what assets lack.

    `aligned`: the assets have to share their times.
    """
    if not len(table.rows):
        return [Finding("", "", "there are no rows", "Add bars below the header", rule="empty")]
    found = [*table.problems, *_bar_findings(table), *_time_findings(table)]
    return sorted(found, key=_row) or _alignment_findings(table, aligned)


def _row(finding: Finding) -> float:
    """Sorts findings by row: those of the whole file first, the counts of further rows last."""
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
        problem = partial(_bar_problem, table, broken)
        found += table.findings(at, broken.column, problem, broken.fix, broken.rule)
    return found


def _bar_problem(table: Table, broken: Violation, i: int) -> str:
    value = table.bars[broken.column][i]
    got = "empty" if np.isnan(value) else f"{value:.12g}"
    return f"{got}; expected {broken.expected((i,))}"


def _time_findings(table: Table) -> list[Finding]:
    stamps, texts, aware = table.times.stamps, table.times.texts, table.times.aware

    def problem(i: int) -> str:
        return f"{quoted(texts[i]) if texts else 'NaT'} is not a readable time"

    unread = np.flatnonzero(np.isnat(stamps)).tolist()
    unread = [i for i in unread if (i, "timestamp") not in table.unread]
    found = table.findings(unread, "timestamp", problem, _FIX_TIME, "unreadable_time")
    if table.times.mixed:
        read = np.flatnonzero(~np.isnat(stamps))
        odd = read[aware[read] != aware[read[0]]][:1].tolist()
        mixed = "some times carry a time zone and others do not"
        found += table.findings(odd, "timestamp", mixed, _FIX_ZONE, "mixed_time_zones")
    for rows in table.rows_of.values():
        found += _order_findings(table, rows[~np.isnat(stamps[rows])])
    return found


def _order_findings(table: Table, at: NDArray[np.intp]) -> list[Finding]:
    """Duplicate times, and the first row out of order, among the rows `at` of one asset."""
    stamps = table.times.stamps[at]
    if (stamps[1:] > stamps[:-1]).all():
        return []
    order = np.argsort(stamps, kind="stable")
    same = stamps[order][1:] == stamps[order][:-1]
    double = order[1:][same]
    earlier = dict(zip(double.tolist(), order[:-1][same].tolist(), strict=True))
    again = np.sort(double).tolist()
    back = np.flatnonzero(stamps[1:] < stamps[:-1]) + 1
    late = at[back].tolist()
    if again and _clocks_went_back(table, stamps, back):
        problem = "an hour of local time comes twice, as when clocks go back; both are real"
        return table.findings(late[:1], "timestamp", problem, _FIX_HOUR, "repeated_hour")

    def fix(i: int) -> str:
        place = int(np.searchsorted(at, i))
        first = at[earlier[place]]
        alike = all(bars[first] == bars[i] for bars in table.bars.values())
        return _FIX_SAME if alike else _FIX_OTHER

    rows = at[again].tolist()
    found = table.findings(rows, "timestamp", "the time occurs twice", fix, "duplicate_time")
    count = f" ({len(late)} such rows)" if len(late) > 1 else ""
    problem = f"the time is before that of the row above{count}"
    order_fix = "Sort the rows by time, oldest first"
    return found + table.findings(late[:1], "timestamp", problem, order_fix, "unsorted")


def _clocks_went_back(table: Table, stamps: NDArray[np.datetime64], back: NDArray[np.intp]) -> bool:
    """Whether naive times step back as clocks do: by less than an hour, at most twice a year."""
    if table.times.aware.any() or not 0 < len(back) <= 2 * (len(np.unique(stamps.astype("M8[Y]")))):
        return False
    return bool((stamps[back - 1] - stamps[back] < np.timedelta64(1, "h")).all())


def _alignment_findings(table: Table, aligned: bool) -> list[Finding]:
    nameless = np.isin(table.symbols, [s for s in table.assets if s in NO_SYMBOL])
    if nameless.any():
        at, problem = np.flatnonzero(nameless).tolist(), "the row names no asset"
        return table.findings(at, "symbol", problem, "Fill it in", "no_symbol")
    several = len(table.assets) > 1
    every = np.unique(table.times.stamps) if several else table.times.stamps
    if len(every) < 2:
        problem = "there is one bar; at least 2 are needed"
        return [Finding("", "", problem, "Load a longer history", rule="one_bar")]
    found = []
    for symbol, rows in table.rows_of.items() if several and aligned else ():
        own = table.times.stamps[rows]
        if not np.array_equal(own, every):
            missing = np.setdiff1d(every, own)
            first = str(missing[0].astype("datetime64[s]")).replace("T00:00:00", "")
            problem = f"{symbol!r} lacks {len(missing)} of {len(every)} times, first {first}"
            fix = (
                "Add the bars, or load with join='inner' to keep the common times, or with "
                "join='outer' where assets are listed later or gone"
            )
            found.append(Finding("", "", problem, fix, rule="assets_not_aligned"))
    return found
