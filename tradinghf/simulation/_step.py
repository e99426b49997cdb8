"""One bar of trading: `step_account`, the functional core of every simulation.

Order of events from one close to the next (docs/simulation.md has the diagram):

1. `fill="close"`: orders fill at the close they were decided on; accounts that their costs ruined
   are closed there;
2. the bar opens: splits and dividends, delistings, margin calls and exits that gapped;
3. `fill="next_open"`: orders fill at the open; waiting orders fill there in either case;
4. inside the bar: liquidation, stops, targets and waiting orders as the path must have met them
   (`trade_inside_bar`);
5. the bar closes: financing accrues, positions are marked, ruined accounts are closed.

What a `Setup` does not use is left out of the step.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tradinghf.simulation._account import MarketOrder
from tradinghf.simulation._costs import Liquidity
from tradinghf.simulation._exits import stop_out, take_profit
from tradinghf.simulation._financing import accrue, corporate_actions
from tradinghf.simulation._forced_trades import close_ruined, force_close, liquidate
from tradinghf.simulation._inside import trade_inside_bar
from tradinghf.simulation._ledger import Bar, Ledger, Tape, account_value
from tradinghf.simulation._orders import order_size, order_value
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._working_orders import (
    BarOrders,
    after_split,
    execute_and_book,
    fill_at_price,
    submit_orders,
)


def step_account(ledger: Ledger, orders: BarOrders, bar: Bar, setup: Setup) -> tuple[Ledger, Tape]:
    """Carry N accounts from one close to the next.

    Args:
        ledger: at the previous close.
        orders: [N, A] given at that close.
        bar: the bar that follows.
        setup: costs, limits and options.

    Returns:
        The ledger at the bar's close, and what was traded.

    """
    tape = Tape.blank(bar.close)
    if setup.fill == "close":
        ledger, tape = trade_at_close(ledger, tape, orders, setup)
        return trade_through_bar(ledger, tape, bar, setup)
    return trade_through_bar(ledger, tape, bar, setup, orders)


def trade_at_close(
    ledger: Ledger, tape: Tape, orders: BarOrders, setup: Setup
) -> tuple[Ledger, Tape]:
    """Fill orders at the close of the ledger's bar; limit and stop orders start to wait.

    What the fills cost may ruin an account: a short cover is paid whatever it costs.
    """
    ledger, tape, _ = _fill(ledger, tape, orders, ledger.close, ledger.liquidity, setup)
    return close_ruined(ledger, tape, setup)


def trade_through_bar(
    ledger: Ledger, tape: Tape, bar: Bar, setup: Setup, orders: BarOrders | None = None
) -> tuple[Ledger, Tape]:
    """Carry accounts through a bar: its open (where given `orders` fill), its range, its close."""
    ledger, tape = _open(ledger, tape, bar, setup)
    tried = torch.zeros_like(bar.close, dtype=torch.bool)
    if orders is not None:
        if bar.member is not None:  # no orders in assets that are not listed
            listed = orders.size.masked_fill(bar.member == 0, torch.nan)
            orders = replace(orders, size=listed)
        if bar.split is not None:
            orders = after_split(orders, bar.split)
        ledger, tape, tried = _fill(ledger, tape, orders, bar.open, bar.liquidity, setup)
    elif setup.waits:
        ledger, tape, tried = fill_at_price(ledger, tape, bar.open, bar.liquidity, setup)
    ledger, tape = trade_inside_bar(ledger, tape, bar, tried, setup)
    if setup.financing is not None:
        ledger, tape = accrue(ledger, tape, bar, setup.financing)
    ledger = replace(ledger, close=bar.close)
    if setup.keeps_liquidity:
        ledger = replace(ledger, liquidity=bar.liquidity)
    if setup.margin.maintenance and bar.close.shape[-1] > 1:
        ledger, tape = liquidate(ledger, tape, bar.close, setup)
    return close_ruined(ledger, tape, setup)


def _open(ledger: Ledger, tape: Tape, bar: Bar, setup: Setup) -> tuple[Ledger, Tape]:
    """What happens at the open before any order: splits, delistings, margin calls, gapped exits."""
    ledger, tape = corporate_actions(ledger, tape, bar)
    if bar.member is not None:
        # A delisted asset leaves at its last price.
        gone = bar.member == 0
        ledger, tape = force_close(ledger, tape, gone, ledger.close, setup.rates)
        if ledger.working is not None:  # its orders go with it
            left = ledger.working.size.masked_fill(gone, 0.0)
            ledger = replace(ledger, working=ledger.working.left(left))
    if setup.margin.maintenance:
        ledger, tape = liquidate(ledger, tape, bar.open, setup)
    if setup.exits:
        ledger, tape = stop_out(ledger, tape, bar.open, setup)
        ledger, tape = take_profit(ledger, tape, bar.open, setup)
    return ledger, tape


def _fill(
    ledger: Ledger,
    tape: Tape,
    orders: BarOrders,
    price: Tensor,
    liquidity: Liquidity | None,
    setup: Setup,
) -> tuple[Ledger, Tape, Tensor]:
    """Fill orders at `price` [N, A]; returns also where waiting orders were tried."""
    asked = orders.size.masked_fill(ledger.ruined, torch.nan)
    held, value = ledger.account.shares, account_value(ledger.account, price)
    size, percent = order_size(orders.kind, asked, held, price, value, setup.limits.side)
    if ledger.working is not None:
        ledger = replace(ledger, working=submit_orders(ledger.working, size, orders))
        # At a close only new orders fill: the bar's open and range had the waiting ones.
        only = ~size.isnan() if setup.fill == "close" else None
        return fill_at_price(ledger, tape, price, liquidity, setup, only)
    first = None  # what the orders of several assets are sorted by
    if price.shape[-1] > 1:
        first = order_value(orders.kind, asked, ledger.account, price, value, setup.limits.side)
    order = MarketOrder(size, price, liquidity, percent, setup.exposure(ledger, price))
    exits = (orders.stop_loss, orders.take_profit)
    ledger, tape = execute_and_book(ledger, tape, order, setup.rates, setup, exits, first)
    return ledger, tape, torch.zeros_like(price, dtype=torch.bool)
