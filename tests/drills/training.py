"""Drills of training: killed at any moment, continued from damaged checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from drills.core import Child, Outcome, Say, Tell, counted, die, in_child
from tradinghf.config import EnvConfig
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig, RewardConfig, RLHFConfig
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.runs._checkpoints import LEFTOVERS
from tradinghf.loop import RLHF
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

HORIZON, ENVS, ITERATIONS, ROUNDS = 16, 16, 12, 3
CLOCK = "steps_per_s"  # the one metric that may differ
ITEMS = ("state.safetensors", "state.json", "manifest.json")
FOREIGN = (b"null", b"[]", b"7", b"[" * 20_000, b"\xff\xfe", b"")


def tiny_loop(folder: Path) -> RLHF:
    """A whole RLHF loop that takes about two seconds: 3 rounds, 6 rankings, 12 iterations.

    Every iteration writes a checkpoint, a third of them leaves a candidate behind, the questions
    of the last round are about earlier candidates, and validation bars choose among all of them.
    """
    config = RLHFConfig(
        rankings=6,
        rounds=ROUNDS,
        early=0.7,
        steps=ITERATIONS * HORIZON * ENVS,
        windows=3,
        checkpoint_seconds=0.0,
        ppo=PPOConfig(hidden=(16,), minibatches=2, epochs=2),
    )
    market = synthetic(seed=3, bars=200, assets=2)
    env = MarketEnv(market, num_envs=ENVS, config=EnvConfig(horizon=HORIZON, lookback=2))
    return RLHF(
        env,
        RewardModel(RewardConfig(learned=0.0)),
        trader="drawdown",
        store=Store(folder / "store"),
        validation_market=synthetic(seed=4, bars=80, assets=2),
        config=config,
        out=folder,
    )


def finish(folder: Path) -> str:
    """Continue the run in `folder`, or start it, to its end; returns what it came to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # six rankings teach little, and the loop says so
        loop = tiny_loop(folder)
        loop.resume()
        loop.train()
    return result_of(loop)


def _finisher(folder: Path, tell: Tell) -> None:
    tell(finish(folder))


def result_of(loop: RLHF) -> str:
    """Hash of weights, candidates, rankings and metrics: equal runs, equal text."""
    assert loop.run is not None
    digest = hashlib.sha256()
    for network in (loop.policy.network, *loop.training.candidates):
        for name, value in sorted(network.state_dict().items()):
            digest.update(name.encode() + value.numpy().tobytes())
    said = [(ranking.query, ranking.episodes, ranking.ranks) for ranking in loop.rankings]
    rows = [json.loads(line) for line in (loop.run.path / "metrics.jsonl").read_text().splitlines()]
    rows = [{k: v for k, v in row.items() if k != CLOCK} for row in rows]
    digest.update(json.dumps([said, rows, loop.training.choice]).encode())
    counts = f"{len(rows)} rows, {len(said)} rankings, {len(loop.training.candidates)} candidates"
    return f"{digest.hexdigest()} {counts}"


