"""Executes a bar's orders in several assets that share one cash account, sells before buys."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from tradinghf.simulation.account import Account, Fill, Limits, execute
from tradinghf.simulation.costs import Liquidity, Rates

Settings = TypeVar("Settings", Rates, Limits, Liquidity)


def execute_all(
    account: Account,
    size: Tensor,
    price: Tensor,
    rates: Rates,
    limits: Limits,
    *,
    order_value: Tensor | None = None,
    liquidity: Liquidity | None = None,
    percent: Tensor | None = None,
    exposure: Tensor | None = None,
) -> tuple[Account, Fill]:
    """Execute one order per account and asset against each account's shared cash.

    Several assets trade by rising order value: sells first, so that they pay for the buys, then
    the smallest buys; orders of equal value in the order of the assets.

    Args:
        account: before the orders.
        size: [N, A] signed shares; NaN is no order.
        price: [N, A] reference prices [currency].
        rates: costs; tensors are [N, 1] or [N, A], here and in the next two.
        limits: order limits.
        order_value: [N, A] signed values that set the sequence; None means size * price.
        liquidity: of the bar; needed for market impact.
        percent: [N, A], as in `execute`.
        exposure: [N, 1] largest gross value of all positions [currency]; None: a cash account.

    Returns:
        The account afterwards, and the fills [N, A].

    """
    if size.shape[-1] == 1:
        return execute(
            account,
            size,
            price,
            rates,
            limits,
            liquidity=liquidity,
            percent=percent,
            exposure=exposure,
        )
    value = size * price if order_value is None else order_value
    sequence = value.argsort(dim=-1, stable=True)
    fills = []
    for k in range(size.shape[-1]):
        column = sequence[:, k : k + 1]
        one = replace(account, shares=account.shares.gather(1, column))
        if account.debt is not None:
            one = replace(one, debt=account.debt.gather(1, column))
        room = None
        if exposure is not None:
            held = account.shares.abs() * price
            room = exposure - held.sum(-1, keepdim=True) + held.gather(1, column)
        after, fill = execute(
            one,
            size.gather(1, column),
            price.gather(1, column),
            _pick(rates, column),
            _pick(limits, column),
            liquidity=None if liquidity is None else _pick(liquidity, column),
            percent=None if percent is None else percent.gather(1, column),
            exposure=room,
        )
        debt = account.debt
        if debt is not None and after.debt is not None:
            debt = debt.scatter(1, column, after.debt)
        account = replace(after, shares=account.shares.scatter(1, column, after.shares), debt=debt)
        fills.append(fill)
    back = sequence.argsort(dim=-1)
    return account, Fill(
        **{
            f.name: torch.cat([getattr(x, f.name) for x in fills], 1).gather(1, back)
            for f in fields(Fill)
        }
    )


def _pick(settings: Settings, column: Tensor) -> Settings:
    """Per-asset tensors of a settings object at the assets in `column`."""
    chosen: dict[str, Any] = {
        f.name: value.expand(column.shape[0], -1).gather(1, column)
        for f in fields(settings)
        if isinstance(value := getattr(settings, f.name), Tensor) and value.shape[-1] > 1
    }
    return replace(settings, **chosen) if chosen else settings
