"""The JSON log: one line each, from many processes, rotated, and nothing in it that is private."""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from support.dashboard import fill_store

from tradinghf import logs
from tradinghf.cli import main
from tradinghf.errors import ConfigError, StoreError
from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts
from tradinghf.serving._access import AccessError, Identity
from tradinghf.serving._routes import API, RankingRoutes
from tradinghf.serving._service import RankingService

NOTE = "sold far too early, again"
PASSWORD = "correct horse battery"
BAD_URL = "postgresql://me:hunter2@127.0.0.1:1/db?password=hunter3"
FIXED = {"time", "level", "event", "logger", "pid"}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log of this process, for one test."""
    path = tmp_path / "log" / "tradinghf.jsonl"
    monkeypatch.setenv(logs._VARIABLE, str(path))
    logs.start_log()
    yield path
    logger = logging.getLogger("tradinghf")
    for handler in [h for h in logger.handlers if isinstance(h, logs._SharedFile)]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_rater_is_followed_without_what_was_said(log: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    fill_store(store, queries=2, panels=3, bars=30)

    def holder(token: str) -> Identity:
        if token != "pass-of-ann":
            raise AccessError("Sign in first: reload the page.")
        return Identity("ann", "rater")

    client = TestClient(Starlette(routes=RankingRoutes(RankingService(store), holder).routes()))
    head = {"Authorization": "Bearer pass-of-ann"}
    query = client.get(f"{API}/query?session=monday", headers=head).json()["query"]["query"]
    body = {
        "key": "0" * 32, "query": query, "ranks": [3, 1, 2], "outcome": "ranked", "comment": NOTE,
        "aspects": None, "ratings": [None] * 3, "seconds": 4.5, "session": "monday",
        "supersedes": "",
    }  # fmt: skip
    for _ in range(2):
        assert client.post(f"{API}/answer", headers=head, json=body).status_code == 200
    bad = client.post(f"{API}/answer", headers=head, json=body | {"ranks": "x"})
    nobody = client.get(f"{API}/query", headers={"Authorization": "Bearer guessed"})
    assert (bad.status_code, nobody.status_code) == (422, 401)
    found = lines(log)
    events = [line["event"] for line in found]
    shown, *others = events
    assert shown == "query shown"
    assert others == [
        "answer stored",
        "answer repeated",
        "request refused",
        "request without a token",
    ]
    assert {line.get("rater") for line in found[:4]} == {"ann"}
    assert found[0]["query"] == found[1]["query"] == query
    assert found[1]["session"] == "monday"
    assert all(set(line) > FIXED and line["time"].endswith("Z") for line in found)
    text = log.read_text()
    for private in (NOTE, "ranks", "pass-of-ann", "guessed"):
        assert private not in text


def test_sign_ins_are_logged_without_passwords(log: Path, tmp_path: Path) -> None:
    pytest.importorskip("argon2")
    accounts = UserAccounts(Store(tmp_path / "store"))
    accounts.add("ann", PASSWORD, "rater", by="boss")
    for name, word in (("ann", "wrong " + PASSWORD), (PASSWORD, "ann")):
        with pytest.raises(AccessError):
            accounts.sign_in(name, word)
    found = lines(log)
    refused = [line for line in found if line["event"] == "sign-in refused"]
    noted = [line for line in found if line["event"] == "audit trail"]
    assert len(refused) + len(noted) == len(found)
    assert noted[0]["rater"] == "boss"
    assert [line["rater"] for line in refused] == ["ann", None]
    assert PASSWORD not in log.read_text()


def test_errors_show_where_but_not_what_the_database_was_told(log: Path) -> None:
    try:
        try:
            raise ValueError(f"INSERT INTO rankings [parameters: {NOTE!r}]")
        except ValueError as error:
            raise StoreError("The store failed at postgresql://me:hunter2@host/db.") from error
    except StoreError:
        logging.getLogger("tradinghf.test").exception("it failed")
    (line,) = lines(log)
    assert line["level"] == "error"
    assert line["error"] == "StoreError: The store failed at postgresql://me:***@host/db."
    assert any(place.startswith("test_logs.py:") for place in line["places"])
    assert NOTE not in log.read_text()


def test_every_command_leaves_its_beginning_and_its_end(log: Path) -> None:
    assert main(["data", "list"]) == 0
    assert main(["store", "verify", "--store", BAD_URL]) == 2
    assert main(["data", "show", "one\ntwo"]) == 2  # a line break cannot forge a line
    found = lines(log)
    ends = [line["code"] for line in found if line["event"] == "command ended"]
    assert ends == [0, None, None]
    assert [line["event"] for line in found].count("command failed") == 2
    assert "hunter" not in log.read_text()


def test_a_training_leaves_its_checkpoints(log: Path, tmp_path: Path) -> None:
    words = ["train", "--reward", "pnl", "--data", "synthetic:bars=300,assets=2"]
    run = tmp_path / "run"
    assert main([*words, "--steps", "2000", "--envs", "16", "--out", str(run)]) == 0
    found = lines(log)
    written = [line for line in found if line["event"] == "checkpoint written"]
    assert written
    assert written[-1]["run"] == str(run)
    files = [line["file"] for line in found if line["event"] == "file of a run written"]
    assert files == ["config.json", "policy.json", "result.json"]


def write(path: str, number: int) -> None:
    handler = logs._SharedFile(Path(path), most=2000)
    record = logging.makeLogRecord({"name": "tradinghf", "msg": "x", "levelname": "INFO"})
    for index in range(40):
        record.number = f"{number}-{index}"
        handler.emit(record)
    handler.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_processes_share_and_rotate_a_file_without_losing_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(str(path), number)) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    files = sorted(p for p in tmp_path.iterdir() if p.suffix != ".lock")
    assert 2 < len(files) <= 1 + logs._KEPT_FILES
    assert all(p.stat().st_size < 2000 + 400 for p in files)
    kept = [line["number"] for p in files for line in lines(p)]
    assert len(kept) == len(set(kept))
    newest = lines(path)[-1]["number"]
    assert newest.endswith("-39")


def test_a_log_that_cannot_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs._VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match="TRADINGHF_LOG"):
        logs.start_log()
    assert main(["data", "list"]) == 2
    assert "TRADINGHF_LOG" in capsys.readouterr().err
