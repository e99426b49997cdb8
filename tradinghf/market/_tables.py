"""A parsed table of bars, before its rules are checked; it knows the row of every value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market._adjusted import adjusted_bars
from tradinghf.market._bar_rules import FIELDS, MAX_PER_RULE, Finding, Floats
from tradinghf.market._columns import (
    Columns,
    frame_columns,
    named_columns,
    quoted,
    read_numbers,
    split_symbols,
)
from tradinghf.market._times import Times, dates_in, read_times
from tradinghf.market._wide import WideBars, wide_bars
from tradinghf.market._zones import from_local, named_zone

Rows = NDArray[np.int64]
ADJUSTED_OFFER = "adj_close not used (load with adjust=true to scale prices by it)"
Text = str | Callable[[int], str]  # the same for every row, or made from a row's index


@dataclass(frozen=True)
class Table:
    """n rows of bars in the order they were found.

    Attributes:
        times: [n] timestamps as read.
        symbols: [n] asset of each row.
        bars: open, high, low, close, volume: [n]; NaN where unreadable.
        rows: [n] number of each row as people see it.
        problems: found while reading, before any rule was applied.
        unread: (index, column) of the cells that `problems` covers.
        note: what was changed on the way in ("OHLC scaled by adj_close / close in 12 rows").
        columns: names as found.

    """

    times: Times
    symbols: NDArray[np.object_]
    bars: Mapping[str, Floats]
    rows: Rows
    problems: tuple[Finding, ...] = ()
    unread: frozenset[tuple[int, str]] = frozenset()
    note: str = ""
    columns: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, symbol: str, adjust: bool = False, zone: str | None = None
    ) -> Table:
        """Parse a DataFrame; its rows are numbered from 0, as `frame.iloc`.

        Raises:
            MarketDataError: it has no usable columns.

        """
        if not isinstance(frame, pd.DataFrame):
            raise MarketDataError(
                f"{symbol}: expected a pandas DataFrame, got {type(frame).__name__}."
            )
        if isinstance(frame.columns, pd.MultiIndex):
            wide = None if zone else wide_bars(frame, symbol)
            if wide is not None:
                return cls._of_wide(frame.index, wide)
            parts = split_symbols(frame, symbol)
            options: Any = {"adjust": adjust, "zone": zone}
            return cls.concat([cls.from_frame(p, symbol=s, **options) for s, p in parts.items()])
        return cls.from_columns(frame_columns(frame), symbol=symbol, adjust=adjust, zone=zone)

    @classmethod
    def from_columns(
        cls,
        columns: Columns,
        *,
        symbol: str,
        adjust: bool = False,
        rows: Rows | None = None,
        date_format: str | None = None,
        zone: str | None = None,
        ragged: Mapping[int, Finding] | None = None,
        names: Sequence[str] = (),
        note: str = "",
        what: str = "",
    ) -> Table:
        """Parse named columns of equal length.

        Args:
            columns: (name, values [n]) pairs, in file order.
            symbol: the asset, where no column names it.
            adjust: scale prices by adj_close / close where an adjusted close is present.
            rows: [n] number of each row, as people see it; by default from 0.
            date_format: strftime format of times that are not ISO 8601.
            zone: IANA zone of times that carry none, and of the sessions of daily bars.
            ragged: {index: finding} of rows that could not be split into cells.
            names: of the file's columns as found; by default those of `columns`.
            note: what was changed before.
            what: file or frame, for error messages; by default `symbol`.

        Raises:
            MarketDataError: a needed column is missing or named twice.

        """
        named = named_columns(columns, what or symbol)
        times = read_times(named["timestamp"], date_format)
        n = len(times.stamps)
        given = named.get("symbol")
        assets = np.full(n, symbol, dtype=object) if given is None else _stripped(given)
        problems = dict(ragged or {})
        unread = {(i, name) for i in problems for name in ("timestamp", *FIELDS)}
        table = cls(
            times,
            assets,
            {},
            np.arange(n) if rows is None else rows,
            note=note,
            columns=tuple(names) or tuple(name for name, _ in columns),
        )
        bars, found = {}, [*problems.values(), *table._mixed_epochs()]
        for name in FIELDS:
            bars[name], bad = read_numbers(named[name]) if name in named else (np.zeros(n), [])
            found += table._unreadable(name, dict(bad))
            unread |= {(i, name) for i, _ in bad}
        table = replace(table, bars=bars, problems=tuple(found), unread=frozenset(unread))
        table = table if zone is None else table._placed(zone)
        adjusted = named.get("adj_close")
        return table if adjusted is None else table._adjusted(adjusted, adjust)

    @classmethod
    def _of_wide(cls, index: pd.Index, wide: WideBars) -> Table:
        """Assets that share their times and hold numbers only: all at once, not one by one."""
        assets, times = len(wide.symbols), read_times(index)
        return cls(
            Times(np.tile(times.stamps, assets), np.tile(times.aware, assets)),
            np.repeat(np.array(wide.symbols, dtype=object), len(index)),
            {name: values.ravel(order="F") for name, values in wide.fields.items()},
            np.tile(np.arange(len(index)), assets),
        )

    @classmethod
    def concat(cls, tables: Sequence[Table]) -> Table:
        """Stack tables of different assets."""
        texts = [t.times.texts for t in tables]
        offsets = np.cumsum([0, *(len(t.rows) for t in tables[:-1])]).tolist()
        return cls(
            Times(
                np.concatenate([t.times.stamps for t in tables]),
                np.concatenate([t.times.aware for t in tables]),
                None if None in texts else [v for part in texts for v in part or []],
            ),
            np.concatenate([t.symbols for t in tables]),
            {f: np.concatenate([t.bars[f] for t in tables]) for f in FIELDS},
            np.concatenate([t.rows for t in tables]),
            tuple(p for t in tables for p in t.problems),
            frozenset(
                (i + o, c) for t, o in zip(tables, offsets, strict=True) for i, c in t.unread
            ),
            "; ".join(dict.fromkeys(t.note for t in tables if t.note)),
        )

    @cached_property
    def rows_of(self) -> dict[str, NDArray[np.intp]]:
        """The rows of each asset, in their order; assets in order of appearance."""
        codes, names = pd.factorize(self.symbols)
        order = np.argsort(codes, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
        return dict(zip(names.tolist(), parts, strict=True)) if len(names) else {}

    @property
    def assets(self) -> tuple[str, ...]:
        """Different symbols, in order of appearance."""
        return tuple(self.rows_of)

    def place(self, i: int) -> str:
        """Where row i is, as messages say it: its number, time, and asset if there are several."""
        stamp = self.times.stamps[i]
        when = "" if np.isnat(stamp) else str(stamp.astype("datetime64[s]"))
        parts = [
            when.replace("T00:00:00", ""),
            *([self.symbols[i]] if len(self.assets) > 1 else []),
        ]
        about = ", ".join(part for part in parts if part)
        return f"row {self.rows[i]} ({about})" if about else f"row {self.rows[i]}"

    def findings(
        self, at: Sequence[int], column: str, problem: Text, fix: Text, rule: str
    ) -> list[Finding]:
        """One finding for each row in `at`; beyond MAX_PER_RULE, one that counts the others."""

        def finding(i: int) -> Finding:
            wrong = problem if isinstance(problem, str) else problem(i)
            step = fix if isinstance(fix, str) else fix(i)
            return Finding(self.place(i), column, wrong, step, rule=rule)

        found = [finding(i) for i in at[:MAX_PER_RULE]]
        if len(at) > MAX_PER_RULE:
            place = f"{len(at) - MAX_PER_RULE} more rows, the last {self.place(at[-1])}"
            found.append(replace(finding(at[-1]), place=place))
        return found

    def arrays(self) -> tuple[dict[str, Floats], NDArray[np.datetime64], tuple[str, ...]]:
        """(fields [T, A], timestamps [T], symbols [A]) of a table without findings."""
        rows = np.stack(list(self.rows_of.values()))
        arrays = {f: np.ascontiguousarray(self.bars[f][rows].T) for f in FIELDS}
        return arrays, self.times.stamps[rows[0]], self.assets

    def common(self) -> Self:
        """Only the times that every asset has; `note` says how many rows went."""
        stamps, counts = np.unique(self.times.stamps, return_counts=True)
        keep = np.isin(self.times.stamps, stamps[counts >= len(self.assets)])
        keep |= np.isnat(self.times.stamps)
        if keep.all():
            return self
        lost = f"{(~keep).sum()} rows dropped to keep the times common to all assets"
        note = "; ".join(part for part in (self.note, lost) if part)
        return replace(self.only(keep), note=note)

    def only(self, keep: NDArray[np.bool_]) -> Self:
        """The rows [n] marked in `keep`."""
        at = np.flatnonzero(keep)
        new = {int(old): i for i, old in enumerate(at)}
        return replace(
            self,
            times=self.times.take(at),
            symbols=self.symbols[at],
            bars={f: v[at] for f, v in self.bars.items()},
            rows=self.rows[at],
            unread=frozenset((new[i], c) for i, c in self.unread if i in new),
        )

    def _placed(self, zone: str) -> Self:
        """The times as those of a zone: dates stay, local times become UTC."""
        known, times = named_zone(zone), self.times
        if times.are_dates or times.mixed:
            return self
        if times.aware.any():
            dates = dates_in(times.stamps, known)
            return self if dates is None else replace(self, times=replace(times, stamps=dates))
        stamps, problems, unread = times.stamps.copy(), [*self.problems], set(self.unread)
        for at in self.rows_of.values():
            found = from_local(times.stamps[at], known)
            stamps[at] = found.stamps
            twice, never = at[found.twice].tolist(), at[found.never].tolist()
            problem = f"clocks of {zone} show this time twice that day, and the file shows it once"
            fix = "Write the offset behind the time (+01:00), or times in UTC"
            problems += self.findings(twice, "timestamp", problem, fix, "ambiguous_hour")
            problem = f"clocks of {zone} skip this time"
            fix = "Check the zone, or write times in UTC"
            problems += self.findings(never, "timestamp", problem, fix, "skipped_hour")
            unread |= {(i, "timestamp") for i in (*twice, *never)}
        times = replace(times, stamps=stamps, aware=~np.isnat(stamps))
        return replace(self, times=times, problems=tuple(problems), unread=frozenset(unread))

    def _unreadable(self, column: str, texts: Mapping[int, str]) -> list[Finding]:
        def fix(i: int) -> str:
            if "," in texts[i]:
                return "Write numbers with a decimal point and without thousands separators"
            return "Write a plain number"

        problem = lambda i: f"{quoted(texts[i])} is not a number"  # noqa: E731
        return self.findings(list(texts), column, problem, fix, "not_a_number")

    def _mixed_epochs(self) -> list[Finding]:
        """The first row whose Unix time is in another unit than the rows before it."""
        change = self.times.change
        if change is None:
            return []
        i, before, after = change
        fix = "Write all in one unit"
        problem = f"the time is in {after}, those of the rows before are in {before}"
        return self.findings([i], "timestamp", problem, fix, "mixed_epochs")

    def _adjusted(self, values: Any, adjust: bool) -> Self:
        adjusted, _ = read_numbers(values)
        bars, scaled, doubts = adjusted_bars(self.bars, adjusted, list(self.rows_of.values()))
        found = [
            finding
            for doubt in doubts
            if adjust or doubt.always
            for finding in self.findings(
                doubt.rows, "adj_close", doubt.problem, doubt.fix, "adjusted_close"
            )
        ]
        how = f"OHLC scaled by adj_close / close in {scaled} rows" if adjust else ADJUSTED_OFFER
        note = "; ".join(part for part in (self.note, how if scaled else "") if part)
        return replace(
            self,
            bars=bars if adjust else self.bars,
            problems=(*self.problems, *found),
            note=note,
        )


def _stripped(names: Any) -> NDArray[np.object_]:
    """[n] names without blanks around them; each different one is read once."""
    codes, different = pd.factorize(pd.Series(names), use_na_sentinel=False)
    return np.array([str(name).strip() for name in different], dtype=object)[codes]
