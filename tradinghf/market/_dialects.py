"""Bars as vendors and spreadsheets write them, as columns that a `Table` can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market._bar_rules import FIELDS, PRICES, Finding
from tradinghf.market._column_names import canonical_name
from tradinghf.market._columns import column_choices, named_columns, renamed
from tradinghf.market._dates import time_texts
from tradinghf.market._edges import UNKNOWN
from tradinghf.market._layouts import names_of
from tradinghf.market._numbers import decimal_mark, number_texts
from tradinghf.market._prefixes import without_prefix
from tradinghf.market._stated_zones import stated_zone, zone_of
from tradinghf.market._text_table import TextTable
from tradinghf.market._times import read_times
from tradinghf.market._yahoo import by_ticker

ColumnChoice = Mapping[str, str] | str | None
_NUMBERS = (*FIELDS, "adj_close")
# A point in these files may be a thousand: their decimals may be commas.
_EMPTY = UNKNOWN | {""}
_COMMA_DIALECTS = (";", "\t", "|")
_NO_PRICE = ("-", "--", "—", "null", "None")


@dataclass(frozen=True)
class Reading:
    """How to read a file whose content leaves a choice; None where the content decides.

    Attributes:
        columns: {our name: name or number of a column}, or "close=Price;open=2".
        decimal: "point" or "comma"; "." or ",".
        dayfirst: whether 01/03/2023 is 1 March.
        date_format: strftime format of the times.
        sheet: of a workbook.
        zone: IANA zone of times that name none.

    """

    columns: ColumnChoice = None
    decimal: str | None = None
    dayfirst: bool | None = None
    date_format: str | None = None
    sheet: str | None = None
    zone: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the content decides everything but the zone."""
        return self == Reading(zone=self.zone)

    def column_names(self, what: str) -> list[str]:
        """Names of the file's columns that the user gave."""
        return list(column_choices(self.columns, what).values()) if self.columns else []


@dataclass(frozen=True)
class PlainBars:
    """Columns of bars with plain numbers, oldest first.

    Attributes:
        columns: (canonical name, [n] texts) pairs.
        names: of the file's columns, as found.
        rows: [n] number of each row as people see it.
        ragged: findings on rows that could not be split, by index.
        date_format: strftime format of the times; None for ISO 8601 and Unix epochs.
        zone: of the times, as they or the user named it.
        note: what was changed on the way in.

    """

    columns: list[tuple[str, Any]]
    names: tuple[str, ...]
    rows: NDArray[np.int64]
    ragged: dict[int, Finding]
    date_format: str | None = None
    zone: str | None = None
    note: str = ""


def plain_bars(table: TextTable, reading: Reading, what: str) -> PlainBars:
    """Find the columns, the decimal mark, and the form of the times.

    Raises:
        MarketDataError: a column is missing, or something can be read in two ways.

    """
    table = by_ticker(table)
    pairs = _pairs(table, reading, what)
    named = named_columns(without_prefix(pairs, what), what)
    notes = list(table.notes)
    table, named, empty = _without_empty_bars(table, named)
    if empty:
        notes.append(f"{empty} rows without prices left out")
    rows = table.rows.tolist()
    numbers = {name: named[name] for name in _NUMBERS if name in named}
    metatrader = any(name.startswith("<") for name in table.names)
    doubtful = table.delimiter in _COMMA_DIALECTS and not metatrader
    mark = decimal_mark(numbers, rows, doubtful=doubtful, given=reading.decimal, what=what)
    for name, values in numbers.items():
        plain = number_texts(values, mark, suffixes=name == "volume")
        named[name] = _known(name, plain)
    date_format, zone = reading.date_format, reading.zone
    if date_format is None:
        times = time_texts(
            named["timestamp"], rows, dayfirst=reading.dayfirst, zone=zone, what=what
        )
        named["timestamp"], date_format, zone = times.texts, times.date_format, times.zone or zone
    if zone is None and (stated := stated_zone(pairs, what)) is not None:
        zone = zone_of(stated, named["timestamp"], date_format, what)
    if mark == ",":
        notes.append("decimal commas")
    known = [(name, named[name]) for name in named]
    read_names = tuple(raw for raw, _ in pairs)
    plain_table = PlainBars(
        known, read_names, table.rows, dict(table.ragged), date_format, zone, "; ".join(notes)
    )
    return _oldest_first(plain_table)


