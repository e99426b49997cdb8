"""The GPU's quarter of an hour, rehearsed on a processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_everything_runs_in_tiny_sizes(root: Path, tmp_path: Path) -> None:
    command = ["benchmarks/gpu.sh", "--smoke", "--out", str(tmp_path)]
    about = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, cwd=root, env=about, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {p.stem: json.loads(p.read_text())["results"] for p in tmp_path.glob("*.json")}
    assert set(found) == {"env", "kernels", "ppo", "rlhf", "tests"}
    assert found["tests"][0]["passed"]
    cases = [row["case"] for rows in found.values() for row in rows]
    assert len(cases) == len(set(cases)) >= 16
    assert all(row["steps_per_second"] > 0 for row in found["ppo"] + found["env"])


def test_without_a_gpu_and_without_smoke_it_says_so(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--out", str(tmp_path)]
    about = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=root, env=about, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--smoke" in done.stderr
