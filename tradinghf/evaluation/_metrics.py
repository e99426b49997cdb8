"""Performance numbers from returns, positions and fills. Definitions: docs/metrics.md.

Pure functions of arrays. Every one returns None where its quantity is undefined (no losses, no
variance, too few bars), so that no report ever shows inf or NaN.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tradinghf.market import Floats

Number = float | int | None
Metrics = dict[str, float | int | str | None]
# Below this relative size a spread is rounding noise, not a spread.
_TINY = 1e-14


def ratio(numerator: float, denominator: float) -> float | None:
    """Numerator / denominator; None where that is undefined or not finite."""
    if not denominator or not math.isfinite(denominator) or not math.isfinite(numerator):
        return None
    value = numerator / denominator
    return value if math.isfinite(value) else None


def spread(returns: Floats) -> float:
    """Sample standard deviation; 0 where it is only rounding noise or undefined."""
    if len(returns) < 2:
        return 0.0
    value = float(np.std(returns, ddof=1))
    return 0.0 if value <= _TINY * max(1.0, float(np.abs(returns).max())) else value


def sharpe(returns: Floats, bars_per_year: float = 1.0) -> float | None:
    """Mean / standard deviation (n - 1), times sqrt(bars per year). Source: Sharpe 1994."""
    scaled = float(np.mean(returns)) * math.sqrt(bars_per_year) if len(returns) else 0.0
    return ratio(scaled, spread(returns))


def sortino(returns: Floats, bars_per_year: float = 1.0) -> float | None:
    """Mean / root mean square of the losses over all bars, annualised. Source: Sortino 1994."""
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return ratio(float(np.mean(returns)) * math.sqrt(bars_per_year), downside)


def omega(returns: Floats) -> float | None:
    """Sum of gains / sum of losses, threshold 0. Source: Keating and Shadwick 2002."""
    gains, losses = np.maximum(returns, 0.0).sum(), np.maximum(-returns, 0.0).sum()
    return ratio(float(gains), float(losses))


def tail_ratio(returns: Floats) -> float | None:
    """|95th percentile| / |5th percentile| of the returns."""
    if len(returns) < 2:
        return None
    high, low = np.percentile(returns, [95, 5])
    return ratio(abs(float(high)), abs(float(low)))


def total_return(returns: Floats) -> float:
    """Product of (1 + r) minus 1, as a fraction."""
    return float(np.prod(1.0 + returns)) - 1.0


def cagr(returns: Floats, bars_per_year: float) -> float | None:
    """Compound annual growth, as a fraction; None after less than a bar or when ruined."""
    growth = 1.0 + total_return(returns)
    if len(returns) == 0 or growth < 0:
        return None
    # A short lucky window can annualise beyond what a float holds.
    exponent = bars_per_year / len(returns)
    if growth > 0 and math.log(growth) * exponent > 700:
        return None
    return float(growth**exponent) - 1.0


def drawdowns(returns: Floats) -> Floats:
    """[T] fall from the highest value so far (the start counts as one), in [0, 1]."""
    value = np.cumprod(1.0 + returns)
    peak = np.maximum(np.maximum.accumulate(value), 1.0) if len(value) else value
    return 1.0 - value / peak


def max_drawdown(returns: Floats) -> float:
    """Deepest fall from a high, as a fraction in [0, 1]."""
    return float(drawdowns(returns).max(initial=0.0))


def longest_drawdown(returns: Floats) -> int:
    """Most bars in a row below an earlier high; the last stretch may be unrecovered."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], drawdowns(returns) > _TINY, [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def calmar(returns: Floats, bars_per_year: float) -> float | None:
    """CAGR / maximum drawdown. Source: Young 1991."""
    growth = cagr(returns, bars_per_year)
    return None if growth is None else ratio(growth, max_drawdown(returns))


def skewness(returns: Floats) -> float | None:
    """Third standardised moment (population form, as in the probabilistic Sharpe ratio)."""
    return _moment(returns, 3)


def kurtosis(returns: Floats) -> float | None:
    """Fourth standardised moment, raw: 3 for a normal distribution."""
    return _moment(returns, 4)


def _moment(returns: Floats, order: int) -> float | None:
    if spread(returns) == 0:
        return None
    z = (returns - returns.mean()) / returns.std()
    return float(np.mean(z**order))


def value_at_risk(returns: Floats, level: float = 0.05) -> float | None:
    """Loss of one bar that is exceeded with probability `level`, as a positive fraction."""
    return max(0.0, -float(np.quantile(returns, level))) if len(returns) > 1 else None


def expected_shortfall(returns: Floats, level: float = 0.05) -> float | None:
    """Mean loss over the worst `level` of bars, as a positive fraction."""
    if len(returns) < 2:
        return None
    worst = returns[returns <= np.quantile(returns, level)]
    return max(0.0, -float(worst.mean()))


def trade_metrics(trades: pd.DataFrame) -> Metrics:
    """Counts and averages over the closed round trips."""
    closed = trades[~trades["open"].astype(bool)]
    pnl = closed["pnl"].to_numpy(np.float64)
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    gain = float(wins.mean()) if len(wins) else 0.0
    loss = float(-losses.mean()) if len(losses) else 0.0
    bars = closed["bars"].to_numpy(np.float64)
    return {
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "hit_rate_pct": _percent(ratio(len(wins), len(closed))),
        "payoff_ratio": ratio(gain, loss) if len(wins) else None,
        "profit_factor": ratio(float(wins.sum()), float(-losses.sum())),
        "average_trade_pct": float(closed["return_pct"].mean()) if len(closed) else None,
        "average_holding_bars": float(bars.mean()) if len(bars) else None,
    }


def return_metrics(returns: Floats, bars_per_year: float, excess: Floats | None = None) -> Metrics:
    """Everything that follows from the returns alone; Sharpe and Sortino from those above cash."""
    above = returns if excess is None else excess
    volatility = spread(returns) * math.sqrt(bars_per_year) if len(returns) > 1 else None
    return {
        "total_return_pct": 100.0 * total_return(returns),
        "cagr_pct": _percent(cagr(returns, bars_per_year)),
        "volatility_annual_pct": _percent(volatility),
        "sharpe_annual": sharpe(above, bars_per_year),
        "sortino_annual": sortino(above, bars_per_year),
        "calmar": calmar(returns, bars_per_year),
        "omega": omega(returns),
        "tail_ratio": tail_ratio(returns),
        "max_drawdown_pct": 100.0 * max_drawdown(returns),
        "average_drawdown_pct": 100.0 * float(drawdowns(returns).mean()) if len(returns) else 0.0,
        "longest_drawdown_bars": longest_drawdown(returns),
        "skewness": skewness(returns),
        "kurtosis": kurtosis(returns),
        "value_at_risk_95_pct": _percent(value_at_risk(returns)),
        "expected_shortfall_95_pct": _percent(expected_shortfall(returns)),
        "best_bar_pct": 100.0 * float(returns.max()) if len(returns) else None,
        "worst_bar_pct": 100.0 * float(returns.min()) if len(returns) else None,
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else 100.0 * value