def _pairs(table: TextTable, reading: Reading, what: str) -> Sequence[tuple[str, Any]]:
    """(name, texts) of every column, under the names that the user, the file or its kind gives."""
    names = table.names
    if not any(names):
        numbered = tuple(f"column {i + 1}" for i in range(len(names)))
        names = numbered if reading.columns else names_of(table.cells, what)
    pairs = renamed(list(zip(names, table.cells, strict=True)), reading.columns, what)
    # Pandas writes an unnamed index as a first column without a name: often it is the time.
    if pairs and not pairs[0][0].strip():
        if all(canonical_name(raw) != "timestamp" for raw, _ in pairs):
            return [("timestamp", pairs[0][1]), *pairs[1:]]
        return pairs[1:]
    return pairs


def _known(name: str, texts: list[str]) -> list[str]:
    """Cells that say "unknown" as vendors do: no volume is 0, no price is empty."""
    if name == "volume":
        odd = [i for i, text in enumerate(texts) if text and not text[0].isdigit()]
        for i in odd if any(texts[i].strip().casefold() in UNKNOWN for i in odd) else ():
            texts[i] = "0" if texts[i].strip().casefold() in UNKNOWN else texts[i]
        return texts
    joined = "\n".join(["", *texts, ""])
    if any(f"\n{word}\n" in joined for word in _NO_PRICE):
        return ["" if text in _NO_PRICE else text for text in texts]
    return texts


def _without_empty_bars(
    table: TextTable, named: dict[str, Any]
) -> tuple[TextTable, dict[str, Any], int]:
    """The rows that have some price, where vendors write a row for a day without trading."""
    opens = named["open"]
    empty = [
        i
        for i, text in enumerate(opens)
        if (not text or not text[0].isdigit())
        and i not in table.ragged
        and all(named[price][i].strip().casefold() in _EMPTY for price in PRICES)
    ]
    if not empty or 2 * len(empty) > len(opens):
        return table, named, 0
    gone = set(empty)
    kept = [i for i in range(len(opens)) if i not in gone]
    place = {old: new for new, old in enumerate(kept)}
    table = replace(
        table,
        rows=table.rows[kept],
        ragged={place[i]: finding for i, finding in table.ragged.items()},
    )
    return table, {n: [v[i] for i in kept] for n, v in named.items()}, len(empty)


def _oldest_first(bars: PlainBars) -> PlainBars:
    """The rows turned round, where those of every asset run from new to old."""
    named = dict(bars.columns)
    texts, symbols = named["timestamp"], named.get("symbol")
    if len(texts) < 2:
        return bars
    ends = read_times([texts[0], texts[-1]], bars.date_format).stamps
    if not ends[0] > ends[1]:
        return bars
    stamps = pd.Series(read_times(texts, bars.date_format).stamps)
    known = stamps.notna()
    assets = np.asarray(symbols) if symbols else np.zeros(len(texts), dtype=np.int64)
    steps = stamps[known].groupby(assets[known]).diff().dropna()
    if not len(steps) or (steps > pd.Timedelta(0)).any():
        return bars
    last = len(texts) - 1
    note = "; ".join(part for part in (bars.note, "rows turned round: newest came first") if part)
    return replace(
        bars,
        columns=[(name, values[::-1]) for name, values in bars.columns],
        rows=bars.rows[::-1],
        ragged={last - i: finding for i, finding in bars.ragged.items()},
        note=note,
    )
