"""Drill of every output of every command: on a full disk, a read-only one, and one that fills.

The outputs are read from the command tree itself (`path_use`), so that a new one is drilled from
the day it is there. Needs Linux and permission for user name spaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path
from unittest.mock import patch

from drills.core import NotHereError, Outcome, Say, Tell, in_child
from drills.full_disk import fill, mount_small
from drills.samples import EPISODES, answer, fill_store
from drills.training import load_early
from tradinghf.cli import _options as options
from tradinghf.cli import main
from tradinghf.cli._app import command_paths, commands
from tradinghf.durable import check_writable
from tradinghf.feedback.store import Store
from tradinghf.market import save_market, synthetic

MS_RDONLY, MS_REMOUNT = 1, 32
REASONS = ("No space left", "Read-only file system", "disk is full", "unable to open")
SUFFIXES = {"report": ".html", "trades": ".csv", "json": ".json", "plot": ".html"}
OLD = b"what was there before"

# Real work whose disk fills before it writes; INPUT is a folder of things to read.
LATE = (
    "backtest sma_cross --data INPUT/bars.csv --report OUT.html",
    "backtest sma_cross --data INPUT/bars.csv --trades OUT.csv",
    "backtest sma_cross --data INPUT/bars.csv --json OUT.json",
    "sweep sma_cross --data INPUT/bars.csv --param fast=5,10 --out OUT.csv",
    "walkforward sma_cross --data INPUT/bars.csv --param fast=5,9 --train-bars 200 "
    "--report OUT.html",
    "signal sma_cross --data INPUT/bars.csv --out OUT.csv",
    "feedback export OUT.jsonl --store INPUT/store",
    "feedback export OUT.csv --store INPUT/store",
    "feedback export OUT.parquet --store INPUT/store",
    "store backup OUT --store INPUT/store",
    "reward fit --store INPUT/store --out OUT",
    "reward show INPUT/reward --plot OUT.html",
    "train --reward pnl --data INPUT/bars.csv --steps 2048 --envs 8 --out OUT",
    "rlhf --trader drawdown --data INPUT/bars.csv --rankings 4 --steps 2048 --envs 8 --out OUT",
    "report INPUT/run --out OUT.html",
)

ONNX = "export INPUT/run --out OUT.onnx"  # where that extra is installed


def outputs(work: Path, size: int, say: Say) -> Outcome:
    """Every output early, on a full and on a read-only disk; the first `size` of `LATE` late."""
    load_early()
    mount, source = work / "small", work / "input"
    mount.mkdir()
    code, _ = in_child(lambda _tell: mount_small(mount))
    if code:
        raise NotHereError("Outputs are not drilled: no permission to mount a file system.")
    late = (*LATE, *([ONNX] if find_spec("onnx") else []))[:size]
    _prepare(source, late)
    early = list(arguments())
    failures: list[str] = []
    figures: dict[str, str] = {}
    for kind, spoil in {"full": fill, "read-only": _lock}.items():
        for words in early:
            line = " ".join(words)
            body = partial(_early, mount, line, spoil)
            failures += _told(body, f"{kind}: {line}", figures, kind)
        say(f"{len(early)} outputs on a {kind} disk")
    for line in late:
        body = partial(_late, mount, source, line)
        failures += _told(body, f"filling: {line}", figures, "filling meanwhile")
        say(line)
    return Outcome(2 * len(early) + len(late), tuple(failures), figures)


def arguments() -> Iterator[list[str]]:
    """A command line for every output of every command: what is required, and OUT."""
    for words, function in command_paths(commands()):
        parameters = signature(function).parameters
        for name, use in options.path_use(function).items():
            if use != options.WRITTEN:
                continue
            place = f"OUT{SUFFIXES.get(name, '')}"
            line = list(words)
            for other in parameters.values():
                value = place if other.name == name else "x"
                if other.kind is Parameter.POSITIONAL_ONLY:
                    if other.default is Parameter.empty or other.name == name:
                        line.append(value)
                elif other.default is Parameter.empty or other.name == name:
                    line += [f"--{other.name.replace('_', '-')}", value]
            yield line


def _told(body: Callable[[Tell], None], what: str, figures: dict[str, str], key: str) -> list[str]:
    """The failures of one case; the first sentence of each kind becomes a figure."""
    code, lines = in_child(body)
    found = [line.removeprefix("! ") for line in lines if line.startswith("! ")]
    found += [f"it ended with code {code}"] if code else []
    figures.setdefault(key, next((x for x in lines if not x.startswith("! ")), "nothing"))
    return [f"{what}: {problem}" for problem in found]


def _early(mount: Path, line: str, spoil: Callable[[Path], None], tell: Tell) -> None:
    mount_small(mount)
    (mount / "OUT.old").write_bytes(OLD)
    spoil(mount)
    _judge(mount, line, tell)


def _late(mount: Path, source: Path, line: str, tell: Tell) -> None:
    """Fill the disk as soon as the command has tried that it can write."""
    mount_small(mount)

    def try_and_fill(path: Path) -> None:
        check_writable(path)
        fill(mount)

    with patch.object(options, "check_writable", try_and_fill):
        _judge(mount, line.replace("INPUT", str(source)), tell)


def _judge(mount: Path, line: str, tell: Tell) -> None:
    """Run a command in `mount`; tell its sentence, and after "! " what was wrong."""
    before = _content(mount)
    words = line.replace("OUT", str(mount / "out")).split()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(words)
        except SystemExit as left:
            code = -1
            said.write(f"exit {left.code}")
    lines = [text for text in said.getvalue().splitlines() if text.startswith("error: ")]
    tell(lines[-1].removeprefix("error: ").replace(f"{mount}/", "") if lines else "no sentence")
    if code != 2 or len(lines) != 1 or not any(reason in lines[0] for reason in REASONS):
        tell(f"! code {code}, said {said.getvalue()[-300:]!r}")
    if "Traceback" in said.getvalue():
        tell("! it showed a traceback")
    after = _content(mount)
    for name in sorted(after.keys() | before.keys()):
        if after.get(name, b"") != before.get(name, b""):
            tell(f"! {name} was written half, lost or left behind")


def _content(mount: Path) -> dict[str, bytes]:
    """Every file but the filler; an empty one, such as a lock, is none."""
    return {
        str(path.relative_to(mount)): path.read_bytes()
        for path in mount.rglob("*")
        if path.is_file() and path.name != "filler"
    }


def _lock(mount: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, str(mount).encode(), None, MS_REMOUNT | MS_RDONLY, None):
        raise OSError(ctypes.get_errno(), "cannot make it read-only")


def _prepare(source: Path, late: tuple[str, ...]) -> None:
    """What the commands of `late` read."""
    source.mkdir()
    save_market(synthetic(seed=0, bars=700, assets=1), source / "bars.csv")
    ids = fill_store(source / "store")
    with Store(source / "store") as store:
        for index in range(2 * EPISODES):
            store.submit(answer(ids, "ann", index))
    lines = {
        "INPUT/reward": "reward fit --store INPUT/store --out INPUT/reward",
        "INPUT/run": "train --reward pnl --data INPUT/bars.csv --steps 2048 --envs 8 "
        "--out INPUT/run",
    }
    for place, line in lines.items():
        if any(place in other for other in late):
            words = ["--quiet", *line.replace("INPUT", str(source)).split()]
            code, _ = in_child(partial(_must_succeed, words))
            if code:
                raise RuntimeError(f"{line} failed")


def _must_succeed(words: list[str], _tell: Tell) -> None:
    if main(words):
        raise RuntimeError(words)
