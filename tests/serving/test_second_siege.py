"""What a second siege found: hosts, half-kept uploads, files for others, links used twice."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from support.dashboard import fill_store

from tradinghf import logs
from tradinghf.errors import MarketDataError, WriteError
from tradinghf.market import save_market, synthetic
from tradinghf.serving import BackgroundJobs, DashboardSettings, Uploads, _jobs, _uploads
from tradinghf.serving._access import AccessError, Identity
from tradinghf.serving._dashboard import Dashboard, _open_dashboard, current_dashboard
from tradinghf.serving._login import SignInRoutes
from tradinghf.serving._middleware import LOOPBACK_HOSTS, RequestGuard
from tradinghf.serving._routes import API_PATHS, RankingRoutes
from tradinghf.serving._start import StartRoutes


def host_status(hosts: Any, *said: str) -> int:
    """What a guard of these hosts answers to Host headers."""

    def page(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("in")

    guard = Middleware(RequestGuard, hosts=hosts, loopback_only=False)
    client = TestClient(Starlette(routes=[Route("/", page)], middleware=[guard]))
    return client.get("/", headers=[("host", host) for host in said]).status_code


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8870, evil", "evil@127.0.0.1", "127.0.0.1/evil", "127.0.0.1?evil", "127.0.0.1#evil",
     "127.0.0.1:8870:1", "127.0.0.1:x", "127.0.0.1:", "127.0.0.1 evil", "localhost\\evil", "::1",
     "[::1", "127.0.0.1..", ""],
)  # fmt: skip
def test_a_host_that_is_more_than_a_name_and_a_port_is_refused(host: str) -> None:
    assert host_status(LOOPBACK_HOSTS, host) == 403


def test_known_hosts_are_served_and_two_at_once_are_not() -> None:
    for host in ("127.0.0.1", "127.0.0.1:8870", "LOCALHOST:1", "localhost.", "[::1]:8870"):
        assert host_status(LOOPBACK_HOSTS, host) == 200
    assert host_status(LOOPBACK_HOSTS, "localhost", "evil.example") == 403
    assert host_status([], "desk_1.example:443") == 200


def test_a_length_that_is_said_twice_is_refused() -> None:
    """A proxy that believes the other one would see another request in the rest."""

    def page(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("in")

    guard = Middleware(RequestGuard, hosts=[], loopback_only=False)
    routes = [Route("/", page, methods=["POST"])]
    client = TestClient(Starlette(routes=routes, middleware=[guard]))
    once = {"authorization": "x", "content-length": "4"}
    assert client.post("/", content=b"abcd", headers=once).status_code == 200
    twice = once | {"transfer-encoding": "chunked"}
    assert client.post("/", content=b"abcd", headers=twice).status_code == 403


@pytest.mark.parametrize("path", ["/login", "/invite", "/start", "/tradinghf/api/aspects"])
def test_who_hangs_up_in_a_request_leaves_no_traceback(tmp_path: Path, path: str) -> None:
    board = current_dashboard(DashboardSettings(str(tmp_path / "s"), auth="local"))
    api = RankingRoutes(board.service, lambda _token: Identity("ann"))
    routes = [*SignInRoutes(board).routes(), *StartRoutes(board).routes(), *api.routes()]
    headers = [
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"40"),
        (b"authorization", b"Bearer x"),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1),
             "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1"}  # fmt: skip
    said = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(Starlette(routes=routes)(scope, receive, send))
    assert said[0]["status"] == 400


def test_below_the_api_nothing_but_its_routes_is_open(tmp_path: Path) -> None:
    board = current_dashboard(DashboardSettings(str(tmp_path / "s"), auth="local"))
    routes = RankingRoutes(board.service, lambda _token: pytest.fail("nobody asked")).routes()
    assert {route.path for route in routes} == API_PATHS
    for rule in (SignInRoutes(board), StartRoutes(board)):
        for path in ("/tradinghf/api", "/tradinghf/api/", "/tradinghf/api/nope",
                     "/tradinghf/api/query/", "/tradinghf/api/../_stcore/stream"):  # fmt: skip
            assert not rule.allowed(path, {})  # type: ignore[arg-type]
        assert all(rule.allowed(path, {}) for path in API_PATHS)  # type: ignore[arg-type]


def test_everything_that_a_session_leaves_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Store, secret, backup, jobs and the log, also after its rotation, under a lax umask."""
    monkeypatch.setenv(logs._VARIABLE, str(tmp_path / "log" / "all.jsonl"))
    (tmp_path / "log").mkdir(mode=0o700)
    old = os.umask(0o022)
    try:
        board = current_dashboard(DashboardSettings(str(tmp_path / "store"), auth="local"))
        fill_store(board.store, queries=1, panels=2, bars=20)
        board.accounts.add("boss", "boss-password-1234", "admin", by="test")
        board.store.backup(tmp_path / "copy")
        job = BackgroundJobs(tmp_path / "runs").start("train", "x", ["-c", "print(1)"])
        deadline = time.monotonic() + 30
        while (job.exit_code is None or _jobs._children) and time.monotonic() < deadline:
            time.sleep(0.05)
            _jobs._reap()
        handler = logs._SharedFile(tmp_path / "log" / "all.jsonl", most=10)
        for _ in range(3):
            handler.emit(logging.makeLogRecord({"msg": "long enough"}))
        handler.close()
    finally:
        os.umask(old)
    seen = []
    for place in ("store", "copy", "runs/jobs", "log"):
        for path in (tmp_path / place, *(tmp_path / place).rglob("*")):
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
            seen.append(path.name)
    wanted = {".lock", "exit.json", "output.log", "job.json", "dashboard.secret", "manifest.json"}
    assert wanted | {"all.jsonl", "all.jsonl.1", "all.jsonl.lock"} <= set(seen)


