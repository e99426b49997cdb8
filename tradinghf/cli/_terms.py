"""Options of every command that trades: what an account may do, and when it is closed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from tradinghf.cli._options import InputFile

if TYPE_CHECKING:
    from tradinghf.config import CostModel, EnvConfig


MakerFee = Annotated[float | None, arg(help_behavior_hint="(default: as --fee-bps)")]


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
        funding_bps: Funding that longs pay to shorts each bar [basis points].
        min_fee: Least fee per fill [currency].
        max_fee_bps: Largest fee per fill, also above the least one; 0 is none [basis points].
        maker_fee_bps: The fee of limit orders that the market came to; negative is a rebate [basis
            points].

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
    funding_bps: float = 0.0
    min_fee: float = 0.0
    max_fee_bps: float = 0.0
    maker_fee_bps: MakerFee = None

    @property
    def model(self) -> CostModel:
        """The options as costs."""
        from tradinghf.config import CostModel

        return CostModel(**vars(self))


_PARTS = {
    "rules": ("side", "lot", "participation"),
    "margin": ("leverage", "maintenance"),
    "brackets": ("stop_loss", "take_profit", "trailing_stop"),
}
"""Which options are fields of which settings of a task."""


@dataclass(frozen=True)
class _AccountOptions:
    """Margin and order rules."""

    leverage: float = 1.0
    """Largest gross exposure [multiple of equity]."""
    maintenance: float = 0.0
    """Liquidate below this equity [fraction of exposure]."""
    side: Literal["both", "long", "short"] = "both"
    """Directions allowed."""
    lot: float = 0.0
    """Trade multiples of this [shares]."""
    participation: float = 0.0
    """Fill at most this fraction of a bar's volume."""

    @property
    def _account(self) -> dict[str, Any]:
        from tradinghf.config import Margin, TradingRules

        return {
            "margin": Margin(self.leverage, self.maintenance),
            "rules": TradingRules(side=self.side, lot=self.lot, participation=self.participation),
        }


@dataclass(frozen=True)
class TaskOptions(_AccountOptions):
    """Exits, margin and order rules of an account that a policy trades."""

    stop_loss: float = 0.0
    """Leave a position after an adverse move of this fraction."""
    take_profit: float = 0.0
    """Leave it after a favourable move of this fraction."""
    trailing_stop: float = 0.0
    """Leave it after a fall of this fraction from its best price."""

    @property
    def options(self) -> dict[str, Any]:
        """As options of `backtest`, and as fields of `EnvConfig`."""
        from tradinghf.config import Brackets

        exits = Brackets(self.stop_loss, self.take_profit, self.trailing_stop)
        return {"brackets": exits, **self._account}

    def given_to(self, task: EnvConfig) -> EnvConfig:
        """A task with these terms; those that are left at their defaults stay the task's own."""
        usual = type(self)()
        parts = {
            part: replace(
                getattr(task, part),
                **{n: getattr(self, n) for n in names if getattr(self, n) != getattr(usual, n)},
            )
            for part, names in _PARTS.items()
        }
        return replace(task, **parts)


@dataclass(frozen=True)
class TermOptions(TaskOptions):
    """Exits, margin and order rules; any of them needs the simulator."""

    member: InputFile = None
    """Who was listed when: CSV of symbol, first, last; or a table of 1 and 0 by date, symbol."""

    @property
    def options(self) -> dict[str, Any]:
        """As options of `backtest`."""
        return super().options | _listed(self.member)

    def options_for(self, x: Any) -> dict[str, Any]:
        """As options of a backtest of `x`; a policy keeps what is left at its default."""
        task = getattr(x, "config", None)
        if task is None:
            return self.options
        own = self.given_to(task)
        return {part: getattr(own, part) for part in _PARTS} | _listed(self.member)


def _listed(member: Path | None) -> dict[str, Any]:
    return {} if member is None else {"member": member}


@dataclass(frozen=True)
class SweptOptions(_AccountOptions):
    """Costs, exits, margin and order rules of a sweep; several values repeat it under each."""

    fee_bps: tuple[float, ...] = (1.0,)
    """Fee per fill [basis points]; several repeat the sweep under each."""
    slippage_bps: tuple[float, ...] = (1.0,)
    """Slippage per fill [basis points]; several repeat the sweep under each."""
    stop_loss: tuple[float, ...] = (0.0,)
    """Leave a position after an adverse move of this fraction; several likewise."""
    take_profit: tuple[float, ...] = (0.0,)
    """Leave it after a favourable move of this fraction; several likewise."""
    trailing_stop: tuple[float, ...] = (0.0,)
    """Leave it after a fall of this fraction from its best price; likewise."""
    fixed_fee: float = 0.0
    """Fee per fill [currency]."""
    per_share_fee: float = 0.0
    """Fee per share traded [currency]."""
    min_fee: float = 0.0
    """Least fee per fill [currency]."""
    max_fee_bps: float = 0.0
    """Largest fee per fill; 0 is none [basis points]."""
    maker_fee_bps: MakerFee = None
    """The fee of limit orders that the market came to [basis points]."""
    spread_bps: float = 0.0
    """Quoted bid-ask spread, of which each fill pays half [basis points]."""
    impact: float = 0.0
    """Square-root market impact, about 1 in the literature."""
    borrow_rate: float = 0.0
    """Yearly fee on the value of shorted shares [fraction]."""
    margin_rate: float = 0.0
    """Yearly interest on borrowed cash [fraction]."""
    cash_rate: float = 0.0
    """Yearly interest earned on cash [fraction]."""
    funding_bps: float = 0.0
    """Funding that longs pay to shorts each bar [basis points]."""
    member: InputFile = None
    """Who was listed when: CSV of symbol, first, last; or a table of 1 and 0 by date, symbol."""

    @property
    def options(self) -> dict[str, Any]:
        """As options of `sweep`."""
        from tradinghf.config import Brackets, CostModel

        swept = {"fee_bps", "slippage_bps"}
        same = {k: getattr(self, k) for k in CostOptions.__dataclass_fields__ if k not in swept}
        pairs = product(self.fee_bps, self.slippage_bps)
        exits = product(self.stop_loss, self.take_profit, self.trailing_stop)
        return {
            "costs": [CostModel(fee_bps=f, slippage_bps=s, **same) for f, s in pairs],
            "brackets": [Brackets(*each) for each in exits],
            **self._account,
            **_listed(self.member),
        }
