"""The setup of a simulation: public settings converted to the values that the core reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from tradinghf.config import Brackets, CostModel, EnvConfig, Fill, Margin
from tradinghf.errors import ConfigError
from tradinghf.simulation._account import Account, Limits
from tradinghf.simulation._costs import Rates
from tradinghf.simulation._financing import Financing
from tradinghf.simulation._ledger import Bar, Exits, Ledger, Working, account_value
from tradinghf.simulation._tolerance import is_off

Reading = Literal["pessimistic", "optimistic"]


@dataclass(frozen=True)
class Setup:
    """What stays the same during a simulation; decides which operations a step consists of.

    Attributes:
        rates: costs per fill.
        limits: order limits.
        fill: when orders fill.
        ruin: equity at which an account is closed [currency].
        financing: costs of holding; None is none.
        margin: leverage and liquidation.
        brackets: protective exits.
        participation: share of a bar's volume an order may take; 0 is any.
        waits: orders may wait: limit and stop orders, or volume that fills in parts.
        exits: positions may have exits.
        reading: how the path inside a bar is taken where its four prices leave it open.
        skips: leave out fills and exits that concern nobody in a bar; looks at values, so it is
            not for compiled or recorded steps.

    """

    rates: Rates
    limits: Limits
    fill: Fill
    ruin: float
    financing: Financing | None
    margin: Margin
    brackets: Brackets
    participation: float
    waits: bool
    exits: bool
    reading: Reading = "pessimistic"
    skips: bool = False

    @classmethod
    def of(
        cls,
        config: EnvConfig,
        costs: CostModel,
        *,
        bars_per_year: float = 252.0,
        funding: bool = False,
        waits: bool = False,
        exits: bool = False,
    ) -> Setup:
        """From the public settings.

        Args:
            config: rules, margin, brackets, fill, cash and ruin level.
            costs: what trading and holding costs.
            bars_per_year: of the market.
            funding: the market comes with funding rates.
            waits: limit or stop orders will be given.
            exits: orders will be given with exits of their own.

        Raises:
            ConfigError: costs that vary.

        """
        if costs.varies:
            raise ConfigError(
                "CostModel.schedule, by_asset and fee_tiers hold in backtests (`simulate`), not in "
                "environments; give an environment one plain CostModel."
            )
        rules = config.rules
        limits = Limits(
            side=rules.side,
            lot=rules.lot,
            exact_lots=rules.lot_mode == "exact",
            min_size=rules.min_size,
            max_size=rules.max_size,
            min_notional=rules.min_notional,
            max_position=rules.max_position,
            allow_partial=rules.allow_partial,
            lock_cash=rules.lock_cash,
        )
        holding = Financing.of(costs, bars_per_year)
        return cls(
            rates=Rates.of(costs),
            limits=limits,
            fill=config.fill,
            ruin=config.ruin * config.cash,
            financing=holding if funding or holding != Financing() else None,
            margin=config.margin,
            brackets=config.brackets,
            participation=rules.participation,
            waits=waits or rules.participation > 0,
            exits=exits or config.brackets.any,
        )

    @property
    def passive_rates(self) -> Rates:
        """Costs of limit orders that the market came to."""
        free = replace(self.rates, slippage=0.0, impact=0.0)
        maker = self.rates.maker
        return free if is_off(maker) else replace(free, fee=self.rates.fee + maker)

    @property
    def penalty_rates(self) -> Rates:
        """Costs of a liquidation."""
        return replace(self.rates, fee=self.rates.fee + self.margin.penalty_bps / 1e4)

    @property
    def forces(self) -> bool:
        """Positions may close without an order, other than by ruin or delisting."""
        return self.exits or self.margin.maintenance > 0

    @property
    def keeps_liquidity(self) -> bool:
        """Fills at the close depend on the liquidity of the bar that closes."""
        uses = self.participation > 0 or not is_off(self.rates.impact)
        return self.fill == "close" and uses

    def open(self, cash: Tensor, bar: Bar, *, track_shorts: bool = False) -> Ledger:
        """Flat accounts with `cash` [N, 1] at the close of `bar`."""
        track = track_shorts or self.limits.lock_cash
        nothing = torch.zeros_like(bar.close)
        return Ledger(
            account=Account.open(cash, nothing, track_shorts=track),
            close=bar.close,
            flow=nothing,
            owed=torch.zeros_like(cash),
            ruined=torch.zeros_like(cash, dtype=torch.bool),
            working=Working.none(bar.close) if self.waits else None,
            exits=Exits.none(bar.close) if self.exits else None,
            liquidity=bar.liquidity if self.keeps_liquidity else None,
        )

    def exposure(self, ledger: Ledger, price: Tensor) -> Tensor | None:
        """[N, 1] largest gross value of a margin account's positions; None: a cash account."""
        if self.margin.leverage == 1.0:
            return None
        return account_value(ledger.account, price).clamp_min(0.0) * self.margin.leverage
