"""Converts the six kinds of order size to signed shares."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from tradinghf.config import Side
from tradinghf.errors import ConfigError, unknown_name
from tradinghf.simulation._account import Account

SizeKind = Literal[
    "amount", "value", "percent", "target_amount", "target_value", "target_percent", "signal"
]
_SIZE_KINDS: tuple[str, ...] = get_args(SizeKind)


def order_size(
    kind: SizeKind,
    asked: Tensor,
    shares: Tensor,
    price: Tensor,
    value: Tensor,
    side: Side = "both",
) -> tuple[Tensor, Tensor | None]:
    """Signed shares to trade.

    amount: shares. value: currency. percent: fraction of the cash (buys) or of what can be sold
    (sells). target_*: the same as the position to end at; target_percent is a fraction of the
    account's value. signal: as target_percent, but nothing where the position already has that
    sign: an entry that repeats itself is one entry.

    Args:
        kind: how `asked` is meant.
        asked: [..., A] order; NaN is no order. `side="short"` counts shorts as positive.
        shares: [..., A] position.
        price: [..., A] valuation price [currency].
        value: [..., 1] value of the account at those prices [currency].
        side: directions allowed.

    Returns:
        size: [..., A] signed shares, NaN for no order, infinite where a percentage decides;
        percent: [..., A] that percentage for `kind="percent"`, else None.

    Raises:
        ConfigError: unknown kind.

    """
    asked = -asked if side == "short" else asked
    match kind:
        case "target_percent":
            # An account without value has no fraction to give: its orders are refused.
            wanted = asked * value / price - shares
            return wanted.masked_fill(value <= 0, torch.nan), None
        case "signal":
            wanted = asked * value / price - shares
            return wanted.masked_fill((value <= 0) | (asked * shares > 0), torch.nan), None
        case "target_value":
            return asked / price - shares, None
        case "target_amount":
            return asked - shares, None
        case "value":
            return asked / price, None
        case "amount":
            return asked, None
        case "percent":
            return torch.where(asked == 0, 0.0, asked * torch.inf), asked.abs()
    raise ConfigError(unknown_name("order size kind", kind, _SIZE_KINDS))


def order_value(
    kind: SizeKind,
    asked: Tensor,
    account: Account,
    price: Tensor,
    value: Tensor,
    side: Side = "both",
) -> Tensor:
    """[N, A] signed value of each order as far as it is known before trading [currency].

    Sells go before buys by it; arguments as in `order_size`.
    """
    asked = -asked if side == "short" else asked
    held = account.shares * price
    match kind:
        case "target_percent" | "signal":
            return asked * value - held
        case "target_value":
            return asked - held
        case "target_amount":
            return asked * price - held
        case "value":
            return asked
        case "amount":
            return asked * price
    free = account.cash if account.free is None else account.free
    sellable = held if side == "long" else 2.0 * held.clamp_min(0.0) + free.clamp_min(0.0)
    return torch.where(asked >= 0, asked * account.cash, asked * sellable)
