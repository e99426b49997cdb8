"""Fields by which somebody says how a file of bars is read, where the file leaves it open."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import available_timezones

import pandas as pd
import streamlit as st

from tradinghf.errors import TradingHFError
from tradinghf.market import MarketData
from tradinghf.serving._uploads import Uploads
from tradinghf.serving.ui import flow

_NEEDED = {"timestamp": "Time", "open": "Open", "high": "High", "low": "Low", "close": "Close"}
_OPTIONAL = {"volume": "Volume, if any", "symbol": "Symbol, if any"}
_NAMED = re.compile(r"\b(columns|dayfirst|decimal|zone|sheet|offset)=")
# What a terminal would take; a page has fields.
_CODE = re.compile(r" \(dayfirst=\w+\)|: sheet='[^']*'|; see all with: tradinghf data check [^)]*")
_NAME_THEM = re.compile(r"or name them: columns='[^']*'")
_OFFSET = re.compile(r"or load it with offset=, .* \(FILE:offset=100\)")
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class BarFile:
    """A file that somebody gives, before it is kept.

    Attributes:
        name: of the file.
        key: changes with its content, and is no other file's.
        data: its content.

    """

    name: str
    key: str
    data: bytes


def read_file(uploads: Uploads, file: BarFile) -> tuple[MarketData | None, dict[str, str]]:
    """Bars as they would be kept; asks on the page for what the file leaves open.

    Args:
        uploads: reads them.
        file: as given.

    Returns:
        the bars, or None where something is open or wrong, which the page then says; and how to
        read them, as in `load_market`.

    """
    options: dict[str, str] = {}
    asked: list[str] = []
    found = _look(uploads, file, file.key, options)
    while isinstance(found, str):
        named = dict.fromkeys(_NAMED.findall(found))
        new = [name for name in named if name not in asked]
        _say(file, found)
        if not new:
            break
        options |= _ask(new, uploads, file)
        asked += new
        before, found = found, _look(uploads, file, file.key, options)
        if found == before:
            break
    if isinstance(found, MarketData) and "zone" not in asked and _within_days(found):
        options |= _ask(["zone"], uploads, file)
        asked.append("zone")
    with st.expander("Read it otherwise"):
        others = _ask([name for name in _FIELDS if name not in asked], uploads, file)
    options |= others
    if options:
        last, found = found, _look(uploads, file, file.key, options)
        if isinstance(found, str) and found != last:
            _say(file, found)
    return (found if isinstance(found, MarketData) else None), options


def _say(file: BarFile, found: str) -> None:
    """What is wrong or open, below the file's name."""
    plain = _NAME_THEM.sub("or say here which is which", _CODE.sub("", found))
    plain = _OFFSET.sub("or say below what a unit takes as collateral beyond its price", plain)
    st.text(plain.removeprefix(f"{file.name}: "))


@st.cache_data(max_entries=32, show_spinner="Reading the bars …")
def _look(_uploads: Uploads, _file: BarFile, key: str, options: dict[str, str]) -> MarketData | str:
    """The bars of a file that is not kept yet, or why they cannot be read."""
    try:
        return _uploads.look(_file.name, _file.data, **options)
    except TradingHFError as error:
        return str(error)


@st.cache_data(max_entries=32, show_spinner=False)
def _columns(_uploads: Uploads, _file: BarFile, key: str) -> list[str]:
    """Names of its columns; none where they cannot be told."""
    try:
        return _uploads.columns(_file.name, _file.data)
    except TradingHFError:
        return []


def _within_days(market: MarketData) -> bool:
    """Whether bars are shorter than a day, so that the zone of their times matters."""
    return market.bars > 1 and pd.Series(market.index).diff().median() < _DAY


def _ask(names: list[str], uploads: Uploads, file: BarFile) -> dict[str, str]:
    """Fields for these options; those that were answered."""
    found = {name: _FIELDS[name](uploads, file) for name in names}
    return {name: value for name, value in found.items() if value}


def _date_order(_: Uploads, file: BarFile) -> str:
    words = {"true": "day first: 01/03 is 1 March", "false": "month first: 01/03 is 3 January"}
    chosen = st.radio(
        "Dates", list(words), None, words.__getitem__, key=f"dates {file.key}", horizontal=True
    )
    return chosen or ""


def _decimal(_: Uploads, file: BarFile) -> str:
    words = {"point": "1.5 is one and a half", "comma": "1,5 is one and a half"}
    chosen = st.radio(
        "Decimals", list(words), None, words.__getitem__, key=f"mark {file.key}", horizontal=True
    )
    return chosen or ""


def _zone(_: Uploads, file: BarFile) -> str:
    label = "Zone of its times, where they name none and are not in UTC"
    zones = sorted(available_timezones())
    return st.selectbox(label, zones, None, key=f"zone {file.key}", placeholder="UTC") or ""


def _sheet(_: Uploads, file: BarFile) -> str:
    if not file.name.lower().endswith(".xlsx"):
        return ""
    return st.text_input("Sheet", key=f"sheet {file.key}").strip()


def _adjusted(_: Uploads, file: BarFile) -> str:
    label = "Scale prices by the adjusted close, where there is one"
    return "true" if st.checkbox(label, key=f"adjust {file.key}") else ""


def _offset(_: Uploads, file: BarFile) -> str:
    label = "Collateral of a unit, added to prices that may be zero or negative"
    help_ = "Of a spread, or a future that fell below 0. Returns are counted on price plus this."
    offset = st.number_input(
        label, 0.0, None, None, key=f"offset {file.key}", placeholder="none", help=help_
    )
    return f"{offset:g}" if offset else ""


def _mapping(uploads: Uploads, file: BarFile) -> str:
    """A field for each of our columns; "close=Price;open=2" of those that were chosen."""
    names = _columns(uploads, file, file.key)
    if not names:
        return ""
    places = range(1, len(names) + 1)
    row = flow(f"columns-{re.sub(r'[^A-Za-z0-9]', '-', file.key)}", 130)
    chosen = {
        ours: row.selectbox(
            label,
            places,
            None,
            lambda place: names[place - 1],
            key=f"{ours} {file.key}",
            placeholder="as found",
        )
        for ours, label in (_NEEDED | _OPTIONAL).items()
    }
    return ";".join(f"{ours}={_told(names, n)}" for ours, n in chosen.items() if n is not None)


def _told(names: list[str], place: int) -> str:
    """A column by its name, which outlasts another order; by its number where that is unclear."""
    name = names[place - 1]
    plain = names.count(name) == 1 and not re.search(r"[;=]|^\d+$|^column \d+$", name)
    return name if plain else str(place)


_FIELDS: dict[str, Callable[[Uploads, BarFile], str]] = {
    "columns": _mapping,
    "dayfirst": _date_order,
    "decimal": _decimal,
    "zone": _zone,
    "sheet": _sheet,
    "adjust": _adjusted,
    "offset": _offset,
}
