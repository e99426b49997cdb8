"""`MarketData`: validated bars that the rest of the package can trust."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market._bar_rules import FIELDS, PRICES, Floats, violations
from tradinghf.market._findings import raise_findings, table_findings
from tradinghf.market._joins import joined, laid_out
from tradinghf.market._offsets import Offset, lifted
from tradinghf.market._tables import Table
from tradinghf.market._times import date_bound, infer_bars_per_year, read_times, shown_date
from tradinghf.market._wide import wide_bars

Join = Literal["exact", "inner", "outer"]
_CELLS_AT_ONCE = 2**20  # of the bars that are judged together; what compares them is as large


@dataclass(frozen=True, eq=False)
class MarketData:
    """OHLCV bars of one or more assets on one time axis; a `MarketData` that exists is valid.

    Arrays are stored as read-only float64; equality of content is equality of `sha256`.

    Attributes:
        open, high, low, close: [T, A] prices > 0 [quote currency]; low <= open, close <= high
            up to a relative 1e-9, which vendors' rounding needs.
        volume: [T, A] >= 0 [units of the asset]; 0 where unknown.
        timestamps: [T] strictly increasing, datetime64[ns], UTC; the time of each bar's close.
            Daily bars keep their date at 00:00.
        symbols: A unique names.
        bars_per_year: for annualising (252 for daily equities).
        name: short name for people ("sp500").
        source: where the bars came from, and what was done to them.
        listed: [T, A] bool, whether the asset was traded; None is always. Before and after, its
            bars stand still without volume, and accounts cannot hold it.
        offsets: A numbers that the prices above carry, or (): a unit of an instrument whose price
            may be negative is held against price plus offset [currency].

    Raises:
        MarketDataError: any array breaks the rules above, or there are fewer than 2 bars; the
            message names the bar and column.

    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timestamps: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    bars_per_year: float = 252.0
    name: str = "market"
    source: str = field(default="memory", compare=False)
    listed: NDArray[np.bool_] | None = None
    offsets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in FIELDS:
            object.__setattr__(self, name, _frozen(getattr(self, name), np.float64))
        stamps = np.asarray(self.timestamps)
        object.__setattr__(self, "timestamps", _frozen(stamps, "datetime64[ns]"))
        object.__setattr__(self, "symbols", tuple(self.symbols))
        if self.listed is not None:
            object.__setattr__(self, "listed", _frozen(self.listed, np.bool_))
        self._check_shapes()
        self._check_times()
        self._check_bars()

    @property
    def bars(self) -> int:
        """T."""
        return int(self.close.shape[0])

    @property
    def assets(self) -> int:
        """A."""
        return int(self.close.shape[1])

    @property
    def lift(self) -> Floats:
        """[A] what to subtract from prices for the quoted ones: `offsets`, or zeros."""
        return np.asarray(self.offsets or np.zeros(self.assets))

    @cached_property
    def index(self) -> pd.DatetimeIndex:
        """[T] timestamps as a UTC index."""
        return pd.DatetimeIndex(self.timestamps).tz_localize("UTC")

    @property
    def made_up(self) -> bool:
        """Whether the bars are synthetic: what earns on them proves nothing about a real market."""
        return self.source.partition(":")[0] == "synthetic"

    @cached_property
    def sha256(self) -> str:
        """Hash of bars, timestamps and symbols: the identity of the data."""
        digest = hashlib.sha256("\x1f".join(self.symbols).encode())
        digest.update(self.timestamps.astype("<M8[ns]").tobytes())
        for name in FIELDS:
            digest.update(getattr(self, name).astype("<f8").tobytes())
        if self.listed is not None:
            digest.update(self.listed.tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        first, last = (str(t)[:10] for t in self.timestamps[[0, -1]])
        return (
            f"MarketData({self.name!r}, {self.bars} bars x {self.assets} assets, {first} to {last})"
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        name: str = "frame",
        symbol: str | None = None,
        bars_per_year: float | None = None,
        source: str = "DataFrame",
        adjust: bool = False,
        join: Join = "exact",
        zone: str | None = None,
        offset: Offset = 0.0,
    ) -> Self:
        """Bars from a DataFrame.

        Args:
            frame: columns open, high, low, close and optionally volume, in any case, with a
                DatetimeIndex or a column timestamp, datetime, date or time. Several assets: a
                column MultiIndex (symbol, field) or (field, symbol), or a column "symbol" with
                one row per bar and asset. Naive times are taken as UTC, if all are naive and no
                `zone` is given; midnights of a zone are dates and stay.
            name: short name for people.
            symbol: name of the asset of a single-asset frame; by default `name`.
            bars_per_year: for annualising; by default inferred from the spacing of the bars.
            source: where the bars came from.
            adjust: scale open, high, low and close by adj_close / close where the frame has an
                adjusted close; `source` says whether it was used.
            join: "exact" demands that all assets have the same times; "inner" keeps those that
                they share, and `source` says how many rows went; "outer" keeps all: an asset is
                not `listed` before its first and after its last bar, and bars missing between
                repeat its last close without volume.
            zone: IANA zone ("Europe/Berlin") of times without one, and of daily sessions whose
                times are in UTC; bars keep the session's date, other times become UTC.
            offset: for prices that may be 0 or negative (futures, spreads): what a unit needs
                as collateral beyond its price [currency], of all assets or by symbol. `open` to
                `close` then are price + offset, and returns the difference per that.

        Raises:
            MarketDataError: a rule is broken; the message names row, column and the fix.

        """
        if isinstance(frame, pd.DataFrame) and not (zone or offset) and join in get_args(Join):
            ready = cls._of_wide(frame, name, bars_per_year, source)
            if ready is not None:
                return ready
        table = Table.from_frame(frame, symbol=symbol or name, adjust=adjust, zone=zone)
        about: Any = {"name": name, "bars_per_year": bars_per_year, "source": source}
        return cls.from_table(table, join=join, offset=offset, **about)

    @classmethod
    def from_frames(cls, frames: Mapping[str, pd.DataFrame], **options: Any) -> Self:
        """Bars of several assets from one frame each; options as in `from_frame`.

        Raises:
            MarketDataError: as `from_frame`; also when the assets' timestamps differ.

        """
        if not frames:
            raise MarketDataError("from_frames got no frames; expected {symbol: DataFrame}.")
        parsing = {k: options.pop(k) for k in ("adjust", "zone") if k in options}
        tables = [Table.from_frame(f, symbol=s, **parsing) for s, f in frames.items()]
        return cls.from_table(Table.concat(tables), **{"source": "DataFrames", **options})

    @classmethod
    def from_table(
        cls,
        table: Table,
        *,
        name: str = "frame",
        bars_per_year: float | None = None,
        source: str = "table",
        join: Join = "exact",
        offset: Offset = 0.0,
        error_name: str = "",
        hint: str = "",
    ) -> Self:
        """Bars from a parsed `Table`.

        Args:
            table: rows of one or more assets.
            name: as in `from_frame`.
            bars_per_year: as in `from_frame`.
            source: as in `from_frame`.
            join: as in `from_frame`.
            offset: as in `from_frame`.
            error_name: what errors call the data; by default `name`.
            hint: where to see all problems, for the error message.

        Raises:
            MarketDataError: the first finding of the table.

        """
        called = error_name or name
        if join not in get_args(Join):
            raise MarketDataError(f"{called}: join is {join!r}; expected {get_args(Join)}.")
        table, offsets = lifted(table, offset, called)
        table = joined(table, join)
        raise_findings(called, table_findings(table, aligned=join != "outer"), hint=hint)
        arrays, timestamps, symbols, listed, gaps = laid_out(table)
        per_year = infer_bars_per_year(timestamps) if bars_per_year is None else bars_per_year
        note = "; ".join(part for part in (source, table.note, gaps) if part)
        return cls(
            **arrays,
            timestamps=timestamps,
            symbols=symbols,
            bars_per_year=per_year,
            name=name,
            source=note,
            listed=listed,
            offsets=offsets,
        )

    @classmethod
    def _of_wide(
        cls, frame: pd.DataFrame, name: str, bars_per_year: float | None, source: str
    ) -> Self | None:
        """Bars of a frame of plain numbers; None where something is amiss, for `Table` to say."""
        wide = wide_bars(frame, name)
        stamps = read_times(frame.index).stamps if wide else np.empty(0, "datetime64[ns]")
        if wide is None or len(stamps) < 2 or not (stamps[1:] > stamps[:-1]).all():
            return None
        per_year = infer_bars_per_year(stamps) if bars_per_year is None else bars_per_year
        about: Any = {"bars_per_year": per_year, "name": name, "source": source, **wide.fields}
        try:
            return cls(timestamps=stamps, symbols=wide.symbols, **about)
        except MarketDataError:
            return None

    def to_frame(self) -> pd.DataFrame:
        """Bars as a DataFrame indexed by UTC time; several assets get columns (symbol, field).

        Prices are the quoted ones, without `offsets`.
        Where an asset was not listed, it is empty (`from_frame(..., join="outer")` reads it again).
        """
        there = np.ones(self.close.shape, dtype=bool) if self.listed is None else self.listed
        parts = {
            symbol: pd.DataFrame(
                {f: np.where(there[:, i], self._quoted(f)[:, i], np.nan) for f in FIELDS},
                index=self.index,
            )
            for i, symbol in enumerate(self.symbols)
        }
        if self.assets == 1:
            return parts[self.symbols[0]].rename_axis("timestamp")
        return pd.concat(parts, axis=1, names=["symbol", "field"]).rename_axis("timestamp")

    def to_long(self) -> pd.DataFrame:
        """One row per bar and listed asset: timestamp, symbol, open, high, low, close, volume."""
        columns: dict[str, Any] = {
            "timestamp": np.tile(self.index, self.assets),
            "symbol": np.repeat(np.array(self.symbols, dtype=object), self.bars),
            **{f: self._quoted(f).ravel(order="F") for f in FIELDS},
        }
        table = pd.DataFrame(columns)
        return table if self.listed is None else table[self.listed.ravel(order="F")]

    def select(self, symbols: Sequence[str]) -> Self:
        """Only these assets, in this order.

        Raises:
            MarketDataError: a symbol is unknown; the message suggests close matches.

        """
        names = [symbols] if isinstance(symbols, str) else list(symbols)
        for symbol in names:
            if symbol not in self.symbols:
                raise MarketDataError(
                    f"{self.name}: {unknown_name('symbol', symbol, self.symbols)}"
                )
        columns = [self.symbols.index(symbol) for symbol in names]
        arrays: dict[str, Any] = {f: getattr(self, f)[:, columns] for f in FIELDS}
        listed = None if self.listed is None else self.listed[:, columns]
        offsets = tuple(self.offsets[k] for k in columns) if self.offsets else ()
        return replace(self, symbols=tuple(names), listed=listed, offsets=offsets, **arrays)

    def rows(self, start: int, stop: int) -> Self:
        """Bars start (inclusive) to stop (exclusive); at least 2."""
        rows = slice(max(start, 0), min(stop, self.bars))
        if rows.stop - rows.start < 2:
            raise MarketDataError(
                f"{self.name}: a window of {max(rows.stop - rows.start, 0)} bars was asked for; "
                f"at least 2 are needed. The data runs from {self.index[0]} to {self.index[-1]}."
            )
        arrays: dict[str, Any] = {name: getattr(self, name)[rows] for name in FIELDS}
        listed = None if self.listed is None else self.listed[rows]
        return replace(self, timestamps=self.timestamps[rows], listed=listed, **arrays)

    def between(self, start: Any = None, end: Any = None) -> Self:
        """Bars from `start` to `end`, both inclusive: ISO dates, a year ("2012"), or times.

        Raises:
            MarketDataError: fewer than 2 bars lie there, or a date cannot be read.

        """
        try:
            bars = pd.Series(np.arange(self.bars), index=self.index)
            span = bars.loc[date_bound(start) : date_bound(end)]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise MarketDataError(
                f"{self.name}: cannot read the dates: start {shown_date(start)}, "
                f"end {shown_date(end)}. Write them as 2012, 2012-06 or 2012-06-30."
            ) from error
        if span.empty:
            given = {"from": start, "to": end}
            asked = [f"{word} {shown_date(day)}" for word, day in given.items() if day is not None]
            raise MarketDataError(
                f"{self.name}: no bars {' '.join(asked)}; "
                f"the data runs from {self.index[0]} to {self.index[-1]}."
            )
        return self.rows(int(span.iloc[0]), int(span.iloc[-1]) + 1)

    def _quoted(self, field: str) -> Floats:
        """[T, A] prices as quoted, or the volume."""
        values: Floats = getattr(self, field)
        return values - self.lift if self.offsets and field in PRICES else values

    def _check_shapes(self) -> None:
        shape = self.close.shape
        if len(shape) != 2 or shape[0] < 2 or shape[1] < 1:
            raise MarketDataError(
                f"{self.name}: close has shape {shape}; expected [T, A] with at least 2 bars "
                "and 1 asset. Load a longer history."
            )
        for name in FIELDS:
            if (got := getattr(self, name).shape) != shape:
                raise MarketDataError(f"{self.name}: {name} has shape {got}; expected {shape}.")
        if self.listed is not None and self.listed.shape != shape:
            raise MarketDataError(
                f"{self.name}: listed has shape {self.listed.shape}; expected {shape}."
            )
        if len(self.offsets) not in (0, shape[1]):
            raise MarketDataError(
                f"{self.name}: {len(self.offsets)} offsets; expected {shape[1]}, one per asset."
            )
        if self.timestamps.shape != shape[:1]:
            raise MarketDataError(
                f"{self.name}: timestamps has shape {self.timestamps.shape}; expected {shape[:1]}."
            )
        names = self.symbols
        if len(names) != shape[1] or len(set(names)) != len(names) or not all(names):
            raise MarketDataError(
                f"{self.name}: symbols {names!r} must be {shape[1]} different non-empty names, "
                "one per column of close."
            )
        if not 0 < self.bars_per_year < float("inf"):
            raise MarketDataError(
                f"{self.name}: bars_per_year is {self.bars_per_year!r}; expected a number > 0, "
                "for example 252 for daily equities."
            )

    def _check_times(self) -> None:
        bad = np.isnat(self.timestamps)
        bad[1:] |= ~(self.timestamps[1:] > self.timestamps[:-1])
        if bad.any():
            bar = int(np.flatnonzero(bad)[0])
            raise MarketDataError(
                f"{self.name}: timestamps[{bar}] is {self.timestamps[bar]}; expected a time after "
                f"{self.timestamps[max(bar - 1, 0)]}. Sort by time and drop duplicates."
            )

    def _check_bars(self) -> None:
        step = max(_CELLS_AT_ONCE // self.assets, 1)
        for first in range(0, self.bars, step):
            bars = {name: getattr(self, name)[first : first + step] for name in FIELDS}
            for found in violations(bars):
                row, asset = np.argwhere(found.mask)[0].tolist()
                raise MarketDataError(
                    f"{self.name}: {found.column}[{first + row}] of {self.symbols[asset]!r} at "
                    f"{self.timestamps[first + row]} is {bars[found.column][row, asset]!r}; "
                    f"expected {found.expected((row, asset))}. {found.fix}."
                )


def _frozen(values: Any, dtype: Any) -> NDArray[Any]:
    """A contiguous read-only array; copied only where the type or layout needs it."""
    array = np.ascontiguousarray(values, dtype=dtype).view()
    array.flags.writeable = False
    return array
