"""Stop-loss, take-profit and trailing stop.

Inside a bar the stop is assumed to come before the target; a price that gaps through a level fills
at the open. A stop is a market order (it pays slippage), a target a limit order (it does not).
Levels are set when a round trip opens, and stay. An exit of a position that opened inside the bar
(by a waiting order) counts from the next bar on, since the path inside the bar is not known.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tradinghf.config import Brackets
from tradinghf.simulation._forced_trades import force_close
from tradinghf.simulation._ledger import Bar, Exits, Ledger, Tape
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


def stop_out(
    ledger: Ledger, tape: Tape, first: Tensor, low: Tensor, high: Tensor, setup: Setup
) -> tuple[Ledger, Tape]:
    """Close positions whose stop lies within [low, high], or that opened beyond it.

    Args:
        ledger: before.
        tape: of the bar so far.
        first: [N, A] price at which the range was entered: a stop beyond it fills there.
        low: [N, A] lowest price.
        high: [N, A] highest price.
        setup: costs, and the trailing distance.

    """
    if ledger.exits is None:
        return ledger, tape
    level = stop_level(ledger, ledger.exits, setup.brackets.trailing_stop)
    hit, price = level_reached(ledger, level, ledger.account.shares > 0, first, low, high)
    return force_close(ledger, tape, hit, price, setup.rates)


def take_profit(
    ledger: Ledger, tape: Tape, first: Tensor, low: Tensor, high: Tensor, setup: Setup
) -> tuple[Ledger, Tape]:
    """Close positions whose target lies within [low, high]; arguments as in `stop_out`."""
    if ledger.exits is None:
        return ledger, tape
    level = ledger.exits.target
    hit, price = level_reached(ledger, level, ledger.account.shares < 0, first, low, high)
    return force_close(ledger, tape, hit, price, setup.passive_rates)


def level_reached(
    ledger: Ledger, level: Tensor, below: Tensor, first: Tensor, low: Tensor, high: Tensor
) -> tuple[Tensor, Tensor]:
    """Where an open position's level [N, A] was reached, and the price that it fills at.

    `below` [N, A]: the level lies below the market, else above it; the rest as in `stop_out`.
    """
    held = ledger.account.shares != 0
    hit = held & torch.where(below, low <= level, high >= level)
    return hit, torch.where(below, torch.fmin(level, first), torch.fmax(level, first))


def move_trailing_stops(ledger: Ledger, bar: Bar) -> Ledger:
    """Move the trailing stops' reference to the best price of the bar, for the next one."""
    if ledger.exits is None:
        return ledger
    best, shares = ledger.exits.best, ledger.account.shares
    best = torch.where(shares > 0, torch.fmax(best, bar.high), torch.fmin(best, bar.low))
    return replace(ledger, exits=replace(ledger.exits, best=best))
