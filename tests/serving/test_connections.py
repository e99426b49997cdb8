"""Half requests and too many connections, against a real server with short limits."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from tradinghf.serving._connections import (
    _Fewer,
    limit_repeated_lines,
    most_connections,
    patient_protocol,
)

MOST, SECONDS = 6, 0.4
LONG, PIECE = 400, b"x" * 2**16
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads a request to its end, then answers."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    for _ in range(LONG if scope["path"] == "/long" else 0):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that takes few connections and waits for headers for a moment."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="error", lifespan="off", http=patient_protocol(MOST, SECONDS, SECONDS)
    )
    server = uvicorn.Server(config)
    worker = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    worker.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    worker.join()
    listener.close()


def connected(port: int, data: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=5)
    found.sendall(data)
    return found


def ended(found: socket.socket) -> bool:
    """Whether the server closes a connection without an answer."""
    try:
        return found.recv(100) == b""
    except ConnectionResetError:
        return True
    finally:
        found.close()


def read_to_the_end(found: socket.socket) -> int:
    """How much the server sent before it closed the connection [bytes]."""
    got = 0
    with suppress(ConnectionResetError):
        while piece := found.recv(2**20):
            got += len(piece)
    return got


def drip(slow: socket.socket, until: float) -> None:
    """Send a header now and then."""
    while time.monotonic() < until:
        slow.sendall(b"X: y\r\n")
        time.sleep(SECONDS / 4)


@pytest.mark.parametrize("half", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-a: "])
def test_half_a_request_is_closed_in_time(port: int, half: bytes) -> None:
    began = time.monotonic()
    assert ended(connected(port, half))
    assert SECONDS / 2 < time.monotonic() - began < 4


def test_headers_that_drip_do_not_buy_more_time(port: int) -> None:
    began = time.monotonic()
    with (
        connected(port, b"GET / HTTP/1.1\r\n") as slow,
        pytest.raises(OSError, match=r"reset|Broken pipe|aborted"),
    ):
        drip(slow, began + 10)
    assert time.monotonic() - began < 5


def test_a_body_may_take_longer_than_its_headers(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
    with connected(port, head) as slow:
        for piece in (b"a", b"b", b"c", b"d"):
            time.sleep(SECONDS / 2)
            slow.sendall(piece)
        assert slow.recv(100).startswith(b"HTTP/1.1 200")


def test_who_does_not_read_the_answer_is_not_waited_for(port: int) -> None:
    with connected(port, WHOLE.replace(b"/ ", b"/long ")) as deaf:
        time.sleep(3 * SECONDS)
        assert read_to_the_end(deaf) < LONG * len(PIECE)


def test_who_asks_much_and_reads_nothing_is_not_waited_for(port: int) -> None:
    with connected(port) as deaf:
        deaf.settimeout(3 * SECONDS)
        with suppress(OSError):
            for _ in range(100):
                deaf.sendall(WHOLE.replace(b"/ ", b"/long ") * 20)
        time.sleep(3 * SECONDS)
        deaf.settimeout(5)
        assert read_to_the_end(deaf) < LONG * len(PIECE)


def test_who_reads_slowly_gets_all_of_it(port: int) -> None:
    with connected(port, WHOLE.replace(b"/ ", b"/long ")) as slow:
        got, began = b"", time.monotonic()
        while not got.endswith(b"done\r\n0\r\n\r\n"):
            got = got[-20:] + slow.recv(2**18)
            assert got, "closed"
            if time.monotonic() - began < 3 * SECONDS:
                time.sleep(SECONDS / 8)


def test_too_many_connections_are_closed_and_others_served(port: int) -> None:
    held = [connected(port, WHOLE) for _ in range(MOST)]
    assert all(one.recv(1000).startswith(b"HTTP/1.1 200") for one in held)
    assert ended(connected(port, WHOLE))
    for one in held:
        one.close()
    for _ in range(50):
        time.sleep(0.05)
        again = connected(port, WHOLE)
        if not ended(again):
            break
    else:
        pytest.fail("nobody is served any more")


def test_repeated_lines_are_dropped_and_other_kinds_are_not() -> None:
    fewer = _Fewer()
    lines = [logging.makeLogRecord({"msg": f"{kind} happened"}) for kind in "a" * 1000 + "b"]
    assert 1 <= sum(map(fewer.filter, lines[:-1])) <= 10  # a minute may begin meanwhile
    assert fewer.filter(lines[-1])


def test_strangers_fill_no_log_with_what_they_cause() -> None:
    """Signed out, anybody can send a provider's answer that is none: a traceback each time."""
    importlib.import_module("streamlit.starlette")
    limit_repeated_lines()
    limit_repeated_lines()
    places = [name for name in logging.root.manager.loggerDict if name.endswith("auth_routes")]
    assert places
    last = logging.lastResort
    assert last is not None
    for name in (*places, "asyncio", "uvicorn.error"):
        log = logging.getLogger(name)
        assert sum(isinstance(kept, _Fewer) for kept in log.filters) == 1
        assert sum(bool(log.filter(logging.makeLogRecord({"msg": "x"}))) for _ in range(99)) <= 10
    assert sum(bool(last.filter(logging.makeLogRecord({"msg": "x"}))) for _ in range(99)) <= 10


def test_connections_leave_files_for_the_store() -> None:
    import resource

    assert 16 <= most_connections() < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
