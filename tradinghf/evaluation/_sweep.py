"""Sweeps: backtests of every combination of parameters, and the verdict on the best of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.errors import StrategyError, check_memory, unknown_name
from tradinghf.evaluation._backtest import decisions, trade
from tradinghf.evaluation._columns import (
    COLUMNS_AT_ONCE,
    ColumnResults,
    column_metrics,
    run_columns,
)
from tradinghf.evaluation._export import write_table
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._study import Record, Study, study_of
from tradinghf.evaluation._taste import Taste, as_taste
from tradinghf.evaluation._terms import Terms, several_terms
from tradinghf.evaluation._validation import effective_trials, overfitting_probability
from tradinghf.evaluation._variants import costs_variant, rule_variant, terms_variant
from tradinghf.evaluation._verdict import Verdict, judge
from tradinghf.executors import Executor, ExecutorLike, as_executor, in_order, local
from tradinghf.market import Floats, MarketData, MarketLike, as_market
from tradinghf.strategies import Strategy, load_strategy

if TYPE_CHECKING:
    import plotly.graph_objects

Grid = Mapping[str, Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of all combinations, in the order of the grid.

    Attributes:
        strategy: what was swept.
        market: the bars.
        table: one row per combination and cost model: the parameters, the costs that vary, and
            total_return_pct, cagr_pct, sharpe_annual, volatility_annual_pct, max_drawdown_pct,
            turnover_per_year, fills, fees [currency]; by an objective also `taste`, the mean
            worth of its windows, and perhaps `taste_and_profit`.
        returns: [T, N] of every row.
        costs: [N] cost model of every row.
        terms: [N] rules, margin, exits and events of every row.
        params: [N] parameters of every row.
        fill: when orders filled.
        cash: starting equity [currency].
        left_out: combinations of the grid that the strategy's `requires` excludes.
        adaptive: the rows were proposed from the results of earlier ones (`search`).
        counted: trials of these bars that a store has counted, this sweep's included; 0 without
            one.
        metric: what the best row has the highest of, where nothing else is asked for.
        taste: the objective; None: a metric.
        tastes: [W, N] worth of every window of every row; None without an objective.
        own: [T, M] returns of the strategy with its own parameters, under each of the M cost
            models and terms; None unless the objective keeps their profit.

    """

    strategy: Strategy
    market: MarketData
    table: pd.DataFrame
    returns: Floats
    costs: tuple[CostModel, ...]
    terms: tuple[Terms, ...]
    params: tuple[dict[str, Any], ...]
    fill: Fill
    cash: float
    left_out: int = 0
    adaptive: bool = False
    counted: int = 0
    metric: str = "sharpe_annual"
    taste: Taste | None = None
    tastes: Floats | None = None
    own: Floats | None = None

    @property
    def trials(self) -> int:
        """N: what the best row has to be deflated by."""
        return len(self.table)

    def best(self, metric: str | None = None) -> Report:
        """Backtest of the row with the highest `metric`; None: the one that it was made for.

        Raises:
            StrategyError: unknown metric, or no row has it defined.

        """
        row = self.best_row(metric)
        return trade(
            self.strategy,
            self.market,
            costs=self.costs[row],
            terms=self.terms[row],
            fill=self.fill,
            cash=self.cash,
            **self.params[row],
        )

    def best_row(self, metric: str | None = None) -> int:
        """Number of the row with the highest `metric`; errors as for `best`."""
        metric = metric or self.metric
        if metric not in self.table:
            raise StrategyError(unknown_name("metric", metric, self.table.columns))
        if self.table[metric].isna().all():
            raise StrategyError(self._nothing(metric))
        return int(np.nanargmax(self.table[metric].to_numpy(np.float64)))

    def _nothing(self, metric: str) -> str:
        """Why no row has a metric."""
        if self.taste is None or self.taste.keep is None or metric != self.taste.name:
            return f"No combination has a defined {metric}: none of them traded."
        return (
            f"No combination keeps the profit that {self.strategy.name} makes with its own "
            f"parameters to within {100 * self.taste.keep:g} % a window, so there is "
            "nothing to change. Try others, or choose by taste alone (learned:RUN)."
        )

    def verdict(self, metric: str | None = None, *, trials: int = 0) -> Verdict:
        """What the best row proves, given that all the others were tried as well.

        The rows' own variance of Sharpe ratios sets how far luck may lift the best of them. Rows
        that a search proposed crowd where results were good, and vary less than draws would: there
        the variance is at least that of strategies without skill, 1/(T - 1). Alike rows are worth
        fewer independent trials (`independent_trials`) than are counted, so that the deflated
        ratio is a lower bound.

        Args:
            metric: the best row has the highest.
            trials: all that was tried on this data, where that is more than was counted.

        """
        best = self.best(metric)
        ratios = self.table["sharpe_annual"].to_numpy() / np.sqrt(self.market.bars_per_year)
        known = ratios[np.isfinite(ratios)]
        variance = float(known.var(ddof=1)) if len(known) > 1 else None
        if self.adaptive:
            variance = max(variance or 0.0, 1 / (self.market.bars - 1))
        tried = max(self.trials, self.counted, trials)
        return judge(best, best.buy_and_hold(), trials=tried, variance=variance)

    def overfitting(self, blocks: int = 16) -> float | None:
        """Probability of backtest overfitting (PBO) of choosing the best row by Sharpe ratio.

        None for a search: its rows were chosen on all bars, test halves included, which no
        splitting afterwards undoes.
        """
        return None if self.adaptive else overfitting_probability(self.returns, blocks)

    @property
    def independent_trials(self) -> float:
        """How many independent trials the rows are worth; fewer where they are alike."""
        return effective_trials(self.returns)

    def heatmap(self, x: str, y: str, metric: str = "sharpe_annual") -> plotly.graph_objects.Figure:
        """`metric` over two parameters; the mean over all others."""
        import plotly.graph_objects as go

        for name in (x, y, metric):
            if name not in self.table:
                raise StrategyError(unknown_name("column", name, self.table.columns))
        grid = self.table.pivot_table(index=y, columns=x, values=metric, aggfunc="mean")
        colours = [[0, "#E8833A"], [0.5, "#F2F4F7"], [1, "#2F81F7"]]
        figure = go.Figure(
            go.Heatmap(z=grid.to_numpy(), x=grid.columns, y=grid.index, colorscale=colours, zmid=0)
        )
        title = f"{self.strategy.name}: {metric} of {self.trials:,} trials"
        figure.update_layout(title=title, xaxis_title=x, yaxis_title=y)
        return figure

    def save(self, path: Path | str) -> Path:
        """Write the table as Parquet."""
        return write_table(self.table, path)


