"""Bars as they were found: parsed, not yet trusted, with the row of every value remembered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError
from tradinghf.market.rules import FIELDS, PRICES, Finding, Floats, violations
from tradinghf.market.times import Times, read_times

TIME_NAMES = ("timestamp", "datetime", "date", "time")
SYMBOL_NAMES = ("symbol", "ticker", "asset")
ADJUSTED_NAMES = ("adj_close", "adjclose", "adjusted_close")
MAX_PER_RULE = 100
_FIX_TIME = (
    "Write ISO 8601 (2020-01-31 or 2020-01-31T16:00:00Z) or Unix seconds, or name the format, "
    "for example date_format='%m/%d/%Y'"
)
_FIX_ORDER = "Sort the rows by time, oldest first"
_FIX_DUPLICATE = "Keep one row per time and asset"


@dataclass(frozen=True)
class Table:
    """n rows of bars in the order they were found.

    Attributes:
        times: [n] timestamps as read.
        symbols: [n] asset of each row.
        bars: open, high, low, close, volume: [n]; NaN where unreadable.
        rows: [n] number of each row as people see it.
        problems: found while reading, before any rule was applied.
        note: what was changed on the way in ("OHLC scaled by adj_close / close in 12 rows").

    """

    times: Times
    symbols: NDArray[np.object_]
    bars: Mapping[str, Floats]
    rows: NDArray[np.int64]
    problems: tuple[Finding, ...] = ()
    note: str = ""
    unread: frozenset[tuple[int, str]] = field(default=frozenset())

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, *, symbol: str, adjust: bool = True) -> Table:
        """Parse a DataFrame; its rows are numbered from 0, as `frame.iloc`.

        Raises:
            MarketDataError: it has no usable columns.

        """
        if not isinstance(frame, pd.DataFrame):
            raise MarketDataError(
                f"{symbol}: expected a pandas DataFrame, got {type(frame).__name__}."
            )
        if isinstance(frame.columns, pd.MultiIndex):
            parts = _split(frame, symbol)
            return cls.concat(
                [cls.from_frame(part, symbol=s, adjust=adjust) for s, part in parts.items()]
            )
        columns: list[tuple[str, Any]] = [(str(c), frame.iloc[:, i]) for i, c in enumerate(frame)]
        if _normal(str(frame.index.name)) in TIME_NAMES or isinstance(
            frame.index, pd.DatetimeIndex
        ):
            columns.insert(0, ("timestamp", frame.index))
        return cls.from_columns(columns, symbol=symbol, adjust=adjust, first_row=0)

    @classmethod
    def from_columns(
        cls,
        columns: Sequence[tuple[str, Any]],
        *,
        symbol: str,
        adjust: bool,
        first_row: int,
        date_format: str | None = None,
    ) -> Table:
        """Parse named columns of equal length.

        Args:
            columns: (name, values [n]) pairs, in file order.
            symbol: the asset, where no column names it.
            adjust: scale prices by adj_close / close where an adjusted close is present.
            first_row: number of the first row, as people see it.
            date_format: strftime format of times that are not ISO 8601.

        Raises:
            MarketDataError: a needed column is missing or named twice.

        """
        named = _named(columns, symbol)
        times = read_times(named["timestamp"], date_format)
        n = len(times.stamps)
        rows = np.arange(first_row, first_row + n)
        given = named.get("symbol")
        symbols = np.array(
            [symbol] * n if given is None else [str(s).strip() for s in given], dtype=object
        )
        table = cls(times, symbols, {}, rows)
        bars, problems, unread = {}, [], set()
        for name in FIELDS:
            values, bad = _numbers(named[name]) if name in named else (np.zeros(n), [])
            bars[name] = values
            unread |= {(i, name) for i, _ in bad}
            problems += _capped(
                Finding(table.place(i), name, f"{_shown(text)} is not a number", _fix_number(text))
                for i, text in bad
            )
        table = replace(table, bars=bars, problems=tuple(problems), unread=frozenset(unread))
        adjusted = named.get("adj_close")
        return table if adjusted is None or not adjust else table._adjusted(_numbers(adjusted)[0])

    @classmethod
    def concat(cls, tables: Sequence[Table]) -> Table:
        """Stack tables of different assets."""
        texts = [t.times.texts for t in tables]
        offsets = np.cumsum([0, *(len(t.rows) for t in tables)])
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
            "; ".join(dict.fromkeys(t.note for t in tables if t.note)),
            frozenset(
                (i + int(o), c) for t, o in zip(tables, offsets, strict=False) for i, c in t.unread
            ),
        )

    def place(self, i: int) -> str:
        """Where row i is, for people: its number, time and asset."""
        stamp = self.times.stamps[i]
        if np.isnat(stamp):
            return f"row {self.rows[i]}"
        when = str(stamp.astype("datetime64[s]")).replace("T00:00:00", "")
        return f"row {self.rows[i]} ({when})"

    def findings(self) -> list[Finding]:
        """Every broken rule: unreadable cells, bars, times, and gaps between the assets."""
        if not len(self.rows):
            return [Finding("", "", "there are no rows", "Add bars below the header")]
        found = [*self.problems, *self._bar_findings(), *self._time_findings()]
        return found or self._alignment_findings()

    def arrays(self) -> tuple[dict[str, Floats], NDArray[np.datetime64], tuple[str, ...]]:
        """(fields [T, A], timestamps [T], symbols [A]) of a table without findings."""
        symbols = tuple(dict.fromkeys(self.symbols.tolist()))
        groups = [np.flatnonzero(self.symbols == s) for s in symbols]
        arrays = {f: np.stack([self.bars[f][g] for g in groups], axis=1) for f in FIELDS}
        return arrays, self.times.stamps[groups[0]], symbols

    def common(self) -> Self:
        """Only the times that every asset has; `note` says how many rows went."""
        symbols = dict.fromkeys(self.symbols.tolist())
        stamps, counts = np.unique(self.times.stamps, return_counts=True)
        keep = np.isin(self.times.stamps, stamps[counts == len(symbols)])
        if keep.all():
            return self
        at = np.flatnonzero(keep)
        texts = self.times.texts
        times = Times(
            self.times.stamps[at],
            self.times.aware[at],
            None if texts is None else [texts[i] for i in at],
        )
        lost = f"{(~keep).sum()} rows dropped to the times common to all assets"
        return replace(
            self,
            times=times,
            symbols=self.symbols[at],
            bars={f: v[at] for f, v in self.bars.items()},
            rows=self.rows[at],
            note="; ".join(part for part in (self.note, lost) if part),
        )

    def _adjusted(self, adjusted: Floats) -> Self:
        close = self.bars["close"]
        with np.errstate(all="ignore"):
            factor = adjusted / close
        usable = np.isfinite(factor) & (factor > 0)
        scaled = usable & (factor != 1.0)
        missing = np.flatnonzero(~usable & np.isfinite(close) & (close > 0))
        problems = _capped(
            Finding(
                self.place(int(i)),
                "adj_close",
                f"{adjusted[i]:g} is no usable adjusted close",
                "Correct it, or load with adjust=False",
                rule="adjusted_close",
            )
            for i in missing
        )
        bars = {
            f: np.where(scaled, v * np.where(scaled, factor, 1.0), v) if f in PRICES else v
            for f, v in self.bars.items()
        }
        count = int(scaled.sum())
        note = f"OHLC scaled by adj_close / close in {count} rows" if count else ""
        return replace(self, bars=bars, problems=(*self.problems, *problems), note=note)

    def _bar_findings(self) -> list[Finding]:
        found = []
        for broken in violations(self.bars):
            at = [
                int(i)
                for i in np.flatnonzero(broken.mask)
                if broken.rule != "missing" or (int(i), broken.column) not in self.unread
            ]
            value = self.bars[broken.column]
            found += _capped(
                Finding(
                    self.place(i) + self._of(i),
                    broken.column,
                    f"{'no value' if np.isnan(value[i]) else f'{value[i]:.12g}'}; "
                    f"expected {broken.expected((i,))}",
                    broken.fix.rstrip("."),
                    rule=broken.rule,
                )
                for i in at
            )
        return found

    def _time_findings(self) -> list[Finding]:
        stamps, texts = self.times.stamps, self.times.texts
        unread = np.flatnonzero(np.isnat(stamps))
        found = _capped(
            Finding(
                self.place(int(i)),
                "timestamp",
                f"{_shown(texts[i]) if texts else 'NaT'} is not a readable time",
                _FIX_TIME,
                rule="unreadable_time",
            )
            for i in unread
        )
        if self.times.mixed:
            aware = self.times.aware
            odd = int(np.flatnonzero((aware != aware[0]) & ~np.isnat(stamps))[0])
            found.append(
                Finding(
                    self.place(odd),
                    "timestamp",
                    "some times carry a time zone and others do not",
                    "Give every time a zone (append Z for UTC), or none",
                    rule="mixed_time_zones",
                )
            )
        for symbol in dict.fromkeys(self.symbols.tolist()):
            found += self._order_findings(np.flatnonzero(self.symbols == symbol))
        return found

    def _order_findings(self, at: NDArray[np.intp]) -> list[Finding]:
        stamps = self.times.stamps[at]
        step = np.diff(stamps)
        late = np.flatnonzero(step < np.timedelta64(0, "ns")) + 1
        order = np.argsort(stamps, kind="stable")
        same = order[1:][np.diff(stamps[order]) == np.timedelta64(0, "ns")]
        found = _capped(
            Finding(
                self.place(int(at[i])) + self._of(int(at[i])),
                "timestamp",
                "the time occurs twice",
                _FIX_DUPLICATE,
                rule="duplicate_time",
            )
            for i in np.sort(same)
        )
        if len(late):
            i = int(at[late[0]])
            count = f" ({len(late)} such rows)" if len(late) > 1 else ""
            problem = f"the time is before that of the row above{count}"
            found.append(
                Finding(
                    self.place(i) + self._of(i), "timestamp", problem, _FIX_ORDER, rule="unsorted"
                )
            )
        return found

    def _alignment_findings(self) -> list[Finding]:
        symbols = list(dict.fromkeys(self.symbols.tolist()))
        if "" in symbols or "nan" in symbols:
            return [Finding("", "symbol", "a row names no asset", "Fill the column")]
        every = np.unique(self.times.stamps)
        found = []
        for symbol in symbols:
            own = self.times.stamps[self.symbols == symbol]
            missing = np.setdiff1d(every, own)
            if len(missing):
                problem = (
                    f"{symbol!r} lacks {len(missing)} of {len(every)} times, first "
                    f"{missing[0].astype('datetime64[s]')}"
                )
                fix = "Add the bars, or load with join='inner' to keep the common times"
                found.append(Finding("", "", problem, fix, rule="assets_not_aligned"))
        if not found and len(every) < 2:
            found.append(
                Finding(
                    "", "", "there is one bar; at least 2 are needed", "Load a longer history",
                    rule="one_bar",
                )
            )  # fmt: skip
        return found

    def _of(self, i: int) -> str:
        one = bool((self.symbols == self.symbols[0]).all()) if len(self.symbols) else True
        return "" if one else f" of {self.symbols[i]}"


def raise_findings(name: str, findings: Sequence[Finding], *, hint: str = "") -> None:
    """Raise the first error among `findings`, with the number of the others.

    Raises:
        MarketDataError: there is one.

    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more problems{hint})" if len(errors) > 1 else ""
        raise MarketDataError(f"{name}: {errors[0]}.{more}")


