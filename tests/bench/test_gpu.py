"""The GPU's quarter of an hour, rehearsed on a processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST_ROWS = {"tests": 1, "rlhf": 1, "env": 4, "ppo": 6, "kernels": 2}


@pytest.fixture(scope="module")
def rehearsed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `benchmarks/gpu.sh --smoke` has put what it found."""
    out = tmp_path_factory.mktemp("gpu")
    command = ["benchmarks/gpu.sh", "--smoke", "--out", str(out)]
    about = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, cwd=root, env=about, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {file.stem for file in out.glob("*.json")} == set(LEAST_ROWS)
    return out


@pytest.mark.parametrize("step", LEAST_ROWS)
def test_every_step_runs_in_tiny_sizes(step: str, rehearsed: Path) -> None:
    rows = json.loads((rehearsed / f"{step}.json").read_text())["results"]
    cases = [row["case"] for row in rows]
    assert len(cases) == len(set(cases)) >= LEAST_ROWS[step]
    assert not [row for row in rows if "failed" in row]
    if step == "tests":
        assert rows[0]["passed"]
    if step in ("env", "ppo"):
        assert all(row["steps_per_second"] > 0 for row in rows if "left_out" not in row)


def test_every_step_is_rehearsed(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--smoke", "--out", str(tmp_path)]
    command += ["--only", "nothing"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert sorted(done.stderr.strip().partition("known: ")[2].split(", ")) == sorted(LEAST_ROWS)


def test_without_a_gpu_and_without_smoke_it_says_so(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--out", str(tmp_path)]
    about = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=root, env=about, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--smoke" in done.stderr
