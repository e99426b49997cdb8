"""Column names and numbers as vendors write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import MarketDataError, said_once
from tradinghf.market._bar_rules import PRICES, Floats
from tradinghf.market._column_names import (
    KNOWN_NAMES,
    canonical_name,
    is_clock,
    is_date,
    ranked_name,
)
from tradinghf.market._no_bars import what_else
from tradinghf.market._time_columns import with_bar_times

Columns = Sequence[tuple[str, Any]]


def named_columns(columns: Columns, what: str) -> dict[str, Any]:
    """Columns by canonical name; of two that mean the same, the one better named.

    Raises:
        MarketDataError: a needed column is missing, or one is there twice.

    """
    columns = with_bar_times(columns)
    named: dict[str, Any] = {}
    for name, at in _places([raw for raw, _ in columns], what).items():
        # MetaTrader counts ticks beside a volume that is 0 throughout.
        used = [i for i in at if name != "volume" or not _all_zero(columns[i][1])]
        named[name] = columns[(used or at)[0]][1]
    missing = [name for name in ("timestamp", *PRICES) if name not in named]
    if missing:
        other = what_else(columns, set(named), what)
        raise MarketDataError(other or _missing(missing, [raw for raw, _ in columns], what))
    return named


def unused_names(names: Sequence[str]) -> list[str]:
    """Columns that `named_columns` leaves out."""
    places = _places(names, "")
    kept = {at[0] for name, at in places.items() if name in KNOWN_NAMES}
    clock = [i for i, name in enumerate(names) if is_clock(name)]
    if "timestamp" in places and is_date(names[places["timestamp"][0]]):
        kept |= set(clock[:1])
    return [name for i, name in enumerate(names) if i not in kept and name.strip()]


def _places(names: Sequence[str], what: str) -> dict[str, list[int]]:
    """{canonical name: indices of the columns that may be it, the best name first}."""
    found: dict[str, list[tuple[int, int]]] = {}
    for i, raw in enumerate(names):
        name, rank = ranked_name(raw)
        others = found.setdefault(name, [])
        if name in KNOWN_NAMES and any(rank == other for other, _ in others) and rank != 99:
            raise MarketDataError(
                f"{what}: two columns are {name!r} (the second is {raw!r}). Keep one."
            )
        others.append((rank, i))
    return {name: [i for _, i in sorted(places)] for name, places in found.items()}


def _all_zero(values: Any) -> bool:
    numbers, bad = read_numbers(values)
    return not bad and not numbers.any()


def renamed(columns: Columns, given: Mapping[str, str] | str | None, what: str) -> Columns:
    """Columns under the names that the user gave them.

    Args:
        columns: (name, values) pairs.
        given: {our name: name or number of a column}, or "close=Price;open=2"; one column may be
            several of ours, as where only closes are known.
        what: the file, for messages.

    Raises:
        MarketDataError: a name is not ours, or no such column is there.

    """
    if not given:
        return columns
    names = [raw.strip() for raw, _ in columns]
    chosen: dict[int, list[str]] = {}
    for ours, theirs in column_choices(given, what).items():
        by_name = [i for i, n in enumerate(names) if n.casefold() == theirs.casefold()]
        number = int(theirs) if theirs.isascii() and theirs.isdigit() else 0
        if not by_name and not 1 <= number <= len(names):
            listed = ", ".join(quoted(name or f"column {i + 1}") for i, name in enumerate(names))
            raise MarketDataError(
                f"{what}: columns names {theirs!r} for {ours!r}; the file has {listed[:400]}."
            )
        chosen.setdefault(by_name[0] if by_name else number - 1, []).append(ours)
    taken = {name for named in chosen.values() for name in named}
    return [
        (name, values)
        for i, (raw, values) in enumerate(columns)
        for name in chosen.get(i, [] if canonical_name(raw) in taken else [raw])
    ]


def column_choices(given: Mapping[str, str] | str, what: str) -> dict[str, str]:
    """{our name: name or number of a column} as the user chose.

    Raises:
        MarketDataError: it is not written so, or a name is not ours.

    """
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(";") if part.strip()]
        said = ((ours.strip(), theirs.strip()) for ours, _, theirs in pairs)
        given = said_once(said, f"{what}: columns", MarketDataError)
    for ours, theirs in given.items():
        if ours not in KNOWN_NAMES or not str(theirs).strip():
            raise MarketDataError(
                f"{what}: columns has {ours!r}; write it as 'close=Price;open=2' with names or "
                f"numbers of the file's columns. Ours are {', '.join(KNOWN_NAMES)}."
            )
    return {ours: str(theirs).strip() for ours, theirs in given.items()}


def _missing(missing: list[str], found: list[str], what: str) -> str:
    spare = {canonical_name(raw): raw for raw in found if canonical_name(raw) not in KNOWN_NAMES}
    close = dict.fromkeys(
        spare[c] for m in missing for c in get_close_matches(m, spare, n=1, cutoff=0.6)
    )
    hint = f"Rename {', '.join(map(quoted, close))}. " if close else ""
    listed = ", ".join(map(quoted, found[:12])) + (", ..." if len(found) > 12 else "")
    return (
        f"{what}: missing {'columns' if len(missing) > 1 else 'column'} "
        f"{', '.join(map(repr, missing))}; found {listed or 'none'}. {hint}"
        "Expected timestamp (or datetime, date, time), open, high, low, close and optionally "
        "volume, symbol, adj_close; or name them: columns='close=Price;open=2'."
    )


def frame_columns(frame: pd.DataFrame) -> list[tuple[str, Any]]:
    """Columns of a frame, with its index as columns where it carries times or symbols."""
    columns: list[tuple[str, Any]] = [(str(c), frame.iloc[:, i]) for i, c in enumerate(frame)]
    names = {canonical_name(name) for name, _ in columns}
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        return [
            *((str(n), index.get_level_values(i)) for i, n in enumerate(index.names)),
            *columns,
        ]
    timed = canonical_name(index.name) == "timestamp" or isinstance(index, pd.DatetimeIndex)
    text = not pd.api.types.is_numeric_dtype(index.dtype) and "timestamp" not in names
    return [("timestamp", index), *columns] if timed or text else columns


def symbol_level(columns: pd.Index, what: str) -> int:
    """Which of the two levels of a frame's columns holds the symbols; the other has the fields.

    Raises:
        MarketDataError: there are not two levels, or not one of them holds the fields.

    """
    if columns.nlevels != 2:
        raise MarketDataError(f"{what}: columns have {columns.nlevels} levels; expected 1 or 2.")
    names = [{canonical_name(v) for v in columns.get_level_values(i).unique()} for i in (0, 1)]
    fields = [set(PRICES) <= own for own in names]
    if fields[0] == fields[1]:
        raise MarketDataError(
            f"{what}: neither column level holds open, high, low and close. "
            "Expected columns (symbol, field) or (field, symbol)."
        )
    return 1 if fields[0] else 0


def split_symbols(frame: pd.DataFrame, what: str) -> dict[str, pd.DataFrame]:
    """{symbol: frame} of a frame whose columns are (symbol, field) or (field, symbol).

    Raises:
        MarketDataError: as `symbol_level`; two assets have the same name as text.

    """
    columns, level = frame.columns, symbol_level(frame.columns, what)
    codes, names = pd.factorize(columns.get_level_values(level))
    texts = [str(name) for name in names]
    if len(set(texts)) < len(texts):
        twice = next(name for name in texts if texts.count(name) > 1)
        raise MarketDataError(
            f"{what}: two assets are called {twice!r}, a number and a text perhaps; expected "
            "different names. Rename one of them."
        )
    names_of_fields = columns.get_level_values(1 - level)
    order = np.argsort(codes, kind="stable")
    places = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return {
        text: frame.iloc[:, at].set_axis(names_of_fields[at], axis=1)
        for text, at in zip(texts, places, strict=True)
    }


def read_numbers(values: Any) -> tuple[Floats, list[tuple[int, str]]]:
    """Numbers of a column.

    Returns:
        ([n] floats, NaN where empty or unreadable; [(index, text)] of the unreadable).

    """
    try:
        if isinstance(values, pd.Series):
            if pd.api.types.is_numeric_dtype(values.dtype):
                return values.to_numpy(dtype=np.float64, na_value=np.nan), []
            values = values.tolist()
        if _all_plain(values):
            numbers = np.array(values, dtype=np.float64)
            if numbers.ndim == 1:
                return numbers, []
    except (ValueError, TypeError, OverflowError):
        pass
    out, bad = np.full(len(values), np.nan), []
    for i, value in enumerate(values):
        try:
            out[i] = float(value) if _plain(value) else float("_")
        except OverflowError:
            out[i] = np.inf
        except (ValueError, TypeError):
            text = str(value).strip()
            if text and value is not pd.NA and value is not None:
                bad.append((i, text))
    return out, bad


def _all_plain(values: Sequence[object]) -> bool:
    try:
        return _plain("".join(values))  # type: ignore[arg-type]
    except TypeError:
        return all(_plain(value) for value in values)


def _plain(value: object) -> bool:
    """Whether text is no such number as "1_0" or "١", which Python reads and no vendor writes."""
    return not isinstance(value, str) or (value.isascii() and "_" not in value)


def quoted(text: str) -> str:
    """A value of a file as an error message may show it: quoted, escaped and short."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
