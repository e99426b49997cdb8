"""SIGTERM and Ctrl+C: a training writes a checkpoint, says so, and continues bit-identically."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tradinghf.cli import _learn as learn
from tradinghf.cli import main
from tradinghf.errors import Stopped, TradingHFError
from tradinghf.learning.runs import RunDirectory, deferring_stops, stop_requested, stoppable

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
MARKET = "synthetic:bars=400,assets=2"
SMALL = ["--data", MARKET, "--steps", "16000", "--envs", "16"]  # 16 iterations
RLHF = ["rlhf", *SMALL, "--rankings", "6", "--rounds", "2", "--test-episodes", "32"]
PNL = ["train", "--reward", "pnl", *SMALL]
CLOCKS = {"seconds", "steps_per_s"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `RLHF` that nothing stops."""
    place = tmp_path_factory.mktemp("undisturbed") / "whole"
    assert main([*RLHF, "--out", str(place)]) == 0
    return place


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Signals as in a terminal: whatever starts a suite in the background has some ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def signalled(
    as_in_a_terminal: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int, int], None]:
    """Send this process a signal at the n-th report of a phase."""

    def prepare(phase: str, number: int, what: int) -> None:
        left = [number]

        def report(now: str, *_rest: object) -> None:
            left[0] -= now == phase
            if left[0] == 0:
                left[0] = -1
                os.kill(os.getpid(), what)

        @contextmanager
        def progress() -> Iterator[object]:
            yield report

        monkeypatch.setattr(learn, "progress", progress)

    return prepare


def rows(path: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in found]


def same_runs(one: Path, other: Path) -> None:
    """Equal policies to the byte, and equal figures."""
    files = sorted(path.name for path in one.glob("*.safetensors"))
    assert files
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for found in results:
        found.pop("seconds", None)
    assert results[0] == results[1]
    assert rows(one) == rows(other)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "number"), [("train", 9), ("baseline true", 5)])
def test_a_stopped_experiment_continues_bit_identically(
    signalled: Callable[[str, int, int], None],
    capsys: pytest.CaptureFixture[str],
    undisturbed: Path,
    phase: str,
    number: int,
) -> None:
    signalled(phase, number, signal.SIGTERM)
    assert main([*RLHF, "--out", "cut"]) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "--resume" in said
    assert f"iteration {number}" in said
    place = Path("cut", *(["baselines", "true"] if phase != "train" else []))
    assert f"{place} holds a checkpoint" in said
    found = RunDirectory(place).latest()
    assert found is not None
    assert found[0] == len(rows(place)) == number  # nothing of it is lost
    assert not Path("cut", "result.json").exists()
    assert json.loads(Path("cut", "config.json").read_text())["command"]
    assert main([*RLHF, "--out", "cut", "--resume"]) == 0
    same_runs(undisturbed, Path("cut"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_stop_a_training_on_pnl_which_continues(
    signalled: Callable[[str, int, int], None], capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """`train --reward pnl` wrote no checkpoints, and ignored --resume."""
    signalled("baseline pnl", 6, number)
    assert main([*PNL, "--out", "cut"]) == 128 + number
    assert "Stopped after iteration 6" in capsys.readouterr().err
    assert main([*PNL, "--out", "cut", "--resume"]) == 0
    assert main([*PNL, "--out", "whole"]) == 0
    same_runs(Path("whole"), Path("cut"))


def test_a_run_that_another_process_writes_keeps_its_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A second command overwrote config.json before it was refused."""
    run = RunDirectory("busy")
    with run.lock():
        run.write_json("config.json", {"whose": "the first"})
        for command in (RLHF, PNL):
            assert main([*command, "--out", "busy"]) == 2
            assert "Another process is writing" in capsys.readouterr().err
    assert json.loads(Path("busy/config.json").read_text()) == {"whose": "the first"}


def send(number: int) -> None:
    signal.raise_signal(number)
    time.sleep(1)  # where the signal was only noted, the block goes on


@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_signal_is_held_until_the_block_ends_and_a_second_is_not() -> None:
    done: list[object] = []

    def patient() -> None:
        with deferring_stops():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append(stop_requested())

    def impatient() -> None:
        with deferring_stops():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("after the second signal")

    for work in (patient, impatient):
        with stoppable(), pytest.raises(Stopped) as caught:
            work()
        assert caught.value.code == 143
    assert done == [True]
    with stoppable():
        assert not stop_requested()
        with pytest.raises(Stopped):
            send(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # the handlers of before are back
        send(signal.SIGINT)


def test_nothing_takes_a_stop_for_a_fault_of_a_file() -> None:
    """Reading a checkpoint quarantines it on almost any error; a signal is none."""
    assert not issubclass(Stopped, Exception)
    assert not issubclass(Stopped, TradingHFError)
