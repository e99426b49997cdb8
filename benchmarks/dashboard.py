"""The dashboard's speed: what a trader feels, and what a team of them costs the server.

    python benchmarks/dashboard.py latency --json benchmarks/results/dashboard-latency.json
    python benchmarks/dashboard.py load --seconds 300 --json benchmarks/results/dashboard-load.json

`latency`: one trader in Chromium, 4 panels of 500 bars: from Enter to the next query painted, and
the first load. `load`: 20 raters with 4 s think time against a live server that is killed (kill -9)
in the middle and started again, with another process writing to the same store; afterwards every
answer must be stored exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.client import HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dashboard_browser import chromium, next_query, ready, saved, visit  # noqa: E402
from dashboard_support import Running, fill_store, request, start_dashboard  # noqa: E402

from tradinghf.feedback.store import Store  # noqa: E402
from tradinghf.feedback.types import Query  # noqa: E402
from tradinghf.serving.access import Identity, Passes, load_secret  # noqa: E402

RATERS = 20
THINK = 4.0
WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from dashboard_support import window
from tradinghf.feedback.store import Store
store, seed = Store(sys.argv[1]), 10_000
while True:
    store.add_episodes(window(seed, 4, 250))
    seed += 1
    time.sleep(0.05)
"""


def percentile(values: list[float], share: float) -> float:
    """A quantile by linear interpolation."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(values: list[float]) -> dict[str, float]:
    """Median, p95, p99 and maximum."""
    return {
        "median": round(statistics.median(values), 1),
        "p95": round(percentile(values, 0.95), 1),
        "p99": round(percentile(values, 0.99), 1),
        "max": round(max(values), 1),
        "count": len(values),
    }


def latency(rankings: int) -> dict[str, Any]:
    """Submit to next query painted, and first load [ms]."""
    with tempfile.TemporaryDirectory() as folder:
        with Store(folder) as store:
            fill_store(store, queries=rankings + 12, panels=4, bars=500)
        running = start_dashboard(Path(folder))
        loads, steps = [], []
        try:
            with chromium() as browser, visit(browser, running.url) as page:
                query = ready(page)
                for _ in range(5):  # warm: the browser has the scripts, the server has run
                    start = time.perf_counter()
                    page.goto(running.url)
                    query = ready(page)
                    loads.append(1000 * (time.perf_counter() - start))
                for _ in range(rankings):
                    time.sleep(0.4)
                    for key in ("3", "1", "4", "2", "Enter"):
                        page.keyboard.press(key)
                    query = next_query(page, query)
                saved(page)
                steps = page.evaluate(
                    "performance.getEntriesByName('tradinghf:next').map(e => e.duration)"
                )
        finally:
            running.kill()
    return {"submit_to_painted_ms": summary(steps), "warm_load_ms": summary(loads)}


class Rater(threading.Thread):
    """One rater as the component behaves: asks, thinks, answers, and resends until confirmed."""

    def __init__(self, team: Team, number: int) -> None:
        super().__init__(daemon=True)
        self.team = team
        self.name = f"rater-{number}"
        token = team.passes.issue(Identity(self.name))
        self.headers = {"Authorization": f"Bearer {token}"}
        self.sent: list[str] = []
        self.milliseconds: list[float] = []
        self.retries = 0

    def call(self, path: str, body: Any = None) -> Any:
        """A request, sent again while the server is away."""
        method = "POST" if body is not None else "GET"
        while True:
            start = time.perf_counter()
            try:
                status, _, reply = request(
                    self.team.running.url, f"/tradinghf/api/{path}",
                    method=method, body=body, headers=self.headers,
                )  # fmt: skip
            except (OSError, HTTPException):
                self.retries += 1
                time.sleep(0.5)
                continue
            self.milliseconds.append(1000 * (time.perf_counter() - start))
            if status != 200:
                raise AssertionError(f"{status}: {reply[:200]!r}")
            return json.loads(reply)

    def run(self) -> None:
        """Rank until the time is up."""
        time.sleep(THINK * random.random())
        while time.monotonic() < self.team.deadline:
            payload = self.call("query?session=s&have=")["query"]
            if payload is None:
                return
            time.sleep(THINK)
            key = uuid.uuid4().hex
            size = len(payload["panels"])
            body = {
                "key": key, "query": payload["query"], "ranks": list(range(1, size + 1)),
                "outcome": "ranked", "comment": "", "aspects": None, "ratings": [],
                "seconds": THINK, "session": "s", "supersedes": "",
            }  # fmt: skip
            self.call("answer", body)
            self.sent.append(key)


class Team:
    """The raters, the server, and a writer beside it."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.passes = Passes(load_secret(folder))
        self.deadline = time.monotonic() + seconds
        self.running: Running = start_dashboard(folder)

    def work(self) -> list[Rater]:
        """Everybody ranks; the server is killed and started again half-way."""
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(self.folder), str(ROOT / "tests")]
        )
        self.deadline = time.monotonic() + self.seconds
        raters = [Rater(self, number) for number in range(RATERS)]
        for rater in raters:
            rater.start()
        time.sleep(self.seconds / 2)
        port = self.running.port
        self.running.kill()
        self.running = start_dashboard(self.folder, port=port)
        for rater in raters:
            rater.join()
        writer.kill()
        writer.wait()
        self.running.kill()
        return raters


def load(seconds: float) -> dict[str, Any]:
    """20 raters: server time per request [ms], and answers lost or doubled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder) as store:
            asked = fill_store(store, queries=int(seconds / THINK) + 20, panels=4, bars=250)
            assert isinstance(asked[0], Query)
        raters = Team(folder, seconds).work()
        with Store(folder) as store:
            stored = [ranking.key for ranking in store.rankings(include_superseded=True)]
            intact = store.verify().ok
    sent = [key for rater in raters for key in rater.sent]
    return {
        "request_ms": summary([value for rater in raters for value in rater.milliseconds]),
        "answers": len(sent),
        "lost": len(set(sent) - set(stored)),
        "doubled": len(stored) - len(set(stored)),
        "resent_while_down": sum(rater.retries for rater in raters),
        "store_intact": intact,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=["latency", "load"])
    parser.add_argument("--rankings", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    found = latency(options.rankings) if options.what == "latency" else load(options.seconds)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    about = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_before": round(before, 1),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }
    text = json.dumps({"benchmark": f"dashboard {options.what}", **about, **found}, indent=1)
    print(text)  # noqa: T201 - the result
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
