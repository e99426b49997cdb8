"""Round trips: fills grouped into trades that run from flat to flat."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tradinghf.market import Floats, MarketData


def round_trips(
    fills: pd.DataFrame,
    market: MarketData,
    split: Floats | None = None,
    dividend: Floats | None = None,
) -> pd.DataFrame:
    """Fills grouped into trades that run from flat to flat; a flip ends one and starts the next.

    The profit of a trade is the cash it paid out minus the cash it took in, fees and dividends
    included; what is open at the end is valued at the last close.

    Args:
        fills: of an account.
        market: [T, A] bars.
        split: [T, A] new shares per old one at each open.
        dividend: [T, A] per share at each open, after its split [currency].

    """
    ratio = np.ones_like(market.close) if split is None else split
    paid = np.zeros_like(market.close) if dividend is None else dividend
    rows = [
        trade
        for asset, group in fills.sort_values("bar", kind="stable").groupby("asset")
        for trade in _trades_of(group, market, int(str(asset)), ratio, paid)
    ]
    columns = ["symbol", "side", "entry", "exit", "bars", "pnl", "fees", "return_pct", "open"]
    frame = pd.DataFrame(rows, columns=[*columns, "entry_bar", "exit_bar"])
    return frame.sort_values("entry_bar", kind="stable", ignore_index=True)


def _trades_of(
    fills: pd.DataFrame, market: MarketData, asset: int, ratio: Floats, dividend: Floats
) -> list[dict[str, object]]:
    trades: list[dict[str, object]] = []
    position = flow = fees = paid = 0.0
    start = seen = 0
    # Bars at whose open a position changes without a fill.
    events = np.flatnonzero((ratio[:, asset] != 1) | (dividend[:, asset] != 0))

    def carry(end: int) -> None:
        nonlocal position, flow, seen
        for at in events[(events > seen) & (events <= end)]:
            position *= ratio[at, asset]
            flow += position * dividend[at, asset]
        seen = max(seen, end)

    def close(end: int, *, long: bool, still_open: bool) -> None:
        trades.append(
            {
                "symbol": market.symbols[asset],
                "side": "long" if long else "short",
                "entry": market.index[start],
                "exit": market.index[end],
                "bars": end - start,
                "pnl": flow - fees,
                "fees": fees,
                "return_pct": 100.0 * (flow - fees) / paid,
                "open": still_open,
                "entry_bar": start,
                "exit_bar": end,
            }
        )

    columns = ("bar", "side", "size", "price", "fee")
    for bar, side, size, price, fee in zip(*(fills[c].to_list() for c in columns), strict=True):
        carry(bar)
        left = side * size
        while abs(left) > 1e-12 * size:
            if position == 0:
                start, flow, fees, paid = bar, 0.0, 0.0, 0.0
            closing = position * left < 0
            part = math.copysign(min(abs(left), abs(position)), left) if closing else left
            flow -= part * price
            fees += fee * abs(part) / size
            paid += 0.0 if closing else abs(part) * price
            position, left = position + part, left - part
            if closing and abs(position) <= 1e-9 * abs(part):
                position = 0.0
                close(bar, long=part < 0, still_open=False)
    carry(market.bars - 1)
    if position:
        flow += position * market.close[-1, asset]
        close(market.bars - 1, long=position > 0, still_open=True)
    return trades
