"""Combinatorial purged cross-validation: many out-of-sample histories from one.

Walk-forward gives one history, whose luck cannot be told from skill. Here the bars are cut into
folds; every choice of some of them is once the test, the rest the training. Each fold is tested
several times, so that the tests join to several whole histories.

Training bars next to a test are left out: `purge` on both sides, for what reaches across the seam
(indicators, open positions), and `embargo` more after a test, for what lingers in the market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules
from tradinghf.errors import ConfigError, StrategyError, unknown_name
from tradinghf.evaluation import _metrics as metrics
from tradinghf.evaluation._study import Record
from tradinghf.evaluation._sweep import Grid, Sweep, sweep
from tradinghf.market import Floats, MarketData
from tradinghf.strategies import Strategy, load_strategy

_MOST_SPLITS = 10_000
METRICS: dict[str, Callable[[Floats, float], float | None]] = {
    "sharpe_annual": metrics.sharpe,
    "sortino_annual": metrics.sortino,
    "calmar": metrics.calmar,
    "total_return_pct": lambda returns, _: 100.0 * metrics.total_return(returns),
}


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Several out-of-sample histories of choosing parameters.

    Attributes:
        strategy: its name.
        market: the bars.
        paths: [T, P] return of each bar in each history; P = C(folds - 1, test_folds - 1).
        splits: one row per choice of test folds: test (the folds' numbers), the chosen parameters,
            and the metric on the training bars and on the test bars.
        path_sharpes: [P] annual Sharpe ratio of each history; NaN where it never traded.
        trials: combinations that were chosen from.
        counted: trials of these bars that a store has counted; 0 without one.

    """

    strategy: str
    market: MarketData
    paths: Floats
    splits: pd.DataFrame
    path_sharpes: Floats
    trials: int
    counted: int = 0

    @property
    def losing_share(self) -> float:
        """Share of the histories whose Sharpe ratio is not positive."""
        return float(np.mean(~(self.path_sharpes > 0)))

    @property
    def summary(self) -> str:
        """How the histories spread, in a sentence."""
        known = self.path_sharpes[np.isfinite(self.path_sharpes)]
        count = self.paths.shape[1]
        if not len(known):
            return f"None of the {count} out-of-sample histories trades."
        low, middle, high = np.quantile(known, [0.0, 0.5, 1.0])
        return (
            f"Sharpe ratio of the {count} out-of-sample histories: median {middle:.2f}, from "
            f"{low:.2f} to {high:.2f}; {100 * self.losing_share:.0f} % of them are not positive."
        )