def bars(path: Path, count: int) -> bytes:
    save_market(synthetic(seed=3, bars=count, assets=1), path)
    return path.read_bytes()


@pytest.mark.parametrize("fails", ["write_atomic", "replace"])
def test_bars_that_cannot_be_replaced_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A disk that fills, or a kill, between the steps of replacing a set must not lose both."""
    uploads = Uploads(tmp_path)
    uploads.add("mine.csv", bars(tmp_path / "a.csv", 60))
    longer = bars(tmp_path / "b.csv", 90)

    def refuse(*_: object, **__: object) -> NoReturn:
        raise WriteError(tmp_path, OSError(28, "No space left on device"))

    with monkeypatch.context() as patched:
        if fails == "replace":
            patched.setattr(_uploads.os, "replace", refuse)
        else:  # the draft can still be written, its options cannot
            write, calls = _uploads.write_atomic, iter((True, False))
            patched.setattr(
                _uploads, "write_atomic", lambda *a: write(*a) if next(calls) else refuse()
            )
        with pytest.raises(WriteError):
            uploads.add("mine.csv", longer, replace=True, symbol="mine", zone="UTC")
    assert uploads.load("mine").bars == 60
    assert [path.name for path in uploads.folder.iterdir() if path.suffix == ".csv"] == ["mine.csv"]
    uploads.add("mine.csv", longer, replace=True)
    assert uploads.load("mine").bars == 90


def test_options_that_an_older_set_left_behind_do_not_read_a_new_one(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.folder.mkdir()
    (uploads.folder / "mine.csv.options.json").write_text('{"symbol": "other"}')
    _, market = uploads.add("mine.csv", bars(tmp_path / "a.csv", 60))
    assert uploads.load("mine").symbols == market.symbols


def test_of_two_sets_of_one_name_at_once_one_is_kept_and_the_other_told(tmp_path: Path) -> None:
    data = [bars(tmp_path / f"{count}.csv", count) for count in (60, 61, 62, 63)]
    uploads, kept, told = Uploads(tmp_path), [], []
    gate = threading.Barrier(len(data))

    def add(content: bytes) -> None:
        gate.wait()
        try:
            kept.append(uploads.add("mine.csv", content)[1].bars)
        except MarketDataError as error:
            told.append(str(error))

    workers = [threading.Thread(target=add, args=(content,)) for content in data]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [uploads.load("mine").bars] == kept
    assert len(told) == len(data) - 1


def test_an_invitation_is_used_once_also_through_two_servers(tmp_path: Path) -> None:
    settings = DashboardSettings(str(tmp_path / "s"), auth="local")
    servers: list[Dashboard] = [current_dashboard(settings)]
    _open_dashboard.cache_clear()
    servers.append(current_dashboard(settings))
    assert servers[0] is not servers[1]
    servers[0].accounts.add("ann", None, "rater", by="test")
    token = servers[0].invitation("ann").partition("=")[2]
    found = [server.invited(token) for server in servers]  # both look before either acts
    assert found[0] == found[1]
    name, stamp = found[0]
    servers[0].accounts.change(name, password="first-password-1", by=name, stamp=stamp)
    with pytest.raises(AccessError, match="changed meanwhile"):
        servers[1].accounts.change(name, password="second-password-2", by=name, stamp=stamp)
    assert servers[1].accounts.sign_in("ann", "first-password-1").rater == "ann"


def test_half_a_character_in_a_note_costs_no_answer(tmp_path: Path) -> None:
    board = current_dashboard(DashboardSettings(str(tmp_path / "s")))
    (query,) = fill_store(board.store, queries=1, panels=2, bars=20)
    body: dict[str, Any] = dict(
        key="a" * 32, query=query.id, ranks=[1, 2], outcome="ranked", comment="too \ud800early",
        aspects=None, ratings=[], seconds=1.0, session="s", supersedes="",
    )  # fmt: skip
    assert board.service.answer("ann", body)
    assert [answer.comment for answer in board.store.rankings()] == ["too early"]
    assert board.store.verify().ok
