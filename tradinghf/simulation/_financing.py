"""What holding costs: borrow fees, funding, interest; accrued for every bar held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.config import CostModel
from tradinghf.simulation._ledger import Bar, Ledger, Tape, sum_assets


@dataclass(frozen=True)
class Financing:
    """Rates per bar [fraction of the value they apply to].

    Attributes:
        borrow: on the value of shorts.
        margin: on borrowed cash.
        cash: earned on cash that is not the value of shorts.
        funding: paid by longs and received by shorts on their value.

    """

    borrow: float = 0.0
    margin: float = 0.0
    cash: float = 0.0
    funding: float = 0.0

    @classmethod
    def of(cls, costs: CostModel, bars_per_year: float) -> Financing:
        """Yearly rates divided by the bars of a year: simple interest, compounded by bar."""
        return cls(
            borrow=costs.borrow_rate / bars_per_year,
            margin=costs.margin_rate / bars_per_year,
            cash=costs.cash_rate / bars_per_year,
            funding=costs.funding_bps / 1e4,
        )


def accrue(ledger: Ledger, tape: Tape, bar: Bar, rates: Financing) -> tuple[Ledger, Tape]:
    """Charge one bar of holding, on the values at its close.

    Costs of a position belong to its round trip; interest on cash belongs to none and counts as
    realised at once.
    """
    value = ledger.account.shares * bar.close
    funding: Tensor | float = rates.funding if bar.funding is None else bar.funding + rates.funding
    carried = value * funding + (-value).clamp_min(0.0) * rates.borrow
    cash = ledger.account.cash
    spare = cash - sum_assets((-value).clamp_min(0.0))
    interest = spare.clamp_min(0.0) * rates.cash - (-cash).clamp_min(0.0) * rates.margin
    interest = torch.where(ledger.ruined, 0.0, interest)
    change = interest - sum_assets(carried)
    ledger = replace(ledger, account=ledger.account.pay_in(change), flow=ledger.flow - carried)
    realised = tape.realised + interest
    return ledger, replace(tape, financing=tape.financing - change, realised=realised)


def corporate_actions(ledger: Ledger, tape: Tape, bar: Bar) -> tuple[Ledger, Tape]:
    """Apply the splits and dividends of a bar's open to positions, waiting orders and levels.

    Needed for raw prices only: adjusted prices contain both.
    """
    if bar.split is not None:
        split = bar.split
        account = replace(ledger.account, shares=ledger.account.shares * split)
        ledger = replace(ledger, account=account, close=ledger.close / split)
        if ledger.working is not None:
            w = ledger.working
            waiting = replace(
                w,
                size=w.size * split,
                limit=w.limit / split,
                stop=w.stop / split,
                stop_loss=w.stop_loss / split,
                take_profit=w.take_profit / split,
            )
            ledger = replace(ledger, working=waiting)
        if ledger.exits is not None:
            e = ledger.exits
            exits = type(e)(e.stop / split, e.target / split, e.best / split)
            ledger = replace(ledger, exits=exits)
    if bar.dividend is not None:
        paid = ledger.account.shares * bar.dividend
        amount = sum_assets(paid)
        account = ledger.account.pay_in(amount)
        ledger = replace(ledger, account=account, flow=ledger.flow + paid)
        tape = replace(tape, financing=tape.financing - amount)
    return ledger, tape
