"""What a backtest is compared with: another strategy, or the prices of something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import BacktestAccount
from tradinghf.evaluation._result import BacktestResult
from tradinghf.market import MarketData, load_market, session_times
from tradinghf.strategies import strategy_names

_FILLS = ("bar", "asset", "side", "size", "price", "fee", "slippage")


def yardstick(
    x: Any, report: BacktestResult, trade: Callable[[Any], BacktestResult]
) -> BacktestResult:
    """The benchmark of a backtest.

    Args:
        x: a strategy (name, file, `@strategy`, weights, orders ...), which trades the same bars at
            the same costs; or prices that are bought once at no cost: a Series with times, a
            market of one asset, or the name of a data set or file with one.
        report: the backtest.
        trade: trades a strategy as the backtest was traded.

    Raises:
        StrategyError: prices of several assets, or none at the first bar.

    """
    if isinstance(x, str) and _names_bars(x):
        x = load_market(x)
    if isinstance(x, MarketData):
        if x.assets > 1:
            raise StrategyError(
                f"benchmark: {x.name} has {x.assets} assets; expected one. "
                f"Choose it: market.select([{x.symbols[0]!r}])."
            )
        x = pd.Series(x.close[:, 0], x.index, name=x.symbols[0])
    if not isinstance(x, pd.Series):
        return trade(x)
    return _bought(x, report)


def _names_bars(name: str) -> bool:
    """A data set or a file of bars, and no strategy."""
    return name.partition(":")[0] not in strategy_names() and ".py" not in name


def _bought(prices: pd.Series, report: BacktestResult) -> BacktestResult:
    """The starting cash in something else, at the last price known at each bar."""
    market = report.market
    index = session_times(prices.index).tz_localize("UTC")
    known = pd.Series(prices.to_numpy(float), index).sort_index().dropna()
    values = known.reindex(market.index, method="ffill").to_numpy()
    if not len(values) or not np.isfinite(values[0]) or (values <= 0).any():
        raise StrategyError(
            f"benchmark: no price above 0 at the first bar ({market.index[0]}); its prices begin "
            f"{known.index[0] if len(known) else 'nowhere'}. Cut the bars, or take a longer series."
        )
    equity = report.cash * values / values[0]
    account = BacktestAccount(
        equity,
        equity,
        np.zeros((market.bars, market.assets)),
        pd.DataFrame({name: np.zeros(0) for name in _FILLS}).astype(
            dict.fromkeys(_FILLS[:3], np.int64)
        ),
    )
    name = str(prices.name or "benchmark")
    blank = np.full_like(report.targets, np.nan)
    return replace(
        report, name=name, params={}, account=account, targets=blank, notes=(), prices={}
    )
