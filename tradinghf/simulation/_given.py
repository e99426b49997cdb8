"""What a user gives beside the bars, and how it follows an environment to other bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import ConfigError
from tradinghf.market import MarketData, session_times


def frame_rows(market: MarketData, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of a table at the market's bars; it may go on before and after them.

    Raises:
        ConfigError: the index is not of times, or lacks bars.

    """
    index = frame.index
    if isinstance(index, pd.DatetimeIndex):
        index = session_times(index).tz_localize("UTC")
    if index.equals(market.index):
        return frame
    at = index.get_indexer(market.index) if index.is_unique else np.full(market.bars, -1)
    if (at < 0).any():
        lacking = market.index[at < 0]
        raise ConfigError(
            f"The DataFrame of {name} lacks {len(lacking)} of the {market.bars} bars of "
            f"{market.name}, the first at {lacking[0]}; its index must hold the market's times "
            "(market.index), each once. Reindex it, shifted so that each row is known at its "
            "bar's close."
        )
    return frame.iloc[at]


def given_for(tables: Mapping[str, Any], before: MarketData, market: MarketData) -> dict[str, Any]:
    """The tables that came with some bars, for other bars.

    Args:
        tables: name -> DataFrame by time, or array whose first axis is the bars of `before`.
        before: the bars that they came with.
        market: the bars wanted; arrays follow only to bars among those before.

    Raises:
        ConfigError: an array is not known at the new bars.

    """
    if market is before or not tables:
        return dict(tables)
    at = before.index.get_indexer(market.index)
    columns = [before.symbols.index(s) if s in before.symbols else -1 for s in market.symbols]
    known = bool((at >= 0).all()) and min(columns) >= 0
    found: dict[str, Any] = {}
    for name, table in tables.items():
        if isinstance(table, pd.DataFrame):
            found[name] = table
            continue
        if not known:
            raise ConfigError(
                f"{name} of the environment is an array for its bars ({_span(before)}), and says "
                f"nothing about others ({_span(market)}). Give a DataFrame whose index holds the "
                "times of both."
            )
        array = np.asarray(table)[at]
        each = name != "own_features" or array.ndim == 3
        wide = each and array.ndim > 1 and array.shape[1] == before.assets
        found[name] = array[:, columns] if wide else array
    return found


def _span(market: MarketData) -> str:
    return f"{market.name}, {market.index[0]:%Y-%m-%d} to {market.index[-1]:%Y-%m-%d}"
