"""Signals: the target weights that a strategy or policy decides after the last bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.errors import StrategyError
from tradinghf.evaluation._backtest import Tradable, decisions, trade_tables
from tradinghf.evaluation._contingent import NEVER, OTHER
from tradinghf.evaluation._order_tables import PRICES, Orders, OrderTables, Signals, order_tables
from tradinghf.evaluation._policies import ActingPolicy, terms_for
from tradinghf.evaluation._seals import warn
from tradinghf.market import FIELDS, Floats, MarketData, feature_memory
from tradinghf.strategies import held_targets


def signal(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    rules: TradingRules | None = None,
    margin: Margin | None = None,
    brackets: Brackets | None = None,
    member: Any = None,
    **params: Any,
) -> pd.DataFrame:
    """Target weights decided at the last close, and whether they differ from those before.

    A policy sees its own account, so it is run over all of `market` first, from flat: give it the
    bars since it has been trading. The same weights stand in the last row of a later backtest
    over more bars. A warning says where a rule has too few bars: where it has not ordered yet, or
    would order something else without the first of them.

    Args:
        x: anything that `backtest` takes.
        market: past bars, up to the one that has just closed.
        costs, fill, cash: of the account that a policy or an event-driven rule sees.
        rules, margin, brackets, member: as for `backtest`; a membership as a file.
        params: parameters of a strategy.

    Returns:
        One row per asset: symbol, close, weight (signed fraction of equity), before (the target
        of the bar before), order (True where the two differ). Of Signals, Orders and event-driven
        rules: symbol, close, held (signed fraction of equity, of the account so far), size and
        kind of the order as in `Orders`, limit, stop, stop_loss, take_profit, order; the second
        legs of pairs have rows of their own, below.

    Raises:
        StrategyError: as `backtest`; or a policy is given fewer bars than its features need.

    """
    if isinstance(x, ActingPolicy):
        _check_warm(x, market)
    # An environment takes no decision at its last bar, so that one has to lie in the future.
    extended = _with_next_bar(market) if not isinstance(x, pd.DataFrame) else market
    terms = terms_for(x, rules=rules, margin=margin, brackets=brackets, member=member)
    model = settings_of(CostModel, costs, "costs")
    how: dict[str, Any] = {"costs": model, "fill": fill, "cash": cash, "terms": terms}
    orders = decisions(_sliced(x, market), extended, **how, **params).orders.rows(0, market.bars)
    if _decides(x):
        _flag_short_history(orders, x, market, how, params)
    if not orders.are_weights:
        return _orders_table(orders, market, how)
    targets = held_targets(orders.size)
    new = targets[-1] != targets[-2]
    if isinstance(x, ActingPolicy) and not x.config.rebalance:
        new |= np.isfinite(orders.size[-1])  # it enters again what an exit closed
    return pd.DataFrame(
        {
            "symbol": list(market.symbols),
            "close": market.close[-1] - market.lift,
            "weight": targets[-1],
            "before": targets[-2],
            "order": new,
        }
    )


def _decides(x: Tradable) -> bool:
    """It computes its orders from the bars, and has not been checked to have enough of them."""
    return not isinstance(x, pd.DataFrame | Signals | Orders | ActingPolicy)


def _flag_short_history(
    orders: OrderTables,
    x: Tradable,
    market: MarketData,
    how: dict[str, Any],
    params: dict[str, Any],
) -> None:
    """Warn where the last orders rest on where the history begins, or none came at all."""
    if not np.nan_to_num(orders.size).any():
        warn(
            f"Not one order in {market.bars} bars of {market.name}: if the rule looks further "
            "back than that, this is no signal. Give it a longer history."
        )
    if market.bars < 3:
        return
    shorter = _with_next_bar(market.rows(1, market.bars))
    fewer = decisions(x, shorter, **how, **params).orders.rows(0, market.bars - 1)
    last, other = _standing(orders), _standing(fewer)
    if not np.allclose(last, other, rtol=1e-3, atol=1e-6, equal_nan=True):
        warn(
            f"Without the first of the {market.bars} bars of {market.name} the last orders would "
            "be others: the history is too short for this rule. Give it more."
        )


def _standing(orders: OrderTables) -> Floats:
    """[A] what is wanted after the last bar."""
    wanted: Floats = held_targets(orders.size) if orders.targets_a_position else orders.size
    last: Floats = wanted[-1]
    return last


def _sliced(x: Tradable, market: MarketData) -> Tradable:
    """Tables of orders with a row for the bar that lies in the future."""
    if not isinstance(x, Signals | Orders):
        return x
    whole = order_tables(x.orders(market) if isinstance(x, Signals) else x, market)
    none = np.full((1, market.assets), np.nan)
    prices: dict[str, Any] = {k: np.vstack([v, none]) for k, v in whole.prices.items()}
    kind = whole.kind if isinstance(whole.kind, str) else (*whole.kind, whole.kind[-1])
    second = {k.removeprefix(OTHER): v for k, v in prices.items() if k.startswith(OTHER)}
    first = {k: v for k, v in prices.items() if not k.startswith(OTHER)}
    pair = {"other": Orders(kind=kind, **second)} if second else {}
    return Orders(np.vstack([whole.size, none]), kind, **first, **pair)


def _orders_table(orders: OrderTables, market: MarketData, how: dict[str, Any]) -> pd.DataFrame:
    """The orders of the last bar, beside what the account holds there."""
    report = trade_tables(orders, market, **how)
    none = np.full(market.assets, np.nan)
    last = {name: table[-1] for name, table in orders.prices.items()}
    kind = orders.kind if isinstance(orders.kind, str) else orders.kind[-1]
    lapses = last.get("limit", none) == NEVER  # an order that waited is taken back

    def legs(prefix: str) -> pd.DataFrame:
        size = last[prefix + "size"] if prefix else orders.size[-1]
        prices = {name: last.get(prefix + name, none) for name in PRICES}
        return pd.DataFrame(
            {
                "symbol": list(market.symbols),
                "close": market.close[-1] - market.lift,
                "held": report.positions.to_numpy()[-1],
                "size": size,
                "kind": np.where(lapses, "amount", kind),
                **{
                    name: np.where(p == NEVER, np.nan, p - market.lift)
                    for name, p in prices.items()
                },
                "order": np.isfinite(size),
            }
        )

    if OTHER + "size" not in last:
        return legs("")
    second = legs(OTHER)
    return pd.concat([legs(""), second[second["order"]]], ignore_index=True)


def _check_warm(policy: ActingPolicy, market: MarketData) -> None:
    """Features that are not known yet count as 0, which is another order, not the policy's."""
    config = policy.config
    slowest = max(config.features, key=feature_memory)
    needed = feature_memory(slowest) + config.lookback - 1
    if market.bars < needed:
        raise StrategyError(
            f"The policy needs {needed} bars: {slowest} takes {feature_memory(slowest)}, and it "
            f"sees the last {config.lookback} of them; {market.name} has {market.bars}. "
            "Give it a longer history."
        )


def _with_next_bar(market: MarketData) -> MarketData:
    """One more bar, at the last close; no causal rule can tell."""
    stamps = market.timestamps
    following = stamps[-1] + (stamps[-1] - stamps[-2])
    columns: dict[str, Any] = {
        name: np.vstack([getattr(market, name), market.close[-1:]]) for name in FIELDS
    }
    columns["volume"] = np.vstack([market.volume, market.volume[-1:]])
    if market.listed is not None:
        columns["listed"] = np.vstack([market.listed, market.listed[-1:]])
    return replace(market, timestamps=np.append(stamps, following), **columns)