class Steps:
    """Counts what a training does to its checkpoints on disk, and may die at one of the steps.

    Args:
        folder: of the checkpoints.
        die_at: number of the step before which the process dies, or 0.

    """

    def __init__(self, folder: Path, die_at: int = 0) -> None:
        self.folder, self.die_at, self.names = str(folder), die_at, list[str]()
        self._fsync = os.fsync
        sys.addaudithook(self._audit)
        setattr(os, "fsync", self._sync)  # noqa: B010 - not its type, but its use

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            path = args[0]
            reads = event == "open" and args[1] == "r"
            if isinstance(path, str | os.PathLike) and not reads:
                self._step(event, os.fspath(path))

    def _sync(self, handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        dies = path.startswith(self.folder) and len(self.names) + 1 == self.die_at
        if dies and os.path.isfile(path):
            os.truncate(path, os.path.getsize(path) // 2)  # killed while writing
        self._step("fsync", path)
        self._fsync(handle)

    def _step(self, what: str, path: str) -> None:
        if path.startswith(self.folder):
            self.names.append(what)
            if len(self.names) == self.die_at:
                die()


def load_early() -> None:
    """What a training loads late, before the first fork: a child then starts in milliseconds."""
    import_module("torch.utils.tensorboard")


def train_kill(work: Path, count: int, say: Say) -> Outcome:
    """Kill at every step of the longest checkpoint write, and at random moments; then continue."""
    expected, seconds, steps = _reference(work / "whole")
    planned: list[int] = spread(steps, min(len(steps), count // 2))
    say(f"one run takes {seconds:.1f} s; a checkpoint is written in {len(steps)} steps")
    rng = random.Random(11)  # repeatable damage  # nosec B311
    failures: list[str] = []
    too_late = 0
    for case in counted(say, count, range(count), "kills"):
        folder = work / f"run-{case}"
        step = planned[case] if case < len(planned) else 0
        moment = rng.uniform(0, seconds)
        child = Child(_victim(folder, step))
        if not step:
            child.line()
            time.sleep(moment)
            child.kill()
        child.rest()
        killed = child.wait() == -9
        where = f"killed at step {step}" if step else f"killed after {moment:.2f} s"
        too_late += not killed
        if step and not killed:
            failures.append(f"{where}: the step was never reached")
        code, lines = in_child(partial(_finisher, folder))
        if code or lines != [expected]:
            failures.append(f"{where}: continued to {lines}; expected {expected}")
        left = [str(p) for pattern in LEFTOVERS for p in folder.glob(pattern)]
        failures += [f"{where}: left behind {left}"] if left else []
        shutil.rmtree(folder)
    figures = {
        "steps_of_a_write": len(steps),
        "killed_at_a_step": len(planned),
        "killed_at_random": count - len(planned) - too_late,
        "ended_before_the_kill": too_late,
    }
    return Outcome(count, tuple(failures), figures)


def spread(items: list[int], count: int) -> list[int]:
    """`count` of the items, evenly; all of them when there are no more."""
    return [items[i * len(items) // count] for i in range(count)]


def _reference(folder: Path) -> tuple[str, float, list[int]]:
    """(result, seconds, numbers of the steps of the longest write) of a run that nobody kills."""
    load_early()
    folder.mkdir(parents=True)

    def body(tell: Tell) -> None:
        steps = Steps(folder / "checkpoints")
        began = time.monotonic()
        result = finish(folder)
        seconds = time.monotonic() - began
        tell(result)
        tell(json.dumps([seconds, steps.names]))

    code, lines = in_child(body)
    if code:
        raise RuntimeError("The training that nobody kills failed; see above.")
    seconds, names = json.loads(lines[1])
    return lines[0], seconds, longest_write(names)


def longest_write(names: list[str]) -> list[int]:
    """Numbers (from 1) of the steps of the write with the most steps; each begins with a mkdir."""
    starts = [i for i, name in enumerate(names) if name == "os.mkdir" and i]
    ends = [*starts[1:], len(names)]
    first, last = max(zip(starts, ends, strict=True), key=lambda span: span[1] - span[0])
    return list(range(first + 1, last + 1))


def _victim(folder: Path, step: int) -> Callable[[Tell], None]:
    def body(tell: Tell) -> None:
        folder.mkdir()
        if step:
            Steps(folder / "checkpoints", step)
        tell("begun")
        finish(folder)

    return body


def ckpt_corrupt(work: Path, count: int, say: Say) -> Outcome:
    """Damage the newest checkpoint, or all, of a finished run; continue; compare."""
    expected, _, _ = _reference(work / "whole")
    rng = random.Random(13)  # repeatable damage  # nosec B311
    failures: list[str] = []
    kinds: dict[str, int] = {}
    for case in counted(say, count, range(count), "damaged runs"):
        folder = work / f"run-{case}"
        shutil.copytree(work / "whole", folder)
        checkpoints = sorted((folder / "checkpoints").iterdir())
        doomed = checkpoints if case % 10 == 9 else checkpoints[-1:]
        kind = sorted(DAMAGES)[case % len(DAMAGES)]
        for checkpoint in doomed:
            DAMAGES[kind](checkpoint, rng)
        kinds[kind] = kinds.get(kind, 0) + 1
        code, lines = in_child(partial(_finisher, folder))
        what = f"{kind} (case {case}, {len(doomed)} damaged)"
        if code or lines != [expected]:
            failures.append(f"{what}: continued to {lines}; expected {expected}")
        aside = list((folder / "quarantine").glob("*"))
        if len(aside) != len(doomed):
            failures.append(f"{what}: {len(aside)} in quarantine; expected {len(doomed)}")
        shutil.rmtree(folder)
    return Outcome(count, tuple(failures), kinds)


def _truncate(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(ITEMS)
    os.truncate(path, rng.randrange(path.stat().st_size))


def _flip(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(ITEMS[:2])
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _remove(folder: Path, rng: random.Random) -> None:
    (folder / rng.choice(ITEMS)).unlink()


def _zeros(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(ITEMS)
    path.write_bytes(bytes(path.stat().st_size))


def _foreign_manifest(folder: Path, rng: random.Random) -> None:
    (folder / "manifest.json").write_bytes(rng.choice(FOREIGN))


def _foreign_state(folder: Path, rng: random.Random) -> None:
    """Put another program's state into the checkpoint, with hashes that fit it."""
    (folder / "state.json").write_bytes(rng.choice(FOREIGN))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ITEMS[:2]}
    (folder / "manifest.json").write_text(json.dumps(files))


def _file(folder: Path, _rng: random.Random) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"not a folder")


def _empty(folder: Path, _rng: random.Random) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated": _truncate,
    "bit flipped": _flip,
    "a file is missing": _remove,
    "zeros": _zeros,
    "foreign manifest": _foreign_manifest,
    "foreign state": _foreign_state,
    "a file instead of the folder": _file,
    "an empty folder": _empty,
}

__all__ = ["ckpt_corrupt", "finish", "tiny_loop", "train_kill"]
