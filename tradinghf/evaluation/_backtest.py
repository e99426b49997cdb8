"""`backtest`: any strategy, function, policy, weights, signals or orders, in one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.errors import StrategyError
from tradinghf.evaluation._engines import EngineName, run_engine, run_orders
from tradinghf.evaluation._event_rules import is_event_rule, made_rule, rule_orders
from tradinghf.evaluation._finer import trade_inside
from tradinghf.evaluation._order_tables import (
    Orders,
    OrderTables,
    Signals,
    aligned,
    order_tables,
    scaled_targets,
    short_of_cash,
)
from tradinghf.evaluation._own_metrics import named_metrics, riskless_returns
from tradinghf.evaluation._policies import (
    ActingPolicy,
    load_tradable,
    policy_orders,
    seen_share,
    terms_for,
)
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._sources import doubts, lifted, reading, survivors
from tradinghf.evaluation._study import Record, study_of, trial_name
from tradinghf.evaluation._terms import Terms
from tradinghf.evaluation._variants import backtest_variant
from tradinghf.evaluation._yardstick import yardstick
from tradinghf.market import MarketData, MarketLike, as_market
from tradinghf.registry import file_of
from tradinghf.resources import resource_dir
from tradinghf.strategies import (
    Strategy,
    held_targets,
    target_changes,
)

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
    intrabar: MarketLike | None = None,
    benchmark: Any = None,
    risk_free: Any = None,
    metrics: Any = None,
    record: Record = True,
    open_sealed: str | None = None,
    **params: Any,
) -> Report:
    """Trade `x` on `market`, count it as a trial, and report what came of it.

    Without `margin` the account holds cash and may sell short, but it does not borrow to buy:
    target weights beyond the equity are scaled down as a whole, and `Report.notes` says so. Assets
    share the cash; sales come first.

    Args:
        x: a strategy's name or file ("sma_cross", "mine.py:rule"), a run directory or the
            policy.safetensors in it, a `@strategy`, a plain
            function of the market, a trained policy, a DataFrame of target weights [T, A],
            `Signals`, `Orders`, or a class with `next(bar, account)`, and perhaps `init(market)`,
            whose attributes are its parameters; functions and strategies may return the last
            three as well. A DataFrame is taken literally: each number is an order, NaN is none.
            Everything else orders only when its target changes.
        market: the bars.
        costs: fees and slippage; `CostModel()` by default.
        fill: at the open after the decision ("next_open") or at the very close it was taken on
            ("close"), which assumes that a close can be known and traded at once.
        engine: "simulator" (the accounting that agents are trained in, compiled where the orders
            are plain) or "vectorbt", for target weights and the costs that it knows; "auto" is the
            simulator.
        cash: starting equity [currency].
        rules: what orders may do: side, lots, minimum sizes, share of the volume; these three
            are by default none, and of a policy those that it was trained with.
        margin: leverage, maintenance and liquidation.
        brackets: stop-loss, take-profit and trailing stop of every position.
        funding, split, dividend, member: [T, A] events, as in `simulate`; `member` may be a CSV
            file with columns symbol, first and last.
        intrabar: finer bars of the same assets and span, in whose order limits, stops and targets
            are met; for weights, signals and orders.
        benchmark: what `Report.save` and the verdict compare with: a strategy that trades the same
            bars at the same costs, a Series of prices, or a market, data set or file of one asset;
            None: buying and holding.
        risk_free: what cash would earn a year [fraction], above which Sharpe and Sortino ratios
            count: a number, a Series by time, or a CSV file of times and rates.
        metrics: more numbers for `Report.metrics`, its page and its JSON: functions of the report
            by name, a list of functions, or of "FILE.py:function".
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
    events = {"funding": funding, "split": split, "dividend": dividend, "member": member}
    given_name = repr(x) if isinstance(x, str) else None
    x = load_tradable(x) if isinstance(x, str) else x
    terms = terms_for(x, rules=rules, margin=margin, brackets=brackets, **events)
    name = _called(x)
    with study_of(market, record, open_sealed, f"backtest {name}") as study:
        report = trade(
            x,
            market,
            costs=costs,
            fill=fill,
            engine=engine,
            cash=cash,
            terms=terms,
            intrabar=intrabar,
            **params,
        )
        report = replace(report, expression=given_name or report.expression)
        variant = backtest_variant(x, report, study)
        trials = study.count_trials("backtest", name, [variant])
        if benchmark is not None:
            like: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash}
            other = yardstick(benchmark, report, lambda rule: trade(rule, market, **like))
            report = replace(report, yardstick=other)
        also = {"intrabar": intrabar, "benchmark": benchmark, "risk_free": risk_free}
        given = {k: v for k, v in (also | {"metrics": metrics}).items() if v is not None}
        more: dict[str, Any] = {
            "own_metrics": named_metrics(metrics),
            "riskless": riskless_returns(risk_free, market),
        }
        if report.yardstick is not None:
            report = replace(report, yardstick=replace(report.yardstick, **more))
        return replace(report, trials=trials, given=given, **more)


