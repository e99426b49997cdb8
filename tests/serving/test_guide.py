"""What comes next, and questions that are asked before the queue is empty."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.dashboard import fill_store

from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving import Asking, BackgroundJob, BackgroundJobs, DashboardSettings
from tradinghf.serving._asking import QuestionPlan
from tradinghf.serving._guide import guide_steps


def answer(store: Store, queries: list[Query]) -> None:
    for query in queries:
        ranks = tuple(range(1, len(query.episodes) + 1))
        store.submit(Ranking(f"k{query.id}", query.episodes, ranks, query.id, "local"))


def trained(run: Path, data: str = "mine", **files: Any) -> None:
    """What a training leaves behind."""
    run.mkdir(parents=True)
    (run / "policy.safetensors").write_bytes(b"")
    files["config"] = {"experiment": {"data": data}}
    for name, content in files.items():
        (run / f"{name}.json").write_text(json.dumps(content))


def test_each_step_says_how_it_stands_and_the_first_open_one_comes_next(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    settings = DashboardSettings(str(tmp_path / "store"), str(runs), goal=4)

    def steps() -> list[tuple[str, str]]:
        found = guide_steps(settings, store)
        assert [s.page for s in found] == ["rank", "reward", "training", "compare", "backtest"]
        return [(s.says, s.state) for s in found]

    with Store(settings.store) as store:
        asked = fill_store(store, queries=16, panels=3, bars=20)
        assert steps() == [("0 of 4", "next"), *[("not yet", "later")] * 4]
        answer(store, asked[:4])
        assert steps()[:2] == [("4 rankings", "done"), ("not yet", "next")]
        about = {"values": [], "answers": {"head": store.health()["head"]}}
        (runs / "reward-1").mkdir(parents=True)
        (runs / "reward-1" / "reward.json").write_text(json.dumps(about))
        assert steps()[1:3] == [("up to date", "done"), ("not yet", "next")]
        gate = {"answer": "keep", "baseline": "buy_and_hold"}
        trained(runs / "careful", deployment=gate)
        pair = Query.of(asked[5].episodes, purpose="test", note="careful / sma_cross")
        store.add_queries([pair])
        assert steps()[2:] == [
            ("careful", "done"),
            ("0 of 1 ranked", "next"),
            ("the gate keeps buy and hold", "later"),
        ]
        answer(store, [pair])
        test = {"request": {"policy": str(runs / "careful" / "policy.safetensors")}}
        (runs / "backtest-1").mkdir()
        (runs / "backtest-1" / "backtest.json").write_text(json.dumps(test))
        assert [state for _, state in steps()] == ["done"] * 5
        old = time.time() - 3600
        os.utime(runs / "careful" / "policy.safetensors", (old, old))
        answer(store, asked[6:16])
        assert steps()[1:3] == [("11 newer answers", "next"), ("15 newer answers", "later")]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been started."""
    found: list[list[str]] = []

    def start(jobs: BackgroundJobs, kind: str, title: str, command: list[str]) -> BackgroundJob:
        assert kind == "questions"
        found.append(command)
        return ended(jobs, command, "3 new questions of 4 episodes each.")

    monkeypatch.setattr(BackgroundJobs, "start", start)
    return found


def ended(jobs: BackgroundJobs, command: list[str], said: str) -> BackgroundJob:
    folder = jobs.folder / f"job-{len(jobs.list())}"
    folder.mkdir(parents=True)
    about = {"kind": "questions", "title": "", "command": command, "pid": 1}
    (folder / "job.json").write_text(json.dumps(about | {"started": time.time()}))
    (folder / "output.log").write_text(said)
    (folder / "exit.json").write_text('{"code": 0}')
    return jobs.get(folder.name)


def test_questions_are_asked_ahead_about_the_newest_policy(
    tmp_path: Path, started: list[list[str]]
) -> None:
    runs = tmp_path / "runs"
    settings = DashboardSettings(str(tmp_path / "store"), str(runs))
    with Store(settings.store) as store:
        asking = Asking(settings, store)
        asked = fill_store(store, queries=12, panels=3, bars=20)
        assert asking.ahead("local") == "none known"
        plan = QuestionPlan("mine", end="2020", bars=30, strategies=("momentum", "sma_cross"))
        asking.collect(plan)
        answer(store, asked[:2])
        assert asking.ahead("local") == "ready"  # ten are left
        assert len(started) == 1
        answer(store, asked[2:3])
        trained(runs / "careful")
        trained(runs / "other", data="sp500")
        assert asking.ahead("local") == "running"
        words = started[-1]
        assert words[words.index("--seed") + 1] == "1"
        assert words[words.index("--policy") + 1] == str(runs / "careful")
        assert "--informed" in words
        assert words[words.index("--end") + 1] == "2020"
        assert QuestionPlan.of(asking.newest or pytest.fail("no job")).strategies == (
            "momentum", "sma_cross",
        )  # fmt: skip
        ended(asking.jobs, words, "0 new questions of 4 episodes each.")
        assert asking.ahead("local") == "nothing new"
        assert len(started) == 2
        trained(runs / "newer")  # has not been asked about
        assert asking.ahead("local") == "running"
