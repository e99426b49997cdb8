"""Executes a bar's orders in several assets that share one cash account, sells before buys."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from tradinghf.simulation._account import Account, Fill, Limits, MarketOrder, execute
from tradinghf.simulation._costs import Liquidity, Rates
from tradinghf.simulation._ledger import sum_assets

Settings = TypeVar("Settings", Rates, Limits, Liquidity, MarketOrder)


def execute_all(
    account: Account,
    order: MarketOrder,
    rates: Rates,
    limits: Limits,
    *,
    order_value: Tensor | None = None,
) -> tuple[Account, Fill]:
    """Execute one order per account and asset against each account's shared cash.

    Several assets trade by rising order value: sells first, so that they pay for the buys, then
    the smallest buys; orders of equal value in the order of the assets.

    Args:
        account: before the orders.
        order: [N, A].
        rates: costs; tensors are [N, 1] or [N, A], here and in the next two.
        limits: order limits.
        order_value: [N, A] signed values that set the sequence; None means size * price.

    Returns:
        The account afterwards, and the fills [N, A].

    """
    if order.size.shape[-1] == 1:
        return execute(account, order, rates, limits)
    value = order.size * order.price if order_value is None else order_value
    sequence = value.argsort(dim=-1, stable=True)
    fills = []
    gross = sum_assets(account.shares.abs() * order.price)
    for k in range(value.shape[-1]):
        column = sequence[:, k : k + 1]
        one = replace(account, shares=account.shares.gather(1, column))
        if account.debt is not None:
            one = replace(one, debt=account.debt.gather(1, column))
        alone = _pick(order, column)
        held = one.shares.abs() * alone.price
        if order.exposure is not None:
            alone = replace(alone, exposure=order.exposure - gross + held)
        after, fill = execute(one, alone, _pick(rates, column), _pick(limits, column))
        gross = gross + (after.shares.abs() * alone.price - held)
        debt = account.debt
        if debt is not None and after.debt is not None:
            debt = debt.scatter(1, column, after.debt)
        account = replace(after, shares=account.shares.scatter(1, column, after.shares), debt=debt)
        fills.append(fill)
    back = sequence.argsort(dim=-1)
    names = ("size", "price", "fee")
    columns = {name: torch.cat([getattr(x, name) for x in fills], 1) for name in names}
    return account, Fill(**{name: values.gather(1, back) for name, values in columns.items()})


def _pick(settings: Settings, column: Tensor) -> Settings:
    """The settings or orders of the assets in `column` [N, 1]: their tensors [N, A] as [N, 1]."""
    chosen: dict[str, Any] = {}
    for f in fields(settings):
        value = getattr(settings, f.name)
        if isinstance(value, Liquidity):
            chosen[f.name] = _pick(value, column)
        elif isinstance(value, Tensor) and value.shape[-1] > 1:
            chosen[f.name] = value.expand(column.shape[0], -1).gather(1, column)
    return replace(settings, **chosen) if chosen else settings
