"""Made-up traders: random programs over the facts of an episode's bars.

A small typed language. A taste is profit (plain, bent at zero, logarithmic, or up to a target) and
up to three items, each standardised within market windows and weighed. An item is a fact bent by a
threshold or a power and counted in the bars where up to two conditions hold (their mean, or the
worst of them), a bent fact of the last bar, or a product of two facts of the last bar.

What the language cannot say, and is held out: results of single closed trades, comparisons with
the market or with a mean price, what happened several bars before, periods (nights, weeks), a size
that suits the market's swings, and what a drawdown was won back by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

COUNTED = (
    "position", "size", "growth", "turnover", "trade", "reversal", "profit", "loss", "drawdown",
    "bars under water", "result", "open profit", "best open profit", "given back", "age", "idle",
    "losses in a row", "wins in a row",
)  # fmt: skip
STATES = (
    "position before", "size before", "drawdown before", "result before", "open profit before",
    "move before", "trend of 5", "trend of 10", "trend of 20", "turbulence", "progress", "to go",
    "gone", "best result", "worst result", "age", "losses in a row", "bars under water",
    "best open profit", "trades", "exposure",
)  # fmt: skip
TOTALS = (
    "result", "best result", "worst result", "deepest drawdown", "mean drawdown", "worst loss",
    "swing", "trades", "turned over", "exposure", "short exposure", "longest under water",
    "longest losing run", "oldest trade", "bars won", "bars lost", "drawdown", "size",
)  # fmt: skip
KINDS = {"mean": 0.62, "last": 0.2, "worst": 0.08, "product": 0.1}
BENDS = {"plain": 0.3, "beyond": 0.2, "above": 0.25, "square": 0.1, "root": 0.05, "below": 0.1}
LAST_BENDS = {"beyond": 0.25, "above": 0.25, "away": 0.2, "square": 0.1, "plain": 0.2}
PROFITS = {"plain": 0.7, "prospect": 0.1, "log": 0.1, "target": 0.1}
_ASKED = 4000  # values behind a quantile

Facts = Mapping[str, Tensor]
Standard = Callable[[Tensor], Tensor]


def pick(rng: np.random.Generator, chances: Mapping[str, float]) -> str:
    """One of the names, by their chances."""
    return str(rng.choice(list(chances), p=list(chances.values())))


def level(values: Tensor, share: float) -> Tensor:
    """A quantile of the values that are not zero; of all where most are."""
    flat = values.flatten()
    flat = flat[:: max(1, len(flat) // _ASKED)]
    moved = flat[flat.abs() > 1e-6]
    return torch.quantile(moved if len(moved) > 50 else flat, share)


def bent(values: Tensor, bend: str, share: float) -> Tensor:
    """Values bent at a quantile, or by a power."""
    if bend == "plain":
        return values
    if bend == "square":
        return values.square()
    if bend == "root":
        return values.sign() * values.abs().sqrt()
    knot = level(values, share)
    if bend == "above":
        return (values > knot).to(values)
    if bend == "away":
        return (values - knot).abs()
    return (values - knot if bend == "beyond" else knot - values).clamp(min=0)


@dataclass(frozen=True)
class Item:
    """One thing that a made-up trader looks at.

    Attributes:
        kind: of `KINDS`.
        fact, other: names; `other` of a product.
        bend: how the fact is bent.
        share: quantile of its threshold.
        conditions: (state, quantile, above it) of the bars that count.

    """

    kind: str
    fact: str
    other: str
    bend: str
    share: float
    conditions: tuple[tuple[str, float, bool], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Item:
        """A random item."""
        kind = pick(rng, KINDS)
        whole = kind in ("last", "product")
        count = 0 if whole else int(rng.choice([0, 1, 2], p=[0.3, 0.5, 0.2]))
        return cls(
            kind,
            str(rng.choice(TOTALS if whole else COUNTED)),
            str(rng.choice(TOTALS)),
            pick(rng, LAST_BENDS if whole else BENDS),
            float(rng.uniform(0.15, 0.9)),
            tuple(
                (str(rng.choice(STATES)), float(rng.uniform(0.1, 0.9)), bool(rng.random() < 0.5))
                for _ in range(count)
            ),
        )

    def __call__(self, facts: Facts) -> Tensor:
        """[B] of episodes with facts [B, L]."""
        if self.kind in ("last", "product"):
            last = bent(facts[self.fact][..., -1], self.bend, self.share)
            return last * facts[self.other][..., -1] if self.kind == "product" else last
        value = bent(facts[self.fact], self.bend, self.share)
        for name, share, above in self.conditions:
            state = facts[name]
            holds = state > level(state, share)
            value = value * (holds if above else ~holds)
        return value.mean(-1) if self.kind == "mean" else value.amax(-1)


@dataclass(frozen=True)
class Taste:
    """A made-up trader.

    Attributes:
        profit: how profit is seen, its weight, and a quantile where it is enough.
        items: weight and item.

    """

    profit: tuple[str, float, float]
    items: tuple[tuple[float, Item], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Taste:
        """A random taste."""
        count = int(rng.choice([1, 2, 3], p=[0.5, 0.35, 0.15]))
        size = np.exp(rng.normal(0, 0.6, count))
        sign = np.where(rng.random(count) < 0.75, -1.0, 1.0)
        weights: Any = 2 * sign * size / size.sum()
        shares = (0.0, 0.3, 0.7, 1.0, 1.5, 3.0)
        weight = float(rng.choice(shares, p=[0.08, 0.17, 0.25, 0.25, 0.15, 0.1]))
        profit = (pick(rng, PROFITS), weight, float(rng.uniform(0.2, 0.9)))
        return cls(profit, tuple((float(w), Item.draw(rng)) for w in weights))

    def __call__(self, facts: Facts, standard: Standard) -> Tensor:
        """[B] worth; `standard` brings [B] numbers to one spread within windows."""
        shape, weight, share = self.profit
        result = facts["result"][..., -1]
        if shape == "prospect":
            result = result.sign() * result.abs().pow(0.6) * torch.where(result < 0, 2.25, 1.0)
        elif shape == "log":
            result = torch.log1p((result / 4).clamp(min=-0.9))
        elif shape == "target":
            result = torch.minimum(result, level(result, share))
        worth = weight * standard(result)
        for size, item in self.items:
            worth = worth + size * standard(item(facts))
        return worth
