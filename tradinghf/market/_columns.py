"""Column names and numbers as vendors write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import FIELDS, PRICES, Floats

_TIME_NAMES = ("timestamp", "datetime", "date", "time")
_SYMBOL_NAMES = ("symbol", "ticker", "asset")
_ADJUSTED_NAMES = ("adj_close", "adjclose", "adjusted_close")
KNOWN_NAMES = ("timestamp", *FIELDS, "symbol", "adj_close")

Columns = Sequence[tuple[str, Any]]


def canonical_name(raw: object) -> str:
    """Our name of a vendor's column: lower case, and aliases such as "Date" resolved."""
    name = str(raw).strip().lower().replace(" ", "_")
    for known, aliases in (
        ("timestamp", _TIME_NAMES),
        ("symbol", _SYMBOL_NAMES),
        ("adj_close", _ADJUSTED_NAMES),
    ):
        if name in aliases:
            return known
    return name


def named_columns(columns: Columns, what: str) -> dict[str, Any]:
    """Columns by canonical name.

    Raises:
        MarketDataError: a needed column is missing, or one is there twice.

    """
    named: dict[str, Any] = {}
    for raw, values in columns:
        name = canonical_name(raw)
        if name in named and name in KNOWN_NAMES:
            raise MarketDataError(
                f"{what}: two columns are {name!r} (the second is {raw!r}). Keep one."
            )
        named.setdefault(name, values)
    if "timestamp" not in named and "close_time" in named:  # as crypto exchanges write it
        named["timestamp"] = named["close_time"]
    missing = [name for name in ("timestamp", *PRICES) if name not in named]
    if missing:
        raise MarketDataError(_missing(missing, [raw for raw, _ in columns], what))
    return named


def yahoo_columns(columns: Columns) -> dict[str, list[tuple[str, Any]]] | None:
    """{ticker: columns} of the CSV that `yfinance.download` writes; None where it is another.

    Its header takes three lines: the fields, the tickers, and the name of the times.
    """
    if not columns or columns[0][0].strip().lower() != "price":
        return None
    marks = list(columns[0][1][:2])
    if len(marks) < 2 or marks[0].strip().lower() != "ticker":
        return None
    times = columns[0][1][2:]
    parts: dict[str, list[tuple[str, Any]]] = {}
    for field, values in columns[1:]:
        ticker = str(values[0]).strip()
        parts.setdefault(ticker, [("timestamp", times)]).append((field, values[2:]))
    return parts


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
        f"Expected timestamp (or {', '.join(_TIME_NAMES[1:])}), open, high, low, close "
        "and optionally volume, symbol, adj_close."
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


def split_symbols(frame: pd.DataFrame, what: str) -> dict[str, pd.DataFrame]:
    """{symbol: frame} of a frame whose columns are (symbol, field) or (field, symbol).

    Raises:
        MarketDataError: no column level holds the fields, or a symbol is there twice.

    """
    columns = frame.columns
    if columns.nlevels != 2:
        raise MarketDataError(f"{what}: columns have {columns.nlevels} levels; expected 1 or 2.")
    levels = [{canonical_name(v) for v in columns.get_level_values(i)} for i in (0, 1)]
    fields = [set(PRICES) <= names for names in levels]
    if fields[0] == fields[1]:
        raise MarketDataError(
            f"{what}: neither column level holds open, high, low and close. "
            "Expected columns (symbol, field) or (field, symbol)."
        )
    level = 1 if fields[0] else 0
    codes, names = pd.factorize(columns.get_level_values(level))
    names_of_fields = columns.get_level_values(1 - level)
    order = np.argsort(codes, kind="stable")
    places = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return {
        str(name): frame.iloc[:, at].set_axis(names_of_fields[at], axis=1)
        for name, at in zip(names, places, strict=True)
    }


def plain_numbers(parts: Mapping[str, pd.DataFrame]) -> dict[str, Floats] | None:
    """{field: [n * A] floats, asset by asset} where every asset has the same plain columns.

    None where a column is text, is missing, or means something beside a price or a volume.
    """
    frames = list(parts.values())
    names = [canonical_name(c) for c in frames[0].columns]
    same = all(f.columns.equals(frames[0].columns) for f in frames)
    if not same or len(set(names)) != len(names) or not set(PRICES) <= set(names) <= set(FIELDS):
        return None
    kinds = {kind for frame in frames for kind in frame.dtypes}
    if not all(isinstance(k, np.dtype) and k.kind in "fiu" for k in kinds):
        return None
    cube = np.concatenate([f.to_numpy(np.float64) for f in frames])
    return {
        f: np.ascontiguousarray(cube[:, names.index(f)]) if f in names else np.zeros(len(cube))
        for f in FIELDS
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
