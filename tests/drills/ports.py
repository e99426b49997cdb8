"""Drill of the network: who can be reached from outside while everything runs with its defaults?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from drills.core import Outcome, Say

PATIENCE = 120.0  # [s] for a server to start
V4, V6 = socket.AF_INET, socket.AF_INET6
TABLES = {"tcp": V4, "tcp6": V6, "udp": V4, "udp6": V6}
LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
OPEN_TO_ALL = (
    "0.0.0.0",  # tried, to see that it is refused  # nosec B104
    "::",
)
TRAINING = ("rlhf", "--steps", "200000", "--rankings", "4", "--rounds", "1", "--no-baselines")


def ports(work: Path, count: int, say: Say) -> Outcome:
    """List the sockets of the dashboard (and of a training, with 2), and try to open it to all."""
    failures: list[str] = []
    found: dict[str, list[str]] = {}
    with _running(work, "dashboard", "--port", "0", "--store", "store") as process:
        failures += _await_listening(process)
        found["dashboard"] = sorted(set(listeners(process.pid)))
        say(f"the dashboard listens on {found['dashboard']}")
    if count > 1:
        with _running(work, *TRAINING, "--out", "run") as process:
            found["training"] = sorted(set(_watched(process, 15.0)))
            say(f"a training listens on {found['training'] or 'nothing'}")
    for what, places in found.items():
        failures += [f"{what} listens on {place}" for place in places if not _loopback(place)]
    if not found["dashboard"]:
        failures.append("the dashboard listens on nothing: the drill has seen nothing")
    for address in OPEN_TO_ALL:
        code = _refusal(work, address)
        if code != 2:
            failures.append(f"--address {address} without sign-in ended with code {code}, not 2")
    return Outcome(len(found) + len(OPEN_TO_ALL), tuple(failures), dict(found))


@contextmanager
def _running(work: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of this package, in its own session, ended afterwards with all of its children."""
    command = [sys.executable, "-m", "tradinghf", *arguments]
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        command,
        cwd=work,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pid in reversed(family(process.pid)):
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        process.wait()


def _await_listening(process: subprocess.Popen[bytes]) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return [f"the dashboard ended with code {process.returncode}"]
        if any(True for _ in listeners(process.pid)):
            time.sleep(1.0)  # whatever else it opens
            return []
        time.sleep(0.1)
    return ["the dashboard did not start"]


def _watched(process: subprocess.Popen[bytes], seconds: float) -> Iterator[str]:
    """Everything that is listened on at any time in these seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        yield from listeners(process.pid)
        time.sleep(0.1)


def _refusal(work: Path, address: str) -> int:
    with _running(work, "dashboard", "--port", "0", "--address", address) as process:
        try:
            return process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return -1


def family(pid: int) -> list[int]:
    """A process and all of its descendants (Linux)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        queue += children.get(found[-1], [])
    return found


def listeners(pid: int) -> Iterator[str]:
    """Say "protocol address:port" of every socket on which the family of `pid` waits (Linux)."""
    inodes = set()
    for member in family(pid):
        for link in Path(f"/proc/{member}/fd").glob("*"):
            try:
                inodes.add(os.readlink(link))
            except OSError:
                continue
    for name, kind in TABLES.items():
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING[name] and f"socket:[{fields[9]}]" in inodes:
                host, port = fields[1].split(":")
                yield f"{name} {_address(host, kind)}:{int(port, 16)}"


def _address(text: str, kind: int) -> str:
    """The kernel prints addresses as 32-bit words of the machine's byte order."""
    raw = bytes.fromhex(text)
    words = [raw[i : i + 4] for i in range(0, len(raw), 4)]
    ordered = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(kind, ordered)


def _loopback(place: str) -> bool:
    return ip_address(place.split(" ")[1].rpartition(":")[0]).is_loopback
