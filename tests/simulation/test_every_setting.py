"""The compiled step against the tensor step in every combination of settings: bit for bit.

Each configuration of a generated set is walked through by several environments; a case is one
environment's way. The set covers every pair of values of any two settings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.engines import walk
from support.every_setting import covering, make_env, random_row

from tradinghf.simulation import MarketEnv


def _envs(row: dict[str, Any], count: int, seed: int) -> list[MarketEnv]:
    """One environment of these settings by each engine."""
    return [make_env(row, count, seed, engine=engine) for engine in ("tensor", "fused")]


def test_every_pair_of_settings_gives_the_same_bits() -> None:
    rows = covering(0)
    for seed, row in enumerate(rows):
        try:
            walk(_envs(row, 6, seed), 15, seed)
        except AssertionError as error:
            raise AssertionError(f"{row}: {error}") from error
    assert len(rows) * 6 >= 100


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_twenty_thousand_ways_through_random_settings_give_the_same_bits() -> None:
    rng, cases, number = np.random.default_rng(7), 0, 0
    while cases < 20_000:
        row = random_row(rng)
        try:
            walk(_envs(row, 50, number), 14, number)
        except AssertionError as error:
            raise AssertionError(f"{row}: {error}") from error
        cases, number = cases + 50, number + 1
