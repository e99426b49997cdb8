"""Contracts of a future as one series: quoted prices, and prices without the steps of the rolls.

Where one contract follows another the quoted price steps, and nobody earns the step. Strategies
read the adjusted prices; accounts trade the quoted ones, and events take the step out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import FIELDS, PRICES, Floats
from tradinghf.market._data import MarketData
from tradinghf.market._times import date_bound

RollMethod = Literal["ratio", "difference"]


@dataclass(frozen=True, eq=False)
class RolledFuture:
    """A future through its contracts.

    Attributes:
        quoted: [T, 1] bars of the contract that was held; what orders fill at.
        adjusted: [T, 1] the same bars without the steps: the last contract as quoted, those before
            scaled by ratios of prices, or moved by differences.
        contract: [T] name of the contract of each bar.
        method: "ratio": a roll keeps the value of a position; "difference": its number of
            contracts.
        step: [T] price of the new contract at the close before it is first held, over ("ratio") or
            less ("difference") that of the old one; 1 or 0 elsewhere.

    """

    quoted: MarketData
    adjusted: MarketData
    contract: tuple[str, ...]
    method: RollMethod
    step: Floats

    @property
    def events(self) -> dict[str, Floats]:
        """What `backtest` and `simulate` need beside the quoted bars: rolls at the close before.

        The costs of the roll's two trades are not in it.
        """
        if self.method == "ratio":
            return {"split": 1.0 / self.step[:, None]}
        return {"dividend": -self.step[:, None]}


def roll_contracts(
    contracts: Mapping[str, MarketData],
    rolls: Sequence[Any],
    *,
    method: RollMethod = "ratio",
    offset: float = 0.0,
    name: str = "future",
) -> RolledFuture:
    """One series of several contracts of a future.

    Args:
        contracts: name of each contract and its bars, one asset each, in the order of expiry.
        rolls: from when each contract but the first is held: dates or times, the first bar at or
            after them. The last bar before has to be one of both contracts.
        method: how the step is taken out, of the adjusted prices and of a position.
        offset: for adjusted prices that may be 0 or negative, as in `MarketData.from_frame`.
        name: of the series, and of its asset.

    Raises:
        MarketDataError: no such method, rolls that are not one fewer than contracts or not in
            order, or a contract without the bars that a roll needs.

    """
    if method not in get_args(RollMethod):
        raise MarketDataError(f"{name}: method is {method!r}; expected {get_args(RollMethod)}.")
    if len(contracts) < 1 or len(rolls) != len(contracts) - 1:
        raise MarketDataError(
            f"{name}: {len(contracts)} contracts and {len(rolls)} rolls; expected one roll for "
            "each contract but the first."
        )
    parts, steps = _held_parts(contracts, rolls, method, name)
    arrays: dict[str, Any] = {
        f: np.concatenate([getattr(p, f)[:, 0] for p in parts])[:, None] for f in FIELDS
    }
    stamps = np.concatenate([part.timestamps for part in parts])
    about: dict[str, Any] = {"symbols": (name,), "name": name, "timestamps": stamps}
    about["bars_per_year"] = parts[-1].bars_per_year
    quoted = MarketData(**arrays, **about, source=f"{len(parts)} contracts as quoted")
    moved = _adjusted(arrays, [len(part.timestamps) for part in parts], steps, method)
    frame = pd.DataFrame({k: v[:, 0] for k, v in moved.items()}, quoted.index)
    source = f"{len(parts)} contracts, adjusted by {method}"
    adjusted = MarketData.from_frame(
        frame, name=name, bars_per_year=quoted.bars_per_year, source=source, offset=offset
    )
    step = np.full(quoted.bars, 1.0 if method == "ratio" else 0.0)
    step[np.cumsum([len(part.timestamps) for part in parts])[:-1]] = steps
    held = [key for key, part in zip(contracts, parts, strict=True) for _ in part.timestamps]
    return RolledFuture(quoted, adjusted, tuple(held), method, step)


@dataclass(frozen=True, eq=False)
class _Part:
    """The bars of a contract while it is held; it may be one."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    timestamps: Any
    bars_per_year: float


def _held_parts(
    contracts: Mapping[str, MarketData], rolls: Sequence[Any], method: RollMethod, name: str
) -> tuple[list[_Part], list[float]]:
    """The bars of each contract while it is held, and the step at the start of each but one."""
    bounds = [_time(roll, name) for roll in rolls]
    parts: list[_Part] = []
    steps: list[float] = []
    markets = list(contracts.items())
    for k, (key, market) in enumerate(markets):
        if market.assets != 1 or market.offsets:
            raise MarketDataError(f"{name}: {key!r} must be one asset, without an offset.")
        keep = np.ones(market.bars, dtype=bool)
        if k:
            keep &= market.timestamps >= bounds[k - 1]
            steps.append(_step(markets[k - 1], (key, market), bounds[k - 1], method, name))
        if k < len(bounds):
            keep &= market.timestamps < bounds[k]
        if not keep.any():
            raise MarketDataError(f"{name}: {key!r} has no bar between its rolls; order them.")
        columns = {f: getattr(market, f)[keep] for f in FIELDS}
        times = market.timestamps[keep]
        parts.append(_Part(**columns, timestamps=times, bars_per_year=market.bars_per_year))
    return parts, steps


def _step(
    old: tuple[str, MarketData],
    new: tuple[str, MarketData],
    bound: np.datetime64,
    method: RollMethod,
    name: str,
) -> float:
    """The new contract's close over, or less, the old one's, at the last bar before the roll."""
    before = [m.timestamps[m.timestamps < bound][-1:] for _, m in (old, new)]
    if not len(before[0]) or not np.array_equal(before[0], before[1]):
        last = np.concatenate(before)
        when = str(last.max())[:10] if len(last) else f"some time before {str(bound)[:10]}"
        raise MarketDataError(
            f"{name}: the roll from {old[0]!r} to {new[0]!r} needs a close of both at {when}. "
            "Give the contracts longer histories, or roll at another time."
        )
    eve = [m.close[m.timestamps == before[0][0], 0] for _, m in (old, new)]
    first, second = (float(close[0]) for close in eve)
    return second / first if method == "ratio" else second - first


def _adjusted(
    arrays: Mapping[str, Floats], lengths: Sequence[int], steps: Sequence[float], method: RollMethod
) -> dict[str, Floats]:
    """Prices of all but the last contract, brought to the level of the last."""
    back = np.array([*steps, 1.0 if method == "ratio" else 0.0])[::-1]
    total = np.cumprod(back) if method == "ratio" else np.cumsum(back)
    change = np.repeat(total[::-1], lengths)[:, None]
    found = dict(arrays)
    for field in PRICES:
        found[field] = arrays[field] * change if method == "ratio" else arrays[field] + change
    return found


def _time(given: Any, name: str) -> np.datetime64:
    try:
        time = pd.Timestamp(date_bound(given))
        naive = time if time.tzinfo is None else time.tz_convert("UTC").tz_localize(None)
        return np.datetime64(naive.as_unit("ns").value, "ns")
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise MarketDataError(
            f"{name}: the roll {str(given)[:60]!r} is no time; expected such as 2024-03-12."
        ) from error
