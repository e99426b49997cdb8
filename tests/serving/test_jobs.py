"""Jobs that the dashboard starts: one of a kind at a time, and raters go first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tradinghf.serving import BackgroundJobs
from tradinghf.serving._jobs import _children

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
