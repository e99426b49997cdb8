"""Any task's Triton kernel, in the interpreter, against the tensor step; and compiled for a card.

Single assets bit for bit. A portfolio's sums over assets have another order: to 1e-12 in float64.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.engines import walk
from support.every_setting import covering, make_env
from support.triton_interpreter import interpreted

from tradinghf.config import Brackets, EnvConfig, Margin, TradingRules
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv
from tradinghf.simulation._task_switches import BITS, switches_of

# An exit that takes back what is left of an entry is the tensor step's alone.
ROWS = [
    row
    for row in covering(0)
    if not row["participation"]
    or not any(row[n] for n in ("maintenance", "stop_loss", "take_profit", "trailing_stop"))
]
LARGEST = 227 * 1024  # bytes of shared memory that a block may take on an H100 or H200


def _walk(row: dict[str, Any], seed: int, count: int, steps: int, horizon: int = 12) -> None:
    with interpreted():
        envs = [
            make_env(row, count, seed, horizon=horizon, engine=engine)
            for engine in ("tensor", "triton")
        ]
        rtol = 1e-12 if row["dtype"] == "float64" else 1e-5
        try:
            walk(envs, steps, seed, rtol=rtol if row["assets"] > 1 else 0.0)
        except AssertionError as error:
            raise AssertionError(f"{row}: {error}") from error


def _used(row: dict[str, Any]) -> int:
    return switches_of(make_env(row, 1, 0, engine="tensor").dynamics)


def _few() -> list[int]:
    """Numbers of rows in which each switch is on somewhere, fewest first."""
    used, chosen = [_used(row) for row in ROWS], list[int]()
    missing = sum(BITS.values()) & ~sum(BITS[n] for n in ("on_change", "own_costs", "own_ends"))
    while missing:
        chosen.append(max(range(len(ROWS)), key=lambda n: (used[n] & missing).bit_count()))
        missing &= ~used[chosen[-1]]
    return chosen


@pytest.mark.extra("triton")
@pytest.mark.parametrize("turn", range(4))
def test_each_switch_of_the_kernel_gives_the_tensor_steps_numbers(turn: int) -> None:
    few = _few()
    assert len(few) <= 4
    if turn < len(few):
        _walk(ROWS[few[turn]], turn, 3, 3, horizon=2)


@pytest.mark.extra("triton")
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(len(ROWS)))
def test_every_pair_of_settings_gives_the_tensor_steps_numbers(number: int) -> None:
    """Of accounts that fill no whole number of blocks."""
    row = ROWS[number]
    _walk(row, number, 131 if row["assets"] == 1 else 37, 15)


@pytest.mark.extra("triton")
@pytest.mark.parametrize("assets", [1, 3])
def test_functions_of_the_user_and_unchanged_targets_are_carried_out_alike(assets: int) -> None:
    market, told = synthetic(0, 80, assets), []
    config = EnvConfig(
        horizon=3,
        lookback=4,
        rebalance=False,
        portfolio=assets > 1,
        brackets=Brackets(stop_loss=0.01),
    )
    actions = torch.tensor([[0, 2, 1], [0, 2, 2], [2, 0, 2]])
    with interpreted():
        for engine in ("tensor", "triton"):
            env = MarketEnv(
                market,
                num_envs=3,
                config=config,
                engine=engine,
                termination=lambda t: t.drawdown > 0.005,
                sampler=lambda windows, unit: (unit * len(windows.start)).long(),
            )
            env.reset(seed=0)
            told.append([env.step(actions if assets > 1 else row) for row in actions])
    for row, other in zip(*told, strict=True):
        for mine, theirs in zip(row[:4], other[:4], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


GPU_TASKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stops and margin": {
        "brackets": Brackets(stop_loss=0.02, take_profit=0.03, trailing_stop=0.025),
        "margin": Margin(leverage=2.0, maintenance=0.3),
    },
    "lots, locked cash, participation": {
        "rules": TradingRules(lot=0.1, participation=0.3, lock_cash=True)
    },
    "portfolio": {"portfolio": True},
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("task", GPU_TASKS)
def test_kernels_give_the_tensor_steps_numbers_on_a_gpu(task: str, dtype: Any) -> None:
    config = EnvConfig(horizon=12, lookback=4, dtype=dtype, **GPU_TASKS[task])
    envs = [
        MarketEnv(synthetic(0, 120, 5), num_envs=333, config=config, engine=engine, device="cuda")
        for engine in ("tensor", "triton")
    ]
    walk(envs, 15, 0, rtol=1e-9 if dtype == "float64" else 1e-4)


def _compiled(root: Path, folder: Path, *cases: str) -> list[dict[str, Any]]:
    script = root / "tests" / "support" / "triton_compiler.py"
    paths = os.pathsep.join([str(root), str(root / "tests")])
    about = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    about |= {"PYTHONPATH": paths, "TRITON_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, str(script), *cases],
        env=about,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.extra("triton")
def test_a_kernel_of_each_kind_compiles_for_a_card(root: Path, tmp_path: Path) -> None:
    _check(_compiled(root, tmp_path, "time left", "others", "gradients, shared"))


@pytest.mark.extra("triton")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_kernel_compiles_for_a_card(root: Path, tmp_path: Path) -> None:
    _check(_compiled(root, tmp_path))


def _check(rows: list[dict[str, Any]]) -> None:
    """All kinds are there and fit into a card; only the gradient may spill registers."""
    assert {row["kernel"] for row in rows} == {"advance", "show", "gradients", "discount", "adam"}
    assert not [row for row in rows if row["shared"] > LARGEST]
    assert not [row for row in rows if row["local"] and row["kernel"] != "gradients"]
