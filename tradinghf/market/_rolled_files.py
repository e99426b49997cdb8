"""`futures:`: files of the contracts of a future, as one series."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tradinghf.errors import MarketDataError
from tradinghf.market._beside import options_beside
from tradinghf.market._data import MarketData
from tradinghf.market._files import FILE, SUFFIXES, market_name
from tradinghf.market._futures import RollMethod, roll_contracts
from tradinghf.market._source_registry import source


@source(
    "futures",
    help="Contracts as one series: futures:H24.csv,M24.csv,rolls=2024-03-12",
    files=True,
)
def _futures(
    *files: str,
    rolls: str | None = None,
    days: int = 5,
    method: RollMethod = "ratio",
    offset: float = 0.0,
    name: str = "future",
    zone: str | None = None,
) -> MarketData:
    """Adjusted bars of several contracts.

    Args:
        files: one of each contract, or a folder of them.
        rolls: dates from which each contract but the first is held, parted by semicolons; by
            default `days` bars before the last one of the contract before.
        days: bars of a contract that are left out at its end, where there are no `rolls`.
        method: how the step of a roll is taken out, see `roll_contracts`.
        offset: for adjusted prices that may be 0 or negative.
        name: of the series.
        zone: of naive times, see `load_file`.

    """
    contracts = _contracts(files, zone)
    dates = _default_rolls(contracts, days) if rolls is None else re.split(r"\s*;\s*", rolls)
    rolled = roll_contracts(contracts, dates, method=method, offset=offset, name=name)
    given = {
        "rolls": None if rolls is None else ";".join(dates),
        "days": days if rolls is None else None,
        "method": method,
        "offset": offset or None,
        "name": name,
        "zone": zone,
    }
    texts = [*files, *(f"{key}={value}" for key, value in given.items() if value is not None)]
    note = f"{rolled.adjusted.source}, held from {', '.join(str(date)[:10] for date in dates)}"
    return replace(rolled.adjusted, source=f"futures:{','.join(texts)}; {note}")


def _contracts(files: tuple[str, ...], zone: str | None) -> dict[str, MarketData]:
    """Contract -> its bars; those of a folder in the order of their last bars."""
    found: dict[str, MarketData] = {}
    for text in files:
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            bars = [(market_name(p), _load(p, zone)) for p in inside]
            bars.sort(key=lambda pair: pair[1].timestamps[-1])
        else:
            bars = [(market_name(path), _load(path, zone))]
        for name, market in bars:
            if name in found:
                raise MarketDataError(f"futures: {name!r} comes twice; expected each file once.")
            found[name] = market
    if not found:
        raise MarketDataError(
            "futures: no bar file was named; expected futures:H24.csv,M24.csv,rolls=2024-03-12, "
            "or a folder of contracts."
        )
    return found


def _load(path: Path, zone: str | None) -> MarketData:
    return FILE([str(path)], options_beside(path) | ({} if zone is None else {"zone": zone}))


def _default_rolls(contracts: dict[str, MarketData], days: int) -> list[Any]:
    """The time of each contract's bar `days` before its last one, where the next one begins."""
    if days < 1:
        raise MarketDataError(f"futures: days is {days}; expected 1 or more.")
    markets = list(contracts.items())[:-1]
    for name, market in markets:
        if market.bars <= days:
            raise MarketDataError(
                f"futures: {name!r} has {market.bars} bars, not more than days={days}."
            )
    return [pd.Timestamp(market.timestamps[-days], tz="UTC") for _, market in markets]