def combinatorial_splits(
    bars: int, *, folds: int, test_folds: int, purge: int = 0, embargo: int = 0
) -> list[tuple[NDArray[np.intp], tuple[int, ...]]]:
    """(training bars, numbers of the test folds) of every choice of test folds.

    The first folds have bars // folds bars each, the last one takes what is left. The same bars as
    `skfolio.model_selection.CombinatorialPurgedCV` chooses.

    Args:
        bars: T.
        folds: into how many parts the bars are cut; at least 2.
        test_folds: how many of them are the test; at least 1, fewer than `folds`.
        purge: training bars left out on both sides of each stretch of test bars.
        embargo: more training bars left out after it.

    Raises:
        ConfigError: no such cut, more than 10,000 choices, or nothing left of a training fold.

    Source: Lopez de Prado 2018, "Advances in financial machine learning", chapters 7 and 12.

    """
    size = bars // folds if folds > 0 else 0
    if not 1 <= test_folds < folds or size < 2:
        raise ConfigError(
            f"cross-validation: {folds} folds, {test_folds} of them tests, of {bars} bars; "
            "expected at least 2 folds of 2 bars, and at least 1 test fold, but not all."
        )
    if purge < 0 or embargo < 0 or purge + embargo >= size - 1:
        raise ConfigError(
            f"cross-validation: purge {purge} and embargo {embargo}; expected 0 or more, together "
            f"less than a fold's {size} bars less 1."
        )
    if comb(folds, test_folds) > _MOST_SPLITS:
        raise ConfigError(
            f"cross-validation: {comb(folds, test_folds):,} ways to choose {test_folds} of {folds} "
            f"folds; expected at most {_MOST_SPLITS:,}. Take fewer folds."
        )
    fold = np.minimum(np.arange(bars) // size, folds - 1)
    found = []
    for tests in combinations(range(folds), test_folds):
        testing = np.isin(fold, tests)
        free = ~testing
        step = np.diff(testing.astype(np.int8))
        for seam in np.flatnonzero(step == 1) + 1:  # first bar of a test
            free[max(seam - purge, 0) : seam] = False
        for seam in np.flatnonzero(step == -1) + 1:  # first bar after it
            free[seam : seam + purge + embargo] = False
        found.append((np.flatnonzero(free), tests))
    return found


def cross_validate_parameters(
    strategy: str | Strategy,
    market: MarketData,
    grid: Grid,
    *,
    folds: int = 10,
    test_folds: int = 2,
    purge: int = 0,
    embargo: int = 0,
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
) -> CrossValidation:
    """Choose parameters on every set of training bars, judge them on the test bars.

    Every combination is backtested once over all bars; a split chooses by the returns of its
    training bars and takes over the returns of its test bars. So a history changes parameters at
    the seams without paying for the change.

    Args:
        strategy: name, file or `@strategy`.
        market: the bars.
        grid: parameter name to its values.
        folds, test_folds, purge, embargo: see `combinatorial_splits`.
        metric: of the training bars, highest wins: one of `METRICS`.
        objective: as for `sweep`: the taste of the windows that lie in training bars chooses.
        costs: fees and slippage.
        fill: when orders fill.
        cash: starting equity [currency].
        rules, margin, brackets, funding, split, dividend, member: as for `backtest`.
        record, open_sealed: as for `backtest`. Every combination is backtested over all bars, and
            the histories overlap: all of them are trials, as those of a sweep.
        progress: called with (combinations done, combinations).

    Raises:
        ConfigError: folds that do not fit, or sealed bars.
        StrategyError: unknown parameter or metric.

    """
    if metric not in METRICS:
        raise StrategyError(unknown_name("metric", metric, METRICS))
    found = load_strategy(strategy)
    cuts = combinatorial_splits(
        market.bars, folds=folds, test_folds=test_folds, purge=purge, embargo=embargo
    )
    swept = sweep(
        found,
        market,
        grid,
        costs=costs,
        fill=fill,
        cash=cash,
        rules=rules,
        margin=margin,
        brackets=brackets,
        funding=funding,
        split=split,
        dividend=dividend,
        member=member,
        objective=objective,
        record=record,
        open_sealed=open_sealed,
        progress=progress,
    )
    size, year = market.bars // folds, market.bars_per_year
    bounds = [(k * size, market.bars if k == folds - 1 else (k + 1) * size) for k in range(folds)]
    paths = np.zeros((market.bars, comb(folds - 1, test_folds - 1)))
    tested = [0] * folds  # how often each fold was a test: the history it goes to next
    rows: list[dict[str, Any]] = []
    for train, tests in cuts:
        scores = [_score(column, metric, year) for column in swept.returns[train].T]
        if swept.taste is not None:
            scores = _tastes(swept, train)
        chosen = int(np.argmax(scores))
        traded, params = swept.returns[:, chosen], swept.params[chosen]
        if swept.own is not None and not np.isfinite(scores).any():
            usual = found.bind()  # nothing keeps its profit: it stays as it is
            traded, params = swept.own[:, 0], {name: usual[name] for name in params}
        parts = []
        for k in tests:
            part = traded[slice(*bounds[k])]
            paths[slice(*bounds[k]), tested[k]] = part
            tested[k] += 1
            parts.append(part)
        rows.append(
            {
                "test": ", ".join(str(k + 1) for k in tests),
                **params,
                f"train_{swept.metric if swept.taste else metric}": _defined(scores[chosen]),
                f"test_{metric}": _defined(_score(np.concatenate(parts), metric, year)),
            }
        )
    ratios = [metrics.sharpe(path, year) for path in paths.T]
    return CrossValidation(
        strategy=found.name,
        market=market,
        paths=paths,
        splits=pd.DataFrame(rows),
        path_sharpes=np.array([np.nan if r is None else r for r in ratios]),
        trials=swept.trials,
        counted=swept.counted,
    )


def _tastes(swept: Sweep, train: NDArray[np.intp]) -> list[float]:
    """[N] mean worth of the windows all of whose bars are training bars.

    Raises:
        ConfigError: there is no such window.

    """
    assert swept.taste is not None
    assert swept.tastes is not None
    starts, length = swept.taste.starts(swept.market.bars), swept.taste.window
    free = np.zeros(swept.market.bars + 1, dtype=np.int64)
    free[train + 1] = 1
    inside = np.diff(np.cumsum(free)[np.stack([starts, starts + length + 1])], axis=0)[0] > length
    if not inside.any():
        raise ConfigError(
            f"cross-validation: no window of {length} bars, which the taste is measured on, lies "
            "within training bars. Take fewer folds, or a shorter Taste(window=...)."
        )
    worth = swept.taste.scores(
        swept.tastes, swept.returns, swept.market, own=swept.own, inside=inside
    )
    found: list[float] = np.where(np.isnan(worth), -np.inf, worth).tolist()
    return found


def _score(returns: Floats, metric: str, bars_per_year: float) -> float:
    """A metric of returns; below everything where it is undefined."""
    value = METRICS[metric](returns, bars_per_year)
    return -np.inf if value is None else value


def _defined(score: float) -> float:
    """NaN for what was undefined."""
    return score if np.isfinite(score) else float("nan")
