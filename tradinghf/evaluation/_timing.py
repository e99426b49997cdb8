"""Random-timing baseline: the same positions, at every other time.

The position path is shifted in a circle by every possible number of bars. Each shift keeps
exposure, holding times, turnover and costs, and destroys only the timing. A strategy that knows
something should beat nearly all of its own shifts. Shifts by less than a twentieth of the history
are left out: a few bars later is nearly the same strategy, a few bars earlier knows the future.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tradinghf.evaluation._result import BacktestResult
from tradinghf.market import Floats


@dataclass(frozen=True, eq=False)
class RandomTiming:
    """Where the strategy's Sharpe ratio stands among those of its shifts.

    Attributes:
        sharpe: annual Sharpe ratio of the unshifted path, computed as for the shifts.
        shifted: [K] annual Sharpe ratios of the shifts by m .. T - m bars, m = max(1, T / 20).
        decisions: bars on which anything was traded.

    """

    sharpe: float | None
    shifted: Floats
    decisions: int

    @property
    def percentile(self) -> float | None:
        """Share of shifts that do worse (ties count half) [%].

        None where there is no timing to judge: fewer than two decisions, or all shifts alike.
        """
        if self.sharpe is None or self.decisions < 2 or np.ptp(self.shifted) < 1e-9:
            return None
        worse = (self.shifted < self.sharpe).sum() + (self.shifted == self.sharpe).sum() / 2
        return 100.0 * float(worse) / len(self.shifted)

    def p_value(self, trials: int = 1) -> float | None:
        """Chance that the best of `trials` random timings does at least as well (Sidak)."""
        if self.percentile is None or self.sharpe is None:
            return None
        single = (1 + (self.shifted >= self.sharpe).sum()) / (1 + len(self.shifted))
        return 1.0 - (1.0 - float(single)) ** trials


def random_timing(report: BacktestResult) -> RandomTiming:
    """Sharpe ratios of all circular shifts of a report's position path.

    A bar's return is u_{t-k} . v_t: what was held (and paid in costs) at the shifted time, times
    what the market did. So the sums of returns and of their squares over all shifts k are
    circular correlations, exact by FFT in O(A^2 T log T).
    """
    held, moved = _factors(report)
    bars = len(held)
    first, second = np.fft.rfft(held, axis=0), np.fft.rfft(moved, axis=0)
    total = np.fft.irfft((first.conj() * second).sum(axis=1), bars)
    squares = np.zeros(bars)
    for i in range(held.shape[1]):
        for j in range(i + 1):
            pair = np.fft.rfft(held[:, i] * held[:, j]).conj()
            other = np.fft.rfft(moved[:, i] * moved[:, j])
            squares += (1 if i == j else 2) * np.fft.irfft(pair * other, bars)
    mean = total / bars
    variance = (squares / bars - mean**2) * bars / (bars - 1)
    ratios = np.zeros(bars)
    # FFT rounding leaves about 1e-16 of the largest second moment.
    floor = 1e-13 * max(float(np.abs(squares).max()) / bars, 1e-300)
    np.divide(mean, np.sqrt(np.maximum(variance, floor)), out=ratios, where=variance > floor)
    ratios *= math.sqrt(report.market.bars_per_year)
    flat = variance[0] <= floor
    decisions = int(report.orders["bar"].nunique())
    margin = max(1, bars // 20)
    far = ratios[margin : bars - margin + 1]
    return RandomTiming(None if flat else float(ratios[0]), far, decisions)


def _factors(report: BacktestResult) -> tuple[Floats, Floats]:
    """U [T, M] and v [T, M]: the return of bar t is the sum of their products, net of costs."""
    market, account = report.market, report.account
    end = report.positions.to_numpy()
    start = np.vstack([np.zeros((1, market.assets)), end[:-1]])
    before = np.concatenate([[report.cash], account.equity[:-1]])
    paid, orders = np.zeros(market.bars), report.orders
    np.add.at(paid, orders["bar"].to_numpy(), (orders["fee"] + orders["slippage"]).to_numpy())
    cost = np.zeros(market.bars)
    np.divide(paid, before, out=cost, where=before > 0)
    last = np.vstack([market.close[:1], market.close[:-1]])
    if report.fill == "close":
        held, moved = [start], [market.close / last - 1]
    else:  # the old position earns the night, what was held after the open earns the day
        value = account.shares * market.open
        equity = account.cash + value.sum(axis=1)
        day = np.zeros_like(value)
        np.divide(value, equity[:, None], out=day, where=equity[:, None] > 0)
        held, moved = [start, day], [market.open / last - 1, market.close / market.open - 1]
        moved[0][0] = 0.0
    held.append(cost[:, None])
    moved.append(np.full((market.bars, 1), -1.0))
    return np.hstack(held), np.hstack(moved)
