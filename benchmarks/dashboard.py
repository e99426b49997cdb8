"""The dashboard's speed: what a trader feels, and what a team of them costs the server.

    python benchmarks/dashboard.py --all --json benchmarks/results/dashboard.json

runs all of these (18 minutes) and renews the figures in docs/dashboard.md;

    python benchmarks/dashboard.py latency --docs --json benchmarks/results/dashboard.json

renews one of them (2 minutes), and leaves the others, each with the commit that it was measured at:

`latency`: one trader in Chromium, 4 panels of 500 bars: from Enter to the next query painted, and
the first load. `load`: 20 raters with 4 s think time against a live server, for 5 minutes.
`faults`: the same, while another process writes episodes and queries to the same store as a
training loop does, a second one trains a policy on the same cores, and with three kill -9 of the
server. `team`: the same as `faults` on PostgreSQL, where its programs are installed. After each
load every answer must be stored once. Each part notes the load average before and after.
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
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from drills.core import NotHereError  # noqa: E402
from drills.server import postgres, postgres_url  # noqa: E402
from support.browser import chromium, next_query, ready, saved, visit  # noqa: E402
from support.dashboard import Running, fill_store, request, start_dashboard  # noqa: E402

from tradinghf.feedback.store import Store  # noqa: E402
from tradinghf.serving import BackgroundJobs  # noqa: E402
from tradinghf.serving._access import Identity, SessionTokens, load_secret  # noqa: E402

RATERS = 20
THINK = 4.0
KILLS = 3
PARTS = ("latency", "load", "faults", "team")
PAGE = ROOT / "docs" / "dashboard.md"
BEGIN, END = "<!-- measured -->", "<!-- end measured -->"
# A round of a training loop: episodes, then the query about them, again and again.
WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from support.dashboard import window
from tradinghf.feedback.store import Store
from tradinghf.feedback import Query
store, seed = Store(sys.argv[1]), 10_000
while True:
    store.add_queries([Query.of(store.add_episodes(window(seed, 4, 250)), round=seed)])
    seed += 1
    time.sleep(0.05)
"""


TRAINING = (
    "-m", "tradinghf", "rlhf", "--data", "synthetic", "--rankings", "400", "--rounds", "20",
    "--steps", "500000000", "--no-baselines", "--out",
)  # fmt: skip


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
    return {"next_query_ms": summary(steps), "warm_load_ms": summary(loads)}


class Rater(threading.Thread):
    """One rater as the component behaves: asks, thinks, answers, and resends until confirmed."""

    def __init__(self, team: Team, number: int) -> None:
        super().__init__(daemon=True)
        self.team = team
        self.name = f"rater-{number}"
        token = team.tokens.issue(Identity(self.name))
        self.headers = {"Authorization": f"Bearer {token}"}
        self.sent: list[str] = []
        self.milliseconds: list[float] = []
        self.confirmed: list[float] = []
        self.retries = 0
        self.problem = ""

    def call(self, path: str, body: Any = None) -> Any:
        """A request, sent again while the server is away."""
        method = "POST" if body is not None else "GET"
        first = time.perf_counter()
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
            end = time.perf_counter()
            self.milliseconds.append(1000 * (end - start))
            if body is not None:
                self.confirmed.append(1000 * (end - first))
            if status != 200:
                self.problem = f"{self.name} got {status}: {reply[:200]!r}"
                raise SystemExit(self.problem)
            return json.loads(reply)

    def run(self) -> None:
        """Rank until the time is up."""
        time.sleep(THINK * random.random())  # not a secret  # nosec B311
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
    """The raters, the server, and perhaps a writer beside it.

    Args:
        store: folder or URL of the feedback store.
        folder: of this drill; a local store's own.
        seconds: how long the raters rank.
        faults: with a writer, a training, and `KILLS` kill -9 of the server.

    """

    def __init__(self, store: str, folder: Path, seconds: float, faults: bool) -> None:
        self.store, self.folder = store, folder
        self.seconds, self.faults = seconds, faults
        with Store(store) as opened:
            self.tokens = SessionTokens(load_secret(opened.location.folder))
        self.deadline = time.monotonic() + seconds
        self.training_intact: bool | None = None
        self.running = self.start()

    def start(self, port: int = 0) -> Running:
        """The server, on a free port or on that of one that was killed."""
        return start_dashboard(self.store, port=port, folder=self.folder)

    def work(self) -> list[Rater]:
        """Everybody ranks."""
        writer = self.trainer() if self.faults else None
        try:
            self.deadline = time.monotonic() + self.seconds
            raters = [Rater(self, number) for number in range(RATERS)]
            for rater in raters:
                rater.start()
            for _ in range(KILLS if self.faults else 0):
                time.sleep(self.seconds / (KILLS + 1))
                self.running.kill()
                self.running = self.start(self.running.port)
            for rater in raters:
                rater.join()
        finally:
            if writer is not None:
                writer.kill()
                writer.wait()
                self.training_intact = self.training.status == "running"
                self.training.stop()
            self.running.kill()
            while writer is not None and self.training.status == "running":
                time.sleep(0.2)
        return raters

    def trainer(self) -> subprocess.Popen[bytes]:
        """What writes to the store, and what keeps a core busy, as the page Training starts it."""
        writer = [sys.executable, "-c", WRITER, self.store, str(ROOT / "tests")]
        command = [*TRAINING, str(self.folder / "trainer")]
        one_core = {"OMP_NUM_THREADS": "1"}  # as the page Training sets it
        self.training = BackgroundJobs(self.folder / "runs").start(
            "train", "measured", command, one_core
        )
        return subprocess.Popen(writer, start_new_session=True)