def trade(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
    engine: EngineName = "auto",
    cash: float = 100_000.0,
    terms: Terms | None = None,
    intrabar: MarketLike | None = None,
    **params: Any,
) -> Report:
    """A backtest that is part of something that counts its own trials; arguments as there."""
    costs = settings_of(CostModel, costs, "costs")
    if not 0 < cash < float("inf"):
        raise StrategyError(f"backtest: cash is {cash!r}; expected a positive amount.")
    if fill not in ("next_open", "close"):
        raise StrategyError(f'backtest: fill is {fill!r}; expected "next_open" or "close".')
    x = load_tradable(x) if isinstance(x, str) else x
    terms = terms_for(x) if terms is None else terms
    how: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}
    made, read = reading(lambda: decisions(x, market, **how, **params))
    if intrabar is not None and made.stepped:
        raise StrategyError(
            "backtest: intrabar is for weights, signals and orders; an event-driven rule decides "
            "by its account at every bar. Give the finer bars as its market."
        )
    report = trade_tables(made.orders, market, engine=engine, intrabar=intrabar, **how)
    return replace(
        report,
        name=made.name,
        params=made.params,
        expression=_expression(x, made.name),
        notes=tuple(n for n in (made.note, *report.notes, *doubts(read), lifted(market)) if n),
        seen=seen_share(x, market),
    )


def trade_tables(
    orders: OrderTables,
    market: MarketData,
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    engine: EngineName = "auto",
    terms: Terms | None = None,
    intrabar: MarketLike | None = None,
) -> Report:
    """A backtest of what was decided already; arguments as for `trade`."""
    terms = Terms() if terms is None else terms
    chosen = _engine(engine, orders, terms, listed=market.listed is None)
    if intrabar is not None:
        chosen = "simulator"
        finer = as_market(intrabar)
        account = trade_inside(market, finer, orders, costs, fill, cash, terms)
    elif chosen == "simulator":
        account = run_orders(market, orders, costs, fill, cash, terms)
    else:
        account = run_engine(chosen, market, orders.size, costs, fill, cash)
    short = short_of_cash(orders, account, market, fill) if terms.margin.leverage == 1 else ""
    return Report(
        name="weights" if orders.are_weights else "orders",
        params={},
        market=market,
        account=account,
        targets=orders.size,
        costs=costs,
        fill=fill,
        engine=chosen,
        cash=cash,
        expression="weights" if orders.are_weights else "orders",
        terms=terms,
        notes=tuple(note for note in (short, survivors(market)) if note),
        prices=orders.prices,
        kind=orders.kind,
    )


def _called(x: Tradable) -> str:
    """The name that trials of `x` are counted under."""
    if isinstance(x, pd.DataFrame):
        return "weights"
    if isinstance(x, Signals | Orders):
        return type(x).__name__.lower()
    if isinstance(x, Strategy) or hasattr(x, "fingerprint"):
        return trial_name(x)
    if is_event_rule(x) and not isinstance(x, type):
        return type(x).__name__
    own = "__name__" if callable(x) else "name"
    return str(getattr(x, own, type(x).__name__))


def _engine(engine: str, orders: OrderTables, terms: Terms, *, listed: bool) -> EngineName:
    """The engine that carries out what was asked; `listed`: every asset at every bar.

    Raises:
        StrategyError: vectorbt was named and cannot.

    """
    beyond = [*terms.named, *terms.events, *([] if listed else ["assets listed in part"])]
    what = ", ".join(beyond) if orders.are_weights else "Orders and Signals"
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
        bundled = (resource_dir("strategies") / f"{name}.py").is_file()
        file = None if bundled else file_of(x.function)
        if file is not None and file.is_relative_to(Path.cwd()):
            file = file.relative_to(Path.cwd())
        return repr(name) if bundled else name if file is None else repr(f"{file}:{name}")
    if isinstance(x, ActingPolicy):
        return "policy"
    return name if name.isidentifier() else "rule"


