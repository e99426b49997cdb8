"""Terms of the reward, made of aspects: thresholds, targets, conditions on market or account.

A term is one of the aspects, bent (beyond a threshold, above it, away from a target)
or counted only in a state (while the market rises). A bent total f(X) is paid as
f(X_t) - f(X_{t-1}), so that every term remains a causal reward of single bars that sum to the
episode's total (potential-based shaping: Ng, Harada & Russell 1999, ICML).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from tradinghf.learning.reward._aspects import ASPECTS, Aspect
from tradinghf.learning.reward._book_aspects import rare_aspects
from tradinghf.learning.reward._paths import TradePaths, increments, run_lengths
from tradinghf.learning.reward._tastes import taste_count, taste_rewards

Form = Literal["plain", "beyond", "above", "away", "square", "bars_above", "bars_beyond"]
_QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_VOLATILITY_BARS = 10
_EPS = 1e-9
LEARNED = "something else"
"""Base of the terms that no person can name: the learned features."""


def _trend(p: TradePaths, bars: int) -> Tensor:
    """[B, L] change of the price over the bars before each bar."""
    return p.close[..., :-1] / p.earlier_close(bars) - 1


def _volatility(p: TradePaths) -> Tensor:
    """[B, L] root mean square log return of the last bars before each bar."""
    square = p.close.clamp(min=_EPS).log().diff(dim=-1).square()
    total = torch.cat([torch.zeros_like(square[..., :1]), square.cumsum(-1)], dim=-1)
    bar = torch.arange(p.bars, device=square.device)
    first = (bar - _VOLATILITY_BARS).clamp(min=0)
    gap = (total[..., bar] - total[..., first]).clamp(min=0)
    return (gap / (bar - first).clamp(min=1)).sqrt()


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
    "rising5": State("while the last 5 bars rose", lambda p, _: _trend(p, 5) >= 0),
    "falling5": State("while the last 5 bars fell", lambda p, _: _trend(p, 5) < 0),
    "rising10": State("while the last 10 bars rose", lambda p, _: _trend(p, 10) >= 0),
    "falling10": State("while the last 10 bars fell", lambda p, _: _trend(p, 10) < 0),
    "rising20": State("while the last 20 bars rose", lambda p, _: _trend(p, 20) >= 0),
    "falling20": State("while the last 20 bars fell", lambda p, _: _trend(p, 20) < 0),
    "higher": State(
        "while the price is above the window's first", lambda p, _: _trend(p, p.bars) >= 0
    ),
    "lower": State(
        "while the price is below the window's first", lambda p, _: _trend(p, p.bars) < 0
    ),
    "turbulent": State(
        "in turbulent times (over {:.2g} % per bar)", lambda p, v: _volatility(p) > v
    ),
    "calm": State("in calm times (under {:.2g} % per bar)", lambda p, v: _volatility(p) <= v),
    "early": State("in the first {:.0f} % of the time", lambda p, v: _progress(p) < v),
    "late": State("after {:.0f} % of the time", lambda p, v: _progress(p) >= v),
    "ahead": State("while the account is ahead", lambda p, _: p.equity[..., :-1] > 1 + _EPS),
    "behind": State("while the account is behind", lambda p, _: p.equity[..., :-1] < 1 - _EPS),
    "risen": State(
        "in windows where the market rose", lambda p, _: _whole_window(p) >= 0, window=True
    ),
    "fallen": State(
        "in windows where the market fell", lambda p, _: _whole_window(p) < 0, window=True
    ),
}
_MOODS = ("turbulent", "calm")  # states with a level of volatility
_TIMES = ("early", "late")  # states with a share of the episode
_QUARTERS = (0.25, 0.5, 0.75)
_CONDITIONED = (
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
_PACED = ("time_in_market", "short_exposure", "long_exposure")


@dataclass(frozen=True)
class Level:
    """A quantity of each bar, of which a trader may count the bars beyond a threshold.

    Attributes:
        values: paths -> [B, L].
        unit: of its threshold.
        counts: what the threshold is read in.

    """

    values: Callable[[TradePaths], Tensor]
    unit: float = 0.01
    counts: str = "%"


def _idle(p: TradePaths) -> Tensor:
    return run_lengths(p.position == 0).to(p.equity)


def _since_peak(p: TradePaths) -> Tensor:
    return run_lengths(p.drawdown[..., 1:] > _EPS).to(p.equity)


LEVELS: Mapping[str, Level] = {
    "position size": Level(lambda p: p.position.abs()),
    "position age": Level(lambda p: p.held_bars, 1.0, "bars"),
    "drawdown": Level(lambda p: p.drawdown[..., 1:]),
    "open loss": Level(lambda p: (-p.open_profit).clamp(min=0)),
    "open profit": Level(lambda p: p.open_profit.clamp(min=0)),
    "bars since the peak": Level(_since_peak, 1.0, "bars"),
    "idle time": Level(_idle, 1.0, "bars"),
}


def _progress(p: TradePaths) -> Tensor:
    share = torch.arange(p.bars, device=p.equity.device) / p.bars
    return share.expand(p.position.shape)


def _whole_window(p: TradePaths) -> Tensor:
    """[B, L] change of the price since the window began, at the end of each bar."""
    return p.close[..., 1:] / p.close[..., :1] - 1


@dataclass(frozen=True)
class Term:
    """One thing that may be valued.

    Attributes:
        base: an aspect, or a name in `LEVELS` (forms "bars_above", "bars_beyond").
        form: "plain"; of the total X and the knot c: "beyond" max(X - c, 0), "above" X > c,
            "away" |X - c|, "square" (X - c)²; of each bar's level: share of the bars above c,
            mean excess beyond c.
        knot: c, in the units of the total.
        state: counted only in this state; empty means always.
        level: the state's threshold (volatility of a bar, share of the episode).
        number: of a learned feature.

    """

    base: str
    form: Form = "plain"
    knot: float = 0.0
    state: str = ""
    level: float = 0.0
    number: int = 0

    @property
    def learned(self) -> bool:
        """Whether it is one of the learned features."""
        return self.base == LEARNED

    @property
    def name(self) -> str:
        """Short and unique within a model."""
        if self.learned:
            return LEARNED if not self.number else f"{LEARNED} {self.number + 1}"
        if self.state:
            return f"{self.base}, {self._condition}"
        if self.form == "plain":
            return self.base
        return f"{self.base} {_FORM_NAMES[self.form]} {self._knot}"

    @property
    def says(self) -> str:
        """How a person names one unit of it."""
        if self.learned:
            return "a usual difference in what no aspect describes"
        if self.base in LEVELS:
            if self.form == "bars_above":
                return f"10 % of the time with {_article(self.base)} above {self._knot}"
            amount = _amount(self.unit, self._source.counts)
            return f"{amount} of average {self.base} beyond {self._knot}"
        base = ASPECTS[self.base]
        if self.form == "above":
            return f"{_words(self.base)} above {self._knot}"
        if self.form in ("away", "square"):
            amount = _amount(base.unit, base.counts)
            return f"{_words(self.base)} {amount} away from {self._knot}"
        beyond = f" beyond {self._knot}" if self.form == "beyond" else ""
        return f"{base.says}{beyond}{' ' + self._condition if self.state else ''}"

    @property
    def unit(self) -> float:
        """Amount of the total that `says` stands for."""
        if self.learned:
            return 1.0
        if self.base in LEVELS:
            return 0.1 if self.form == "bars_above" else self._source.unit
        unit = self._source.unit
        return {"above": 1.0, "square": unit**2}.get(self.form, unit)

    @property
    def _source(self) -> Aspect | Level:
        return LEVELS[self.base] if self.base in LEVELS else ASPECTS[self.base]

    @property
    def _condition(self) -> str:
        return STATES[self.state].says.format(100 * self.level)

    @property
    def _knot(self) -> str:
        return _amount(self.knot, self._source.counts)

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


def _amount(value: float, counts: str) -> str:
    return f"{100 * value:.3g} %" if counts == "%" else f"{value:.3g} {counts}"


class TermValues:
    """What terms are worth on B paths; what several of them need is computed once.

    Args:
        paths: B paths of L bars.
        volatility: of one bar in the ranked episodes: the unit of the learned features.

    """

    def __init__(self, paths: TradePaths, volatility: float = 0.01) -> None:
        self.paths, self.volatility = paths, volatility
        self._bases: dict[str, Tensor] = {}
        self._states: dict[tuple[str, float], Tensor] = {}

    def base(self, name: str) -> Tensor:
        """[B, L] an aspect, or the level of each bar."""
        if name not in self._bases:
            source = LEVELS[name] if name in LEVELS else ASPECTS[name]
            self._bases[name] = source.values(self.paths)
        return self._bases[name]

    @cached_property
    def learned(self) -> Tensor:
        """[B, L, D] the learned features of each bar."""
        return taste_rewards(self.paths, self.volatility)

    def _holds(self, term: Term) -> Tensor:
        """[B, L] where the term's state holds."""
        key = (term.state, term.level)
        if key not in self._states:
            self._states[key] = STATES[term.state].holds(self.paths, term.level)
        return self._states[key]

    def per_bar(self, term: Term) -> Tensor:
        """[B, L] what a term is worth in each bar."""
        if term.learned:
            return self.learned[..., term.number]
        base = self.base(term.base)
        if term.form == "bars_above":
            return (base > term.knot).to(base) / self.paths.bars
        if term.form == "bars_beyond":
            return (base - term.knot).clamp(min=0) / self.paths.bars
        if term.state:
            holds = self._holds(term)
            whole = STATES[term.state].window
            return increments(base.cumsum(-1) * holds) if whole else base * holds
        if term.form == "plain":
            return base
        running = base.cumsum(-1)
        start = term.bend(torch.zeros_like(running[..., :1]))
        if term.base in _PACED and term.form in ("away", "square"):
            share = torch.arange(1, self.paths.bars + 1).to(base) / self.paths.bars
            return increments(share * (term.bend(running / share) - start))
        return increments(term.bend(running) - start)

    def totals(self, terms: Sequence[Term]) -> Tensor:
        """[B, Q] totals of many terms; bent ones from the totals alone."""
        whole: dict[str, Tensor] = {}
        columns = []
        for term in terms:
            if term.learned or term.state or term.form in ("bars_above", "bars_beyond"):
                columns.append(self.per_bar(term).sum(-1))
                continue
            if term.base not in whole:
                whole[term.base] = self.base(term.base).sum(-1)
            total = whole[term.base]
            if term.form != "plain":
                total = term.bend(total) - term.bend(torch.zeros_like(total))
            columns.append(total)
        return torch.stack(columns, dim=-1)


