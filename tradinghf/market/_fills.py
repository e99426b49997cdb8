"""`read_fills`: what a trader bought and sold, from a file as a broker writes it.

Rows are read by the rules of the bar files: the decimal mark and the order of day and month are
found from the whole file, and asked for where both readings are possible. Nothing is dropped in
silence: what is no fill, or cannot be read, is a finding with its row.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import Finding
from tradinghf.market._dates import time_texts
from tradinghf.market._fill_names import COSTS, NUMBERS, side_of
from tradinghf.market._fill_rows import FillRows, Row, fill_rows
from tradinghf.market._numbers import decimal_mark, number_texts
from tradinghf.market._times import read_times
from tradinghf.market._zones import named_zone

_UNIT = re.compile(r"^(?P<number>[-+]?[\d.,' ]*\d)\s*(?P<unit>(?![eE]\d)[A-Za-z][A-Za-z0-9]{1,9})$")
_REPORTED = ("cash", "balance", "position", "equity")


@dataclass(frozen=True)
class TradeFill:
    """One purchase or sale.

    Attributes:
        row: of the file.
        time: datetime64[ns] in UTC.
        day: of the trader's clock, datetime64[D].
        symbol: as the bars call it, or as the file does where they have none of that name.
        quantity: bought (> 0) or sold (< 0) [units].
        price: [quote currency].
        fee: paid for it, rebates negative [quote currency].
        id: of the trade; "" where the file has none.
        reported: what the file says the account held after it: cash, balance, position, equity.

    """

    row: int
    time: np.datetime64
    day: np.datetime64
    symbol: str
    quantity: float
    price: float
    fee: float = 0.0
    id: str = ""
    reported: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Fills:
    """The fills of a file, oldest first.

    Attributes:
        fills: what was traded.
        deposits: (row, time, amount) of money that came or went without a trade.
        findings: rows that were left out or changed, and why.
        dialect: whose file it is, in words.
        shorts: whether its accounts may sell what they do not hold.
        digits: name -> decimals with which the file reports what the account held.

    """

    fills: tuple[TradeFill, ...]
    deposits: tuple[tuple[int, np.datetime64, float], ...]
    findings: tuple[Finding, ...]
    dialect: str
    shorts: bool
    digits: Mapping[str, int]


def read_fills(
    path: Path | str,
    *,
    symbol: str | None = None,
    contract: float | Mapping[str, float] = 1.0,
    zone: str | None = None,
    decimal: str | None = None,
    dayfirst: bool | None = None,
    date_format: str | None = None,
    sheet: str | None = None,
) -> Fills:
    """Read a broker's list of fills.

    Interactive Brokers statements and flex queries, MetaTrader 4 and 5 histories, Binance trades,
    and any table with columns for time, symbol, side, quantity, price and perhaps fee, cash,
    position and equity, under the usual names; the quantity may carry the side as its sign.

    Args:
        path: the file, perhaps packed.
        symbol: of fills whose rows name none.
        contract: units of one lot, of all symbols or by symbol (MetaTrader: 100000 for EURUSD).
        zone: IANA zone of times that name none; without it they are UTC.
        decimal: "point" or "comma", where the file leaves it open.
        dayfirst: whether 01/03/2023 is 1 March, where the file leaves it open.
        date_format: strftime format of times that are not found by themselves.
        sheet: of a workbook that has several.

    Raises:
        MarketDataError: no columns of fills, no row that can be read, or two readings.
        MissingExtraError: a workbook, and the package that reads it is not installed.

    """
    path = Path(path)
    found = fill_rows(path, sheet)
    rows = [*found.rows, *found.money]
    if not found.rows:
        raise MarketDataError(f"{path}: {found.dialect} without a single fill. Export it again.")
    numbers, units = _numbers(rows, found.delimiter, decimal, str(path))
    stamps, days = _times(rows, zone, dayfirst, date_format, str(path))
    signs = _cost_signs(numbers)
    findings = [*found.findings, *_told(signs)]
    fills = []
    for i, row in enumerate(found.rows):
        made = _fill(row, {k: v[i] for k, v in numbers.items()}, signs, symbol, contract)
        if np.isnat(stamps[i]):
            made = _bad(row, f"{row.cells.get('timestamp', '')!r} is no time")
        if isinstance(made, Finding):
            findings.append(made)
            continue
        made = replace(made, time=stamps[i], day=days[i])
        made, said = _fee_in_quote(made, row, units[i])
        findings += said
        fills.append(made)
    if not fills:
        raise MarketDataError(f"{path}: no row can be read. The first: {findings[0]}")
    return Fills(
        tuple(_newest_last(fills)),
        tuple(_deposits(found, numbers, stamps)),
        tuple(findings),
        found.dialect,
        found.shorts,
        {name: _decimals(rows, name) for name in _REPORTED if name in numbers},
    )


def _newest_last(fills: list[TradeFill]) -> list[TradeFill]:
    """Fills of one instant in the order in which they happened: files may list the newest first."""
    by_row = sorted(fills, key=lambda fill: fill.row)
    falling = sum(a.time > b.time for a, b in itertools.pairwise(by_row))
    rising = sum(a.time < b.time for a, b in itertools.pairwise(by_row))
    sign = -1 if falling > rising else 1
    return sorted(fills, key=lambda fill: (fill.time, sign * fill.row))


def _numbers(
    rows: Sequence[Row], delimiter: str, decimal: str | None, what: str
) -> tuple[dict[str, list[float]], list[dict[str, str]]]:
    """Name -> [n] numbers, NaN where there is none; and the unit behind each ("0.1 BNB")."""
    units: list[dict[str, str]] = [{} for _ in rows]
    texts: dict[str, list[str]] = {}
    for name in NUMBERS:
        if not any(name in row.cells for row in rows):
            continue
        column = []
        for row, unit in zip(rows, units, strict=True):
            text = row.cells.get(name, "").strip()
            if (split := _UNIT.match(text)) is not None:
                text, unit[name] = split["number"], split["unit"].upper()
            column.append(text)
        texts[name] = column
    places = [row.number for row in rows]
    doubtful = delimiter in (";", "\t", "|")
    mark = decimal_mark(texts, places, doubtful=doubtful, given=decimal, what=what)
    return {
        name: [_float(text) for text in number_texts(column, mark, suffixes=False)]
        for name, column in texts.items()
    }, units


def _float(text: str) -> float:
    try:
        return float(text.replace(" ", "")) if text else np.nan
    except ValueError:
        return np.nan


def _times(
    rows: Sequence[Row], zone: str | None, dayfirst: bool | None, date_format: str | None, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """([n] UTC, [n] day on the trader's clock)."""
    texts = [re.sub(r"[,;]\s*", " ", row.cells.get("timestamp", "")).strip() for row in rows]
    if date_format is None:
        # Brokers write the clock behind a compact day without colons.
        read = time_texts(texts, [row.number for row in rows], dayfirst=dayfirst, what=what)
        texts, date_format, zone = read.texts, read.date_format, read.zone or zone
    times = read_times(texts, date_format)
    local = times.stamps
    if zone is None:
        return local, local.astype("datetime64[D]")
    clock = named_zone(zone)
    index = pd.DatetimeIndex(local)
    shown = index.tz_localize("UTC").tz_convert(clock).tz_localize(None)
    utc = index.tz_localize(
        clock, ambiguous=np.zeros(len(index), bool), nonexistent="shift_forward"
    )
    naive = utc.tz_convert("UTC").tz_localize(None)
    stamps = np.where(times.aware, local, naive.to_numpy().astype("datetime64[ns]"))
    days = np.where(
        times.aware, shown.to_numpy().astype("datetime64[D]"), local.astype("datetime64[D]")
    )
    return stamps, days


def _cost_signs(numbers: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Factor of each cost column: brokers write what they charge as a negative or a positive."""
    signs = {}
    for name in COSTS:
        if name in numbers:
            total = float(np.nansum(numbers[name]))
            # A swap is credited or charged: its sign is the account's.
            signs[name] = -1.0 if total < 0 or name == "swap" else 1.0
    return signs


def _told(signs: Mapping[str, float]) -> list[Finding]:
    return [
        Finding("", name, "negative numbers are taken for costs", "", "warning", "cost_sign")
        for name, sign in signs.items()
        if sign < 0 and name != "swap"
    ]


def _fill(
    row: Row,
    numbers: Mapping[str, float],
    signs: Mapping[str, float],
    symbol: str | None,
    contract: float | Mapping[str, float],
) -> TradeFill | Finding:
    size, price = numbers["quantity"], numbers["price"]
    name = row.cells.get("symbol") or symbol or ""
    word = row.cells.get("side", "")
    side = side_of(word)
    if not np.isfinite(size) or size == 0:
        return _bad(row, f"the quantity is {row.cells.get('quantity', '')!r}")
    if not np.isfinite(price) or price <= 0:
        return _bad(row, f"the price is {row.cells.get('price', '')!r}")
    if word and not side:
        return _bad(row, f"the side is {word!r}; expected buy or sell")
    if side and size < 0 and side > 0:
        return _bad(row, f"a buy of {size:g} units")
    lot = contract if isinstance(contract, int | float) else contract.get(name, 1.0)
    signed = (side * abs(size) if side else size) * lot
    fee = sum(sign * _zero(numbers[cost]) for cost, sign in signs.items())
    reported = {
        k: numbers[k] * (lot if k == "position" else 1.0)
        for k in _REPORTED
        if np.isfinite(numbers.get(k, np.nan))
    }
    nothing = np.datetime64("NaT", "ns")
    return TradeFill(
        row.number, nothing, nothing, name, signed, price, fee, row.cells.get("id", ""), reported
    )


def _zero(value: float) -> float:
    return value if np.isfinite(value) else 0.0


def _fee_in_quote(
    fill: TradeFill, row: Row, units: Mapping[str, str]
) -> tuple[TradeFill, list[Finding]]:
    """The fill with its fee in the currency of its price, where the file says what it is in."""
    coin = (row.cells.get("fee_coin") or units.get("fee") or units.get("commission") or "").upper()
    pair = re.sub(r"[^A-Z0-9]", "", fill.symbol.upper())
    if not coin or not fill.fee or pair.endswith(coin) or "commission" in units:
        return fill, []
    if pair.startswith(coin):
        return replace(fill, fee=fill.fee * fill.price), []
    if "fee" not in units and len(pair) < 6:
        return fill, []  # a share: the fee's currency is the account's
    problem = f"the fee of {fill.fee:g} {coin} is in neither currency of {fill.symbol}"
    said = Finding(f"row {fill.row}", "fee", problem, "Counted as 0", "warning", "fee_coin")
    return replace(fill, fee=0.0), [said]


def _bad(row: Row, why: str) -> Finding:
    return Finding(f"row {row.number}", "", why, "Left out: correct the row", "error", "unreadable")


def _deposits(
    found: FillRows, numbers: Mapping[str, Sequence[float]], stamps: np.ndarray
) -> list[tuple[int, np.datetime64, float]]:
    """Money that came or went; the column that has it differs."""
    out = []
    for i, row in enumerate(found.money, len(found.rows)):
        amounts = [numbers[k][i] for k in ("profit", "quantity", "price") if k in numbers]
        amount = next((a for a in amounts if np.isfinite(a) and a != 0), 0.0)
        out.append((row.number, stamps[i], amount))
    return out


def _decimals(rows: Sequence[Row], name: str) -> int:
    texts = [re.split(r"[.,]", row.cells.get(name, "")) for row in rows]
    return max((len(parts[-1]) for parts in texts if len(parts) > 1), default=0)
