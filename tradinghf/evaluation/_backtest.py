"""`backtest`: any strategy, function, policy or table of weights on any market, in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel, Fill, settings_of
from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import EngineName, run_engine
from tradinghf.evaluation._policies import ActingPolicy, policy_orders
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._study import Record, study_of, trial_name
from tradinghf.evaluation._variants import backtest_variant
from tradinghf.market import Floats, MarketData, MarketLike, as_market
from tradinghf.resources import resource_dir
from tradinghf.strategies import Strategy, load_strategy, target_changes

Tradable = str | Strategy | ActingPolicy | pd.DataFrame | Callable[..., Any]


def backtest(
    x: Tradable,
    market: MarketLike,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    engine: EngineName = "vectorbt",
    cash: float = 100_000.0,
    record: Record = True,
    open_sealed: str | None = None,
    **params: Any,
) -> Report:
    """Trade `x` on `market`, count it as a trial, and report what came of it.

    The account holds cash and may sell short, but it does not borrow to buy: purchases beyond the
    cash are cut to what it can pay. Assets share the cash; sales come first.

    Args:
        x: a strategy's name or file ("sma_cross", "mine.py:rule"), a `@strategy`, a plain
            function of the market, a trained policy, or a DataFrame of target weights [T, A].
            A DataFrame is taken literally: each number is an order, NaN is none. Everything
            else orders only when its target changes.
        market: the bars.
        costs: fees and slippage; `CostModel()` by default.
        fill: at the open after the decision ("next_open") or at the very close it was taken on
            ("close"), which assumes that a close can be known and traded at once.
        engine: "vectorbt", or "simulator" (the accounting that agents are trained in).
        cash: starting equity [currency].
        record: where the trial is counted, which deflates `Report.save`: True, in ./store where
            there is one; False, nowhere; or a store's name, or an open `Study`.
        open_sealed: why bars are needed that the store keeps sealed; this is logged.
        params: parameters of the strategy or function.

    Raises:
        ConfigError: some bars are sealed, and there is no reason to open them.
        StrategyError: unknown strategy, engine or parameter, or malformed weights.

    """
    market = as_market(market)
    x = load_strategy(x) if isinstance(x, str) else x
    name = _called(x)
    with study_of(market, record, open_sealed, f"backtest {name}") as study:
        report = trade(x, market, costs=costs, fill=fill, engine=engine, cash=cash, **params)
        variant = backtest_variant(x, report, study)
        return replace(report, trials=study.count_trials("backtest", name, [variant]))


def trade(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    engine: EngineName = "vectorbt",
    cash: float = 100_000.0,
    **params: Any,
) -> Report:
    """A backtest that is part of something that counts its own trials; arguments as there."""
    costs = settings_of(CostModel, costs, "costs")
    if not 0 < cash < float("inf"):
        raise StrategyError(f"backtest: cash is {cash!r}; expected a positive amount.")
    if fill not in ("next_open", "close"):
        raise StrategyError(f'backtest: fill is {fill!r}; expected "next_open" or "close".')
    name, orders, used = target_orders(x, market, costs=costs, fill=fill, cash=cash, **params)
    account = run_engine(engine, market, orders, costs, fill, cash)
    return Report(
        name=name,
        params=used,
        market=market,
        account=account,
        targets=orders,
        costs=costs,
        fill=fill,
        engine=engine,
        cash=cash,
        expression=_expression(x, name),
    )


def _called(x: Tradable) -> str:
    """The name that trials of `x` are counted under."""
    if isinstance(x, pd.DataFrame):
        return "weights"
    if isinstance(x, Strategy) or hasattr(x, "fingerprint"):
        return trial_name(x)
    own = "__name__" if callable(x) else "name"
    return str(getattr(x, own, type(x).__name__))


def _expression(x: Tradable, name: str) -> str:
    """How a reader gets hold of `x`: a quoted name, or the name of a variable."""
    if isinstance(x, str):
        return repr(x)
    if isinstance(x, Strategy):
        return repr(name) if (resource_dir("strategies") / f"{name}.py").is_file() else name
    if isinstance(x, ActingPolicy):
        return "policy"
    return name if name.isidentifier() else "rule"


def target_orders(
    x: Tradable, market: MarketData, *, costs: CostModel, fill: Fill, cash: float, **params: Any
) -> tuple[str, Floats, dict[str, Any]]:
    """Name, [T, A] orders (NaN = none) and complete parameters of anything `backtest` takes."""
    x = load_strategy(x) if isinstance(x, str) else x
    if isinstance(x, Strategy):
        return x.name, x.orders(market, **params), dict(x.bind(**params))
    if isinstance(x, pd.DataFrame):
        _no_params(params, "a DataFrame of weights")
        return "weights", _aligned(x, market), {}
    if isinstance(x, ActingPolicy):
        _no_params(params, "a policy")
        name = str(getattr(x, "name", type(x).__name__))
        return name, policy_orders(x, market, costs=costs, fill=fill, cash=cash), {}
    if callable(x):
        return _from_function(x, market, params)
    raise StrategyError(
        f"backtest cannot trade a {type(x).__name__}; expected a strategy's name, a function of "
        "the market, a policy with `act` and `config`, or a DataFrame of target weights."
    )


def _no_params(params: dict[str, Any], what: str) -> None:
    if params:
        raise StrategyError(f"backtest: {what} takes no parameters; got {sorted(params)}.")


def _from_function(
    function: Callable[..., Any], market: MarketData, params: dict[str, Any]
) -> tuple[str, Floats, dict[str, Any]]:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        inspect.signature(function).bind(market, **params)
    except TypeError as error:
        raise StrategyError(f"The function {name!r} cannot be called: {error}.") from error
    result = function(market, **params)
    if isinstance(result, pd.DataFrame):
        return name, target_changes(_aligned(result, market)), params
    wrapped = Strategy(name, "", (), lambda _: result)
    return name, target_changes(wrapped(market)), params


def _aligned(weights: pd.DataFrame, market: MarketData) -> Floats:
    """[T, A] weights in the market's rows and columns; rows not given are NaN."""
    unknown = [c for c in weights.columns if c not in market.symbols]
    if unknown:
        if weights.shape[1] == market.assets and weights.columns.equals(
            pd.RangeIndex(market.assets)
        ):
            weights = weights.set_axis(list(market.symbols), axis=1)
        else:
            raise StrategyError(
                f"The weights have a column {unknown[0]!r}; expected {list(market.symbols)}."
            )
    if isinstance(weights.index, pd.DatetimeIndex):
        index = weights.index
        index = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
        strangers = ~index.isin(market.index)
        if strangers.any() or index.has_duplicates:
            stranger = index[strangers][0] if strangers.any() else index[index.duplicated()][0]
            problem = "is not a bar of the market" if strangers.any() else "comes twice"
            raise StrategyError(
                f"The weights' row {stranger} {problem}; "
                f"the market has {market.bars} bars from {market.index[0]} to {market.index[-1]}."
            )
        weights = weights.set_axis(index, axis=0).reindex(market.index)
    elif len(weights) != market.bars:
        raise StrategyError(
            f"The weights have {len(weights)} rows; expected {market.bars}, or timestamps as index."
        )
    # A copy: pandas hands out read-only views, which torch refuses.
    array = np.array(weights.reindex(columns=list(market.symbols)), dtype=np.float64)
    if np.isinf(array).any():
        raise StrategyError("The weights contain infinity; expected finite numbers or NaN.")
    return array
