"""What a caller adds to a report's numbers: metrics of one's own, and what cash would earn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.errors import StrategyError
from tradinghf.evaluation._metrics import Metrics
from tradinghf.market import Floats, MarketData, session_times
from tradinghf.registry import Registry

METRICS: Registry[Callable[[Any], Any]] = Registry("metric", StrategyError)
"""Empty: metrics are found as FILE.py:function."""
OwnMetrics = Mapping[str, Callable[[Any], Any]]
_LEAST, _MOST = -0.5, 10.0  # of a yearly rate; beyond, it was given in percent


def named_metrics(given: Mapping[str, Any] | Sequence[Any] | None) -> OwnMetrics:
    """{name: function of the report} from a mapping, functions, or FILE.py:function.

    Raises:
        StrategyError: something is no function, or two have the same name.

    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        found = [METRICS.find(x) if isinstance(x, str) else (x.__name__, x) for x in given]
        pairs = [(name.rpartition(":")[2], function) for name, function in found]
    for name, function in pairs:
        if not callable(function):
            raise StrategyError(
                f"The metric {name!r} is {function!r}; expected a function of the report that "
                "returns a number or None."
            )
    if len({name for name, _ in pairs}) < len(pairs):
        raise StrategyError("Two metrics have the same name; name them in a mapping.")
    return dict(pairs)


def own_values(report: Any, taken: Metrics) -> Metrics:
    """The value of each metric of one's own of a `BacktestResult`, which has them.

    Raises:
        StrategyError: a name is taken, or a function fails or returns no number.

    """
    values: Metrics = {}
    for name, function in report.own_metrics.items():
        if name in taken:
            raise StrategyError(f"The metric {name!r} is one of ours; choose another name.")
        try:
            value = function(report)
            number = None if value is None else float(value)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise StrategyError(
                f"The metric {name!r} failed on {report.name} ({type(error).__name__}: {error}); "
                "expected a function of the report that returns a number or None."
            ) from error
        values[name] = number if number is not None and math.isfinite(number) else None
    return values


def riskless_returns(rate: Any, market: MarketData) -> Floats | None:
    """[T] what cash would earn over each bar [fraction]; None where it is nothing.

    Args:
        rate: yearly, as a fraction: a number, or a Series by time, of which the last one known at
            each bar holds; or a CSV file with the times in its first column and the rates in its
            second.
        market: the bars.

    Raises:
        StrategyError: no number, none known at the first bar, or rates in percent.

    """
    if rate is None or (isinstance(rate, int | float) and rate == 0):
        return None
    if isinstance(rate, int | float) and not isinstance(rate, bool):
        yearly = np.full(market.bars, float(rate))
    else:
        series = rate if isinstance(rate, pd.Series) else _read(rate)
        index = session_times(series.index).tz_localize("UTC")
        known = pd.Series(series.to_numpy(float), index).sort_index().dropna()
        yearly = known.reindex(market.index, method="ffill").to_numpy()
    if not np.isfinite(yearly).all() or yearly.min() < _LEAST or yearly.max() > _MOST:
        odd = yearly[~((yearly >= _LEAST) & (yearly <= _MOST))][0]
        raise StrategyError(
            f"risk_free is {odd} at some bar; expected a yearly fraction (0.03 for 3 %) that is "
            f"known from the first bar on, {market.index[0]:%Y-%m-%d}."
        )
    return np.asarray((1 + yearly) ** (1 / market.bars_per_year) - 1)


def _read(file: Any) -> pd.Series:
    try:
        table = pd.read_csv(file, index_col=0)
        rates = table.iloc[:, 0].astype(float)
        return rates.set_axis(session_times(table.index), axis=0)
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise StrategyError(
            f"risk_free is {file!r}; expected a yearly rate, a Series of them, or a CSV file with "
            f"the times in its first column and the rates in its second ({error})."
        ) from error
