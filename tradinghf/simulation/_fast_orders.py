"""The compiled way through `simulate`: market orders at plain costs, one account after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.market import Floats, MarketData
from tradinghf.simulation._bars import Extras
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._tolerance import is_off

_SIDES = {"both": 0, "long": 1, "short": -1}
_NUMBERS = ("equity", "cash", "financing", "owed")


def compiled_covers(setup: Setup, extras: Extras, kind: str) -> bool:
    """Whether the kernel does all that these orders may lead to."""
    limits = setup.limits
    unlimited = all(
        is_off(x) for x in (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    )
    raw = (extras.split, extras.dividend)
    return (
        kind != "percent"
        and unlimited
        and limits.allow_partial
        and not (limits.lock_cash or setup.waits or setup.forces)
        and setup.margin.leverage == 1.0
        and setup.rates.fused
        and is_off(setup.rates.impact)
        and all(part is None for part in raw)
    )


def run_compiled(
    market: MarketData, orders: Floats, setup: Setup, extras: Extras, kind: str, cash: float
) -> tuple[dict[str, Floats], pd.DataFrame]:
    """What `Simulation` holds of S accounts, and their fills with a column `account`.

    Args:
        market: [T, A] bars.
        orders: [S, T, A] numbers of the kind `kind`; NaN is none.
        setup: one that `compiled_covers` allows.
        extras: at most funding and membership.
        kind: what the numbers mean.
        cash: of each account to start with.

    """
    from tradinghf.simulation import _market_kernel as kernel

    at_close = setup.fill == "close"
    if not at_close:  # an order of row t fills in row t + 1
        later = np.full_like(orders, np.nan)
        later[:, 1:] = orders[:, :-1]
        orders = later
    rates, held = setup.rates, setup.financing
    holding = (held.borrow, held.margin, held.cash, held.funding) if held else (0.0,) * 4
    numbers = (rates.fee, rates.fixed, rates.per_share, rates.slippage, setup.limits.min_size)
    table = np.array([*numbers, setup.ruin, *holding], dtype=np.float64)
    none = np.empty((0, market.assets))
    funding = none if extras.funding is None else np.ascontiguousarray(extras.funding)
    member = none if extras.member is None else np.ascontiguousarray(extras.member, np.float64)
    prices = market.close if at_close else market.open
    shape = orders.shape
    found: dict[str, Any] = {name: np.empty(shape[:2]) for name in _NUMBERS}
    found["shares"], found["fees"] = np.empty(shape), np.zeros(shape)
    fills: list[NDArray[np.float64]] = []
    for s, rows in enumerate(orders):
        leaving = int((np.diff(member, axis=0) < 0).sum())
        records = np.empty((int(np.isfinite(rows).sum()) + market.assets + leaving, 6))
        count = kernel.trade(
            np.ascontiguousarray(rows),
            prices,
            market.close,
            funding,
            member,
            at_close,
            kernel.KINDS.index(kind),
            _SIDES[setup.limits.side],
            table,
            cash,
            found["equity"][s],
            found["cash"][s],
            found["shares"][s],
            found["fees"][s],
            found["financing"][s],
            found["owed"][s],
            records,
        )
        fills.append(np.column_stack([np.full(count, float(s)), records[:count]]))
    return found, _fill_frame(np.concatenate(fills), float(rates.slippage))


def _fill_frame(rows: NDArray[np.float64], slippage: float) -> pd.DataFrame:
    """Rows account, bar, asset, signed size, price, fee as the table that `Simulation` has.

    Within a bar the order is that of the assets, delistings first and ruin last, as in the tensor
    step.
    """
    account, bar, asset, size, price, fee, forced = rows.T
    whole = {"account": account, "bar": bar, "asset": asset, "side": np.sign(size)}
    frame = pd.DataFrame({k: v.astype(np.int64) for k, v in whole.items()})
    before = price / (1.0 + np.sign(size) * np.where(forced > 0, 0.0, slippage))
    lost = abs(size) * abs(price - before)
    frame = frame.assign(size=abs(size), price=price, fee=fee, slippage=lost)
    return frame.take(np.lexsort((asset, forced, bar, account))).reset_index(drop=True)
