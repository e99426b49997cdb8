"""The way of one bar from a CSV file to a fill: the stops that a newcomer reads, in this order."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from tradinghf import MarketEnv, load_market
from tradinghf.config import EnvConfig

STOPS = (
    "market/sources.py:load_market",  # finds who loads the name: here the file
    "market/files.py:load_file",  # splits the text into columns
    "market/tables.py:Table.from_columns",  # reads numbers and times
    "market/data.py:MarketData.from_table",  # checks every rule, lays out [T, A]
    "simulation/bars.py:Bars.of",  # the same prices as tensors, a row per asset and bar
    "simulation/dynamics.py:Dynamics.advance",  # gathers the bar after the decision
    "simulation/step.py:step_account",  # the bar's events in order; orders become sizes
    "simulation/account.py:execute",  # price, limits, cash and fee: the fill
)


def test_a_bar_passes_these_stops_from_csv_to_fill(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    rows = [f"2024-01-{d:02d},{d},{d + 1},{d - 0.5},{d + 0.5},100" for d in range(1, 31)]
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    passed: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and "/tradinghf/" in code.co_filename:
            place = code.co_filename.rpartition("/tradinghf/")[2]
            passed.append(f"{place}:{code.co_qualname}")

    sys.setprofile(note)
    try:
        config = EnvConfig(horizon=4, lookback=2, features=("body",), dtype="float64")
        env = MarketEnv(load_market(path), config=config, engine="tensor")
        env.reset(options={"start": 9})
        *_, info = env.step_weights(torch.tensor([0.5]))
    finally:
        sys.setprofile(None)
    first = [passed.index(stop) for stop in STOPS]
    assert first == sorted(first)
    assert info["price"].item() == 11 * 1.0001  # the open of the bar after row 9, with slippage
    assert info["bar"].item() == 10
