"""Compiled draws, log-probabilities, exponentials and logarithms, against torch and float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numba import njit

from tradinghf.learning.policy import Categorical
from tradinghf.learning.ppo._draw_kernel import BLOCK, draw, log_probs
from tradinghf.learning.ppo._elementary_kernel import exp, log


@njit(error_model="numpy")
def exponentials(x: Any, found: Any) -> None:
    """As loops over vectors use them."""
    for k in range(len(x)):
        found[k] = exp(x[k])


@njit(error_model="numpy")
def logarithms(x: Any, found: Any) -> None:
    """As loops over vectors use them."""
    for k in range(len(x)):
        found[k] = log(x[k])


def logits(rows: int, size: int) -> torch.Tensor:
    """Of all sizes, equal ones among them."""
    g = torch.Generator().manual_seed(rows)
    return (torch.randn(rows, size, generator=g) * 8).round(decimals=1)


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (BLOCK, 3), (3 * BLOCK + 7, 5)])
def test_draws_are_those_of_the_head(rows: int, size: int) -> None:
    out, noise = logits(rows, size), Categorical().noise(torch.rand(rows, size))
    raw, found = torch.empty(rows, dtype=torch.int64), torch.empty(rows)
    draw(out.numpy(), noise.numpy(), raw.numpy())
    assert torch.equal(raw, Categorical().draw(out, noise, torch.empty(0)))
    blocks = -(-rows // BLOCK)
    for first in range(blocks):
        log_probs(first, first + 1, out.numpy(), raw.numpy(), found.numpy())
    wanted = Categorical().log_prob(out.double(), raw, torch.empty(0))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=2e-6)


def test_a_number_that_is_none_is_the_largest() -> None:
    """So that it is seen: the loss becomes NaN, and the step is skipped."""
    out = torch.tensor([[0.0, torch.nan, 1.0], [torch.nan, 0.0, 1.0], [0.0, 1.0, torch.nan]])
    raw, found = torch.empty(3, dtype=torch.int64), torch.empty(3)
    draw(out.numpy(), torch.zeros(3, 3).numpy(), raw.numpy())
    assert raw.tolist() == [1, 0, 2]
    log_probs(0, 1, out.numpy(), raw.numpy(), found.numpy())
    assert bool(found.isnan().all())


def test_exponentials_and_logarithms_are_those_of_float64() -> None:
    x = np.linspace(-87, 88, 100_001).astype(np.float32)
    found = np.empty_like(x)
    exponentials(x, found)
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1).max() < 2e-7
    positive = np.exp(np.linspace(-80, 80, 100_001)).astype(np.float32)
    logarithms(positive, found)
    right = np.log(positive.astype(np.float64))
    assert (np.abs(found - right) / np.maximum(np.abs(right), 1)).max() < 2e-7
    odd = np.array([np.nan, np.inf, -np.inf], np.float32)
    exponentials(odd, found)
    assert np.isnan(found[0])
    assert found[1] > 1e38
    assert 0 <= found[2] < 1e-37
    logarithms(odd, found)
    assert np.isnan(found[0])