def learned_terms() -> list[Term]:
    """The learned features, each as a term."""
    return [Term(LEARNED, number=number) for number in range(taste_count())]


def candidate_terms(
    reference: TradePaths, plain: Sequence[str]
) -> Iterator[tuple[str, list[Term]]]:
    """Every term that is tried beside the plain aspects, by family.

    Args:
        reference: the ranked episodes, whose quantiles are the thresholds.
        plain: names of the plain aspects.

    Yields:
        family ("shapes", "conditions", "thresholds", "levels", as in `AspectConfig`), its terms.

    """
    values = TermValues(reference)
    known = rare_aspects(portfolio=reference.weights is not None)
    rare = [name for name in known if name not in plain]
    yield "shapes", [Term(name) for name in rare]
    yield "conditions", list(_conditions(reference, plain))
    bent: tuple[Form, ...] = ("beyond", "above", "away", "square")
    yield (
        "thresholds",
        [
            Term(base, form, knot)
            for base in (*plain, *rare)
            for knot in _knots(values.base(base).sum(-1), _QUANTILES)
            for form in bent
        ],
    )
    counted: tuple[Form, ...] = ("bars_above", "bars_beyond")
    yield (
        "levels",
        [
            Term(base, form, knot)
            for base in LEVELS
            for knot in _knots(values.base(base), _QUANTILES)
            for form in counted
        ],
    )


def _conditions(reference: TradePaths, plain: Sequence[str]) -> Iterator[Term]:
    """Aspects counted only in a state."""
    always = [s for s in STATES if s not in (*_MOODS, *_TIMES) and not STATES[s].window]
    yield from (Term(b, state=s) for b in _CONDITIONED for s in always)
    volatility = _volatility(reference)[..., _VOLATILITY_BARS:]
    for states, levels in ((_MOODS, _knots(volatility, (0.3, 0.5, 0.7))), (_TIMES, _QUARTERS)):
        yield from (Term(b, state=s, level=v) for b in _CONDITIONED for s in states for v in levels)
    yield from (Term(b, state=s) for b in plain for s in STATES if STATES[s].window)


def _knots(values: Tensor, quantiles: Sequence[float]) -> list[float]:
    """Distinct quantiles, without zero."""
    flat = values.flatten().double()
    if not len(flat):  # episodes too short to show any
        return []
    at = torch.tensor(quantiles, dtype=torch.float64)
    found = torch.quantile(flat[:: max(1, len(flat) // 100_000)], at)
    return sorted({float(f"{v:.6g}") for v in found.tolist()} - {0.0})
