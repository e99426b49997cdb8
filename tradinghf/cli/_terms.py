"""Options of every command that trades: what an account may do, and when it is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tradinghf.config import CostModel


@dataclass(frozen=True)
class CostOptions:
    """What trading and holding costs.

    Attributes:
        fee_bps: Fee per fill [basis points of the traded amount].
        fixed_fee: Fee per fill [currency].
        per_share_fee: Fee per share traded [currency].
        slippage_bps: Buys fill above and sells below the price by this much [basis points].
        spread_bps: Quoted bid-ask spread, of which each fill pays half [basis points].
        impact: Square-root market impact, about 1 in the literature.
        borrow_rate: Yearly fee on the value of shorted shares [fraction].
        margin_rate: Yearly interest on borrowed cash [fraction].
        cash_rate: Yearly interest earned on cash [fraction].

    """

    fee_bps: float = 1.0
    fixed_fee: float = 0.0
    per_share_fee: float = 0.0
    slippage_bps: float = 1.0
    spread_bps: float = 0.0
    impact: float = 0.0
    borrow_rate: float = 0.0
    margin_rate: float = 0.0
    cash_rate: float = 0.0

    @property
    def model(self) -> CostModel:
        """The options as costs."""
        from tradinghf.config import CostModel

        return CostModel(**vars(self))


@dataclass(frozen=True)
class TermOptions:
    """Exits, margin and order rules; any of them needs the simulator.

    Attributes:
        stop_loss: Leave a position after an adverse move of this fraction.
        take_profit: Leave it after a favourable move of this fraction.
        trailing_stop: Leave it after a fall of this fraction from its best price.
        leverage: Largest gross exposure [multiple of equity].
        maintenance: Liquidate below this equity [fraction of exposure].
        side: Directions allowed.
        lot: Trade multiples of this [shares].
        participation: Fill at most this fraction of a bar's volume.

    """

    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing_stop: float = 0.0
    leverage: float = 1.0
    maintenance: float = 0.0
    side: Literal["both", "long", "short"] = "both"
    lot: float = 0.0
    participation: float = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """As options of `backtest`."""
        from tradinghf.config import Brackets, Margin, TradingRules

        return {
            "brackets": Brackets(self.stop_loss, self.take_profit, self.trailing_stop),
            "margin": Margin(self.leverage, self.maintenance),
            "rules": TradingRules(side=self.side, lot=self.lot, participation=self.participation),
        }
