"""The no-harm gate: may a candidate replace what trades now? The statistics, on arrays alone.

A difference is a candidate's result less the baseline's over the same window of time, all assets
together. The gate lets a candidate through only where "on average it is worse by more than the
margin" is refuted, for profit and for the trader's utility, with the chances of all candidates
together. `tradinghf bench gate` measures how often it lets harm through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.stats import norm

from tradinghf._intervals import time_blocks
from tradinghf.errors import check_setting
from tradinghf.market import Floats

Answer = Literal["deploy", "keep", "unclear"]
FEWEST_WINDOWS = 16
"""With fewer, how far neighbouring windows resemble each other cannot be told."""
PROFIT, UTILITY = "profit", "utility"
NEVER = 10**6
"""So many windows, or more, are said not to settle anything."""
_DRAWS = 4000
_POWER = 0.8  # chance of an answer after as many more windows as are said to be needed


@dataclass(frozen=True)
class GateConfig:
    """What counts as harm, and how sure the gate must be.

    Attributes:
        harm: largest chance of letting any harmful candidate through, over the whole selection.
        margin: a mean profit per window that is lower than the baseline's by up to this is no
            harm [fraction of equity].
        utility_margin: the same for the trader's utility [its units].
        worst: a window that costs this much against the baseline is held possible even where
            none was seen [fraction of equity]; a loss beyond it is beyond the promise.
        utility_worst: the same in units of utility; None: in proportion to the differences.

    """

    harm: float = 0.05
    margin: float = 0.0
    utility_margin: float = 0.0
    worst: float = 0.1
    utility_worst: float | None = None

    def __post_init__(self) -> None:
        check_setting(0 < self.harm < 0.5, "harm", self.harm, "a chance between 0 and 0.5")
        for name in ("margin", "utility_margin"):
            value = getattr(self, name)
            check_setting(value >= 0, name, value, "0 or more")
        for name in ("worst", "utility_worst"):
            value = getattr(self, name)
            check_setting(value is None or value > 0, name, value, "more than 0")


@dataclass(frozen=True)
class Measured:
    """What N windows say of one candidate in one measure.

    Attributes:
        candidate: its name.
        measure: "profit" [fraction of equity a window] or "utility".
        mean: of the differences to the baseline.
        low: with confidence 1 - harm the true mean is above; not allowing for other candidates.
        p: chance of such differences from a candidate that is worse by just the margin.
        p_worse: chance of such differences from one that is not worse by more than the margin.
        needed: windows in all that would settle it, were the true mean the one measured.

    """

    candidate: str
    measure: str
    mean: float
    low: float
    p: float
    p_worse: float
    needed: int


@dataclass(frozen=True)
class Decision:
    """The gate's answer.

    Attributes:
        answer: "deploy", "keep" (every candidate is shown to be worse), or "unclear".
        chosen: the candidate to deploy; None otherwise.
        passed: candidates that were let through.
        windows: N.
        more: windows that would settle an unclear answer, at the differences measured; None
            where nothing was left to settle.
        measured: a line for each candidate and measure.
        config: what was asked.
        ordered: whether the candidates were tested one after the other, in their order.

    """

    answer: Answer
    chosen: str | None
    passed: tuple[str, ...]
    windows: int
    more: int | None
    measured: tuple[Measured, ...]
    config: GateConfig
    ordered: bool


def decide(
    names: Sequence[str],
    differences: Mapping[str, Floats],
    config: GateConfig | None = None,
    *,
    ordered: bool = False,
) -> Decision:
    """Which of C candidates may replace the baseline, after N windows.

    Args:
        names: C candidates.
        differences: measure ("profit", "utility") -> [C, N] result less the baseline's.
        config: what counts as harm.
        ordered: the names stand in an order that was fixed before these windows were looked at;
            they are tested one after the other at the full level, until the first that fails
            (fixed sequence). Otherwise all are tested together (Holm).

    Source: selection as multiple testing, Angelopoulos et al. 2021, "Learn then Test"
    (arXiv:2110.01052); Holm 1979 (Scand. J. Stat. 6).

    """
    config = config or GateConfig()
    windows = next(iter(differences.values())).shape[1]
    level = config.harm if ordered else config.harm / len(names)
    rows = _measure(names, differences, config, level)
    refuted = let_through(differences, config, ordered=ordered)
    passed = tuple(name for name, through in zip(names, refuted, strict=True) if through)
    if passed:
        chosen = passed[0] if ordered else _best(passed, rows)
        return Decision("deploy", chosen, passed, windows, None, rows, config, ordered)
    bar = config.harm / len(names) / len(differences)
    worse = {m.candidate for m in rows if m.p_worse <= bar} == set(names)
    if worse and windows >= FEWEST_WINDOWS:
        return Decision("keep", None, (), windows, None, rows, config, ordered)
    more = max(_needed_in_all(names, rows, config), FEWEST_WINDOWS, windows + 1) - windows
    return Decision("unclear", None, (), windows, more, rows, config, ordered)


def let_through(
    differences: Mapping[str, Floats], config: GateConfig, *, ordered: bool = False
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[C] which candidates are shown not to be harmful; arguments as for `decide`."""
    harmful = np.max(
        [
            p_values(rows + _margin(measure, config), worst_window(measure, differences, config))
            for measure, rows in differences.items()
        ],
        axis=0,
    )
    refuted = (fixed_sequence if ordered else holm)(harmful, config.harm)
    windows = next(iter(differences.values())).shape[1]
    return refuted if windows >= FEWEST_WINDOWS else np.zeros_like(refuted)


