"""Forced trades: exits at a price, liquidation, delisting, ruin."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tradinghf.simulation._account import Fill
from tradinghf.simulation._costs import Rates, fee, fill_price
from tradinghf.simulation._ledger import Ledger, Tape, account_value, book_fills, sum_assets
from tradinghf.simulation._setup import Setup


def force_close(
    ledger: Ledger, tape: Tape, where: Tensor, price: Tensor, rates: Rates
) -> tuple[Ledger, Tape]:
    """Trade positions to flat whatever it costs; what a flat account cannot pay becomes debt.

    Args:
        ledger: before.
        tape: of the bar so far.
        where: [N, 1] or [N, A] bool, positions to close.
        price: [N, A] reference prices [currency]; may be NaN elsewhere.
        rates: costs of these fills.

    """
    held = ledger.account.shares
    size = torch.where(where, -held, 0.0)
    price = torch.where(size == 0, ledger.close, price)
    paid = fill_price(price, size > 0, size, rates)
    fees = torch.where(size == 0, 0.0, fee(size.abs(), size.abs() * paid, rates))
    cash = ledger.account.cash - sum_assets(size * paid + fees)
    shares = torch.where(where, 0.0, held)
    missing = torch.where(sum_assets(shares.abs()) == 0, (-cash).clamp_min(0.0), 0.0)
    cash = cash + missing
    account = replace(ledger.account, cash=cash, shares=shares)
    if account.debt is not None and account.free is not None:
        kept = torch.where(where, 0.0, account.debt)
        account = replace(account, debt=kept, free=cash - 2.0 * sum_assets(kept))
    ledger, tape = book_fills(ledger, tape, account, Fill(size, paid, fees), price)
    exited = tape.exited | (size != 0)
    if ledger.working is not None:
        ledger = replace(ledger, working=ledger.working.after_exit(-size))
    return replace(ledger, owed=ledger.owed + missing), replace(tape, exited=exited)


def is_quiet(ledger: Ledger, where: Tensor) -> bool:
    """Whether closing the positions in `where` changes nothing: no position, and no debt."""
    return not bool((where & (ledger.account.shares != 0)).any() | (ledger.account.cash < 0).any())


def close_ruined(ledger: Ledger, tape: Tape, setup: Setup) -> tuple[Ledger, Tape]:
    """Settle accounts whose equity at the close is at or below the ruin level, for good.

    Their positions go at the close without further costs; what equity lacks becomes debt.
    """
    equity, held = ledger.equity, ledger.account.shares
    ruined = ledger.ruined | (equity <= setup.ruin)
    alive = ~ruined
    cash = torch.where(ruined, equity.clamp_min(0.0), ledger.account.cash)
    account = replace(ledger.account, cash=cash, shares=held.masked_fill(ruined, 0.0))
    if account.debt is not None and account.free is not None:
        free = torch.where(ruined, cash, account.free)
        account = replace(account, debt=account.debt.masked_fill(ruined, 0.0), free=free)
    lost = sum_assets(ledger.open_profit).masked_fill(alive, 0.0)
    sold = Fill(account.shares - held, ledger.close, torch.zeros_like(held), ledger.close)
    tape = replace(tape, realised=tape.realised + lost, fills=(*tape.fills, sold))
    ledger = replace(
        ledger,
        account=account,
        flow=ledger.flow.masked_fill(ruined, 0.0),
        owed=ledger.owed + (-equity).clamp_min(0.0),
        ruined=ruined,
    )
    if ledger.working is not None:
        waiting = ledger.working.size.masked_fill(ruined, 0.0)
        ledger = replace(ledger, working=ledger.working.left(waiting))
    return ledger, tape


def liquidate(ledger: Ledger, tape: Tape, price: Tensor, setup: Setup) -> tuple[Ledger, Tape]:
    """Close every position of accounts below the maintenance margin at these prices.

    An account is called when equity < maintenance * gross exposure, both at `price` [N, A].
    """
    gross = sum_assets(ledger.account.shares.abs() * price)
    called = account_value(ledger.account, price) < setup.margin.maintenance * gross
    return force_close(ledger, tape, called, price, setup.penalty_rates)


def liquidation_price(ledger: Ledger, maintenance: float) -> Tensor:
    """[N, 1] price at which a single position meets its maintenance margin; NaN while flat.

    From cash + q * p = maintenance * |q| * p: p = cash / (maintenance * |q| - q).
    """
    shares = ledger.account.shares
    unit = maintenance * shares.abs() - shares
    return torch.where(shares == 0, torch.nan, ledger.account.cash / unit)
