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
from numpy.lib.stride_tricks import as_strided

from tradinghf.evaluation._result import BacktestResult
from tradinghf.market import Floats

_FFT_SECONDS = 3e-9  # per bar, doubling and pair of factors, on one core
_PRODUCT_SECONDS = 7e-11  # per multiplication of a matrix product
_MOST_SECONDS = 2.5  # beyond this only some of the shifts are measured
_CELLS = 2_000_000  # of a matrix product at a time


@dataclass(frozen=True, eq=False)
class RandomTiming:
    """Where the strategy's Sharpe ratio stands among those of its shifts.

    Attributes:
        sharpe: annual Sharpe ratio of the unshifted path, computed as for the shifts.
        shifted: [K] annual Sharpe ratios of the shifts by m .. T - m bars, m = max(1, T / 20): of
            all of them, or of evenly spaced ones where bars and assets are both many.
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
    what the market did. What every shift earns follows from these products in one of three ways,
    whichever takes the least work: circular correlations by FFT (few assets), all products of
    times (few bars), or only shifts by multiples of some number of bars (both are many).
    """
    held, moved = _factors(report)
    bars = len(held)
    step = _step(*held.shape)
    total, squares = _by_products(held, moved, step) if step else _by_correlation(held, moved)
    mean = total / bars
    variance = (squares / bars - mean**2) * bars / (bars - 1)
    ratios = np.zeros_like(mean)
    # FFT rounding leaves about 1e-16 of the largest second moment.
    floor = 1e-13 * max(float(np.abs(squares).max()) / bars, 1e-300)
    np.divide(mean, np.sqrt(np.maximum(variance, floor)), out=ratios, where=variance > floor)
    ratios *= math.sqrt(report.market.bars_per_year)
    flat = variance[0] <= floor
    decisions = int(report.orders["bar"].nunique())
    margin, shift = max(1, bars // 20), np.arange(len(ratios)) * max(step, 1)
    far = ratios[(shift >= margin) & (shift <= bars - margin)]
    return RandomTiming(None if flat else float(ratios[0]), far, decisions)


def _step(bars: int, factors: int) -> int:
    """0 where correlations are the least work; else the bars between shifts that are measured."""
    pairs = factors * (factors + 1) / 2
    correlating = pairs * bars * math.log2(bars) * _FFT_SECONDS
    multiplying = float(bars) ** 2 * factors * _PRODUCT_SECONDS
    if correlating <= min(multiplying, _MOST_SECONDS):
        return 0
    return max(1, math.ceil(multiplying / _MOST_SECONDS))


def _by_correlation(held: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """[T] sums of the returns, and of their squares, of all shifts by FFT, in O(M^2 T log T)."""
    bars, factors = held.shape
    total = (np.fft.rfft(held, axis=0).conj() * np.fft.rfft(moved, axis=0)).sum(axis=1)
    squares = np.zeros_like(total)
    for i in range(factors):
        for j in range(i + 1):
            own = np.fft.rfft(held[:, i] * held[:, j])
            market = np.fft.rfft(moved[:, i] * moved[:, j])
            squares += (1 if i == j else 2) * own.conj() * market
    return np.fft.irfft(total, bars), np.fft.irfft(squares, bars)


def _by_products(held: Floats, moved: Floats, step: int) -> tuple[Floats, Floats]:
    """[K] the same of shifts by 0, step, 2 step ..., in O(M T^2 / step).

    Only times that differ by a multiple of `step` meet. In the product of the market's rows with
    the positions' in reverse order, one shift lies on one diagonal.
    """
    bars = len(held)
    shifts = -(-bars // step)
    rows = max(1, min(bars, _CELLS // shifts))
    total, squares = np.zeros(shifts), np.zeros(shifts)
    twice = np.concatenate([held, held])
    for first in range(step):
        past = np.ascontiguousarray(twice[first::step][::-1])
        times = np.arange((first - bars) % step, bars, step)
        place = len(past) - 1 - (times + bars - first) // step  # of shift 0 in `past`
        for start in range(0, len(times), rows):
            some = slice(start, start + rows)
            columns = slice(place[some][-1], place[some][0] + shifts)
            product = moved[times[some]] @ past[columns].T
            count, width = product.shape
            found = as_strided(
                product.ravel()[count - 1 :],
                (count, shifts),
                (product.itemsize * (width - 1), product.itemsize),
                writeable=False,
            )
            total += found.sum(axis=0)
            squares += np.einsum("ij,ij->j", found, found)
    return total, squares


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
