"""The table of `tradinghf bench own`: differences to the base, pooled over worlds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tradinghf.bench import OwnBench
from tradinghf.bench._own_table import own_table, pooled
from tradinghf.errors import ConfigError


def world(base: str, trader: str, gain: float, chosen: str | None) -> dict[str, Any]:
    noise = np.random.default_rng(0).normal(0, 0.001, 30)
    values = {"utility": (gain + noise).tolist(), "profit": (noise - gain).tolist()}
    names = ("tuned", "tuned kept", "overlay", "overlay kept", "from nothing")
    return {
        "base": base,
        "trader": trader,
        "chosen": chosen,
        "windows": dict.fromkeys(names, values),
    }


def test_differences_are_pooled_by_window_over_bases_and_tastes() -> None:
    rows = [world("sma_cross", "drawdown", 0.02, "tuned"), world("momentum", "drawdown", 0.0, None)]
    table = pooled(rows)
    assert [(r["base"], r["trader"]) for r in table] == [
        ("momentum", "drawdown"),
        ("momentum", "all"),
        ("sma_cross", "drawdown"),
        ("sma_cross", "all"),
        ("all", "drawdown"),
        ("all", "all"),
    ]
    total = table[-1]
    assert total["worlds"] == 2
    gain = total["overlay"]["utility"]
    assert gain["value"] == pytest.approx(0.01, abs=0.001)
    assert gain["low"] < 0.01 < gain["high"]
    assert total["overlay"]["profit"]["value"] == pytest.approx(-0.01, abs=0.001)
    # Where the gate kept the base, nothing was gained or lost.
    assert table[0]["deployed"]["utility"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert table[2]["deployed"] == table[2]["tuned"]
    text = own_table(table)
    assert "| sma cross | drawdown | utility | +" in text
    assert text.count("\n") == 2 + 2 * len(table)


def test_every_world_is_of_a_known_base() -> None:
    bench = OwnBench(runs=2, traders=("drawdown", "profit"), bases=("momentum", "vol_target"))
    assert len(set(bench.cells())) == 8
    with pytest.raises(ConfigError, match=r"sma_cros.*expected one of"):
        OwnBench(bases=("sma_cros",))