def _margin(measure: str, config: GateConfig) -> float:
    return config.margin if measure == PROFIT else config.utility_margin


def _measure(
    names: Sequence[str], differences: Mapping[str, Floats], config: GateConfig, level: float
) -> tuple[Measured, ...]:
    found = []
    for measure, rows in differences.items():
        margin = _margin(measure, config)
        worst = worst_window(measure, differences, config)
        gap, wide = rows.mean(axis=1) + margin, spread_factor(rows) * rows.std(axis=1)
        low = lower_bounds(rows, worst, config.harm)
        p, p_worse = p_values(rows + margin, worst), p_values(-rows - margin, worst)
        for i, name in enumerate(names):
            needed = _needed(abs(float(gap[i])), float(wide[i]), worst, level)
            mean, low_i, p_i, worse_i = (
                float(v) for v in (rows[i].mean(), low[i], p[i], p_worse[i])
            )
            found.append(Measured(name, measure, mean, low_i, p_i, worse_i, needed))
    return tuple(found)


def worst_window(measure: str, differences: Mapping[str, Floats], config: GateConfig) -> float:
    """The largest loss against the baseline in one window that is held possible unseen."""
    if measure == PROFIT:
        return config.worst
    if config.utility_worst is not None:
        return config.utility_worst
    own, profit = (float(np.square(differences[m]).mean()) for m in (measure, PROFIT))
    return config.worst * float(np.sqrt(own / profit)) if profit > 0 and own > 0 else config.worst


@cache
def _weights(windows: int) -> Floats:
    """[DRAWS, N + 1] uniform over all ways to weigh N windows and an unseen one."""
    drawn = np.random.default_rng(0).standard_exponential((_DRAWS, windows + 1))
    weights: Floats = drawn / drawn.sum(axis=1, keepdims=True)
    return weights


def _weighed_means(differences: Floats, worst: float) -> Floats:
    """[M, DRAWS] means of the windows and the worst one, under every weighing."""
    centre = differences.mean(axis=1, keepdims=True)
    wide = centre + spread_factor(differences)[:, None] * (differences - centre)
    unseen = np.minimum(wide.min(axis=1), -worst)
    weights = _weights(differences.shape[1])
    means: Floats = wide @ weights[:, :-1].T + unseen[:, None] * weights[:, -1]
    return means


