"""Walk-forward: parameters chosen on the past, judged on bars they have never seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tradinghf._intervals import means, time_blocks
from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules, settings_of
from tradinghf.errors import ConfigError, StrategyError, unknown_name
from tradinghf.evaluation._backtest import decisions, trade_tables
from tradinghf.evaluation._columns import column_metrics, run_columns
from tradinghf.evaluation._joined_orders import joined_windows, restarted
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._report import Report
from tradinghf.evaluation._study import Record, study_of
from tradinghf.evaluation._sweep import Grid, allowed_combinations
from tradinghf.evaluation._taste import Taste, as_taste
from tradinghf.evaluation._terms import Terms, as_terms
from tradinghf.evaluation._variants import costs_variant, rule_variant, terms_variant
from tradinghf.market import Floats, MarketData, MarketLike, as_market
from tradinghf.strategies import Strategy, load_strategy


@dataclass(frozen=True, eq=False)
class WalkForward:
    """Result of a walk-forward: one account over all test windows, and a row about each.

    Attributes:
        report: one backtest over all test windows, each with the parameters chosen before it;
            the joined account counts as one trial.
        windows: one row per window: train_start, train_end, test_start, test_end (timestamps,
            ends inclusive), the chosen parameters, and the metric in training and in the test.
        trials: combinations tried; the verdict is not deflated by them, since none saw the test.
        out_of_sample: by an objective, a row for the account above and one for the strategy with
            its default parameters over the same bars: taste, total_return_pct, sharpe_annual,
            max_drawdown_pct; None without an objective.
        taste_gain: by an objective, the difference in mean taste a window, and the ends of its
            95 % interval (NaN where there are too few windows); None without.

    """

    report: Report
    windows: pd.DataFrame
    trials: int
    out_of_sample: pd.DataFrame | None = None
    taste_gain: tuple[float, float, float] | None = None


def walk_forward_splits(
    bars: int, *, train_bars: int, test_bars: int, purge: int = 0, anchored: bool = False
) -> list[tuple[slice, slice]]:
    """(train, test) bar ranges; tests follow each other without a gap up to the last bar.

    Args:
        bars: T.
        train_bars: length of each training window; of the first one when anchored.
        test_bars: length of each test window; the last one may be shorter.
        purge: bars left out between training and test.
        anchored: training starts at the first bar and grows, instead of rolling along.

    Raises:
        ConfigError: a length below 2, a negative purge, or no room for one test bar.

    """
    if train_bars < 2 or test_bars < 2 or purge < 0:
        raise ConfigError(
            f"walk-forward: train_bars {train_bars}, test_bars {test_bars}, purge {purge}; "
            "expected at least 2, 2 and 0."
        )
    first = train_bars + purge
    if first + 2 > bars:
        raise ConfigError(
            f"walk-forward: {train_bars} training bars and a purge of {purge} leave no test in "
            f"{bars} bars; shorten the training window."
        )
    found = []
    for start in range(first, bars, test_bars):
        stop = min(start + test_bars, bars)
        # A window of one bar cannot be traded; the one before takes it.
        if bars - stop == 1:
            stop = bars
        end = start - purge
        found.append((slice(0 if anchored else end - train_bars, end), slice(start, stop)))
        if stop == bars:
            break
    return found


def walk_forward(
    strategy: str | Strategy,
    market: MarketLike,
    grid: Grid,
    *,
    train_bars: int,
    test_bars: int,
    purge: int = 0,
    anchored: bool = False,
    metric: str = "sharpe_annual",
    objective: Any = None,
    costs: CostModel | None = None,
    fill: Fill = "next_open",
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
    progress: Callable[[int, int], None] | None = None,
) -> WalkForward:
    """Choose parameters on each training window, trade them on the next test window.

    Weights of a test bar use all bars up to it, training ones included, so that indicators are
    warm; only the choice of parameters is confined to the training window. The account carries
    over from window to window: a change of parameters is traded and paid for like any other.
    Orders and signals are taken from a run over all bars as well; where the parameters change,
    a position that the new ones did not open is closed at the next fill.

    Args:
        strategy: name, file or `@strategy`.
        market: the bars.
        grid: parameter name to its values.
        train_bars, test_bars, purge, anchored: see `walk_forward_splits`.
        metric: of the training backtests, highest wins; a tie goes to the first in the grid.
        objective: as for `sweep`: the taste of the training windows chooses instead, and the
            result says what it and the profit are out of sample.
        costs: fees and slippage.
        fill: when orders fill.
        cash: starting equity [currency].
        rules, margin, brackets, funding, split, dividend, member: as for `backtest`.
        record, open_sealed: as for `backtest`. None of the choices has seen a test bar, so the
            joined account is one trial.
        progress: called with (windows done, windows).

    Raises:
        ConfigError: windows that do not fit, or sealed bars.
        StrategyError: unknown parameter or metric.

    """
    market = as_market(market)
    found = load_strategy(strategy)
    costs = settings_of(CostModel, costs, "costs")
    cut: dict[str, Any] = {
        "train_bars": train_bars,
        "test_bars": test_bars,
        "purge": purge,
        "anchored": anchored,
    }
    events = {"funding": funding, "split": split, "dividend": dividend, "member": member}
    terms = as_terms(rules=rules, margin=margin, brackets=brackets, **events)
    how: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}
    how["taste"] = as_taste(objective)
    metric = metric if how["taste"] is None else how["taste"].name
    with study_of(market, record, open_sealed, f"walkforward {found.name}") as study:
        walked = _walk(found, market, grid, cut, metric, how, progress)
        variant: dict[str, Any] = {
            "grid": {name: list(values) for name, values in grid.items()},
            "metric": metric,
            "costs": costs_variant(costs),
        }
        variant |= cut | {k: v for k, v in rule_variant(found, {}).items() if k == "code"}
        variant |= {"fill": fill} if fill != "next_open" else {}
        variant |= terms_variant(terms)
        trials = study.count_trials("walkforward", found.name, [variant])
    return replace(walked, report=replace(walked.report, trials=trials))


def _walk(
    found: Strategy,
    market: MarketData,
    grid: Grid,
    cut: dict[str, Any],
    metric: str,
    how: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> WalkForward:
    options = allowed_combinations(found, grid)
    windows = walk_forward_splits(market.bars, **cut)
    # A strategy is causal, so it decides once on everything; checked by
    # `tradinghf.evaluation._check`.
    account = {name: how[name] for name in ("costs", "fill", "cash", "terms")}

    def decide(**params: Any) -> OrderTables:
        return decisions(found, market, **account, **params).orders

    made = [decide(**params) for params in options]
    taste: Taste | None = how["taste"]
    if taste is not None and taste.keep is not None:  # what is kept is always among them
        usual = found.bind()
        options.insert(0, {name: usual[name] for name in options[0]})
        made.insert(0, decide())
    no_test = {**how, "taste": None}

    def choose(number: int, train: slice, test: slice) -> tuple[OrderTables, dict[str, Any]]:
        scores = _scores(market, made, train, metric, how)
        if np.isnan(scores).all():
            scores = np.zeros(len(options))  # nothing traded in training: the first of the grid
        chosen = int(np.nanargmax(scores))
        measured = {f"train_{metric}": scores[chosen]}
        # A test window is often shorter than an episode: taste is measured over all of them.
        shown = "total_return_pct" if taste is not None else metric
        measured[f"test_{shown}"] = _scores(market, [made[chosen]], test, shown, no_test)[0]
        return made[chosen], options[chosen] | measured

    report, table = trade_windows(market, windows, choose, **account, progress=progress)
    named = report.renamed(f"{found.name}, walk-forward")
    if taste is None:
        return WalkForward(named, table, len(options))
    first = windows[0][1].start
    default = restarted(decide(), slice(first, market.bars))
    compared, gain = _out_of_sample(report, default, taste, account)
    return WalkForward(named, table, len(options), compared, gain)


def _out_of_sample(
    report: Report, default: OrderTables, taste: Taste, account: dict[str, Any]
) -> tuple[pd.DataFrame, tuple[float, float, float]]:
    """Taste and profit of the joined account and of the default parameters, and the difference."""
    market = report.market
    traded = OrderTables(report.targets, report.kind, report.prices)
    account = account | {"terms": report.terms}
    columns = run_columns(market, (traded, default), taste=taste, **account)
    metrics = column_metrics(columns, market.bars_per_year)
    shown = ("total_return_pct", "sharpe_annual", "max_drawdown_pct", "turnover_per_year")
    assert columns.tastes is not None
    rows = {"taste": columns.tastes.mean(axis=0)} | {name: metrics[name] for name in shown}
    starts = taste.starts(market.bars)
    found = means(columns.tastes[:, 0] - columns.tastes[:, 1], time_blocks(starts, taste.window))
    low, high = found.ends() or (np.nan, np.nan)
    table = pd.DataFrame({"parameters": ["chosen on each past", "default"]} | rows)
    return table, (float(found.value[0]), float(low), float(high))


def trade_windows(
    market: MarketData,
    windows: list[tuple[slice, slice]],
    choose: Callable[[int, slice, slice], tuple[OrderTables, dict[str, Any]]],
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms | None = None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Report, pd.DataFrame]:
    """One account over all test windows, and a row about each window.

    Args:
        market: the bars.
        windows: (training, test) bars, as from `walk_forward_splits`.
        choose: from a window's number, training and test bars to orders over all bars, of which
            the test's are traded, and what else its row holds.
        costs, fill, cash, terms: of the account.
        progress: called with (windows done, windows).

    """
    parts: list[tuple[OrderTables, slice]] = []
    rows: list[dict[str, Any]] = []
    for number, (train, test) in enumerate(windows):
        chosen, about = choose(number, train, test)
        parts.append((chosen, test))
        ends = {
            "train_start": market.index[train.start],
            "train_end": market.index[train.stop - 1],
            "test_start": market.index[test.start],
            "test_end": market.index[test.stop - 1],
        }
        rows.append(ends | about)
        if progress is not None:
            progress(number + 1, len(windows))
    first = windows[0][1].start
    traded = market.rows(first, market.bars)
    terms = None if terms is None else terms.rows(first, market.bars)
    how: dict[str, Any] = {"costs": costs, "fill": fill, "cash": cash, "terms": terms}
    return trade_tables(joined_windows(parts), traded, **how), pd.DataFrame(rows)


def _scores(
    market: MarketData,
    made: list[OrderTables],
    window: slice,
    metric: str,
    how: dict[str, Any],
) -> Floats:
    """[N] a metric, or the objective, of each of several orders over some of the bars.

    An objective that keeps the strategy's profit compares with the first of them.
    """
    part, taste = market.rows(window.start, window.stop), how["taste"]
    how = how | {"terms": how["terms"].rows(window.start, window.stop)}
    columns = run_columns(part, (restarted(each, window) for each in made), **how)
    if taste is not None and columns.tastes is not None:
        own = columns.returns[:, :1]
        worth: Floats = taste.scores(columns.tastes, columns.returns, part, own=own)
        return worth
    metrics = column_metrics(columns, market.bars_per_year)
    if metric not in metrics:
        raise StrategyError(unknown_name("metric", metric, metrics))
    return metrics[metric]
