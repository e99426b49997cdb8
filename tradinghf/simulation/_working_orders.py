"""Orders that wait: limit, stop and stop-limit orders, and what a bar's volume left unfilled.

A new order replaces the one that waits. A gap fills at the open: a buy stop below the open and a
buy limit above it both trade there. When a bar reaches both prices of a stop-limit order whose
limit lies on the near side of its stop, the limit counts in that bar where the close lies beyond
it, and else from the next bar on. A limit order pays no slippage when the market comes to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.simulation._account import MarketOrder
from tradinghf.simulation._costs import Liquidity, Rates
from tradinghf.simulation._exits import set_exits
from tradinghf.simulation._ledger import Bar, Ledger, Tape, Working, book_fills
from tradinghf.simulation._orders import SizeKind
from tradinghf.simulation._portfolio import execute_all
from tradinghf.simulation._setup import Setup


@dataclass(frozen=True)
class BarOrders:
    """What is asked for at a close.

    Attributes:
        size: [N, A], as `kind` means it; NaN is no order.
        kind: see `order_size`.
        limit: [N, A] worst acceptable price [currency]; None or NaN is any.
        stop: [N, A] price that activates the order [currency]; None or NaN is active.
        stop_loss: [N, A] exit of the position that the order opens [currency]; None or NaN is
            the setup's.
        take_profit: likewise.

    """

    size: Tensor
    kind: SizeKind = "target_percent"
    limit: Tensor | None = None
    stop: Tensor | None = None
    stop_loss: Tensor | None = None
    take_profit: Tensor | None = None


@dataclass(frozen=True)
class PricedOrders(BarOrders):
    """Orders of an environment's actions that name prices.

    Attributes:
        manner: [N, A] what tells orders of the same target apart; None where they came otherwise.

    """

    manner: Tensor | None = None


IN_SHARES = ("amount", "target_amount")
"""Kinds of size that count shares, which a split changes."""


def after_split(orders: BarOrders, split: Tensor) -> BarOrders:
    """Orders decided before a split, in the shares and prices after it, as brokers keep them.

    Args:
        orders: decided at the close before.
        split: [N, A] new shares per old one, at the open.

    """

    def moved(price: Tensor | None) -> Tensor | None:
        return None if price is None else price / split

    return replace(
        orders,
        size=orders.size * split if orders.kind in IN_SHARES else orders.size,
        limit=moved(orders.limit),
        stop=moved(orders.stop),
        stop_loss=moved(orders.stop_loss),
        take_profit=moved(orders.take_profit),
    )


def waiting_part(ledger: Ledger, volatility: Tensor, floor: float) -> list[Tensor]:
    """What is observed of orders that wait: three columns [N, A], none where none can wait.

    The size [fraction of equity], and its limit and its stop as distance from the close
    [volatilities of one bar], 0 where there is none.

    Args:
        ledger: at a close.
        volatility: [N, A] of one bar's log return.
        floor: least equity that is divided by [currency].

    """
    working = ledger.working
    if working is None:
        return []
    worth = working.size * ledger.close / ledger.equity.clamp_min(floor)

    def distance(price: Tensor) -> Tensor:
        away = (price / ledger.close).log() / volatility
        return away.masked_fill((working.size == 0) | price.isnan(), 0.0)

    return [worth, distance(working.limit), distance(working.stop)]


def submit_orders(working: Working, size: Tensor, orders: BarOrders) -> Working:
    """Replace what waits where a new order of `size` [N, A] signed shares (NaN: none) came."""
    new = ~size.isnan()

    def pick(given: Tensor | None, old: Tensor) -> Tensor:
        return torch.where(new, torch.nan if given is None else given, old)

    return Working(
        size=torch.where(new, size, working.size),
        limit=pick(orders.limit, working.limit),
        stop=pick(orders.stop, working.stop),
        stop_loss=pick(orders.stop_loss, working.stop_loss),
        take_profit=pick(orders.take_profit, working.take_profit),
        begun=working.begun & ~new,
    )


def fill_at_price(
    ledger: Ledger,
    tape: Tape,
    price: Tensor,
    liquidity: Liquidity | None,
    setup: Setup,
    only: Tensor | None = None,
) -> tuple[Ledger, Tape, Tensor]:
    """Fill what is executable at one price.

    Args:
        ledger: before.
        tape: of the bar so far.
        price: [N, A] the open, or the close of the decision [currency].
        liquidity: of the bar.
        setup: costs and limits.
        only: [N, A] bool, orders to try; None tries all.

    Returns:
        Ledger, tape, and [N, A] bool: where an order was tried.

    """
    w = ledger.working
    if w is None:
        return ledger, tape, torch.zeros_like(price, dtype=torch.bool)
    buying = w.size > 0
    reached = w.stop.isnan() | torch.where(buying, price >= w.stop, price <= w.stop)
    acceptable = w.limit.isnan() | torch.where(buying, price <= w.limit, price >= w.limit)
    ready = reached & acceptable & (w.size != 0)
    ready = ready if only is None else ready & only
    ledger = replace(ledger, working=replace(w, stop=torch.where(reached, torch.nan, w.stop)))
    ledger, tape = _fill(ledger, tape, ready, price, liquidity, setup.rates, setup)
    return ledger, tape, ready


@dataclass(frozen=True)
class Reached:
    """Waiting orders that a bar's range reaches after its open; each [N, A].

    Attributes:
        price: where the order fills [currency]; NaN where none does.
        passive: bool, the market comes to a limit.
        activated: bool, the order's stop was reached.
        falling: bool, the price fell to the order and had not been lower in the bar.
        rising: bool, it rose to the order and had not been higher.
        ambiguous: bool, whether the order is reached depends on the path.

    """

    price: Tensor
    passive: Tensor
    activated: Tensor
    falling: Tensor
    rising: Tensor
    ambiguous: Tensor


def reached_inside(w: Working, bar: Bar, tried: Tensor, *, hopeful: bool) -> Reached:
    """What the bar's range reaches after its open, unless `tried` [N, A] there.

    `hopeful`: what may have been reached was.
    """
    buying, waits = w.size > 0, (w.size != 0) & ~tried
    activated = waits & torch.where(buying, bar.high >= w.stop, bar.low <= w.stop)
    # Activated at the stop price: a limit beyond it is executable there; to a nearer one the
    # price has to come back, which only a close beyond the limit proves.
    through = w.limit.isnan() | torch.where(buying, w.limit > w.stop, w.limit < w.stop)
    near = activated & ~through
    sure = near & torch.where(buying, bar.close <= w.limit, bar.close >= w.limit)
    may = near & torch.where(buying, bar.low <= w.limit, bar.high >= w.limit)
    resting = waits & w.stop.isnan() & ~w.limit.isnan()
    at_limit = resting & torch.where(buying, bar.low <= w.limit, bar.high >= w.limit)
    at_stop = activated & through
    passive = at_limit | (may if hopeful else sure)
    price = torch.where(at_stop, w.stop, torch.where(passive, w.limit, torch.nan))
    falling = torch.where(buying, at_limit, at_stop)
    rising = torch.where(buying, at_stop, at_limit)
    return Reached(price, passive, activated, falling, rising, ambiguous=may & ~sure)


def fill_reached(
    ledger: Ledger, tape: Tape, reached: Reached, liquidity: Liquidity | None, setup: Setup
) -> tuple[Ledger, Tape]:
    """Fill what the bar's range reached."""
    w = ledger.working
    if w is None:
        return ledger, tape
    stop = torch.where(reached.activated, torch.nan, w.stop)
    ledger = replace(ledger, working=replace(w, stop=stop))
    price = reached.price
    active = ~price.isnan() & ~reached.passive
    ledger, tape = _fill(ledger, tape, active, price, liquidity, setup.rates, setup)
    rates = setup.passive_rates
    return _fill(ledger, tape, reached.passive, price, liquidity, rates, setup)


