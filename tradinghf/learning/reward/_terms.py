"""Terms of the reward, made of aspects: thresholds, targets, conditions on market or account.

A term is one of the aspects, bent (beyond a threshold, above it, away from a target)
or counted only in a state (while the market rises). A bent total f(X) is paid as
f(X_t) - f(X_{t-1}), so that every term remains a causal reward of single bars that sum to the
episode's total (potential-based shaping: Ng, Harada & Russell 1999, ICML).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from tradinghf.learning.reward._aspects import ASPECTS, Aspect
from tradinghf.learning.reward._book_aspects import rare_aspects
from tradinghf.learning.reward._paths import TradePaths, increments
from tradinghf.learning.reward._states import (
    COUNTED,
    EVENTS,
    KNOWN,
    LEVELS,
    STATES,
    TWICE,
    VOLATILITY_BARS,
    Level,
    volatility,
)
from tradinghf.learning.reward._tastes import taste_count, taste_rewards

Form = Literal[
    "plain",
    "beyond",
    "above",
    "away",
    "square",
    "bars_above",
    "bars_beyond",
    "while_above",
    "while_below",
]
_QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_WHILE: tuple[Form, ...] = ("while_above", "while_below")
_FIFTHS = (0.2, 0.4, 0.6, 0.8)  # the thresholds of conditions
_MANY = 32  # conditioned terms from which on they are computed together
FAMILIES = ("shapes", "conditions", "thresholds", "levels", "whiles")
LEARNED = "something else"
"""Base of the terms that no person can name: the learned features."""


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
class Term:
    """One thing that may be valued.

    Attributes:
        base: an aspect, or a name in `LEVELS` (forms "bars_above", "bars_beyond").
        form: "plain"; of the total X and the knot c: "beyond" max(X - c, 0), "above" X > c,
            "away" |X - c|, "square" (X - c)²; of each bar's level: share of the bars above c,
            mean excess beyond c; "while_above", "while_below": counted where the state is above c.
        knot: c, in the units of the total, or of the state.
        state: counted only in this state; empty means always. Of "while_above" and
            "while_below" a name in `KNOWN`.
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
            amount = _amount(self.unit, self.source.counts)
            return f"{amount} of average {self.base} beyond {self._knot}"
        base = self._aspect
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
            return 0.1 if self.form == "bars_above" else self.source.unit
        unit = self.source.unit
        return {"above": 1.0, "square": unit**2}.get(self.form, unit)

    @property
    def source(self) -> Aspect | Level:
        """What the base is computed by."""
        return LEVELS.get(self.base) or self._aspect

    @property
    def _aspect(self) -> Aspect:
        return EVENTS[self.base] if self.base in EVENTS else ASPECTS[self.base]

    @property
    def _condition(self) -> str:
        if self.form in _WHILE:
            place = self.form.removeprefix("while_")
            return f"while {self.state} {place} {_amount(self.knot, KNOWN[self.state].counts)}"
        return STATES[self.state].says.format(100 * self.level)

    @property
    def _knot(self) -> str:
        return _amount(self.knot, self.source.counts)

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
        self._known: dict[str, Tensor] = {}

    def base(self, name: str) -> Tensor:
        """[B, L] an aspect, or the level of each bar."""
        if name not in self._bases:
            self._bases[name] = Term(name).source.values(self.paths)
        return self._bases[name]

    @cached_property
    def learned(self) -> Tensor:
        """[B, L, D] the learned features of each bar."""
        return taste_rewards(self.paths, self.volatility)

    def _holds(self, term: Term) -> Tensor:
        """[B, L] where the term's state holds."""
        if term.form in _WHILE:
            above = self.known(term.state) > term.knot
            return above if term.form == "while_above" else ~above
        key = (term.state, term.level)
        if key not in self._states:
            self._states[key] = STATES[term.state].holds(self.paths, term.level)
        return self._states[key]

    def known(self, name: str) -> Tensor:
        """[B, L] a quantity that is known when each bar begins."""
        if name not in self._known:
            self._known[name] = KNOWN[name].values(self.paths)
        return self._known[name]

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
            whole = term.form not in _WHILE and STATES[term.state].window
            return increments(base.cumsum(-1) * holds) if whole else base * holds
        if term.form == "plain":
            return base
        running = base.cumsum(-1)
        start = term.bend(torch.zeros_like(running[..., :1]))
        if term.base in _PACED and term.form in ("away", "square"):
            share = torch.arange(1, self.paths.bars + 1).to(base) / self.paths.bars
            return increments(share * (term.bend(running / share) - start))
        return increments(term.bend(running) - start)

    def rows(self, terms: Sequence[Term]) -> Tensor:
        """[B, L, Q] what many terms are worth in each bar."""
        learned = [term.number for term in terms if term.learned]
        named = [self.per_bar(term) for term in terms if not term.learned]
        if not learned:
            return torch.stack(named, dim=-1)
        if any(term.learned for term in terms[: len(named)]):  # not the last ones
            return torch.stack([self.per_bar(term) for term in terms], dim=-1)
        # A slice where it can be: an index from the processor keeps a GPU waiting.
        row = range(learned[0], learned[-1] + 1)
        if learned == list(row):
            beside = self.learned[..., row.start : row.stop]
        else:
            beside = torch.stack([self.learned[..., k] for k in learned], dim=-1)
        return torch.cat([torch.stack(named, dim=-1), beside], dim=-1) if named else beside

    def totals(self, terms: Sequence[Term]) -> Tensor:
        """[B, Q] totals of many terms; bent ones from the totals alone."""
        whole: dict[str, Tensor] = {}
        together = self._conditioned([term for term in terms if term.form in _WHILE])
        columns = []
        for term in terms:
            if term in together:
                columns.append(together[term])
                continue
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

    def _conditioned(self, terms: Sequence[Term]) -> dict[Term, Tensor]:
        """[B] totals of many conditioned terms: one product of matrices for each episode."""
        if len(terms) < _MANY:
            return {}
        bases = list(dict.fromkeys(term.base for term in terms))
        tests = list(dict.fromkeys((term.state, term.knot) for term in terms))
        base = torch.stack([self.base(name) for name in bases], dim=-1)
        above = torch.stack([self.known(name) > knot for name, knot in tests], dim=-2)
        found = above.to(base) @ base  # [B, tests, bases]
        rest = base.sum(-2, keepdim=True) - found
        row, column = ({key: i for i, key in enumerate(keys)} for keys in (tests, bases))
        return {
            term: (found if term.form == "while_above" else rest)[
                :, row[term.state, term.knot], column[term.base]
            ]
            for term in terms
        }


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
        family ("shapes", "conditions", ... as in `AspectConfig`), its terms.

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
    yield (
        "whiles",
        [
            Term(base, form, knot, state)
            for state in KNOWN
            for knot in _with_zero(_knots(values.known(state), _FIFTHS))
            for base in COUNTED
            if (base, state) not in TWICE
            for form in _WHILE
        ],
    )


