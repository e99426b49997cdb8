"""The accounting core: one order in, one fill out, for any number of accounts at once.

Pure tensor functions, elementwise over accounts, with no host synchronisation. The semantics are
those of `vectorbt.Portfolio.from_orders` (docs/simulation.md lists them and what goes beyond);
the parity tests hold the two together to 1e-9.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tradinghf.config import Side
from tradinghf.errors import ConfigError
from tradinghf.simulation.costs import Liquidity, Rate, Rates, affordable, fee, fill_price
from tradinghf.simulation.numeric import ABSOLUTE, add, at_most, is_off, less


@dataclass(frozen=True)
class Limits:
    """`TradingRules` as the core reads them: numbers, or tensors with one value per account.

    Attributes:
        side: directions allowed.
        lot: [shares]; 0 trades fractions.
        exact_lots: keep decimal multiples whole.
        min_size, max_size: [shares].
        min_notional: [currency].
        max_position: [shares]; 0 is none.
        allow_partial: accept a fill smaller than the order.
        lock_cash: short-sale proceeds and collateral cannot be spent.

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

    @classmethod
    def open(cls, cash: Tensor, shares: Tensor, *, track_shorts: bool = False) -> Account:
        """A fresh account; `track_shorts` keeps the book that locked cash and percents need."""
        if not track_shorts:
            return cls(cash, shares)
        return cls(cash, shares, debt=torch.zeros_like(shares), free=cash)


@dataclass(frozen=True)
class Fill:
    """What an order became; each tensor has the order's shape.

    Attributes:
        size: signed shares traded; 0 where nothing was.
        price: paid or received [currency]; of no meaning where nothing was traded.
        fee: [currency].

    """

    size: Tensor
    price: Tensor
    fee: Tensor


def round_lots(size: Tensor, limits: Limits) -> Tensor:
    """Round a size down to whole lots; infinite stays infinite."""
    lot = limits.lot
    if is_off(lot):
        return size
    if not limits.exact_lots:
        return torch.where(size.isinf(), size, torch.floor_divide(size, lot) * lot)
    lots = size / lot
    nearest = lots.round()
    return torch.where((lots - nearest).abs() <= 1e-9 * nearest.abs(), nearest, lots.floor()) * lot


def execute(
    account: Account,
    size: Tensor,
    price: Tensor,
    rates: Rates,
    limits: Limits,
    *,
    liquidity: Liquidity | None = None,
    percent: Tensor | None = None,
    exposure: Tensor | None = None,
) -> tuple[Account, Fill]:
    """Execute one market order per account, in one asset.

    Args:
        account: before the order; A = 1.
        size: [N, 1] signed shares wanted; NaN is no order.
        price: [N, 1] reference price [currency].
        rates: costs.
        limits: order limits.
        liquidity: of the bar; needed for market impact.
        percent: [N, 1] share of the available cash (buys) or of what can be sold (sells), for
            orders whose size is infinite; NaN elsewhere.
        exposure: [N, 1] largest value the position may reach [currency]; makes it a margin account,
            whose cash may go negative. None is a cash account, whose buys are limited by cash.

    Returns:
        The account afterwards, and the fill.

    """
    buying = size > 0
    paid = fill_price(price, buying, size, rates, liquidity)
    wanted = _available(account, size, buying, paid, rates, limits, percent)
    wanted = _clip_to_side(wanted, account, buying, limits)
    wanted = round_lots(_clip_to_rules(wanted, account, buying, paid, limits, exposure), limits)
    done = wanted
    if exposure is None:
        cash = _cash_limit(account, buying, paid, rates, limits, percent)
        done = torch.where(buying, _within_cash(wanted, cash, paid, rates, limits), wanted)
    notional = done * paid
    fees = fee(done, notional, rates)
    ok = (done > ABSOLUTE) & (buying | (notional >= fees)) & _accepted(done, notional, size, limits)
    refused = ~ok
    fees = fees.masked_fill(refused, 0.0)
    signed = torch.where(buying, done, -done).masked_fill(refused, 0.0)
    return _settle(account, signed, fees, paid), Fill(size=signed, price=paid, fee=fees)


def _within_cash(
    wanted: Tensor, cash: Tensor, paid: Tensor, rates: Rates, limits: Limits
) -> Tensor:
    """Shrink a buy to what `cash` pays for, its fees included; not positive where it pays none."""
    most = affordable(cash, paid, rates) / paid
    if is_off(limits.lot):
        return torch.minimum(wanted, most)
    # Rounding must not cost a lot that the cash just pays for.
    notional = wanted * paid
    enough = at_most(notional + fee(wanted, notional, rates), cash)
    return torch.where(enough, wanted, round_lots(most, limits))


def _cash_limit(
    account: Account,
    buying: Tensor,
    paid: Tensor,
    rates: Rates,
    limits: Limits,
    percent: Tensor | None,
) -> Tensor:
    """Cash that a buy may spend [currency]."""
    limit = account.cash
    if limits.lock_cash:
        limit = torch.minimum(_unlocked_cash(account, paid, rates), limit)
    if percent is not None:
        part = torch.minimum(limit, percent * limit)
        limit = torch.where(percent.isnan(), limit, part)
    return limit


