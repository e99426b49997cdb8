"""`tradinghf store` and `doctor --repair`: what they promise, and their exit codes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from support.store import make_episode

from tradinghf.cli import main
from tradinghf.cli._system import _check_drafts, _check_runs
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.learning.runs import RunDirectory


@pytest.fixture
def store(tmp_path: Path) -> str:
    target = str(tmp_path / "store")
    with Store(target) as bank:
        ids = bank.add_episodes([make_episode(0), make_episode(1)])
        bank.submit(Ranking("k", tuple(ids), (1, 2)))
    return target


def test_backup_verify_restore(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, again = str(tmp_path / "copy"), str(tmp_path / "again")
    assert main(["store", "backup", copy, "--store", store]) == 0
    assert main(["store", "verify", "--store", copy]) == 0  # and leaves it restorable
    assert main(["store", "restore", copy, "--store", again]) == 0
    assert "1 rankings and 2 episodes" in capsys.readouterr().out
    with Store(again) as bank:
        head = bank.health()["head"]
    assert main(["store", "verify", "--store", again, "--anchor", head]) == 0
    assert main(["store", "verify", "--store", again, "--anchor", "f" * 64]) == 1
    assert main(["store", "restore", copy, "--store", again]) == 2
    assert "exists already" in capsys.readouterr().err


def test_verify_finds_a_damaged_file(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(Path(store).rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["store", "verify", "--store", store]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_a_damaged_copy_is_not_called_whole(store: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert main(["store", "backup", str(copy), "--store", store]) == 0
    (copy / "feedback.db").write_bytes((copy / "feedback.db").read_bytes()[:-1])
    assert main(["store", "verify", "--store", str(copy)]) == 2


def test_repair_removes_old_drafts_only(store: str) -> None:
    folder = next((Path(store) / "episodes").iterdir())
    old, fresh = folder / ".tmp-old", folder / ".tmp-fresh"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert _check_drafts(store, repair=False)[2].startswith("1 left")
    assert old.exists()
    assert _check_drafts(store, repair=True)[2] == "1 removed"
    assert not old.exists()
    assert fresh.exists()  # somebody may be writing it
    with Store(store) as bank:
        assert bank.verify().ok


def test_repair_puts_damaged_checkpoints_aside(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "one")
    for step in (1, 2):
        run.save(step, {"x": torch.ones(2)})
    (run.checkpoints / "00000002" / "state.json").write_text("[")
    (run.checkpoints / ".00000003.partial").mkdir()
    found = list(_check_runs(tmp_path, repair=False))
    assert [fit for _, fit, _ in found] == [False, True]
    assert "checkpoint 00000002 is damaged" in found[0][2]
    assert all(fit for _, fit, _ in _check_runs(tmp_path, repair=True))
    assert [p.name for p in run.checkpoints.iterdir()] == ["00000001"]
    assert len(list((run.path / "quarantine").iterdir())) == 1
    with run.lock():  # a run that somebody writes is left alone
        assert list(_check_runs(tmp_path, repair=True))[-1][1]
