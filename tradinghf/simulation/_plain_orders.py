"""Target weights of one account at plain costs, straight through the compiled kernel.

`simulate` takes the same kernel where it can, after loading torch, which takes longer than most
backtests. This way in needs numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradinghf.config import CostModel, EnvConfig
from tradinghf.market import Floats


@dataclass(frozen=True, eq=False)
class PlainTrades:
    """What became of one account.

    Attributes:
        equity, cash: [T] at each close [currency].
        shares: [T, A] after the bar's fills.
        financing: [T] always 0 here: nothing is paid for holding.
        fills: [n, 6] bar, asset, signed size [shares], price paid [currency], fee [currency], and
            1 where ruin forced it.

    """

    equity: Floats
    cash: Floats
    shares: Floats
    financing: Floats
    fills: Floats


def trade_weights(
    weights: Floats,
    price: Floats,
    close: Floats,
    *,
    costs: CostModel,
    cash: float,
    at_close: bool = False,
    ruined_at: float = EnvConfig().ruin,
) -> PlainTrades:
    """Rebalance an account to target weights, row by row, at default rules and without margin.

    Args:
        weights: [T, A] signed fractions of equity, in the row where they fill; NaN is no order.
        price: [T, A] of the fills, before slippage.
        close: [T, A] what positions are worth after each row.
        costs: fees, slippage and spread; the rest of it must be 0, and is not read.
        cash: to start with [currency].
        at_close: fills come after the row's close has been judged.
        ruined_at: fraction of the cash at which an account is closed; -inf for never.

    Returns:
        Equal to `simulate` on the same orders.

    """
    from tradinghf.simulation import _market_kernel as kernel

    rates = dict.fromkeys(kernel.RATES, 0.0) | {
        "fee": costs.fee_bps / 1e4,
        "fixed": costs.fixed_fee,
        "slippage": (costs.slippage_bps + costs.spread_bps / 2) / 1e4,
        "least": EnvConfig().rules.min_size,
        "ruin": ruined_at * cash,
    }
    bars, assets = weights.shape
    equity, cashes, financing, owed = np.empty((4, bars))
    shares, fees = np.empty(weights.shape), np.zeros(weights.shape)
    records = np.empty((int(np.isfinite(weights).sum()) + assets, 6))
    count = kernel.trade(
        np.ascontiguousarray(weights),
        np.ascontiguousarray(price),
        np.ascontiguousarray(close),
        np.empty((0, assets)),
        np.empty((0, assets)),
        at_close,
        kernel.KINDS.index("target_percent"),
        0,  # both sides
        np.array([rates[name] for name in kernel.RATES]),
        cash,
        equity,
        cashes,
        shares,
        fees,
        financing,
        owed,
        records,
    )
    return PlainTrades(equity, cashes, shares, financing, records[:count])
