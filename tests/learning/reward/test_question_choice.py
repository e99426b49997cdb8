"""Question choice: what is informative is asked."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from tradinghf.learning.reward import choose_groups
from tradinghf.learning.reward._question_choice import information_gain


def test_information_gain_is_zero_for_agreement_and_one_bit_for_two_camps():
    agree = torch.zeros(4, 1, 3).double()
    assert float(information_gain(agree)) == pytest.approx(0.0, abs=1e-12)
    camps = torch.tensor([[[50.0, 0.0]], [[0.0, 50.0]]]).double()
    assert float(information_gain(camps)) == pytest.approx(math.log(2), abs=1e-9)


@pytest.mark.parametrize("size", [2, 3, 5, 6])
def test_information_gain_is_that_of_every_order_written_out(size: int) -> None:
    """Plackett-Luce by its definition: at each place one of those that remain is chosen."""
    scores = 3 * np.random.default_rng(size).standard_normal((4, 3, size))
    expected = []
    for group in scores.transpose(1, 0, 2):  # [M, K]
        p = np.ones((len(group), math.factorial(size)))
        for column, order in enumerate(itertools.permutations(range(size))):
            for place, chosen in enumerate(order):
                remaining = np.exp(group[:, list(order[place:])]).sum(1)
                p[:, column] *= np.exp(group[:, chosen]) / remaining
        np.testing.assert_allclose(p.sum(1), 1.0)
        mean = p.mean(0)
        expected.append(-(mean * np.log(mean)).sum() + (p * np.log(p)).sum(1).mean())
    found = information_gain(torch.tensor(scores))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_questions_are_chosen_where_members_disagree():
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(1, 12, 8, generator=generator).repeat(16, 1, 1).double()
    scores[:, 7] += 4 * torch.randn(16, 8, generator=generator)
    rng = np.random.default_rng(0)
    groups = choose_groups(scores, [range(8)] * 12, 1, size=4, uniform=0.0, rng=rng)
    assert [g.window for g in groups] == [7]
    groups = choose_groups(scores, [range(8)] * 12, 10, size=4, uniform=0.2, rng=rng, keep=[3])
    assert sum(g.uniform for g in groups) == 2
    assert len({g.window for g in groups}) == 10
    assert all(3 in g.members for g in groups if not g.uniform)
    assert all(len(set(g.members)) == 4 for g in groups)


def test_windows_with_too_few_different_episodes_are_left_out():
    rng = np.random.default_rng(0)
    groups = choose_groups(None, [[0, 1], [0, 1, 2], [1]], 5, size=3, uniform=0.5, rng=rng)
    assert [g.window for g in groups] == [1]
