"""The accounting core: executes one order per account, for any number of accounts at once.

Pure tensor functions, elementwise over accounts, with no host synchronisation. The semantics are
those of `vectorbt.Portfolio.from_orders` (docs/simulation.md lists them and what goes beyond);
the parity tests hold the two together to 1e-9.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tradinghf.config import Side
from tradinghf.errors import ConfigError
from tradinghf.simulation._costs import (
    Liquidity,
    Rate,
    Rates,
    affordable,
    fee,
    fill_price,
    unit_cost,
)
from tradinghf.simulation._tolerance import ABSOLUTE, at_most, is_off, less, snapped_sum


@dataclass(frozen=True)
class Limits:
    """The fields of `TradingRules` as the core reads them: numbers, or one value per account.

    `exact_lots` stands for `lot_mode="exact"`.
    """

    side: Side = "both"
    lot: Rate = 0.0
    exact_lots: bool = True
    min_size: Rate = 1e-8
    max_size: Rate = 0.0
    min_notional: Rate = 0.0
    max_position: Rate = 0.0
    allow_partial: bool = True
    lock_cash: bool = False


@dataclass(frozen=True)
class Account:
    """Money and shares of N accounts that trade A assets.

    Attributes:
        cash: [N, 1] [currency].
        shares: [N, A] signed positions.
        debt: [N, A] short-sale proceeds at entry [currency]; None where nothing depends on it.
        free: [N, 1] cash that is neither proceeds nor collateral of shorts [currency]; or None.

    """

    cash: Tensor
    shares: Tensor
    debt: Tensor | None = None
    free: Tensor | None = None

    def pay_in(self, amount: Tensor) -> Account:
        """The account with `amount` [N, 1] more cash, none of it locked [currency]."""
        free = None if self.free is None else self.free + amount
        return replace(self, cash=self.cash + amount, free=free)

    @classmethod
    def open(cls, cash: Tensor, shares: Tensor, *, track_shorts: bool = False) -> Account:
        """A new account; locked cash and percent orders need `track_shorts`."""
        if not track_shorts:
            return cls(cash, shares)
        return cls(cash, shares, debt=torch.zeros_like(shares), free=cash)


@dataclass(frozen=True)
class Fill:
    """The executed part of an order; each tensor has the order's shape.

    Attributes:
        size: signed shares traded; 0 where nothing was.
        price: paid or received [currency]; of no meaning where nothing was traded.
        fee: [currency].
        reference: price before slippage [currency]; None before the fill is booked.

    """

    size: Tensor
    price: Tensor
    fee: Tensor
    reference: Tensor | None = None


def _round_lots(size: Tensor, limits: Limits) -> Tensor:
    """Round a size down to whole lots; infinite stays infinite."""
    lot = limits.lot
    if is_off(lot):
        return size
    if not limits.exact_lots:
        return torch.where(size.isinf(), size, torch.floor_divide(size, lot) * lot)
    lots = size / lot
    nearest = lots.round()
    return torch.where((lots - nearest).abs() <= 1e-9 * nearest.abs(), nearest, lots.floor()) * lot


@dataclass(frozen=True)
class MarketOrder:
    """One market order per account and asset; tensors [N, A] unless noted.

    Attributes:
        size: signed shares wanted; NaN is no order.
        price: reference price [currency].
        liquidity: of the bar; needed for market impact.
        percent: share of the available cash (buys) or of what can be sold (sells), for orders
            whose size is infinite; NaN elsewhere.
        exposure: [N, 1] largest gross value of all positions [currency]; makes it a margin
            account, whose cash may go negative. None is a cash account, whose buys are limited
            by cash.

    """

    size: Tensor
    price: Tensor
    liquidity: Liquidity | None = None
    percent: Tensor | None = None
    exposure: Tensor | None = None


def execute(
    account: Account, order: MarketOrder, rates: Rates, limits: Limits
) -> tuple[Account, Fill]:
    """Execute one order per account, in one asset: A = 1.

    Returns:
        The account afterwards, and the fill.

    """
    size, buying = order.size, order.size > 0
    paid = fill_price(order.price, buying, size, rates, order.liquidity)
    cuts = _Cuts(account, order, buying, paid, rates, limits)
    done = _round_lots(cuts.within_rules(cuts.within_side(cuts.available())), limits)
    if order.exposure is None:
        done = torch.where(buying, cuts.within_cash(done), done)
    notional = done * paid
    fees = fee(done, notional, rates)
    ok = (done > ABSOLUTE) & (buying | (notional >= fees)) & cuts.accepts(done, notional)
    refused = ~ok
    fees = fees.masked_fill(refused, 0.0)
    signed = torch.where(buying, done, -done).masked_fill(refused, 0.0)
    return _settle(account, signed, fees, paid), Fill(size=signed, price=paid, fee=fees)


@dataclass(frozen=True)
class _Cuts:
    """What cuts an order's size: each method applies one kind of limit.

    Attributes:
        buying: [N, 1] bool.
        paid: [N, 1] price of its fill [currency].
        account, order, rates, limits: as in `execute`.

    """

    account: Account
    order: MarketOrder
    buying: Tensor
    paid: Tensor
    rates: Rates
    limits: Limits

    def available(self) -> Tensor:
        """|size|, cut to what may be sold where cash is locked or a percentage is asked for."""
        wanted, percent = self.order.size.abs(), self.order.percent
        locked = self.limits.lock_cash
        if self.limits.side == "long":
            if percent is None:
                return wanted
            held = percent * self.account.shares.clamp_min(0.0)
            return torch.where(self.buying | percent.isnan(), wanted, held)
        if not locked and percent is None:
            return wanted
        room = _sellable(self.account, self.paid, self.rates)
        capped = torch.minimum(wanted, room) if locked else wanted
        if percent is not None:
            part = percent * room
            part = torch.minimum(part, room) if locked else part
            capped = torch.where(percent.isnan(), capped, part)
        return torch.where(self.buying, wanted, capped)

    def within_side(self, wanted: Tensor) -> Tensor:
        """Cut where the position would leave the allowed side."""
        shares = self.account.shares
        if self.limits.side == "long":
            return torch.where(self.buying, wanted, torch.minimum(wanted, shares))
        if self.limits.side == "short":
            return torch.where(self.buying, torch.minimum(wanted, -shares), wanted)
        return wanted

    def within_rules(self, wanted: Tensor) -> Tensor:
        """At most the largest order, position and exposure."""
        limits, clipped = self.limits, wanted
        if not is_off(limits.max_size):
            over = clipped.clamp_max(limits.max_size)
            clipped = over if limits.allow_partial else torch.where(over < clipped, 0.0, clipped)
        held = torch.where(self.buying, self.account.shares, -self.account.shares)
        if not is_off(limits.max_position):
            clipped = torch.minimum(clipped, (limits.max_position - held).clamp_min(0.0))
        if self.order.exposure is not None:
            most = self.order.exposure / self.paid
            clipped = torch.minimum(clipped, (most - held).clamp_min(0.0))
        return clipped

    def within_cash(self, wanted: Tensor) -> Tensor:
        """Of a buy, what the cash pays for, fees included; not positive where it pays none."""
        cash, lot = self._cash(), self.limits.lot
        most = affordable(cash, self.paid, self.rates) / self.paid
        if is_off(lot):
            return torch.minimum(wanted, most)
        # Rounding must not cost a lot that the cash just pays for.
        notional = wanted * self.paid
        enough = at_most(notional + fee(wanted, notional, self.rates), cash)
        return torch.where(enough, wanted, _round_lots(most, self.limits))

    def _cash(self) -> Tensor:
        """Cash that a buy may spend [currency]."""
        limit = self.account.cash
        if self.limits.lock_cash:
            limit = torch.minimum(_unlocked_cash(self.account, self.paid, self.rates), limit)
        if self.order.percent is not None:
            part = torch.minimum(limit, self.order.percent * limit)
            limit = torch.where(self.order.percent.isnan(), limit, part)
        return limit

    def accepts(self, done: Tensor, notional: Tensor) -> Tensor:
        """Minimum size and notional, and no partial fill where it is not allowed."""
        limits = self.limits
        ok = ~less(done, limits.min_size)
        if not is_off(limits.min_notional):
            ok = ok & ~less(notional, limits.min_notional)
        if not limits.allow_partial:
            ok = ok & ~(less(done, self.order.size.abs()) & self.order.size.isfinite())
        return ok


def _settle(account: Account, signed: Tensor, fees: Tensor, paid: Tensor) -> Account:
    """Move cash and shares; new shorts book their proceeds as debt and lock twice that."""
    before = account.shares
    flow = -(signed * paid + fees)
    cash, shares = snapped_sum(account.cash, flow), snapped_sum(before, signed)
    if account.debt is None or account.free is None:
        return Account(cash, shares)
    opened = torch.minimum(-signed, -shares).clamp_min(0.0) * paid
    covered = torch.minimum(signed, -before).clamp_min(0.0)
    released = torch.where(covered > 0, covered * (account.debt / before.abs()), 0.0)
    return Account(
        cash,
        shares,
        debt=snapped_sum(account.debt, opened - released),
        free=snapped_sum(account.free + 2.0 * released, flow - 2.0 * opened),
    )


def _sellable(account: Account, paid: Tensor, rates: Rates) -> Tensor:
    """Shares that may be sold: the long position, and what free cash covers as a short."""
    if account.free is None:
        raise _untracked()
    held = account.shares.clamp_min(0.0)
    free = snapped_sum(account.free, held * paid * (1.0 - rates.fee))
    short = snapped_sum(free, torch.zeros_like(free) - rates.fixed) / unit_cost(paid, rates)
    return torch.where(free <= 0, held, snapped_sum(held, short)).clamp_min(0.0)


def _unlocked_cash(account: Account, paid: Tensor, rates: Rates) -> Tensor:
    """Cash for a buy when short-sale proceeds are locked: covering frees its own collateral."""
    if account.free is None or account.debt is None:
        raise _untracked()
    short = account.shares.abs()
    unit = unit_cost(paid, rates)
    released = account.free + 2.0 * account.debt
    left = snapped_sum(released, -(short * unit + rates.fixed))
    entry = account.debt / short
    part = (account.free - rates.fixed) / (unit - 2.0 * entry) * unit + rates.fixed
    limit = torch.where(left > 0, released, torch.where(left < 0, part, account.cash))
    return torch.where(account.shares >= 0, account.free, limit)


def _untracked() -> ConfigError:
    return ConfigError(
        "lock_cash and percent orders need Account.debt and Account.free, which are None. "
        "Open the account with Account.open(..., track_shorts=True)."
    )
