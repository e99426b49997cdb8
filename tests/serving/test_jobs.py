"""Jobs that the dashboard starts: one of a kind at a time, and raters go first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradinghf.errors import ConfigError
from tradinghf.serving import BackgroundJobs, _jobs
from tradinghf.serving._jobs import BackgroundJob, _children

IMPATIENT = """
import sys, threading
from tradinghf.errors import ConfigError
from tradinghf.serving import BackgroundJobs

jobs, at_once = BackgroundJobs(sys.argv[1]), threading.Barrier(int(sys.argv[2]))

def click():
    at_once.wait()
    try:
        said = "started " + jobs.start("train", "test", ["-c", "import time; time.sleep(600)"]).name
    except ConfigError as error:
        said = f"refused {error}"
    sys.stdout.write(said + "\\n")

clicks = [threading.Thread(target=click) for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.readline()
for one in clicks: one.start()
for one in clicks: one.join()
"""


def test_of_many_clicks_in_threads_and_processes_one_starts_a_job(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", IMPATIENT, str(tmp_path), "4"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = "".join(process.communicate(timeout=120)[0] for process in processes).splitlines()
    jobs = BackgroundJobs(tmp_path)
    started = jobs.list()
    for job in started:
        job.stop()
    assert [line for line in said if line.startswith("started")] == [f"started {started[0].name}"]
    refused = "refused A train job runs already. Wait for it, or stop it first."
    assert said.count(refused) == 11
    assert len(started) == 1
    end = time.monotonic() + 60
    while started[0].status == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
    again = jobs.start("train", "the next", ["-c", ""])
    assert jobs.list("train")[0] == again


@pytest.mark.parametrize(("kind", "nice"), [("train", 5), ("reward", 0)])
def test_a_training_gives_way_to_the_server(tmp_path: Path, kind: str, nice: int) -> None:
    jobs = BackgroundJobs(tmp_path)
    code = "import os, pathlib; print(os.nice(0)); g = pathlib.Path('/proc/self/autogroup'); "
    code += "print(g.read_text() if g.exists() else '')"
    job = jobs.start(kind, "test", ["-c", code])
    end = time.monotonic() + 60
    while _children or jobs.get(job.name).status == "running":
        assert time.monotonic() < end
        time.sleep(0.05)
        jobs.list()  # collects what has ended
    shown = jobs.get(job.name).output()
    assert int(shown.split()[0]) == min(os.nice(0) + nice, 19)
    if Path("/proc/self/autogroup").exists():
        assert shown.split()[-1] == str(nice)


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        "7",
        "{}",
        "[" * 100_000,
        '{"kind": "train", "title": "t", "pid": "x", "started": 0, "command": []}',
        '{"kind": "train", "title": "t", "pid": 1, "started": {}, "command": []}',
    ],
)
def test_one_damaged_record_hides_no_other_job(tmp_path: Path, record: str) -> None:
    jobs = BackgroundJobs(tmp_path)
    job = jobs.start("backtest", "good", ["-c", "pass"])
    (jobs.folder / "bad").mkdir()
    (jobs.folder / "bad/job.json").write_text(record)
    assert [found.name for found in jobs.list()] == [job.name]
    with pytest.raises(ConfigError, match="damaged"):
        jobs.get("bad")


@pytest.mark.parametrize("pid", [-1, 0, 1, os.getpid()], ids=["all", "group", "init", "own"])
def test_a_record_that_names_another_process_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    """Signal -1 would go to every process of the user."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(_jobs.os, "kill", lambda *args: sent.append(args))
    job = BackgroundJob(tmp_path / "20260101-forged", "train", "t", (), pid, 0.0)
    assert job.status == "stopped"
    job.stop()
    assert all(number == 0 for _, number in sent)


def test_a_job_whose_words_the_kernel_does_not_show_yet_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = BackgroundJobs(tmp_path).start("look", "look", ["-c", "import time; time.sleep(600)"])
    # Between execve's closing of files, at which Popen returns, and its writing down of the words.
    read = Path.read_bytes
    hide = lambda path: b"" if path.name == "cmdline" else read(path)  # noqa: E731
    monkeypatch.setattr(Path, "read_bytes", hide)
    assert job.status == "running"
    os.kill(job.pid, 9)
    while job.status == "running":  # a zombie until it is reaped has no words either
        time.sleep(0.01)
    assert job.status == "stopped"
    while _children:
        BackgroundJobs(tmp_path).list()


def test_a_job_that_ends_between_two_looks_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = BackgroundJobs(tmp_path).start("look", "look", ["-c", "pass"])

    def ends(pid: int, folder: Path) -> bool:
        while job.exit_code is None:
            time.sleep(0.01)
        return False

    monkeypatch.setattr(_jobs, "_alive", ends)
    assert job.status == "done"
    while _children:
        BackgroundJobs(tmp_path).list()
