"""Drills of the feedback store: killed clients, many clients at once, a locked database."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drills.core import Child, Outcome, Say, Tell, counted
from drills.samples import answer, fill_store, flawed
from drills.server import databases
from tradinghf.errors import StoreError
from tradinghf.feedback.store import Store
from tradinghf.feedback.store import _engine as engine

RATERS = 20
CHECKED_EVERY = 250  # kills after which every answer is looked at
LONGEST_DELAY = 0.008  # [s] about twice the time of one submit


def submit_kill(work: Path, count: int, say: Say) -> Outcome:
    """Kill a client that submits answers, `count` times; a fifth as often on PostgreSQL."""
    failures: list[str] = []
    figures: dict[str, Any] = {}
    kills = 0
    with databases(work) as targets:
        for name, target in targets.items():
            planned = count if name == "SQLite" else max(count // 5, 1)
            say(f"{name}: {planned} kills")
            problems, found = _kill_many(target, planned, say)
            failures += [f"{name}: {problem}" for problem in problems]
            figures[name] = found
            kills += planned
    return Outcome(kills, tuple(failures), figures)


def _kill_many(target: str, count: int, say: Say) -> tuple[list[str], dict[str, int]]:
    ids = fill_store(target)
    rng = random.Random(7)  # repeatable damage  # nosec B311
    acknowledged: set[str] = set()
    repeats = 0
    problems: list[str] = []

    for number in counted(say, count, range(1, count + 1), "kills"):
        first = len(acknowledged)
        child = Child(_client(target, ids, first))
        if rng.random() < 0.85:  # else: killed while it opens the store
            child.line()
            lines = [child.line() for _ in range(rng.randrange(3))]
        else:
            lines = []
        time.sleep(rng.uniform(0, LONGEST_DELAY))
        child.kill()
        lines += child.rest()
        child.wait()
        told = [line.split() for line in lines if " " in line]
        acknowledged |= {key for key, _ in told}
        repeats += sum(1 for _, new in told if new == "0")
        if number % CHECKED_EVERY == 0 or number == count:
            sent = acknowledged | {answer(ids, "ann", len(acknowledged)).key}
            problems = flawed(target, acknowledged, sent)
            if problems:
                break
    # An answer that was stored, but not acknowledged before the kill, was sent again.
    return problems, {"kills": count, "acknowledged": len(acknowledged), "sent_again": repeats}


def _client(target: str, ids: list[str], first: int) -> Callable[[Tell], None]:
    """Submits answers from number `first` on, for ever, and acknowledges each when stored."""

    def body(tell: Tell) -> None:
        with Store(target) as store:
            tell("ready")
            index = first
            while True:
                said = answer(ids, "ann", index)
                new = store.submit(said)
                tell(f"{said.key} {int(new)}")
                index += 1

    return body


def raters(work: Path, count: int, say: Say) -> Outcome:
    """20 processes with `count` answers each, every answer sent twice, on each database."""
    failures: list[str] = []
    figures: dict[str, Any] = {}
    with databases(work) as targets:
        for name, target in targets.items():
            ids = fill_store(target)
            began = time.monotonic()
            crowd = [Child(_rater(target, ids, f"r{i}", count)) for i in range(RATERS)]
            lines = [line for child in crowd for line in child.rest()]
            codes = [child.wait() for child in crowd]
            seconds = time.monotonic() - began
            failures += [f"{name}: a rater ended with code {c}" for c in codes if c]
            keys = {answer(ids, f"r{i}", j).key for i in range(RATERS) for j in range(count)}
            told = {line.split()[0] for line in lines}
            failures += [f"{name}: {key} was not acknowledged" for key in sorted(keys - told)]
            failures += [f"{name}: {p}" for p in flawed(target, told, keys)]
            figures[name] = {
                "stored": len(told),
                "sent": 2 * len(keys),
                "answers_per_second": round(len(keys) / seconds, 1),
            }
            say(f"{name}: {len(told):,} of {len(keys):,} stored in {seconds:.0f} s")
    return Outcome(RATERS * count * len(figures), tuple(failures), figures)


def _rater(target: str, ids: list[str], rater: str, count: int) -> Callable[[Tell], None]:
    def body(tell: Tell) -> None:
        with Store(target) as store:
            for index in range(count):
                said = answer(ids, rater, index)
                new, again = store.submit(said), store.submit(said)
                if not new or again:
                    raise AssertionError(f"{said.key}: stored {new}, again {again}")
                tell(said.key)

    return body


def locked(work: Path, count: int, say: Say) -> Outcome:
    """Hold each database for a short and a long time; `count` scales both, 1 is 5 s and 60 s.

    The short hold ends before the patience of a writer (30 s) does, the long one after.
    """
    patience = engine.BUSY_SECONDS
    scale = 1.0 if count else 0.02
    failures: list[str] = []
    figures: dict[str, Any] = {}
    engine.BUSY_SECONDS = patience * scale
    try:
        with databases(work) as targets:
            for name, target in targets.items():
                problems, waited = _hold(target, 5 * scale, 60 * scale, say, name)
                failures += [f"{name}: {problem}" for problem in problems]
                figures[name] = waited
    finally:
        engine.BUSY_SECONDS = patience
    return Outcome(2 * len(figures), tuple(failures), figures)


def _hold(
    target: str, brief: float, long: float, say: Say, name: str
) -> tuple[list[str], dict[str, float]]:
    ids = fill_store(target)
    problems: list[str] = []
    waited: dict[str, float] = {}
    for index, (what, seconds) in enumerate({"brief": brief, "long": long}.items()):
        holder = Child(_holder(target, seconds))
        holder.line()
        began = time.monotonic()
        with Store(target) as store:
            problem = _submit_while_held(store, answer(ids, "ann", index), what)
            waited[what] = round(time.monotonic() - began, 2)
            problems += problem
            say(f"{name}: held {seconds:g} s, the writer waited {waited[what]} s")
            holder.wait()
            retry = store.submit(answer(ids, "ann", index))
            if retry != (what == "long"):
                problems.append(f"after the {what} hold, the retry returned {retry}")
    sent = {answer(ids, "ann", index).key for index in (0, 1)}
    return problems + flawed(target, sent, sent), waited


def _submit_while_held(store: Store, said: Any, what: str) -> list[str]:
    try:
        stored = store.submit(said)
    except StoreError as error:
        fine = what == "long" and "Nothing was written" in str(error)
        return [] if fine else [f"during the {what} hold: {error}"]
    finally:
        count = len(store.rankings())  # readers are never blocked
    fine = what == "brief" and stored and count == 1
    return [] if fine else [f"during the {what} hold the answer went through: {stored}, {count}"]


def _holder(target: str, seconds: float) -> Callable[[Tell], None]:
    """The body of a child that takes the writers' lock and keeps it."""

    def body(tell: Tell) -> None:
        location = engine.locate(target)
        if location.sqlite:
            held = sqlite3.connect(location.database, isolation_level=None, timeout=30)
            held.execute("BEGIN IMMEDIATE")
            tell("held")
            time.sleep(seconds)
            held.execute("ROLLBACK")
            return
        with engine.Database(location) as server, server.writing():
            tell("held")
            time.sleep(seconds)

    return body