def p_values(differences: Floats, worst: float) -> Floats:
    """[M] p-values of "the mean of these differences is not above zero".

    The windows and one more, as bad as `worst`, are weighed at random (uniformly over all
    weights that add up to one); p is the share of weighings whose mean is not above zero. It
    needs no shape of the distribution but its lower end, and is close to the t-test's where
    there are many windows. Deviations are first widened to what neighbouring windows that
    resemble each other leave of the evidence (`spread_factor`).

    Args:
        differences: [M, N] of M candidates over N windows in the order of time.
        worst: see `GateConfig`.

    Source: Gaffke 2005, "Three test statistics for a nonparametric one-sided hypothesis on the
    mean of a nonnegative variable"; its validity is proven for two-point distributions and
    otherwise a conjecture without a known counterexample.

    """
    below = (_weighed_means(differences, worst) <= 0).sum(axis=1)
    p: Floats = (1.0 + below) / (1.0 + _DRAWS)
    return p


def lower_bounds(differences: Floats, worst: float, harm: float) -> Floats:
    """[M] lower bounds of the means with confidence 1 - harm: where `p_values` equals harm."""
    bounds: Floats = np.quantile(_weighed_means(differences, worst), harm, axis=1)
    return bounds


def spread_factor(differences: Floats) -> Floats:
    """[M] at least 1: by how much neighbouring windows that resemble each other widen the mean.

    The larger of two estimates: by the correlation of neighbours, and by the spread between
    blocks of time (`time_blocks`), each taken half to one standard error higher than it is.

    Args:
        differences: [M, N] in the order of time.

    """
    count = differences.shape[1]
    away = differences - differences.mean(axis=1, keepdims=True)
    squares = np.maximum(np.square(away).sum(axis=1), 1e-300)
    near = (away[:, 1:] * away[:, :-1]).sum(axis=1) / squares
    near = np.clip(near + (1 + 3 * near) / count + 0.5 / np.sqrt(count), 0.0, 0.9)
    by_neighbours = (1 + near) / (1 - near)
    blocks = time_blocks(np.arange(count), 1)
    if blocks.count < 3:
        return np.asarray(np.sqrt(by_neighbours))
    member = (blocks.of[:, None] == np.arange(blocks.count)).astype(np.float64)
    between = np.square(away @ member).sum(axis=1) * blocks.inflation
    by_blocks = between * blocks.count / (blocks.count - 1) / squares
    by_blocks *= (count - 1) / count * (1 + np.sqrt(2 / (blocks.count - 1)))
    return np.asarray(np.sqrt(np.maximum(by_neighbours, by_blocks)))


def holm(p: Floats, level: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[C] which hypotheses are refuted; the chance of any wrong one is at most `level`.

    Source: Holm 1979 (Scand. J. Stat. 6).
    """
    order = np.argsort(p, kind="stable")
    passes = p[order] <= level / np.arange(len(p), 0, -1)
    refuted = np.zeros(len(p), dtype=bool)
    refuted[order] = np.logical_and.accumulate(passes)
    return refuted


def fixed_sequence(p: Floats, level: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[C] which hypotheses are refuted, tested in the order given until the first that is not."""
    refuted: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.logical_and.accumulate(p <= level)
    return refuted


def _best(passed: Sequence[str], rows: Sequence[Measured]) -> str:
    """The candidate with the highest lower bound of utility, or of profit where that is all."""
    measure = rows[-1].measure
    bound = {m.candidate: m.low for m in rows if m.measure == measure}
    return max(passed, key=bound.__getitem__)


def _needed(gap: float, spread: float, worst: float, level: float) -> int:
    """Windows that show a difference of `gap` with a chance of 80 %; `NEVER` where it is zero."""
    if gap <= 0:
        return NEVER
    z = float(norm.isf(level) + norm.ppf(_POWER)) * spread
    root = (z + np.sqrt(z * z + 4 * gap * worst)) / (2 * gap)
    return int(min(np.ceil(root**2), NEVER))


def _needed_in_all(names: Sequence[str], rows: Sequence[Measured], config: GateConfig) -> int:
    """Windows until a candidate is let through, or until all are shown to be worse."""
    through: list[int] = []
    refused: list[int] = []
    for name in names:
        own = [m for m in rows if m.candidate == name]
        margins = [_margin(m.measure, config) for m in own]
        behind = [m.needed for m, margin in zip(own, margins, strict=True) if m.mean < -margin]
        (refused if behind else through).append(
            min(behind) if behind else max(m.needed for m in own)
        )
    return min(through) if through else max(refused)