def sweep(
    strategy: str | Strategy,
    market: MarketLike,
    grid: Grid,
    *,
    costs: CostModel | Sequence[CostModel] | None = None,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    rules: TradingRules | None = None,
    margin: Margin | None = None,
    brackets: Brackets | Sequence[Brackets] | None = None,
    funding: Any = None,
    split: Any = None,
    dividend: Any = None,
    member: Any = None,
    objective: Any = None,
    executor: ExecutorLike = "local",
    record: Record = True,
    open_sealed: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Backtest a strategy with every combination of parameters and costs.

    Args:
        strategy: name, file or `@strategy`, of weights, signals, orders or an event-driven rule.
        market: the bars.
        grid: parameter name to its values.
        costs: one cost model, or several to repeat the grid under.
        fill: when orders fill.
        cash: starting equity of each backtest [currency].
        rules, margin, funding, split, dividend, member: as for `backtest`.
        brackets: exits of every position, or several to repeat the grid under.
        objective: a fitted reward model, a function from B episodes to [B] numbers, or a `Taste`:
            what the best row has the highest mean of, over windows of its account. All rows are
            scored on the same windows, many together.
        executor: where: "local", "processes", "ray", or more exactly as
            `tradinghf.executors.as_executor` says. The results are the same.
        record, open_sealed: as for `backtest`; every row is a trial.
        progress: called with (done, total).

    Raises:
        ConfigError: some bars are sealed, and there is no reason to open them.
        StrategyError: unknown parameter, or an empty grid.
        MissingExtraError: "ray" without Ray.

    """
    market = as_market(market)
    found = load_strategy(strategy)
    values = {name: list(options) for name, options in grid.items()}
    events = {"funding": funding, "split": split, "dividend": dividend, "member": member}
    terms = several_terms(brackets, rules=rules, margin=margin, **events)
    models, chosen = account_models(costs, terms), allowed_combinations(found, values)
    taste = as_taste(objective)
    with study_of(market, record, open_sealed, f"sweep {found.name}") as study:
        run = run_combinations(
            found,
            market,
            chosen,
            models,
            fill=fill,
            cash=cash,
            taste=taste,
            executor=as_executor(executor),
            progress=progress,
        )
        size = math.prod(len(options) for options in values.values())
        return counted_sweep(replace(run, left_out=size - len(chosen)), study)


def counted_sweep(found: Sweep, study: Study) -> Sweep:
    """A sweep with every row of it counted as a trial, where there is a store."""
    if study.store is None:
        return found
    rule = found.strategy
    variants = [
        rule_variant(rule, rule.bind(**p))
        | {"costs": costs_variant(c), "fill": found.fill}
        | terms_variant(t)
        for p, c, t in zip(found.params, found.costs, found.terms, strict=True)
    ]
    return replace(found, counted=study.count_trials("sweep", rule.name, variants))


Model = tuple[CostModel, Terms]


def account_models(
    costs: CostModel | Sequence[CostModel] | None, terms: Sequence[Terms] = (Terms(),)
) -> tuple[Model, ...]:
    """Each cost model with each of the terms.

    Raises:
        StrategyError: an empty sequence.

    """
    several = costs if isinstance(costs, Sequence) else [costs]
    models = tuple(settings_of(CostModel, each, "costs") for each in several)
    if not models or not terms:
        what = "brackets" if models else "costs"
        raise StrategyError(f"sweep: {what} is empty; give at least one.")
    return tuple(product(models, terms))


def run_combinations(
    strategy: Strategy,
    market: MarketData,
    combinations: Sequence[dict[str, Any]],
    models: Sequence[Model],
    *,
    fill: Fill = "next_open",
    cash: float = 100_000.0,
    taste: Taste | None = None,
    executor: Executor = local,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Backtest chosen combinations of parameters, each under every model; see `sweep`."""
    chunks = [
        (model, tuple(combinations[first : first + COLUMNS_AT_ONCE]))
        for model in models
        for first in range(0, len(combinations), COLUMNS_AT_ONCE)
    ]
    total, done = len(models) * len(combinations), 0
    returns, metrics, tastes = [], [], []
    setting = (strategy, market, fill, cash, taste)
    keeps = taste is not None and taste.keep is not None
    own = [_columns(setting, (model, ({},))).returns for model in models] if keeps else []
    made = in_order(executor(_columns, setting, chunks))
    for number, ((_, part), columns) in enumerate(zip(chunks, made, strict=True)):
        returns.append(columns.returns)
        metrics.append(pd.DataFrame(column_metrics(columns, market.bars_per_year)))
        if taste is not None and columns.tastes is not None:
            tastes.append(columns.tastes)
            usual = own[number // (len(chunks) // len(models))] if own else None
            worth = taste.scores(columns.tastes, columns.returns, market, own=usual)
            metrics[-1]["taste"] = columns.tastes.mean(axis=0)
            metrics[-1][taste.name] = worth
        done += len(part)
        if progress is not None:
            progress(done, total)
    rows = [(params, model) for model in models for params in combinations]
    flat = [_flat(model) for model in models]
    varied = [name for name in flat[0] if len({str(each[name]) for each in flat}) > 1]
    settings = pd.DataFrame(
        [
            {**params, **{name: each[name] for name in varied}}
            for each in flat
            for params in combinations
        ]
    )
    results = pd.concat(metrics, ignore_index=True).astype({"fills": np.int64})
    return Sweep(
        strategy=strategy,
        market=market,
        table=pd.concat([settings, results], axis=1),
        returns=np.concatenate(returns, axis=1),
        costs=tuple(model[0] for _, model in rows),
        terms=tuple(model[1] for _, model in rows),
        params=tuple(params for params, _ in rows),
        fill=fill,
        cash=cash,
        metric=Sweep.metric if taste is None else taste.name,
        taste=taste,
        tastes=np.concatenate(tastes, axis=1) if tastes else None,
        own=np.concatenate(own, axis=1) if own else None,
    )


def _flat(model: Model) -> dict[str, Any]:
    """Settings by their own names, as columns of the table; whole tables as text."""
    costs, terms = model
    parts = (costs, terms.rules, terms.margin, terms.brackets)
    named = {f.name: getattr(part, f.name) for part in parts for f in fields(part)}
    return {k: str(v) if isinstance(v, Mapping | tuple) else v for k, v in named.items()}


def allowed_combinations(strategy: Strategy, grid: Grid) -> list[dict[str, Any]]:
    """The combinations of a grid that the strategy allows, checked against its parameters."""
    values = {name: list(options) for name, options in grid.items()}
    empty = [name for name, options in values.items() if not options]
    if not values or empty:
        what = f"no values for {empty[0]!r}" if empty else "no parameters"
        raise StrategyError(f"The grid for {strategy.name} has {what}; expected at least one.")
    count = math.prod(map(len, values.values()))
    check_memory(4096.0 * count, f"A sweep of {count:,} combinations")
    every = [dict(zip(values, point, strict=True)) for point in product(*values.values())]
    chosen = [params for params in every if strategy.allows(strategy.typed(**params))]
    if not chosen:
        strategy.bind(**every[0])  # raises: no combination is what the strategy requires
    return chosen


def _columns(
    setting: tuple[Strategy, MarketData, Fill, float, Taste | None],
    chunk: tuple[Model, tuple[dict[str, Any], ...]],
) -> ColumnResults:
    """One chunk of a sweep; runs wherever the executor puts it."""
    (strategy, market, fill, cash, taste), ((costs, terms), combinations) = setting, chunk
    how: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}
    orders = (decisions(strategy, market, **how, **params).orders for params in combinations)
    return run_columns(market, orders, taste=taste, **how)
