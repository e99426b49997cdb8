"""The hyperbolic tangent of float32 as a ratio of polynomials, to be compiled into loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tradinghf.numba_cache import use_unique_files

use_unique_files()
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
_single = np.float32

# tanh(x) = x P(x²) / Q(x²) up to a few units in the last place, constant beyond the bound.
# Source: Eigen, MathFunctionsImpl.h, `generic_fast_tanh_float` (MPL 2.0: coefficients).
_BOUND = _single(7.90531110763549805)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (
    _single(c)
    for c in (
        *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11),
        *(5.12229709037114e-08, 1.48572235717979e-05, 6.37261928875436e-04),
        4.89352455891786e-03,
    )
)
_Q0, _Q1, _Q2, _Q3 = (
    _single(c)
    for c in (1.19825839466702e-6, 1.18534705686654e-4, 2.26843463243900e-3, 4.89352518554385e-3)
)


@njit(inline="always", **OPTIONS)
def tanh(x: Any) -> Any:
    x = -_BOUND if x < -_BOUND else (_BOUND if x > _BOUND else x)  # NaN stays NaN
    s = x * x
    above = (((((_P0 * s + _P1) * s + _P2) * s + _P3) * s + _P4) * s + _P5) * s + _P6
    return x * above / (((_Q0 * s + _Q1) * s + _Q2) * s + _Q3)