def _fill(
    ledger: Ledger,
    tape: Tape,
    ready: Tensor,
    price: Tensor,
    liquidity: Liquidity | None,
    rates: Rates,
    setup: Setup,
) -> tuple[Ledger, Tape]:
    """Execute the waiting orders where `ready`; keep what volume left over, drop the rest."""
    w = ledger.working
    if w is None or (setup.skips and not bool(ready.any())):
        return ledger, tape
    size = torch.where(ready, w.size, torch.nan)
    left = torch.where(ready, 0.0, w.size)
    if setup.participation and liquidity is not None:
        most = liquidity.volume * setup.participation
        size = size.clamp(-most, most)
        left = torch.where(ready, w.size - size, w.size)
    price = torch.where(ready, price, ledger.close)
    order = MarketOrder(size, price, liquidity, exposure=setup.exposure(ledger, price))
    exits = (w.stop_loss, w.take_profit)
    ledger, tape = execute_and_book(ledger, tape, order, rates, setup, exits)
    return replace(ledger, working=replace(w, begun=w.begun | ready).left(left)), tape


def execute_and_book(
    ledger: Ledger,
    tape: Tape,
    order: MarketOrder,
    rates: Rates,
    setup: Setup,
    exits: tuple[Tensor | None, Tensor | None],
    order_value: Tensor | None = None,
) -> tuple[Ledger, Tape]:
    """Execute orders [N, A] (see `execute_all`), book the fills, and set their exits."""
    account, fills = execute_all(
        ledger.account, order, rates, setup.limits, order_value=order_value
    )
    after, tape = book_fills(ledger, tape, account, fills, order.price)
    return set_exits(ledger, after, fills.price, setup.brackets, *exits), tape
