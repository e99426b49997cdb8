"""Background jobs of the dashboard: processes that it starts, watches and can stop.

A job is a folder `RUNS/jobs/ID` with `job.json` (what, when, pid), `output.log` and, once it has
ended, `exit.json`. It runs in its own session, so it outlives the dashboard, and a dashboard
that starts later finds it again. Of each kind one job runs at a time, whoever starts it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tradinghf.durable import make_folder, write_atomic
from tradinghf.errors import ConfigError, WriteError

Status = Literal["running", "done", "failed", "stopped"]
_log = logging.getLogger(__name__)
_LOG_BYTES = 64 * 1024
_NICE = {"train": 5}
"""Kinds that give way to the server; for the others somebody waits."""
_PROGRESS = re.compile(r"^(\w[\w ]*?) ([\d,]+)/([\d,]+)(.*)$", re.MULTILINE)
_STOPPED = (-signal.SIGTERM, 128 + signal.SIGTERM, -signal.SIGINT, 130)


@dataclass(frozen=True)
class BackgroundJob:
    """One piece of work.

    Attributes:
        folder: its files.
        kind: "train", "questions", "backtest" ...
        title: for people.
        command: arguments after the Python executable.
        pid: of the process that runs it.
        started: seconds since 1970.

    """

    folder: Path
    kind: str
    title: str
    command: tuple[str, ...]
    pid: int
    started: float

    @property
    def name(self) -> str:
        """Its id."""
        return self.folder.name

    @property
    def exit_code(self) -> int | None:
        """Code with which it ended; None while it runs, or when it was killed outright."""
        try:
            return int(json.loads((self.folder / "exit.json").read_text())["code"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    @property
    def status(self) -> Status:
        """What became of it."""
        code = self.exit_code
        if code is None:
            if _alive(self.pid, self.folder):
                return "running"
            code = self.exit_code  # written just before it ended, after the first look
        if code is None:
            return "stopped"
        if code == 0:
            return "done"
        return "stopped" if code in _STOPPED else "failed"

    def output(self) -> str:
        """The end of what it printed."""
        try:
            with (self.folder / "output.log").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - _LOG_BYTES, 0))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def said(self, most: int = 3000) -> str:
        """The end of what it printed, for people: without paths of this machine."""
        runs = self.folder.parent.parent
        text = self.output()
        for path in (f"{runs.resolve()}/", f"{runs}/", f"{Path.cwd()}/"):
            text = text.replace(path, "")
        return text[-most:]

    def progress(self) -> tuple[float, str]:
        """Share of the phase that it last told of, and that line; (0, "") before the first."""
        found = _PROGRESS.findall(self.output())
        if not found:
            return 0.0, ""
        phase, done, total, rest = found[-1]
        of = int(total.replace(",", "")) or 1
        share = min(int(done.replace(",", "")) / of, 1.0)
        return share, f"{phase} {done} of {total}{rest}"

    def option(self, name: str) -> str:
        """An option of the command; empty when it has none of that name."""
        words = self.command
        place = words.index(name) + 1 if name in words else len(words)
        return words[place] if place < len(words) else ""

    def stop(self) -> None:
        """Ask it to end; a training finishes its iteration and writes a checkpoint first."""
        if self.status == "running":
            _log.info("job stopped", extra={"job": self.name, "kind": self.kind})
            os.kill(self.pid, signal.SIGTERM)


def _without_urls(command: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """A command without the URLs of databases, and the environment that holds them instead.

    Every user of the machine sees the words of a running command; a URL may hold a password.
    """
    hidden: dict[str, str] = {}
    words = []
    for word in command:
        if "://" in word and not word.startswith(("http://", "https://")):
            name = f"TRADINGHF_JOB_URL_{len(hidden)}"
            start = word.index("://")
            while start and (word[start - 1].isalnum() or word[start - 1] in "+-."):
                start -= 1
            hidden[name] = word[start:]
            word = f"{word[:start]}env:{name}"
        words.append(word)
    return tuple(words), hidden


def _alive(pid: int, folder: Path) -> bool:
    """Whether the runner of this job still runs; another process may have got its number."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    if not Path("/proc/self/cmdline").exists():  # no Linux
        return True
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not words:  # ended and not yet reaped, or the kernel has not yet filled it in
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return folder.name.encode() in words
    except OSError:  # it ended meanwhile
        return False


