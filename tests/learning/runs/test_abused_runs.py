"""Runs as people treat them: odd names, links, copies, stopped processes, other settings."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tradinghf.cli import _learn as learn
from tradinghf.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]
SMALL = ["--data", "synthetic:bars=400,assets=2", "--steps", "16000", "--envs", "16"]
PNL = ["train", "--reward", "pnl", *SMALL, "--no-safe", "--task", "short", "--base", "none"]
RANKED = ["rlhf", *SMALL, "--rankings", "6", "--rounds", "2", "--test-episodes", "32"]
At = Callable[[str, int, Callable[[], None]], None]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The policy of `PNL` that nothing disturbs."""
    place = tmp_path_factory.mktemp("undisturbed") / "whole"
    assert main([*PNL, "--out", str(place), "--store", str(place.parent / "store")]) == 0
    return (place / "policy.safetensors").read_bytes()


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> At:
    """Do something at the n-th report of a phase."""
    monkeypatch.chdir(tmp_path)

    def prepare(phase: str, number: int, what: Callable[[], None]) -> None:
        left = [number]

        def report(now: str, *_rest: object) -> None:
            left[0] -= now == phase
            if left[0] == 0:
                left[0] = -1
                what()

        @contextmanager
        def progress() -> Iterator[object]:
            yield report

        monkeypatch.setattr(learn, "progress", progress)

    return prepare


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", ["sp ace %\u00fc", "link"])
def test_any_name_and_a_link_may_be_a_runs_place(at: At, undisturbed: bytes, name: str) -> None:
    if name == "link":
        Path("real").mkdir()
        Path("link").symlink_to("real")
    at("baseline pnl", 6, stop)
    assert main([*PNL, "--out", name]) == 128 + signal.SIGTERM
    assert main([*PNL, "--out", name, "--resume"]) == 0
    assert Path(name, "policy.safetensors").read_bytes() == undisturbed
    assert name != "link" or Path("link").is_symlink()


def test_a_run_that_was_copied_or_moved_goes_on_as_it_would_have(
    at: At, undisturbed: bytes
) -> None:
    """Copied while it runs, as a backup would."""
    at("baseline pnl", 9, lambda: shutil.copytree("one", "copy") and None)
    assert main([*PNL, "--out", "one"]) == 0
    assert main([*PNL, "--out", "copy", "--resume"]) == 0
    at("baseline pnl", 6, stop)
    assert main([*PNL, "--out", "here"]) == 128 + signal.SIGTERM
    shutil.move("here", "there")
    assert main([*PNL, "--out", "there", "--resume"]) == 0
    for place in ("one", "copy", "there"):
        assert Path(place, "policy.safetensors").read_bytes() == undisturbed


def test_a_process_that_was_held_for_a_while_goes_on(at: At, undisturbed: bytes) -> None:
    """As a closed lid or Ctrl+Z do."""
    waker: list[subprocess.Popen[bytes]] = []

    def hold() -> None:
        words = ["sh", "-c", f"sleep 0.5; kill -CONT {os.getpid()}"]
        waker.append(subprocess.Popen(words))
        os.kill(os.getpid(), signal.SIGSTOP)

    at("baseline pnl", 6, hold)
    assert main([*PNL, "--out", "held"]) == 0
    assert waker[0].wait() == 0
    assert Path("held/policy.safetensors").read_bytes() == undisturbed


def test_a_second_training_in_the_same_place_is_refused_and_hurts_nothing(
    at: At, undisturbed: bytes
) -> None:
    codes: list[int] = []

    def begin_again() -> None:
        for more in ([], ["--resume"]):
            words = [sys.executable, "-m", "tradinghf", *PNL, "--out", "busy", *more]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            codes.append(done.returncode)
            assert "Another process is writing" in done.stderr

    at("baseline pnl", 6, begin_again)
    assert main([*PNL, "--out", "busy"]) == 0
    assert codes == [2, 2]
    assert Path("busy/policy.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["--trader", "turnover_averse"], "trader was 'drawdown' and is 'turnover"),
        (["--data", "synthetic:bars=420,assets=2"], "data_sha256.test was"),
        (["--seed", "5"], "seed was 0 and is 5"),
        (["--fee-bps", "9"], "fee_bps was 1.0 and is 9.0"),
    ],
)
def test_a_run_of_rankings_goes_on_with_what_it_began_with_alone(
    at: At, capsys: pytest.CaptureFixture[str], other: list[str], said: str
) -> None:
    at("train", 9, stop)
    first = [*RANKED, "--trader", "drawdown", "--no-baselines", "--no-safe", "--out", "cut"]
    assert main(first) == 128 + signal.SIGTERM
    before = {p: p.read_bytes() for p in Path("cut").rglob("*.json")}
    words = list(first)
    for option, value in zip(other[::2], other[1::2], strict=True):
        if option in words:
            words[words.index(option) + 1] = value
        else:
            words += [option, value]
    capsys.readouterr()
    assert main([*words, "--resume"]) == 2
    assert said in capsys.readouterr().err
    assert {p: p.read_bytes() for p in Path("cut").rglob("*.json")} == before
    assert main([*first, "--resume"]) == 0