def _available(
    account: Account,
    size: Tensor,
    buying: Tensor,
    paid: Tensor,
    rates: Rates,
    limits: Limits,
    percent: Tensor | None,
) -> Tensor:
    """|size|, cut to what may be sold where cash is locked or a percentage is asked for."""
    wanted = size.abs()
    if limits.side == "long":
        if percent is None:
            return wanted
        held = percent * account.shares.clamp_min(0.0)
        return torch.where(buying | percent.isnan(), wanted, held)
    if not limits.lock_cash and percent is None:
        return wanted
    room = _sellable(account, paid, rates)
    capped = torch.minimum(wanted, room) if limits.lock_cash else wanted
    if percent is not None:
        part = percent * room
        part = torch.minimum(part, room) if limits.lock_cash else part
        capped = torch.where(percent.isnan(), capped, part)
    return torch.where(buying, wanted, capped)


def _clip_to_side(wanted: Tensor, account: Account, buying: Tensor, limits: Limits) -> Tensor:
    """Long-only sells stop at flat; short-only buys do."""
    if limits.side == "long":
        return torch.where(buying, wanted, torch.minimum(wanted, account.shares))
    if limits.side == "short":
        return torch.where(buying, torch.minimum(wanted, -account.shares), wanted)
    return wanted


def _clip_to_rules(
    wanted: Tensor,
    account: Account,
    buying: Tensor,
    paid: Tensor,
    limits: Limits,
    exposure: Tensor | None,
) -> Tensor:
    """Largest order, position and exposure."""
    clipped = wanted
    if not is_off(limits.max_size):
        over = clipped.clamp_max(limits.max_size)
        clipped = over if limits.allow_partial else torch.where(over < clipped, 0.0, clipped)
    held = torch.where(buying, account.shares, -account.shares)
    if not is_off(limits.max_position):
        clipped = torch.minimum(clipped, (limits.max_position - held).clamp_min(0.0))
    if exposure is not None:
        clipped = torch.minimum(clipped, (exposure / paid - held).clamp_min(0.0))
    return clipped


def _accepted(done: Tensor, notional: Tensor, size: Tensor, limits: Limits) -> Tensor:
    """Minimum size and notional, and no partial fill where it is not allowed."""
    ok = ~less(done, limits.min_size)
    if not is_off(limits.min_notional):
        ok = ok & ~less(notional, limits.min_notional)
    if not limits.allow_partial:
        ok = ok & ~(less(done, size.abs()) & size.isfinite())
    return ok


def _settle(account: Account, signed: Tensor, fees: Tensor, paid: Tensor) -> Account:
    """Move cash and shares; new shorts book their proceeds as debt and lock twice that."""
    before = account.shares
    flow = -(signed * paid + fees)
    cash, shares = add(account.cash, flow), add(before, signed)
    if account.debt is None or account.free is None:
        return Account(cash, shares)
    opened = torch.minimum(-signed, -shares).clamp_min(0.0) * paid
    covered = torch.minimum(signed, -before).clamp_min(0.0)
    released = torch.where(covered > 0, covered * (account.debt / before.abs()), 0.0)
    return Account(
        cash,
        shares,
        debt=add(account.debt, opened - released),
        free=add(account.free + 2.0 * released, flow - 2.0 * opened),
    )


def _sellable(account: Account, paid: Tensor, rates: Rates) -> Tensor:
    """Shares that may be sold: the long position, and what free cash covers as a short."""
    if account.free is None:
        raise _untracked()
    held = account.shares.clamp_min(0.0)
    free = add(account.free, held * paid * (1.0 - rates.fee))
    short = add(free, torch.zeros_like(free) - rates.fixed) / _unit_cost(paid, rates)
    return torch.where(free <= 0, held, add(held, short)).clamp_min(0.0)


def _unlocked_cash(account: Account, paid: Tensor, rates: Rates) -> Tensor:
    """Cash for a buy when short-sale proceeds are locked: covering frees its own collateral."""
    if account.free is None or account.debt is None:
        raise _untracked()
    short = account.shares.abs()
    unit = _unit_cost(paid, rates)
    released = account.free + 2.0 * account.debt
    left = add(released, -(short * unit + rates.fixed))
    entry = account.debt / short
    part = (account.free - rates.fixed) / (unit - 2.0 * entry) * unit + rates.fixed
    limit = torch.where(left > 0, released, torch.where(left < 0, part, account.cash))
    return torch.where(account.shares >= 0, account.free, limit)


def _unit_cost(paid: Tensor, rates: Rates) -> Tensor:
    """Cash per share, proportional fees included [currency]."""
    return paid * (1.0 + rates.fee) + rates.per_share


def _untracked() -> ConfigError:
    return ConfigError(
        "lock_cash and percent orders need Account.debt and Account.free, which are None. "
        "Open the account with Account.open(..., track_shorts=True)."
    )
