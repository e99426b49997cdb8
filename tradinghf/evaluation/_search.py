"""Search of a large grid: Optuna proposes the next combinations from the results so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import Brackets, CostModel, Fill, Margin, TradingRules
from tradinghf.errors import MissingExtraError, StrategyError, check_setting, unknown_name
from tradinghf.evaluation._study import Record, study_of
from tradinghf.evaluation._sweep import (
    Grid,
    Model,
    Sweep,
    account_models,
    allowed_combinations,
    counted_sweep,
    run_combinations,
)
from tradinghf.evaluation._taste import Taste, as_taste
from tradinghf.evaluation._terms import several_terms
from tradinghf.market import MarketData
from tradinghf.strategies import Strategy, load_strategy

_BATCH = 16
"""Combinations proposed at once: they run as columns of one simulation."""
_Point = tuple[int, ...]


def search(
    strategy: str | Strategy,
    market: MarketData,
    grid: Grid,
    *,
    limit: int,
    metric: str = "sharpe_annual",
    seed: int = 0,
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
    record: Record = True,
    open_sealed: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """`limit` combinations of a grid, chosen by Optuna's tree-structured Parzen estimator.

    Every combination runs at most once, under every cost model; its score is the mean over them.
    The result is a `Sweep` whose rows are no independent draws: they were proposed from earlier
    results. So `Sweep.verdict` counts each as a trial and deflates by no less than the spread of
    strategies without skill, and `Sweep.overfitting` is None.

    Args:
        strategy, market, grid, costs, fill, cash, rules, margin, brackets, objective: as for
            `sweep`.
        funding, split, dividend, member: likewise.
        limit: how many combinations to run; the whole grid if it is smaller.
        metric: to maximise, where there is no objective.
        seed: of the sampler.
        record, open_sealed: as for `backtest`; every row is a trial.
        progress: called with (combinations done, limit).

    Raises:
        ConfigError: some bars are sealed, and there is no reason to open them.
        MissingExtraError: Optuna is not installed.
        StrategyError: unknown parameter or metric, or an empty grid.

    Source: Bergstra et al. 2011 (NeurIPS), as implemented by Optuna.

    """
    check_setting(limit >= 1, "search: limit", limit, "at least 1")
    check_setting(0 <= seed < 2**32, "search: seed", seed, "0 to 4294967295")
    found, taste = load_strategy(strategy), as_taste(objective)
    metric = metric if taste is None else taste.name
    with study_of(market, record, open_sealed, f"sweep {found.name}") as study:
        events = {"funding": funding, "split": split, "dividend": dividend, "member": member}
        terms = several_terms(brackets, rules=rules, margin=margin, **events)
        models = account_models(costs, terms)
        how: dict[str, Any] = {"models": models, "fill": fill, "cash": cash}
        how["taste"] = taste
        searched = _search(found, market, grid, limit, metric, seed, progress, **how)
        return counted_sweep(searched, study)


def _search(
    found: Strategy,
    market: MarketData,
    grid: Grid,
    limit: int,
    metric: str,
    seed: int,
    progress: Callable[[int, int], None] | None,
    *,
    models: Sequence[Model],
    fill: Fill,
    cash: float,
    taste: Taste | None,
) -> Sweep:
    optuna = _optuna()
    values = {name: list(options) for name, options in grid.items()}
    combinations = allowed_combinations(found, values)
    limit = min(limit, len(combinations))
    allowed = {
        point
        for point in product(*(range(len(options)) for options in values.values()))
        if found.allows(found.typed(**_chosen(values, point)))
    }
    places = {n: optuna.distributions.IntDistribution(0, len(v) - 1) for n, v in values.items()}
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    parts: list[Sweep] = []
    scores: dict[_Point, float] = {}
    while len(scores) < limit:
        batch = min(_BATCH, limit - len(scores))
        trials = [study.ask(places) for _ in range(batch)]
        points = [tuple(trial.params[n] for n in values) for trial in trials]
        new = [point for point in dict.fromkeys(points) if point in allowed - scores.keys()]
        # A sampler that only repeats itself has found its optimum: go on in the grid's order.
        new = new or sorted(allowed - scores.keys())[:batch]
        chosen = [_chosen(values, point) for point in new]
        parts.append(
            run_combinations(found, market, chosen, models, fill=fill, cash=cash, taste=taste)
        )
        scores |= dict(zip(new, _scores(parts[-1], metric, len(models)), strict=True))
        for trial, point in zip(trials, points, strict=True):
            score = scores.get(point, math.nan)
            # A combination that is not allowed, or never trades, has no score: it failed.
            known = math.isfinite(score)
            state = optuna.trial.TrialState.COMPLETE if known else optuna.trial.TrialState.FAIL
            study.tell(trial, score if known else None, state)
        if progress is not None:
            progress(len(scores), limit)
    size = math.prod(len(options) for options in values.values())
    return replace(_joined(parts), left_out=size - len(combinations), adaptive=True)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "search", "Searching a part of a grid") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _chosen(values: Mapping[str, list[Any]], point: _Point) -> dict[str, Any]:
    """Parameters of a point of the grid."""
    return {n: values[n][i] for n, i in zip(values, point, strict=True)}


def _scores(part: Sweep, metric: str, models: int) -> list[float]:
    """Mean of the metric over the cost models, per combination."""
    if metric not in part.table:
        raise StrategyError(unknown_name("metric", metric, part.table.columns))
    table = part.table[metric].to_numpy(np.float64).reshape(models, -1)
    found: list[float] = table.mean(axis=0).tolist()
    return found


def _joined(parts: Sequence[Sweep]) -> Sweep:
    return replace(
        parts[0],
        table=pd.concat([part.table for part in parts], ignore_index=True),
        returns=np.concatenate([part.returns for part in parts], axis=1),
        costs=tuple(model for part in parts for model in part.costs),
        terms=tuple(terms for part in parts for terms in part.terms),
        params=tuple(params for part in parts for params in part.params),
        tastes=None
        if parts[0].tastes is None
        else np.concatenate([part.tastes for part in parts if part.tastes is not None], axis=1),
    )
