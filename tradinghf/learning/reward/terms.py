"""Tastes made of aspects: thresholds, targets, and conditions on the market or the account.

A term is one of the aspects or path shapes, bent (beyond a threshold, above it, away from a target)
or counted only in a state (while the market rises). A bent total f(X) is paid as
f(X_t) - f(X_{t-1}), so that every term remains a causal reward of single bars that sum to the
episode's total (potential-based shaping: Ng, Harada & Russell 1999, ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tradinghf.learning.reward.aspects import ASPECTS, Aspect, TradePaths
from tradinghf.learning.reward.shapes import SHAPES, held_bars, run_lengths, steps

Form = Literal["plain", "beyond", "above", "away", "square", "bars_above", "bars_beyond"]
QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
VOLATILITY_BARS = 10
EPS = 1e-9


def trend(p: TradePaths, bars: int) -> Tensor:
    """[B, L] change of the price over the bars before each bar."""
    before = torch.cat([p.close[..., :1].expand(*p.close.shape[:-1], bars), p.close], dim=-1)
    return (p.close / before[..., : p.close.shape[-1]] - 1)[..., :-1]


def recent_volatility(p: TradePaths) -> Tensor:
    """[B, L] root mean square log return of the last bars before each bar."""
    square = p.close.clamp(min=EPS).log().diff(dim=-1).square()
    total = torch.cat([torch.zeros_like(square[..., :1]), square.cumsum(-1)], dim=-1)
    bar = torch.arange(p.bars, device=square.device)
    first = (bar - VOLATILITY_BARS).clamp(min=0)
    gap = (total[..., bar] - total[..., first]).clamp(min=0)
    return (gap / (bar - first).clamp(min=1)).sqrt()


def _at_start(values: Tensor, first: float = 0.0) -> Tensor:
    """What was known of each bar's value when the bar began."""
    return torch.cat([torch.full_like(values[..., :1], first), values[..., :-1]], dim=-1)


@dataclass(frozen=True)
class State:
    """A condition that is known when a bar begins (or, of a window, up to the present bar).

    Attributes:
        says: how a person names it.
        holds: (paths, level) -> [B, L] booleans.
        window: whether the whole total counts only if the condition holds at the end.

    """

    says: str
    holds: Callable[[TradePaths, float], Tensor]
    window: bool = False


STATES: Mapping[str, State] = {
    "rising5": State("while the last 5 bars rose", lambda p, _: trend(p, 5) >= 0),
    "falling5": State("while the last 5 bars fell", lambda p, _: trend(p, 5) < 0),
    "rising10": State("while the last 10 bars rose", lambda p, _: trend(p, 10) >= 0),
    "falling10": State("while the last 10 bars fell", lambda p, _: trend(p, 10) < 0),
    "rising20": State("while the last 20 bars rose", lambda p, _: trend(p, 20) >= 0),
    "falling20": State("while the last 20 bars fell", lambda p, _: trend(p, 20) < 0),
    "higher": State(
        "while the price is above the window's first", lambda p, _: trend(p, p.bars) >= 0
    ),
    "lower": State(
        "while the price is below the window's first", lambda p, _: trend(p, p.bars) < 0
    ),
    "turbulent": State(
        "in turbulent times (over {:.2g} % per bar)", lambda p, v: recent_volatility(p) > v
    ),
    "calm": State("in calm times (under {:.2g} % per bar)", lambda p, v: recent_volatility(p) <= v),
    "early": State("in the first {:.0f} % of the time", lambda p, v: _progress(p) < v),
    "late": State("after {:.0f} % of the time", lambda p, v: _progress(p) >= v),
    "ahead": State("while the account is ahead", lambda p, _: p.equity[..., :-1] > 1 + EPS),
    "behind": State("while the account is behind", lambda p, _: p.equity[..., :-1] < 1 - EPS),
    "risen": State(
        "in windows where the market rose", lambda p, _: _whole_window(p) >= 0, window=True
    ),
    "fallen": State(
        "in windows where the market fell", lambda p, _: _whole_window(p) < 0, window=True
    ),
}
MOODS = ("turbulent", "calm")  # states with a level of volatility
TIMES = ("early", "late")  # states with a share of the episode
QUARTERS = (0.25, 0.5, 0.75)
CONDITIONED = (
    "profit",
    "losses",
    "time_in_market",
    "short_exposure",
    "long_exposure",
    "turnover",
    "trades",
)
# Shares of the time: a target is paid at the present pace, t/L of f(X_t·L/t), which also sums to
# f(X_L). f(X_t) would pay for rushing towards the target, and take it back later.
PACED = ("time_in_market", "short_exposure", "long_exposure")
LEVELS: Mapping[str, tuple[Callable[[TradePaths], Tensor], float, str]] = {
    # per-bar quantity, the unit of its threshold, what the threshold is read in
    "position size": (lambda p: p.position.abs(), 0.01, "%"),
    "position age": (held_bars, 1.0, "bars"),
    "drawdown": (lambda p: p.drawdown[..., 1:], 0.01, "%"),
    "open loss": (lambda p: (-p.open_profit()[0]).clamp(min=0), 0.01, "%"),
    "open profit": (lambda p: p.open_profit()[0].clamp(min=0), 0.01, "%"),
    "bars since the peak": (
        lambda p: run_lengths(p.drawdown[..., 1:] > EPS).to(p.equity),
        1.0,
        "bars",
    ),
    "idle time": (lambda p: run_lengths(p.position == 0).to(p.equity), 1.0, "bars"),
}


