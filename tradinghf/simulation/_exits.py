"""Stop-loss, take-profit and trailing stop.

A price that gaps through a level fills at the open; what happens inside a bar is decided by
`_inside.trade_inside_bar`. A stop is a market order (it pays slippage), a target a limit order (it
does not). Levels are set when a round trip opens, and stay.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tradinghf.config import Brackets
from tradinghf.simulation._forced_trades import force_close, is_quiet
from tradinghf.simulation._ledger import Exits, Ledger, Tape
from tradinghf.simulation._setup import Setup


def set_exits(
    before: Ledger,
    after: Ledger,
    price: Tensor,
    brackets: Brackets,
    stop_loss: Tensor | None = None,
    take_profit: Tensor | None = None,
) -> Ledger:
    """Levels for the round trips that a fill opened; others keep theirs.

    Args:
        before: the ledger before the fill.
        after: the ledger after it.
        price: [N, A] fill prices [currency].
        brackets: distances from the entry price.
        stop_loss: [N, A] levels given with the order [currency]; None or NaN uses `brackets`.
        take_profit: likewise.

    """
    exits = after.exits
    if exits is None:
        return after
    was, now = before.account.shares, after.account.shares
    opens = (now != 0) & (was * now <= 0)
    side = now.sign()

    def level(distance: float, given: Tensor | None) -> Tensor:
        usual = price * (1.0 + side * distance) if distance else torch.full_like(price, torch.nan)
        return usual if given is None else torch.where(given.isnan(), usual, given)

    return replace(
        after,
        exits=Exits(
            stop=torch.where(opens, level(-brackets.stop_loss, stop_loss), exits.stop),
            target=torch.where(opens, level(brackets.take_profit, take_profit), exits.target),
            best=torch.where(opens, price, exits.best),
        ),
    )


def stop_level(ledger: Ledger, exits: Exits, trailing: float) -> Tensor:
    """[N, A] the nearer of stop-loss and trailing stop; NaN where neither is set."""
    if not trailing:
        return exits.stop
    side = ledger.account.shares.sign()
    trail = exits.best * (1.0 - side * trailing)
    return torch.where(side > 0, torch.fmax(exits.stop, trail), torch.fmin(exits.stop, trail))


def stop_out(ledger: Ledger, tape: Tape, price: Tensor, setup: Setup) -> tuple[Ledger, Tape]:
    """Close, at `price` [N, A], the positions whose stop it reaches."""
    if ledger.exits is None:
        return ledger, tape
    level = stop_level(ledger, ledger.exits, setup.brackets.trailing_stop)
    hit, _ = level_reached(ledger, level, ledger.account.shares > 0, price, price, price)
    if setup.skips and is_quiet(ledger, hit):
        return ledger, tape
    return force_close(ledger, tape, hit, price, setup.rates)


def take_profit(ledger: Ledger, tape: Tape, price: Tensor, setup: Setup) -> tuple[Ledger, Tape]:
    """Close, at `price` [N, A], the positions whose target it reaches."""
    if ledger.exits is None:
        return ledger, tape
    level = ledger.exits.target
    hit, _ = level_reached(ledger, level, ledger.account.shares < 0, price, price, price)
    if setup.skips and is_quiet(ledger, hit):
        return ledger, tape
    return force_close(ledger, tape, hit, price, setup.passive_rates)


def level_reached(
    ledger: Ledger, level: Tensor, below: Tensor, first: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Where an open position's level [N, A] was reached, and the price that it fills at.

    Args:
        ledger: before.
        level: the prices in question [currency]; NaN is none.
        below: [N, A] bool, the level lies below the market, else above it.
        first: [N, A] price at which the range was entered: a level beyond it fills there.
        low: [N, A] lowest price.
        high: [N, A] highest price.

    """
    held = ledger.account.shares != 0
    hit = held & torch.where(below, low <= level, high >= level)
    return hit, torch.where(below, torch.fmin(level, first), torch.fmax(level, first))


def move_trailing_stops(ledger: Ledger, low: Tensor, high: Tensor) -> Ledger:
    """Move the trailing stops' reference to the best price [N, A] seen, for the next bar."""
    if ledger.exits is None:
        return ledger
    best, shares = ledger.exits.best, ledger.account.shares
    best = torch.where(shares > 0, torch.fmax(best, high), torch.fmin(best, low))
    return replace(ledger, exits=replace(ledger.exits, best=best))