def load(seconds: float, *, faults: bool = False, store: str = "") -> dict[str, Any]:
    """20 raters: time of a request [ms] as they see it, and answers lost or doubled."""
    with tempfile.TemporaryDirectory() as name:
        target = store or name
        with Store(target) as opened:
            fill_store(opened, queries=int(seconds / THINK) + 20, panels=4, bars=250)
        team = Team(target, Path(name), seconds, faults)
        raters = team.work()
        with Store(target) as opened:
            stored = [ranking.key for ranking in opened.rankings(include_superseded=True)]
            intact = opened.verify().ok
    if any(rater.problem for rater in raters):
        raise SystemExit(next(rater.problem for rater in raters if rater.problem))
    sent = [key for rater in raters for key in rater.sent]
    return {
        "seconds": seconds,
        "raters": RATERS,
        "kills": KILLS if faults else 0,
        "trained_throughout": team.training_intact,
        "request_ms": summary([value for rater in raters for value in rater.milliseconds]),
        "answer_confirmed_ms": summary([value for rater in raters for value in rater.confirmed]),
        "answers": len(sent),
        "lost": len(set(sent) - set(stored)),
        "doubled": len(stored) - len(set(stored)),
        "resent_while_down": sum(rater.retries for rater in raters),
        "store_intact": intact,
    }


def team(seconds: float) -> dict[str, Any]:
    """`load` with faults on a PostgreSQL server of our own; empty where none is installed."""
    try:
        with postgres() as socket, tempfile.TemporaryDirectory() as folder:
            return load(seconds, faults=True, store=postgres_url(socket, folder))
    except NotHereError:
        return {}


def measure(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part, and how busy the machine was; empty where it cannot be measured."""
    before = os.getloadavg()[0]
    if part == "latency":
        found = latency(options.rankings)
    elif part == "team":
        found = team(options.seconds)
    else:
        found = load(options.seconds, faults=part == "faults")
    busy = [round(before, 1), round(os.getloadavg()[0], 1)]
    return found and found | {"load_average": busy, "commit": about()["commit"]}


def about() -> dict[str, Any]:
    """Where and of what this was measured."""
    commit = ["git", "rev-parse", "--short=12", "HEAD"]
    found = subprocess.run(commit, capture_output=True, text=True, cwd=ROOT, check=False)
    return {
        "benchmark": "dashboard",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "cores": os.cpu_count(),
        "priority": priority(),
        "python": platform.python_version(),
        "commit": found.stdout.strip(),
    }


def priority() -> str:
    """How this process and the server are weighed against other sessions, where Linux tells."""
    group = Path("/proc/self/autogroup")
    return group.read_text().partition(" ")[2].strip() if group.exists() else ""


def processor() -> str:
    """The processor's name, where the system tells."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(found: dict[str, Any]) -> str:
    """The figures as they stand in docs/dashboard.md."""
    rows = ["| what | median | p95 | worst |", "| --- | ---: | ---: | ---: |"]

    def row(what: str, figures: dict[str, float]) -> None:
        cells = [f"{figures[name]:,.0f} ms" for name in ("median", "p95", "max")]
        rows.append(f"| {what} | {' | '.join(cells)} |")

    if "latency" in found:
        row("Enter to next query painted, 4 panels of 500 bars", found["latency"]["next_query_ms"])
        row("page load, warm", found["latency"]["warm_load_ms"])
    names = {
        "load": "20 raters, 4 s think time: a request",
        "faults": "the same with a trainer and three kill -9",
        "team": "the same with a trainer and three kill -9, on PostgreSQL",
    }
    lines = []
    for part, what in names.items():
        if drill := found.get(part):
            row(what, drill["request_ms"])
            if drill["kills"]:
                row("· from submit to confirmation, retries included", drill["answer_confirmed_ms"])
            lines.append(
                f"- {what}: {drill['answers']:,} answers in {drill['seconds'] / 60:g} minutes, "
                f"{drill['lost']} lost, {drill['doubled']} stored twice; "
                f"{drill['resent_while_down']} sent again while the server was down."
            )
    busy = [f"{part} {' to '.join(map(str, f['load_average']))}" for part in PARTS
            if (f := found.get(part))]  # fmt: skip
    where = f"{found['processor']}, {found['cores']} cores; load average {', '.join(busy)}"
    if found["priority"] not in ("", "nice 0"):
        where += f"; the server ran at the session priority “{found['priority']}”"
    commits: dict[str, list[str]] = {}
    for part in filter(found.get, PARTS):
        commits.setdefault(found[part].get("commit", found["commit"]), []).append(part)
    at = [f"`{commit}` ({', '.join(parts)})" for commit, parts in commits.items()]
    return "\n".join([*rows, "", *lines, "", f"{where}; commit {', '.join(at)}."])


def renew(found: dict[str, Any]) -> None:
    """Put the figures into docs/dashboard.md."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--all", action="store_true", help="every part, and renew the docs")
    parser.add_argument("--rankings", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=300, help="of each load")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--docs",
        action="store_true",
        help="renew the docs from --json, with the parts measured now",
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown parts {sorted(unknown)}; expected some of {', '.join(PARTS)}")
    found = about()
    if options.docs:
        if options.json is None or not options.json.is_file():
            parser.error("--docs needs --json FILE, as --all wrote it")
        found = json.loads(options.json.read_text())
    for part in PARTS if options.all else options.parts:
        if figures := measure(part, options):
            found[part] = figures
            print(json.dumps({part: figures}, indent=1), flush=True)  # noqa: T201 - the result
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.all or options.docs:
        renew(found)


if __name__ == "__main__":
    main()