@dataclass(frozen=True, eq=False)
class Decisions:
    """What `backtest` trades.

    Attributes:
        name: of what decided.
        orders: what it ordered, at every close.
        params: its parameters, defaults included.
        note: a sentence where target weights asked for more than an account holds.
        stepped: what was ordered depends on what the account had become.

    """

    name: str
    orders: OrderTables
    params: dict[str, Any]
    note: str = ""
    stepped: bool = False


def decisions(
    x: Tradable,
    market: MarketData,
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms | None = None,
    **params: Any,
) -> Decisions:
    """What anything that `backtest` takes decides at every close.

    Target weights are orders where they change, NaN elsewhere, and where they ask for more than an
    account holds, scaled as a whole.

    Raises:
        StrategyError: as `backtest`.

    """
    x = load_tradable(x) if isinstance(x, str) else x
    terms = terms_for(x) if terms is None else terms
    how: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}
    name, raw, used = _asked(x, market, how, params)
    if isinstance(x, ActingPolicy) and not isinstance(raw, Orders):  # sized within the account
        return Decisions(name, OrderTables(raw), used)
    literal, note = isinstance(x, pd.DataFrame), ""
    shorts_pay = terms.rules.side != "long" and not terms.rules.lock_cash
    if isinstance(raw, Signals):
        raw = raw.orders(market)
        most = terms.margin.leverage
        size, note = scaled_targets(raw.size, most, shorts_pay=shorts_pay, keeps=False)
        raw = replace(raw, size=size)
    if isinstance(raw, Orders):
        return Decisions(name, order_tables(raw, market), used, note)
    if is_event_rule(raw):
        raw = made_rule(raw, {}) if isinstance(raw, type) else raw  # a strategy gave its class
        return Decisions(name, rule_orders(raw, market, **how), used, stepped=True)
    scaled, note = scaled_targets(
        raw if literal else held_targets(raw),  # a rule says at every bar what it wants to hold
        terms.margin.leverage,
        shorts_pay=shorts_pay,
        keeps=not terms.closes_positions and market.listed is None,
    )
    return Decisions(name, OrderTables(scaled if literal else target_changes(scaled)), used, note)


def _asked(
    x: Tradable, market: MarketData, how: dict[str, Any], params: dict[str, Any]
) -> tuple[str, Any, dict[str, Any]]:
    """Name, answer (weights [T, A], Signals, Orders or an event rule) and parameters."""
    if isinstance(x, Strategy):
        raw, used = x.raw(market, **params), dict(x.bind(**params))
        orders = isinstance(raw, Signals | Orders) or is_event_rule(raw)
        return x.name, raw if orders else x.checked(raw, market), used
    if isinstance(x, Signals | Orders):
        _no_params(params, "a table of orders")
        return type(x).__name__.lower(), x, {}
    if isinstance(x, pd.DataFrame):
        _no_params(params, "a DataFrame of weights")
        return "weights", aligned(x, market), {}
    if isinstance(x, ActingPolicy):
        _no_params(params, "a policy")
        name = str(getattr(x, "name", type(x).__name__))
        return name, policy_orders(x, market, **how), {}
    if is_event_rule(x):
        name = x.__name__ if isinstance(x, type) else type(x).__name__
        return name, made_rule(x, params), params
    if callable(x):
        return _from_function(x, market, params)
    raise StrategyError(
        f"backtest cannot trade a {type(x).__name__}; expected a strategy's name, a function of "
        "the market, a policy with `act` and `config`, a DataFrame of target weights, Signals, "
        "Orders, or a class with `next(bar, account)`."
    )


def _no_params(params: dict[str, Any], what: str) -> None:
    if params:
        raise StrategyError(f"backtest: {what} takes no parameters; got {sorted(params)}.")


def _from_function(
    function: Callable[..., Any], market: MarketData, params: dict[str, Any]
) -> tuple[str, Any, dict[str, Any]]:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        inspect.signature(function).bind(market, **params)
    except TypeError as error:
        raise StrategyError(f"The function {name!r} cannot be called: {error}.") from error
    result = function(market, **params)
    if isinstance(result, Signals | Orders) or is_event_rule(result):
        return name, result, params
    if isinstance(result, pd.DataFrame):
        return name, aligned(result, market), params
    return name, Strategy(name, "", (), lambda _: result)(market), params