class BackgroundJobs:
    """The jobs of one folder of runs."""

    def __init__(self, runs: Path | str) -> None:
        self.folder = Path(runs).absolute() / "jobs"

    def start(
        self,
        kind: str,
        title: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> BackgroundJob:
        """Run `python COMMAND...` in the background; no shell is involved.

        Raises:
            ConfigError: a job of this kind runs already.

        """
        with self._alone():
            if any(job.status == "running" for job in self.list(kind)):
                raise ConfigError(f"A {kind} job runs already. Wait for it, or stop it first.")
            return self._launch(kind, title, tuple(command), environment or {})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One starter at a time, over all threads and processes; a killed one frees the lock."""
        make_folder(self.folder, mode=0o700)
        private = partial(os.open, mode=0o600)
        with open(self.folder / ".lock", "ab", opener=private) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _launch(
        self, kind: str, title: str, command: tuple[str, ...], environment: Mapping[str, str]
    ) -> BackgroundJob:
        command, hidden = _without_urls(command)
        folder = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        make_folder(folder, mode=0o700)
        nice = str(_NICE.get(kind, 0))
        runner = [sys.executable, "-m", "tradinghf.serving._runner", str(folder), nice, *command]
        process = subprocess.Popen(
            runner,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **self._uploads(), **environment, **hidden},
        )
        job = BackgroundJob(folder, kind, title, command, process.pid, time.time())
        record = {name: value for name, value in vars(job).items() if name != "folder"}
        try:
            write_atomic(folder / "job.json", json.dumps(record).encode(), mode=0o600)
        except WriteError:  # nobody could see or stop it
            process.kill()
            raise
        _children.append(process)
        _log.info("job started", extra={"job": job.name, "kind": kind, "title": title})
        return job

    def _uploads(self) -> dict[str, str]:
        """The variable by which a job finds uploaded bars by name."""
        folders = [str(self.folder.parent / "uploads"), os.environ.get("TRADINGHF_DATA", "")]
        return {"TRADINGHF_DATA": os.pathsep.join(folder for folder in folders if folder)}

    def list(self, kind: str | None = None) -> list[BackgroundJob]:
        """Jobs, the newest first; one whose record is unreadable is passed over."""
        _reap()
        found = []
        for path in self.folder.glob("*/job.json"):
            try:
                found.append(self.get(path.parent.name))
            except ConfigError as error:
                _log.warning("job passed over", extra={"job": path.parent.name, "why": str(error)})
        wanted = [job for job in found if kind in (None, job.kind)]
        return sorted(wanted, key=lambda job: job.started, reverse=True)

    def get(self, name: str) -> BackgroundJob:
        """One job.

        Raises:
            ConfigError: there is none of that name, or its record is damaged.

        """
        folder = self.folder / name
        if folder.parent != self.folder or not (folder / "job.json").is_file():
            raise ConfigError(f"There is no job {name[:60]!r}.")
        try:
            record: dict[str, Any] = json.loads((folder / "job.json").read_text())
            fields = {part: kind(record[part]) for part, kind in _RECORD.items()}
            return BackgroundJob(folder, command=tuple(map(str, record["command"])), **fields)
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise ConfigError(f"The record of job {name[:60]!r} is damaged: {error!r}.") from error


_RECORD: dict[str, Any] = {"kind": str, "title": str, "pid": int, "started": float}
_children: list[subprocess.Popen[bytes]] = []


def _reap() -> None:
    """Collect runners that have ended, so that they leave no zombies behind."""
    _children[:] = [process for process in _children if process.poll() is None]
