"""Signals: the target weights that a strategy or policy decides after the last bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel, Fill, settings_of
from tradinghf.errors import StrategyError
from tradinghf.evaluation._backtest import Tradable, target_orders
from tradinghf.evaluation._policies import ActingPolicy
from tradinghf.market import FIELDS, MarketData, feature_memory
from tradinghf.strategies import held_targets


def signal(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    **params: Any,
) -> pd.DataFrame:
    """Target weights decided at the last close, and whether they differ from those before.

    A policy sees its own account, so it is run over all of `market` first, from flat: give it the
    bars since it has been trading. The same weights stand in the last row of a later backtest
    over more bars.

    Args:
        x: anything that `backtest` takes.
        market: past bars, up to the one that has just closed.
        costs, fill, cash: of the account that a policy sees.
        params: parameters of a strategy.

    Returns:
        One row per asset: symbol, close, weight (signed fraction of equity), before (the target
        of the bar before), order (True where the two differ).

    Raises:
        StrategyError: as `backtest`; or a policy is given fewer bars than its features need.

    """
    if isinstance(x, ActingPolicy):
        _check_warm(x, market)
    # An environment takes no decision at its last bar, so that one has to lie in the future.
    extended = _with_next_bar(market) if not isinstance(x, pd.DataFrame) else market
    _, orders, _ = target_orders(
        x, extended, costs=settings_of(CostModel, costs, "costs"), fill=fill, cash=cash, **params
    )
    targets = held_targets(orders[: market.bars])
    return pd.DataFrame(
        {
            "symbol": list(market.symbols),
            "close": market.close[-1],
            "weight": targets[-1],
            "before": targets[-2],
            "order": targets[-1] != targets[-2],
        }
    )


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
    return replace(market, timestamps=np.append(stamps, following), **columns)
