"""The GPU's quarter of an hour, rehearsed on a processor."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def asked(root: Path, monkeypatch: pytest.MonkeyPatch, *options: object) -> Any:
    """`benchmarks/gpu.py` with options, in this process."""
    spec = importlib.util.spec_from_file_location("gpu", root / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, options)])
    return module


def test_every_step_is_rehearsed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = asked(root, monkeypatch, "--smoke", "--out", tmp_path, "--only", "nothing")
    with pytest.raises(SystemExit):
        gpu.main()
    known = capsys.readouterr().err.strip().partition("known: ")[2].split(", ")
    assert sorted(known) == sorted(LEAST_ROWS)


def test_without_a_gpu_and_without_smoke_it_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = asked(root, monkeypatch, "--out", tmp_path)
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--smoke" in capsys.readouterr().err


def test_a_step_that_runs_out_of_time_does_not_cost_the_others(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = asked(root, monkeypatch, "--out", tmp_path)
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    ran = []

    def run(command: list[str], *, timeout: float, check: bool) -> Any:
        ran.append((command[command.index("--step") + 1], timeout))
        if len(ran) == 2:
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert gpu.main() == 1
    assert ran == list(gpu.SECONDS.items())
    assert sum(gpu.SECONDS.values()) <= 720, "of a quarter of an hour, after the start"
    assert "rlhf ran out of time; what it measured is kept." in capsys.readouterr().out