def _progress(p: TradePaths) -> Tensor:
    share = torch.arange(p.bars, device=p.equity.device) / p.bars
    return share.expand(p.position.shape)


def _whole_window(p: TradePaths) -> Tensor:
    """[B, L] change of the price since the window began, at the end of each bar."""
    return p.close[..., 1:] / p.close[..., :1] - 1


def source(name: str) -> Aspect:
    """An aspect or a path shape by name."""
    return ASPECTS[name] if name in ASPECTS else SHAPES[name]


@dataclass(frozen=True)
class Term:
    """One thing that may be valued.

    Attributes:
        base: an aspect, a path shape, or a name in `LEVELS` (forms "bars_above", "bars_beyond").
        form: "plain"; of the total X and the knot c: "beyond" max(X - c, 0), "above" X > c,
            "away" |X - c|, "square" (X - c)²; of each bar's level: share of the bars above c,
            mean excess beyond c.
        knot: c, in the units of the total.
        state: counted only in this state; empty means always.
        level: the state's threshold (volatility of a bar, share of the episode).

    """

    base: str
    form: Form = "plain"
    knot: float = 0.0
    state: str = ""
    level: float = 0.0

    @property
    def name(self) -> str:
        """Short and unique within a model."""
        if self.state:
            return f"{self.base}, {self._condition}"
        if self.form == "plain":
            return self.base
        return f"{self.base} {_FORM_NAMES[self.form]} {self._knot}"

    @property
    def says(self) -> str:
        """How a person names one unit of it."""
        if self.base in LEVELS:
            if self.form == "bars_above":
                return f"10 % of the time with {_article(self.base)} above {self._knot}"
            amount = _one(self.unit, LEVELS[self.base][2])
            return f"{amount} of average {self.base} beyond {self._knot}"
        base = source(self.base)
        if self.form == "above":
            return f"{_words(self.base)} above {self._knot}"
        if self.form in ("away", "square"):
            amount = _one(base.unit, base.counts)
            return f"{_words(self.base)} {amount} away from {self._knot}"
        beyond = f" beyond {self._knot}" if self.form == "beyond" else ""
        return f"{base.says}{beyond}{' ' + self._condition if self.state else ''}"

    @property
    def unit(self) -> float:
        """Amount of the total that `says` stands for."""
        if self.base in LEVELS:
            return 0.1 if self.form == "bars_above" else LEVELS[self.base][1]
        unit = source(self.base).unit
        return {"above": 1.0, "square": unit**2}.get(self.form, unit)

    @property
    def _condition(self) -> str:
        return STATES[self.state].says.format(100 * self.level)

    @property
    def _knot(self) -> str:
        counts = LEVELS[self.base][2] if self.base in LEVELS else source(self.base).counts
        return f"{100 * self.knot:.3g} %" if counts == "%" else f"{self.knot:.3g} {counts}"

    def bend(self, total: Tensor) -> Tensor:
        """f(X) of totals or running totals X."""
        if self.form == "beyond":
            return (total - self.knot).clamp(min=0)
        if self.form == "above":
            return (total > self.knot).to(total)
        if self.form == "away":
            return (total - self.knot).abs()
        return (total - self.knot).square()


_FORM_NAMES = {
    "beyond": "beyond",
    "above": "above",
    "away": "away from",
    "square": "far from",
    "bars_above": "above",
    "bars_beyond": "beyond",
}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _article(name: str) -> str:
    return name if name.startswith("bars") else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _one(unit: float, counts: str) -> str:
    return f"{100 * unit:.3g} %" if counts == "%" else f"{unit:.3g} {counts}"


