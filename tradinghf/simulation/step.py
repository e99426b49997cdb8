"""One bar of trading: `step_account`, the functional core of every simulation.

Order of events inside a bar (docs/simulation.md has the diagram):

1. orders fill at the open (or filled at the previous close);
2. the bar is marked at its close; an account at or below the ruin level is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, Fill
from tradinghf.simulation.account import Fill as Filled
from tradinghf.simulation.account import Limits
from tradinghf.simulation.costs import Rates, fee, fill_price
from tradinghf.simulation.ledger import Bar, Ledger, Tape, book, total, worth
from tradinghf.simulation.orders import SizeKind, order_size
from tradinghf.simulation.portfolio import execute_all


@dataclass(frozen=True)
class Setup:
    """What stays the same during a simulation; decides which operations a step consists of.

    Attributes:
        rates: costs per fill.
        limits: order limits.
        fill: when orders fill.
        ruin: equity at which an account is closed [currency].

    """

    rates: Rates
    limits: Limits
    fill: Fill
    ruin: float

    @classmethod
    def of(cls, config: EnvConfig, costs: CostModel) -> Setup:
        """From the public settings."""
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
        return cls(Rates.of(costs), limits, config.fill, config.ruin * config.cash)


def step_account(
    ledger: Ledger, asked: Tensor, bar: Bar, setup: Setup, *, kind: SizeKind = "target_percent"
) -> tuple[Ledger, Tape]:
    """Carry N accounts from one close to the next.

    Args:
        ledger: at the previous close.
        asked: [N, A] orders given at that close; NaN is no order.
        bar: the bar that follows.
        setup: costs, limits and options.
        kind: how `asked` is meant.

    Returns:
        The ledger at the bar's close, and what was traded.

    """
    tape = Tape.blank(bar.close)
    price = bar.open if setup.fill == "next_open" else ledger.close
    asked = torch.where(ledger.ruined, torch.nan, asked)
    size, percent = order_size(
        kind, asked, ledger.account.shares, price, worth(ledger.account, price), setup.limits.side
    )
    account, fills = execute_all(
        ledger.account,
        size,
        price,
        setup.rates,
        setup.limits,
        liquidity=bar.liquidity,
        percent=percent,
    )
    ledger, tape = book(ledger, tape, account, fills, price)
    ledger = replace(ledger, close=bar.close)
    return close_ruined(ledger, tape, setup)


def close_ruined(ledger: Ledger, tape: Tape, setup: Setup) -> tuple[Ledger, Tape]:
    """Close accounts whose equity at the close is at or below the ruin level, for good."""
    ruined = ledger.ruined | (ledger.equity <= setup.ruin)
    ledger, tape = force_close(ledger, tape, ruined, ledger.close, setup.rates)
    return replace(ledger, ruined=ruined), tape


def force_close(
    ledger: Ledger, tape: Tape, where: Tensor, price: Tensor, rates: Rates
) -> tuple[Ledger, Tape]:
    """Trade positions to flat whatever it costs; what cash cannot pay becomes debt.

    Args:
        ledger: before.
        tape: of the bar so far.
        where: [N, 1] or [N, A] bool, positions to close.
        price: [N, A] reference prices [currency].
        rates: costs, to which the fills are subject as any other.

    """
    held = ledger.account.shares
    size = torch.where(where, -held, 0.0)
    paid = fill_price(price, size > 0, size, rates)
    fees = torch.where(size == 0, 0.0, fee(size.abs(), size.abs() * paid, rates))
    cash = ledger.account.cash - total(size * paid + fees)
    shares = torch.where(where, 0.0, held)
    account = replace(ledger.account, cash=cash, shares=shares)
    if account.debt is not None and account.free is not None:
        kept = torch.where(where, 0.0, account.debt)
        account = replace(account, debt=kept, free=cash - 2.0 * total(kept))
    ledger, tape = book(ledger, tape, account, Filled(size, paid, fees), price)
    missing = torch.where(total(shares.abs()) == 0, (-cash).clamp_min(0.0), 0.0)
    account = replace(account, cash=cash + missing)
    return replace(ledger, account=account, owed=ledger.owed + missing), tape