def _conditions(reference: TradePaths, plain: Sequence[str]) -> Iterator[Term]:
    """Aspects counted only in a state."""
    always = [s for s in STATES if s not in (*_MOODS, *_TIMES) and not STATES[s].window]
    yield from (Term(b, state=s) for b in _CONDITIONED for s in always)
    swings = volatility(reference)[..., VOLATILITY_BARS:]
    for states, levels in ((_MOODS, _knots(swings, (0.3, 0.5, 0.7))), (_TIMES, _QUARTERS)):
        yield from (Term(b, state=s, level=v) for b in _CONDITIONED for s in states for v in levels)
    yield from (Term(b, state=s) for b in plain for s in STATES if STATES[s].window)


def _with_zero(knots: Sequence[float]) -> list[float]:
    """The thresholds of what has a sign, and zero: ahead or behind, up or down."""
    signed = len(knots) > 0 and min(knots) < 0 < max(knots)
    return sorted({*knots, 0.0}) if signed else list(knots)


def _knots(values: Tensor, quantiles: Sequence[float]) -> list[float]:
    """Distinct quantiles, without zero."""
    flat = values.flatten().double()
    if not len(flat):  # episodes too short to show any
        return []
    at = torch.tensor(quantiles, dtype=torch.float64)
    found = torch.quantile(flat[:: max(1, len(flat) // 100_000)], at)
    return sorted({float(f"{v:.6g}") for v in found.tolist()} - {0.0})
