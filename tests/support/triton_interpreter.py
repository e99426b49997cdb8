"""Triton's interpreter: kernels run as NumPy, so that a processor can test them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from tradinghf._triton import INTERPRET

KERNELS = (
    "tradinghf.simulation._plain_kernel_triton",
    "tradinghf.simulation._task_bar_triton",
    "tradinghf.learning.ppo._kernels_triton",
    "tradinghf.learning.ppo._update_triton",
)


@contextmanager
def interpreted() -> Iterator[None]:
    """Within, kernels run on tensors of a processor; they divide by zero where nobody looks."""
    with _asked_for(), np.errstate(all="ignore"):
        for name in KERNELS:
            import_module(name)
        yield


@contextmanager
def _asked_for() -> Iterator[None]:
    """Triton looks when a kernel is defined, and when it is launched."""
    before = os.environ.get(INTERPRET)
    os.environ[INTERPRET] = "1"
    try:
        yield
    finally:
        os.environ.pop(INTERPRET)
        os.environ.update({} if before is None else {INTERPRET: before})


def _import_to_interpret() -> None:
    """Define Triton's own functions for its interpreter, before torch imports them otherwise.

    All test modules are imported before the first test runs. Where there is a GPU its tests need
    the compiled ones, and those in here are run alone.
    """
    if find_spec("triton") is not None and shutil.which("nvidia-smi") is None:
        with _asked_for():
            import_module("triton.language")


_import_to_interpret()
