"""What a fill costs: the price paid and the fee, at the rates of a `CostModel`.

To add a fee, edit two files:

1. `tradinghf/config/_costs.py`: a field of `CostModel`, 0 by default.
2. This one: a field of `Rates`, filled in `Rates.of`; then `fee` (charged per fill), `affordable`
   (what a buy may spend) and `unit_cost` (per share bought), or `fill_price` for a worse price.

The fused engines compute the costs of `FUSED_RATES` only, and leave a task with any other one to
the tensor engine. To have them compute a new one, add it to `FUSED_RATES`, to `_order_kernel` and
to `TaskEngine._settings`. What holding costs, bar by bar, is in financing.py.

Every rate is a plain number, or a tensor with one value per account (domain randomisation). A
plain zero leaves its operations out of the step.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from tradinghf.config import CostModel
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData
from tradinghf.simulation._tolerance import is_off, snapped_sum

Rate = float | Tensor
MOST_REBATE = 0.01
"""Of a fill's notional."""
FUSED_RATES = {"fee", "fixed", "per_share", "slippage", "impact", "half_spread"}


@dataclass(frozen=True)
class Rates:
    """Costs of one fill.

    Attributes:
        fee: proportional fee [fraction of notional].
        fixed: fee per fill [currency].
        per_share: fee per share [currency].
        slippage: slippage and half the spread [fraction of price].
        impact: Y of the square-root law.
        half_spread: the part of `slippage` that is half the spread.
        least: smallest fee per fill [currency]; 0 is none.
        most: largest fee per fill [fraction of notional]; 0 is none.
        maker: what fills of a limit order add to `fee` [fraction of notional].

    """

    fee: Rate = 0.0
    fixed: Rate = 0.0
    per_share: Rate = 0.0
    slippage: Rate = 0.0
    impact: Rate = 0.0
    half_spread: float = 0.0
    least: Rate = 0.0
    most: Rate = 0.0
    maker: Rate = 0.0

    @classmethod
    def of(cls, costs: CostModel) -> Rates:
        """From basis points to fractions."""
        return cls(
            fee=costs.fee_bps / 1e4,
            fixed=costs.fixed_fee,
            per_share=costs.per_share_fee,
            slippage=(costs.slippage_bps + costs.spread_bps / 2) / 1e4,
            impact=costs.impact,
            half_spread=costs.spread_bps / 2e4,
            least=costs.min_fee,
            most=costs.max_fee_bps / 1e4,
            maker=0.0
            if costs.maker_fee_bps is None
            else (costs.maker_fee_bps - costs.fee_bps) / 1e4,
        )

    @property
    def fused(self) -> bool:
        """Whether the fused engines know every cost that is not 0."""
        others = [f.name for f in fields(self) if f.name not in FUSED_RATES]
        rebate = isinstance(self.per_share, Tensor) or self.per_share < 0
        return not rebate and all(is_off(getattr(self, name)) for name in others)


@dataclass(frozen=True)
class Liquidity:
    """What the market impact of a bar depends on.

    Attributes:
        volume: traded in the bar [shares].
        volatility: standard deviation of one bar's log return, known before the bar.

    """

    volume: Tensor
    volatility: Tensor


def fill_price(
    price: Tensor, buying: Tensor, size: Tensor, rates: Rates, liquidity: Liquidity | None = None
) -> Tensor:
    """Price paid or received, after slippage, half spread and impact.

    p * (1 + s) for buys and p * (1 - s) for sells, with
    s = slippage + spread/2 + Y * sigma * sqrt(|size| / volume), at most 0.99 in total.

    Args:
        price: reference price [currency].
        buying: True where the order buys.
        size: shares wanted, of any sign.
        rates: costs.
        liquidity: of the bar; needed when `rates.impact` is on.

    Returns:
        [currency], the shape of `price`.

    Source: square-root law, Toth et al. 2011, arXiv:1105.1694.

    """
    slip: Rate = rates.slippage
    if not is_off(rates.impact) and liquidity is not None:
        share = (size.abs() / liquidity.volume.clamp_min(1e-12)).nan_to_num(posinf=0.0)
        share = share.clamp_min(1e-30)
        # Not `share.sqrt()`: its last bit depends on how many numbers it is given.
        slip = slip + rates.impact * liquidity.volatility * (share * share.rsqrt())
        slip = slip.clamp_max(0.99) if isinstance(slip, Tensor) else slip
    if is_off(slip):
        return price
    return torch.where(buying, price * (1.0 + slip), price * (1.0 - slip))


def fee(size: Tensor, notional: Tensor, rates: Rates) -> Tensor:
    """Fee of a fill: proportional + fixed + per share, within its least and its most [currency].

    `size` is its magnitude. A rebate pays at most 1 % of the notional.
    """
    total = notional * rates.fee
    if not is_off(rates.fixed):
        total = total + rates.fixed
    if not is_off(rates.per_share):
        total = total + size * rates.per_share
        if isinstance(rates.per_share, Tensor) or rates.per_share < 0:
            total = torch.maximum(total, notional * -MOST_REBATE)
    if not is_off(rates.least):
        total = total.clamp_min(rates.least)
    if not is_off(rates.most):
        capped = torch.minimum(total, notional * rates.most)
        total = torch.where(torch.as_tensor(rates.most) > 0, capped, total)
    return total


def affordable(cash: Tensor, price: Tensor, rates: Rates) -> Tensor:
    """Notional that `cash` buys after its own fees [currency]; may be negative."""
    room = cash
    if not is_off(rates.fixed):
        room = snapped_sum(room, torch.zeros_like(room) - rates.fixed)
    if not is_off(rates.per_share):
        room = room * price / unit_cost(price, rates)
    elif not is_off(rates.fee):
        room = room / (1.0 + rates.fee)
    if not is_off(rates.least):
        room = torch.minimum(room, cash - rates.least)
    if not is_off(rates.most):
        capped = torch.maximum(room, cash / (1.0 + rates.most))
        room = torch.where(torch.as_tensor(rates.most) > 0, capped, room)
    return room


def unit_cost(price: Tensor, rates: Rates) -> Tensor:
    """Cash per share bought, with the fees that grow with the fill [currency]."""
    unit = price * (1.0 + rates.fee) + rates.per_share
    if isinstance(rates.per_share, Tensor) or rates.per_share < 0:
        unit = torch.maximum(unit, price * (1.0 - MOST_REBATE))
    return unit


def check_volumes(market: MarketData, impact: float, participation: float) -> None:
    """Refuse what depends on volumes where an asset has none in any bar.

    A fill would cost almost all of its value by impact, and under a share of the volume nothing
    would ever trade.

    Raises:
        ConfigError: names the asset and the setting.

    """
    if not impact and not participation:
        return
    without = np.flatnonzero(~(market.volume > 0).any(axis=0))
    if len(without):
        name = "CostModel.impact" if impact else "TradingRules.participation"
        raise ConfigError(
            f"{name} needs the volumes of the bars; {market.name} has none of "
            f"{market.symbols[without[0]]!r}. Load bars with volumes, or leave it at 0."
        )
