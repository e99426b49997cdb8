"""`backtest`: any strategy, function, policy, weights, signals or orders, in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import EngineName, run_engine, run_orders
from tradinghf.evaluation._order_tables import (
    Orders,
    Signals,
    aligned,
    order_tables,
    scaled_targets,
)
from tradinghf.evaluation._policies import ActingPolicy, policy_orders
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._study import Record, study_of, trial_name
from tradinghf.evaluation._terms import Terms
from tradinghf.evaluation._variants import backtest_variant
from tradinghf.market import Floats, MarketData, MarketLike, as_market
from tradinghf.resources import resource_dir
from tradinghf.strategies import Strategy, load_strategy, target_changes

Tradable = str | Strategy | ActingPolicy | pd.DataFrame | Signals | Orders | Callable[..., Any]


def backtest(
    x: Tradable,
    market: MarketLike,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    engine: EngineName = "auto",
    cash: float = 100_000.0,
    rules: TradingRules | None = None,
    margin: Margin | None = None,
    brackets: Brackets | None = None,
    funding: Any = None,
    split: Any = None,
    dividend: Any = None,
    member: Any = None,
    record: Record = True,
    open_sealed: str | None = None,
    **params: Any,
) -> Report:
    """Trade `x` on `market`, count it as a trial, and report what came of it.

    Without `margin` the account holds cash and may sell short, but it does not borrow to buy:
    target weights beyond the equity are scaled down as a whole, and `Report.notes` says so. Assets
    share the cash; sales come first.

    Args:
        x: a strategy's name or file ("sma_cross", "mine.py:rule"), a `@strategy`, a plain
            function of the market, a trained policy, a DataFrame of target weights [T, A],
            `Signals` or `Orders`; functions and strategies may return the last two as well.
            A DataFrame is taken literally: each number is an order, NaN is none. Everything
            else orders only when its target changes.
        market: the bars.
        costs: fees and slippage; `CostModel()` by default.
        fill: at the open after the decision ("next_open") or at the very close it was taken on
            ("close"), which assumes that a close can be known and traded at once.
        engine: "simulator" (the accounting that agents are trained in, compiled where the orders
            are plain) or "vectorbt", for target weights and the costs that it knows; "auto" is the
            simulator.
        cash: starting equity [currency].
        rules: what orders may do: side, lots, minimum sizes, share of the volume.
        margin: leverage, maintenance and liquidation.
        brackets: stop-loss, take-profit and trailing stop of every position.
        funding, split, dividend, member: [T, A] events, as in `simulate`.
        record: where the trial is counted, which deflates `Report.save`: True, in ./store where
            there is one; False, nowhere; or a store's name, or an open `Study`.
        open_sealed: why bars are needed that the store keeps sealed; this is logged.
        params: parameters of the strategy or function.

    Raises:
        ConfigError: some bars are sealed, and there is no reason to open them.
        StrategyError: unknown strategy, engine or parameter, or malformed weights; vectorbt is
            asked for something that it cannot express.

    """
    market = as_market(market)
    given = {"rules": rules, "margin": margin, "brackets": brackets}
    events = {"funding": funding, "split": split, "dividend": dividend, "member": member}
    terms = Terms(**{k: v for k, v in {**given, **events}.items() if v is not None})
    x = load_strategy(x) if isinstance(x, str) else x
    name = _called(x)
    with study_of(market, record, open_sealed, f"backtest {name}") as study:
        report = trade(
            x, market, costs=costs, fill=fill, engine=engine, cash=cash, terms=terms, **params
        )
        variant = backtest_variant(x, report, study)
        return replace(report, trials=study.count_trials("backtest", name, [variant]))


def trade(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    engine: EngineName = "auto",
    cash: float = 100_000.0,
    terms: Terms | None = None,
    **params: Any,
) -> Report:
    """A backtest that is part of something that counts its own trials; arguments as there."""
    costs = settings_of(CostModel, costs, "costs")
    if not 0 < cash < float("inf"):
        raise StrategyError(f"backtest: cash is {cash!r}; expected a positive amount.")
    if fill not in ("next_open", "close"):
        raise StrategyError(f'backtest: fill is {fill!r}; expected "next_open" or "close".')
    terms = Terms() if terms is None else terms
    name, asked, used = decisions(x, market, costs=costs, fill=fill, cash=cash, **params)
    chosen = _engine(engine, asked, terms)
    kind, tables, note = "target_percent", {}, ""
    if isinstance(asked, Orders):
        kind, tables = asked.kind, order_tables(asked, market)
    else:
        scaled, note = scaled_targets(asked, terms.margin.leverage)
        tables = {"size": scaled}
    if chosen == "simulator":
        account = run_orders(market, tables, kind, costs, fill, cash, terms)
    else:
        account = run_engine(chosen, market, tables["size"], costs, fill, cash)
    return Report(
        name=name,
        params=used,
        market=market,
        account=account,
        targets=tables["size"],
        costs=costs,
        fill=fill,
        engine=chosen,
        cash=cash,
        expression=_expression(x, name),
        terms=terms,
        notes=(note,) if note else (),
        prices={k: v for k, v in tables.items() if k != "size"},
    )


def _called(x: Tradable) -> str:
    """The name that trials of `x` are counted under."""
    if isinstance(x, pd.DataFrame):
        return "weights"
    if isinstance(x, Signals | Orders):
        return type(x).__name__.lower()
    if isinstance(x, Strategy) or hasattr(x, "fingerprint"):
        return trial_name(x)
    own = "__name__" if callable(x) else "name"
    return str(getattr(x, own, type(x).__name__))


def _engine(engine: str, asked: Floats | Orders, terms: Terms) -> EngineName:
    """The engine that carries out what was asked.

    Raises:
        StrategyError: vectorbt was named and cannot.

    """
    beyond = [*terms.named, *terms.events]
    what = "Orders and Signals" if isinstance(asked, Orders) else ", ".join(beyond)
    if engine == "auto":
        return "simulator"
    if engine == "vectorbt" and what:
        raise StrategyError(
            f'backtest: {what} need engine="simulator" (or "auto"); vectorbt takes weights only.'
        )
    return cast(EngineName, engine)


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
    """`decisions` of what decides on target weights only.

    Raises:
        StrategyError: it gives orders, which have no target weights before they fill.

    """
    name, asked, used = decisions(x, market, costs=costs, fill=fill, cash=cash, **params)
    if isinstance(asked, Orders):
        raise StrategyError(f"{name} gives orders, not target weights; `backtest` trades them.")
    return name, asked, used


def decisions(
    x: Tradable, market: MarketData, *, costs: CostModel, fill: Fill, cash: float, **params: Any
) -> tuple[str, Floats | Orders, dict[str, Any]]:
    """Name, decisions and complete parameters of anything `backtest` takes.

    Decisions are [T, A] target weights where they change (NaN = no order), or `Orders`.
    """
    x = load_strategy(x) if isinstance(x, str) else x
    if isinstance(x, Strategy):
        raw, used = x.raw(market, **params), dict(x.bind(**params))
        if isinstance(raw, Signals | Orders):
            return x.name, _as_orders(raw, market), used
        return x.name, target_changes(x.checked(raw, market)), used
    if isinstance(x, Signals | Orders):
        _no_params(params, "a table of orders")
        return type(x).__name__.lower(), _as_orders(x, market), {}
    if isinstance(x, pd.DataFrame):
        _no_params(params, "a DataFrame of weights")
        return "weights", aligned(x, market), {}
    if isinstance(x, ActingPolicy):
        _no_params(params, "a policy")
        name = str(getattr(x, "name", type(x).__name__))
        return name, policy_orders(x, market, costs=costs, fill=fill, cash=cash), {}
    if callable(x):
        return _from_function(x, market, params)
    raise StrategyError(
        f"backtest cannot trade a {type(x).__name__}; expected a strategy's name, a function of "
        "the market, a policy with `act` and `config`, a DataFrame of target weights, Signals or "
        "Orders."
    )


def _as_orders(asked: Signals | Orders, market: MarketData) -> Orders:
    return asked.orders(market) if isinstance(asked, Signals) else asked


def _no_params(params: dict[str, Any], what: str) -> None:
    if params:
        raise StrategyError(f"backtest: {what} takes no parameters; got {sorted(params)}.")


def _from_function(
    function: Callable[..., Any], market: MarketData, params: dict[str, Any]
) -> tuple[str, Floats | Orders, dict[str, Any]]:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        inspect.signature(function).bind(market, **params)
    except TypeError as error:
        raise StrategyError(f"The function {name!r} cannot be called: {error}.") from error
    result = function(market, **params)
    if isinstance(result, Signals | Orders):
        return name, _as_orders(result, market), params
    if isinstance(result, pd.DataFrame):
        return name, target_changes(aligned(result, market)), params
    wrapped = Strategy(name, "", (), lambda _: result)
    return name, target_changes(wrapped(market)), params
