"""Triton's interpreter: kernels run as NumPy, so that a processor can test them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import numpy as np

from tradinghf._triton import INTERPRET

KERNELS = (
    "tradinghf.simulation._plain_kernel_triton",
    "tradinghf.learning.ppo._kernels_triton",
    "tradinghf.learning.ppo._update_triton",
)


@contextmanager
def interpreted() -> Iterator[None]:
    """Within, kernels run on tensors of a processor; they divide by zero where nobody looks."""
    before = os.environ.get(INTERPRET)
    os.environ[INTERPRET] = "1"  # read when a kernel is defined, and when it is launched
    try:
        for name in KERNELS:
            import_module(name)
        with np.errstate(all="ignore"):
            yield
    finally:
        os.environ.pop(INTERPRET)
        os.environ.update({} if before is None else {INTERPRET: before})
