"""The search for the few terms that explain the answers."""

from __future__ import annotations

import torch

from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward import Choices
from tradinghf.learning.reward._posterior import _searched, quickly


def answered(count: int, terms: int, seed: int) -> Choices:
    """Choices of the better of two episodes, by two of the terms, with some mistakes."""
    generator = torch.Generator().manual_seed(seed)
    totals = torch.randn(count, 2, terms, generator=generator, dtype=torch.float64)
    worth = totals[..., 0] - 2.0 * totals[..., 4]
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    ranks = 2 - (worth + 0.5 * noise).argsort(1).argsort(1)
    return Choices.from_rankings(totals, ranks, torch.ones(count, 2, dtype=torch.bool))


def test_what_half_of_the_answers_say_is_not_lost_when_there_are_more() -> None:
    choices, config = answered(160, 8, 0), AspectConfig(exhaustive=10)
    chance = torch.full((8,), 0.15, dtype=torch.float64)
    found = _searched(choices, chance, 3, config)
    half = choices.some(choices.answer % 2 == 0)
    coarse = _searched(half, chance, 3, quickly(config, config.noise[0]))
    assert set(coarse.leaders(12)) <= set(found.found)
    assert found.best() >= max(found.worth(columns) for columns in coarse.leaders(12))
    assert found.leaders(1) == [(0, 4)]
