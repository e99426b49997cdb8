"""Drill of the sign-in page: strangers who try without end, and guesses at who has an account."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support.dashboard import dashboard_of, fill_store, request

from drills import strangers
from drills.core import Outcome, Say
from drills.strangers import STRANGERS, sign_in
from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts
from tradinghf.serving._access import Identity, SessionTokens

GOAL = 0.150  # [s] p95 of a rater's requests on a machine that does nothing else
RATIO = 4.0  # of the same beside the flood, on one that does
BETWEEN = 0.25  # [s] between two requests
APART = 0.05  # [s] between the medians of refusals of a known and of an unknown name


def flood(work: Path, count: int, say: Say) -> Outcome:
    """`count` requests of a rater without and with the flood; half as many wrong passwords."""
    store = work / "store"
    with Store(store) as made:
        fill_store(made, queries=4, panels=3, bars=20)
        UserAccounts(made).add("ann", "ann-password-1234", "rater", by="drill")
    with dashboard_of(store, auth="local", hosts="127.0.0.1") as live:
        secret = (store / "dashboard.secret").read_text().strip()
        token = SessionTokens(secret).issue(Identity("ann"))
        head = {"Authorization": f"Bearer {token}"}

        def ask() -> None:
            status, _, _ = request(live.url, "/tradinghf/api/query?session=s", headers=head)
            if status != 200:
                raise AssertionError(f"a rater got {status}")

        ask()
        names = {name: list[float]() for name in ("ann", "zed")}
        for case in range(max(count // 2, 3)):
            _forgive(store)
            for name in sorted(names, reverse=bool(case % 2)):
                names[name].append(_seconds(partial(sign_in, live.url, name)))
        _forgive(store)
        quiet = _p95(ask, count)
        say(f"a rater waits {1e3 * quiet:.0f} ms without a flood (95 of 100 requests)")
        with _strangers(live.url) as tries:
            began = time.monotonic()
            time.sleep(3)
            beside = _p95(ask, count)
            lasted = time.monotonic() - began
        say(f"{1e3 * beside:.0f} ms beside {STRANGERS} strangers, who tried {sum(tries)} times")
    medians = {name: statistics.median(times) for name, times in names.items()}
    failures = []
    if beside > max(GOAL, RATIO * quiet):
        failures.append(f"a rater waits {beside:.3f} s in a flood, {quiet:.3f} s without")
    if sum(tries) < STRANGERS:
        failures.append(f"there was no flood: {sum(tries)} tries in {lasted:.0f} s")
    # A busy machine adds seconds by chance: told apart is what is slower nearly every time.
    slower = sum(a > b for a, b in zip(names["ann"], names["zed"], strict=True))
    always = min(slower, len(names["ann"]) - slower) <= len(names["ann"]) // 10
    if always and abs(medians["ann"] - medians["zed"]) > APART:
        failures.append(f"refusals take {medians} s: known names can be told from others")
    figures = {
        "rater p95 ms": round(1e3 * quiet),
        "rater p95 in a flood ms": round(1e3 * beside),
        "strangers": STRANGERS,
        "their tries per second": round(sum(tries) / lasted, 1),
        "refused a known name ms": round(1e3 * medians["ann"]),
        "refused an unknown name ms": round(1e3 * medians["zed"]),
        "known name slower": f"{slower} of {len(names['ann'])}",
    }
    return Outcome(2, tuple(failures), figures)


def _forgive(store: Path) -> None:
    """Unlock everybody: a locked name is refused by another way."""
    with sqlite3.connect(store / "feedback.db", timeout=30) as database:
        database.execute("update dashboard_users set failures=0, locked_until=''")
    database.close()


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _p95(work: Callable[[], None], count: int) -> float:
    """Of requests now and then, as of somebody who looks at the panels between them."""
    times = []
    for _ in range(max(count, 4)):
        time.sleep(BETWEEN)
        times.append(_seconds(work))
    times.sort()
    return times[min(int(0.95 * len(times)), len(times) - 1)]


@contextmanager
def _strangers(url: str) -> Iterator[list[int]]:
    """Strangers who try to sign in, over and over; at the end, how often they did.

    They are a process of their own that gives way: in truth they come from other machines, and take
    neither this one's processors nor the interpreter of the rater whose time is measured.
    """
    tries = list[int]()
    command = [sys.executable, strangers.__file__, url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as them:
        assert them.stdout is not None
        assert them.stdin is not None
        them.stdout.readline()  # all of them have begun
        try:
            yield tries
        finally:
            them.stdin.close()
            tries.append(int(them.stdout.readline() or 0))
