"""Options of every command that trades: what an account may do, and when it is closed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from tradinghf.cli._options import InputFile, OwnMetrics, RiskFree, risk_free_of

if TYPE_CHECKING:
    from tradinghf.config import CostModel, EnvConfig


MakerFee = Annotated[float | None, arg(help_behavior_hint="(default: as --fee-bps)")]
# None is not 0: what is not given is a policy's own, and 0 switches it off.
_Given = Annotated[float | None, arg(help_behavior_hint="(default: 0, or the policy's own)")]
_Leverage = Annotated[float | None, arg(help_behavior_hint="(default: 1, or the policy's own)")]
_Side = Annotated[
    Literal["both", "long", "short"] | None,
    arg(help_behavior_hint="(default: both, or the policy's own)"),
]


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


@dataclass(frozen=True)
class RunOptions:
    """How an account is traded, and what it is held against."""

    risk_free: RiskFree = "0"
    """What cash would earn a year [fraction]: a number, or a CSV file of rates."""
    metrics: OwnMetrics = ()
    """More numbers: FILE.py:function of the report, one or more."""
    fill: Literal["next_open", "close"] = "next_open"
    """Fill at the open after the decision, or at the very close it was taken on."""
    engine: Literal["auto", "vectorbt", "simulator"] = "auto"
    """simulator (auto), the accounting that agents are trained in, or vectorbt for target
    weights."""
    cash: float = 100_000.0
    """Starting equity [currency]."""

    @property
    def options(self) -> dict[str, Any]:
        """As options of `backtest`."""
        own = {"risk_free": risk_free_of(self.risk_free), "metrics": self.metrics or None}
        return {"fill": self.fill, "engine": self.engine, "cash": self.cash, **own}


_PARTS = {
    "rules": ("side", "lot", "participation"),
    "margin": ("leverage", "maintenance"),
    "brackets": ("stop_loss", "take_profit", "trailing_stop"),
}
"""Which options are fields of which settings of a task."""


@dataclass(frozen=True)
class _AccountOptions:
    """Margin and order rules."""

    leverage: _Leverage = None
    """Largest gross exposure [multiple of equity]."""
    maintenance: _Given = None
    """Liquidate below this equity [fraction of exposure]; 0 is never."""
    side: _Side = None
    """Directions allowed."""
    lot: _Given = None
    """Trade multiples of this [shares]; 0 trades fractions."""
    participation: _Given = None
    """Fill at most this fraction of a bar's volume; 0 fills whatever its volume."""

    def _given(self, part: str) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _PARTS[part]}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def _account(self) -> dict[str, Any]:
        from tradinghf.config import Margin, TradingRules

        return {
            "margin": Margin(**self._given("margin")),
            "rules": TradingRules(**self._given("rules")),
        }


@dataclass(frozen=True)
class TaskOptions(_AccountOptions):
    """Exits, margin and order rules of an account that a policy trades."""

    stop_loss: _Given = None
    """Leave a position after an adverse move of this fraction; 0 is none."""
    take_profit: _Given = None
    """Leave it after a favourable move of this fraction; 0 is none."""
    trailing_stop: _Given = None
    """Leave it after a fall of this fraction from its best price; 0 is none."""

    @property
    def options(self) -> dict[str, Any]:
        """As options of `backtest`, and as fields of `EnvConfig`."""
        from tradinghf.config import Brackets

        return {"brackets": Brackets(**self._given("brackets")), **self._account}

    def given_to(self, task: EnvConfig) -> EnvConfig:
        """A task with these terms; those that are not given stay the task's own."""
        parts = {part: replace(getattr(task, part), **self._given(part)) for part in _PARTS}
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
        """As options of a backtest of `x`; a policy keeps what is not given."""
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
