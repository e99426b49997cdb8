"""Floating-point comparisons of the accounting, with a tolerance.

Tolerances in float64 are those of vectorbt (relative 1e-9, absolute 1e-12), so that both decide
alike whether a position is closed or an order affordable; float32 gets a relative 1e-6.
"""

from __future__ import annotations

import torch
from torch import Tensor

ABSOLUTE = 1e-12
RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-6}


def _tolerance(scale: Tensor) -> Tensor:
    return scale.abs().mul(RELATIVE[scale.dtype]).clamp_min(ABSOLUTE)


def at_most(a: Tensor, b: Tensor) -> Tensor:
    """Elementwise: a < b, or equal within tolerance."""
    return a <= b + _tolerance(b)


def less(a: Tensor, b: float | Tensor) -> Tensor:
    """Elementwise: a < b by more than the tolerance."""
    if isinstance(b, Tensor):
        return a < b - _tolerance(b)
    return a < b - max(abs(b) * RELATIVE[a.dtype], ABSOLUTE)


def snapped_sum(a: Tensor, b: Tensor) -> Tensor:
    """Sum, exactly zero where the two cancel within tolerance."""
    total = a + b
    return total.masked_fill(total.abs() <= _tolerance(a), 0.0)


def is_off(value: float | Tensor, neutral: float = 0.0) -> bool:
    """A setting that is a plain number at its neutral value: its operations are left out."""
    return not isinstance(value, Tensor) and value == neutral