class Measured:
    """B paths with what has been computed of them, shared by all terms.

    Args:
        paths: B paths of L bars.

    """

    def __init__(self, paths: TradePaths) -> None:
        self.paths = paths
        self._values: dict[str, Tensor] = {}
        self._states: dict[tuple[str, float], Tensor] = {}

    def base(self, name: str) -> Tensor:
        """[B, L] an aspect or a shape, or the level of each bar."""
        if name not in self._values:
            function = LEVELS[name][0] if name in LEVELS else source(name).values
            self._values[name] = function(self.paths)
        return self._values[name]

    def state(self, name: str, level: float) -> Tensor:
        """[B, L] where a state holds."""
        key = (name, level)
        if key not in self._states:
            self._states[key] = STATES[name].holds(self.paths, level)
        return self._states[key]

    def values(self, term: Term) -> Tensor:
        """[B, L] what a term is worth in each bar."""
        base = self.base(term.base)
        if term.form == "bars_above":
            return (base > term.knot).to(base) / self.paths.bars
        if term.form == "bars_beyond":
            return (base - term.knot).clamp(min=0) / self.paths.bars
        if term.state:
            holds = self.state(term.state, term.level)
            return steps(base.cumsum(-1) * holds) if STATES[term.state].window else base * holds
        if term.form == "plain":
            return base
        running = base.cumsum(-1)
        start = term.bend(torch.zeros_like(running[..., :1]))
        if term.base in PACED and term.form in ("away", "square"):
            share = torch.arange(1, self.paths.bars + 1).to(base) / self.paths.bars
            return steps(share * (term.bend(running / share) - start))
        return steps(term.bend(running) - start)

    def totals(self, terms: Sequence[Term]) -> Tensor:
        """[B, Q] totals of many terms; bent ones from the totals alone."""
        whole: dict[str, Tensor] = {}
        columns = []
        for term in terms:
            if term.state or term.form in ("bars_above", "bars_beyond"):
                columns.append(self.values(term).sum(-1))
                continue
            if term.base not in whole:
                whole[term.base] = self.base(term.base).sum(-1)
            total = whole[term.base]
            if term.form != "plain":
                total = term.bend(total) - term.bend(torch.zeros_like(total))
            columns.append(total)
        return torch.stack(columns, dim=-1)


def candidates(measured: Measured, aspects: Sequence[str]) -> Iterator[tuple[str, list[Term]]]:
    """Everything that is tried, by family; thresholds are quantiles of these paths.

    Args:
        measured: the ranked episodes: the frozen reference.
        aspects: names of the plain aspects.

    Yields:
        family ("shape", "condition", "threshold", "level") and its terms.

    """
    yield "shape", [Term(name) for name in SHAPES]
    quiet = _knots(recent_volatility(measured.paths)[..., VOLATILITY_BARS:], (0.3, 0.5, 0.7))
    always = [s for s in STATES if s not in (*MOODS, *TIMES) and not STATES[s].window]
    conditions = [Term(b, state=s) for b in CONDITIONED for s in always]
    for states, levels in ((MOODS, quiet), (TIMES, QUARTERS)):
        conditions += [
            Term(b, state=s, level=v) for b in CONDITIONED for s in states for v in levels
        ]
    windows = [s for s in STATES if STATES[s].window]
    conditions += [Term(b, state=s) for b in aspects for s in windows]
    yield "condition", conditions
    bent: tuple[Form, ...] = ("beyond", "above", "away", "square")
    yield (
        "threshold",
        [
            Term(base, form, knot)
            for base in (*aspects, *SHAPES)
            for knot in _knots(measured.base(base).sum(-1), QUANTILES)
            for form in bent
        ],
    )
    counted: tuple[Form, ...] = ("bars_above", "bars_beyond")
    yield (
        "level",
        [
            Term(base, form, knot)
            for base in LEVELS
            for knot in _knots(measured.base(base), QUANTILES)
            for form in counted
        ],
    )


def _knots(values: Tensor, quantiles: Sequence[float]) -> list[float]:
    """Distinct quantiles, without zero."""
    flat = values.flatten().double()
    at = torch.tensor(quantiles, dtype=torch.float64)
    found = torch.quantile(flat[:: max(1, len(flat) // 100_000)], at)
    return sorted({float(f"{v:.6g}") for v in found.tolist()} - {0.0})