def _named(columns: Sequence[tuple[str, Any]], what: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for raw, values in columns:
        name = _canonical(raw)
        if name in named and name in (*FIELDS, "timestamp", "symbol", "adj_close"):
            raise MarketDataError(
                f"{what}: two columns are {name!r} (the second is {raw!r}). Keep one."
            )
        named.setdefault(name, values)
    found = [raw for raw, _ in columns]
    missing = [name for name in ("timestamp", *PRICES) if name not in named]
    if missing:
        close = [c for m in missing for c in get_close_matches(m, found, n=1, cutoff=0.6)]
        hint = f"Rename {', '.join(map(repr, close))}. " if close else ""
        raise MarketDataError(
            f"{what}: missing {'columns' if len(missing) > 1 else 'column'} "
            f"{', '.join(map(repr, missing))}; found {', '.join(map(repr, found)) or 'none'}. "
            f"{hint}Expected timestamp (or {', '.join(TIME_NAMES[1:])}), open, high, low, close "
            "and optionally volume, symbol, adj_close."
        )
    return named


def _normal(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _canonical(raw: str) -> str:
    name = _normal(raw)
    for canonical, aliases in (
        ("timestamp", TIME_NAMES),
        ("symbol", SYMBOL_NAMES),
        ("adj_close", ADJUSTED_NAMES),
    ):
        if name in aliases:
            return canonical
    return name


def _split(frame: pd.DataFrame, what: str) -> dict[str, pd.DataFrame]:
    """{symbol: frame} of a frame whose columns are (symbol, field) or (field, symbol)."""
    columns = frame.columns
    if columns.nlevels != 2:
        raise MarketDataError(f"{what}: columns have {columns.nlevels} levels; expected 1 or 2.")
    levels = [{_canonical(str(v)) for v in columns.get_level_values(i)} for i in (0, 1)]
    fields = [set(PRICES) <= names for names in levels]
    if fields[0] == fields[1]:
        raise MarketDataError(
            f"{what}: neither column level holds open, high, low and close. "
            "Expected columns (symbol, field) or (field, symbol)."
        )
    level = 1 if fields[0] else 0
    names = list(dict.fromkeys(columns.get_level_values(level)))
    return {str(s): pd.DataFrame(frame.xs(s, axis=1, level=level)) for s in names}


def _numbers(values: Any) -> tuple[Floats, list[tuple[int, str]]]:
    """([n] floats, NaN where empty or unreadable; [(row, text)] of the unreadable)."""
    try:
        if isinstance(values, pd.Series):
            return values.to_numpy(dtype=np.float64, na_value=np.nan), []
        return np.array(values, dtype=np.float64), []
    except (ValueError, TypeError, OverflowError):
        out, bad = np.full(len(values), np.nan), []
        for i, value in enumerate(values):
            try:
                out[i] = float(value)
            except (ValueError, TypeError, OverflowError):
                text = str(value).strip()
                if text and value is not pd.NA and value is not None:
                    bad.append((i, text))
        return out, bad


def _fix_number(text: str) -> str:
    if "," in text:
        return "Write numbers with a decimal point and without thousands separators"
    return "Write a plain number"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _capped(findings: Iterator[Finding] | Any) -> list[Finding]:
    """At most MAX_PER_RULE findings of a kind, then one that counts the rest."""
    every = list(findings)
    if len(every) <= MAX_PER_RULE:
        return every
    last = every[-1]
    more = replace(
        last,
        place=f"and {len(every) - MAX_PER_RULE} more rows, the last: {last.place}",
    )
    return [*every[:MAX_PER_RULE], more]
