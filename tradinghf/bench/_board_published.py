"""What is left of published Sharpe ratios of one year: by its length, trials, costs and luck.

TradeMaster's notebooks print, of one test year of the DJ30, Sharpe ratios of 1.30 (EIIE), 1.11
(SARL) and 1.38 (feature generation), each of one seed, and one return of -199.6 %. Those bars are
not among the data that ships in packages. So what such a number says is measured where the truth
is known: accounts without any skill, on the real years of 20 stocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.market import Floats

PUBLISHED = {"EIIE": 1.30, "SARL": 1.11, "feature generation": 1.38}
_YEAR = 252
_FEE_BPS = 10.0  # what those notebooks charge
_TRIALS = (1, 10, 50)
_SPREAD = 1.0  # of the normal scores behind the weights, which are drawn anew at every close


def what_remains(data: str = "stocks20", *, seeds: int = 10, seed: int = 0) -> dict[str, Any]:
    """The published ratios beside accounts without skill.

    An account without skill holds all stocks by random long-only weights, drawn anew at every
    close, as an untrained policy does. Each year of the bars is a test year, with `seeds` of them.

    Args:
        data: bars of several stocks.
        seeds: accounts in each year.
        seed: of their weights.

    Returns:
        JSON-ready: claims, one per published ratio: interval, deflated (by number of trials),
        years_to_be_sure, and the shares of years or accounts that reach it: held (buy and hold),
        free (without skill, no costs), paid (after costs), best_paid (the best seed of a year);
        years, worst_return_pct (the least of any account, of three times its equity too), and
        worst_shortfall (what such accounts owed beyond it, of the start).

    """
    from tradinghf.config import CostModel
    from tradinghf.evaluation import run_columns
    from tradinghf.market import load_market

    market = load_market(data)
    rng = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {"held": [], "free": [], "paid": []}
    worst, owed = 0.0, 0.0
    starts = range(0, market.bars - _YEAR, _YEAR)
    for start in starts:
        year = market.rows(start, start + _YEAR + 1)
        tables = [_random_weights(rng, year.bars, year.assets) for _ in range(seeds)]
        equal = np.full((year.bars, year.assets), np.nan)
        equal[0] = 1 / year.assets
        for name, orders, fee in (
            ("held", [equal], _FEE_BPS),
            ("free", tables, 0.0),
            ("paid", tables, _FEE_BPS),
        ):
            costs = CostModel(fee_bps=fee, slippage_bps=0.0)
            done = run_columns(year, orders, costs=costs, fill="next_open", cash=1e5)
            found[name].append(_sharpe(done.returns[1:]))
            worst = min(worst, float((np.cumprod(1 + done.returns, axis=0) - 1).min()))
        levered = _levered(year, 3 * tables[0])
        worst, owed = min(worst, levered[0]), max(owed, levered[1])
    ratios = {name: np.stack(years) for name, years in found.items()}
    claims = [_claim(method, ratio, ratios) for method, ratio in PUBLISHED.items()]
    return {
        "data": data,
        "years": len(starts),
        "accounts": len(starts) * seeds,
        "fee_bps": _FEE_BPS,
        "claims": claims,
        "worst_return_pct": 100 * worst,
        "worst_shortfall": owed,
    }


def _random_weights(rng: np.random.Generator, bars: int, assets: int) -> Floats:
    """[T, A] positive weights that add up to 1."""
    scores = np.exp(_SPREAD * rng.standard_normal((bars, assets)))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _levered(year: Any, weights: Floats) -> tuple[float, float]:
    """Lowest return of an account with three times its equity, and what it owed [of the start]."""
    from tradinghf.config import CostModel, EnvConfig, Margin
    from tradinghf.simulation import simulate

    config = EnvConfig(margin=Margin(leverage=3.0, maintenance=0.0))
    done = simulate(year, weights, config=config, costs=CostModel(fee_bps=_FEE_BPS))
    return float(done.equity.min() / done.equity[0] - 1), float(done.owed.max() / 1e5)


def _sharpe(returns: Floats) -> Floats:
    """[N] annual Sharpe ratios of [T, N]."""
    return np.asarray(np.sqrt(_YEAR) * returns.mean(axis=0) / returns.std(axis=0, ddof=1))


def _claim(method: str, ratio: float, ratios: dict[str, Floats]) -> dict[str, Any]:
    """One published ratio: what its year alone says of it, and who reaches it without skill."""
    from tradinghf.evaluation import deflated_sharpe, track_intervals

    track = _normal_track(ratio)
    end = track_intervals(track, _YEAR)["sharpe_annual"]
    per_bar = ratio / np.sqrt(_YEAR)
    sure = 1 + (1 + per_bar**2 / 2) * (1.6448536269514722 / per_bar) ** 2  # 95 %, one-sided
    return {
        "method": method,
        "sharpe": ratio,
        "interval": [end.low, end.high],
        "deflated": {str(n): deflated_sharpe(track, n) for n in _TRIALS},
        "years_to_be_sure": float(sure / _YEAR),
        "best_paid": float((ratios["paid"].max(axis=1) >= ratio).mean()),
        **{name: float((values >= ratio).mean()) for name, values in ratios.items()},
    }


def _normal_track(ratio: float) -> Floats:
    """[252] returns whose annual Sharpe ratio is `ratio`: normal quantiles in a fixed order."""
    from scipy.stats import norm

    drawn = norm.ppf((np.arange(_YEAR) + 0.5) / _YEAR)
    drawn = np.random.default_rng(0).permutation(drawn)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return np.asarray(0.01 * (drawn + ratio / np.sqrt(_YEAR)))
