"""Drill of a full disk: every kind of write, in a small file system of its own.

A child mounts 8 MiB of memory as a file system in a name space that only it sees, fills it to the
last byte, writes, and looks at what is there. Needs Linux and permission for user name spaces.
"""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from drills.core import NotHereError, Outcome, Say, Tell, in_child
from drills.samples import EPISODES, answer, fill_store, make_episode
from drills.training import load_early
from tradinghf.config import EnvConfig
from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import Store, restore
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import FeatureScaler, save_market, synthetic

NEW_NAMES, NEW_USERS = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
SIZE = "8m"
LONG = "x" * 4000  # a comment that needs room
DRAFTS = (".tmp-", ".part", ".backup-", ".restore-")
STORES = ("store", "copy", "again", "fresh")

ROOM = (0, 20 * 2**10, 80 * 2**10)  # [bytes] left: the write fails early, or half-way

Case = Callable[[Path, Store], object]


def enospc(work: Path, count: int, say: Say) -> Outcome:
    """Every case: fail on a full disk, leave nothing half, work with room again.

    Once for each of the first `count` sizes of `ROOM` that are left free.
    """
    load_early()
    mount = work / "small"
    mount.mkdir()
    code, _ = in_child(lambda _tell: mount_small(mount))
    if code:
        raise NotHereError("A full disk is not drilled: no permission to mount a file system.")
    failures: list[str] = []
    figures: dict[str, str] = {}
    for what, write in CASES.items():
        for room in ROOM[:count]:
            code, lines = in_child(partial(_drill, mount, write, room))
            found = [line.removeprefix("! ") for line in lines if line.startswith("! ")]
            found += [f"the case ended with code {code}"] if code else []
            failures += [f"{what}, {room} bytes free: {problem}" for problem in found]
            said = next((x for x in lines if not x.startswith("! ")), "it fitted")
            figures.setdefault(what, said)
        say(f"{what}: {figures[what]}")
    return Outcome(len(CASES) * min(count, len(ROOM)), tuple(failures), figures)


def mount_small(folder: Path) -> None:
    """Mount a small file system of memory at `folder`, for this process only.

    Raises:
        OSError: not permitted here.

    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(NEW_NAMES | NEW_USERS):
        raise OSError(ctypes.get_errno(), "cannot make a name space")
    identity = {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}
    for name, text in identity.items():
        Path(f"/proc/self/{name}").write_text(text)
    options = f"size={SIZE}".encode()
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options):
        raise OSError(ctypes.get_errno(), "cannot mount")


def _drill(mount: Path, write: Case, room: int, tell: Tell) -> None:
    """Tell what the write said on the full disk, and after "! " what was wrong."""
    mount_small(mount)
    threading.excepthook = lambda _args: None  # TensorBoard's thread reports at length
    folder = mount / "work"
    _prepare(folder)
    with Store(folder / "store") as store:
        store.health()  # connected: SQLite cannot even open a database without room
        before = _files(folder)
        fill(mount, room)
        try:
            write(folder, store)
            if not room:
                tell("! the write went through on a full disk")
        except TradingHFError as error:
            tell(str(error).replace(f"{folder}/", ""))
        except OSError as error:
            tell(f"! {type(error).__name__} instead of an error of the package: {error}")
        problems = [f"on the full disk: {p}" for p in _damage(folder, store)]
        drafts = [name for name in _files(folder) - before if any(d in name for d in DRAFTS)]
        problems += [f"left behind: {name}" for name in sorted(drafts)]
        (mount / "filler").unlink()
        write(folder, store)
        problems += [f"with room again: {p}" for p in _damage(folder, store)]
    for name in STORES:
        if (folder / name).exists():
            with Store(folder / name) as store:
                problems += [f"{name} in the end: {p}" for p in _store_damage(store, name)]
    for problem in problems:
        tell(f"! {problem}")


def _prepare(folder: Path) -> None:
    """Everything of value that can be lost."""
    folder.mkdir()
    fill_store(folder / "store")
    with Store(folder / "store") as store:
        store.backup(folder / "backup")
    run = RunDirectory(folder / "run")
    run.save(1, {"x": torch.ones(50_000), "step": 1})
    run.log({"step": 1, "value": 1.0})
    run.write_json("config.json", {"seed": 1})
    _policy(folder)


def fill(mount: Path, room: int = 0) -> None:
    """Take every byte that is free, but for `room`."""
    handle = os.open(mount / "filler", os.O_WRONLY | os.O_CREAT)
    for size in (2**16, 2**12, 1):
        try:
            while True:
                os.write(handle, b"\0" * size)
        except OSError:
            continue
    os.ftruncate(handle, os.fstat(handle).st_size - room)
    os.close(handle)


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def _store_damage(store: Store, name: str) -> list[str]:
    problems = list(store.verify().problems)
    if name != "fresh" and len(store.episode_infos()) < EPISODES:
        problems.append("episodes are gone")
    return problems


def _damage(folder: Path, store: Store) -> list[str]:
    """What is not whole: the store, checkpoints, metrics, settings, the policy."""
    problems = _store_damage(store, "store")
    run = RunDirectory(folder / "run")
    found = run.latest()
    if found is None or found[0] != found[1]["step"] or (run.path / "quarantine").exists():
        problems.append("a checkpoint is damaged")
    try:
        rows = (run.path / "metrics.jsonl").read_text().splitlines()
        for text in (*rows, (run.path / "config.json").read_text()):
            json.loads(text)
    except ValueError as error:
        problems.append(f"metrics or settings are half: {error}")
    try:
        Policy.load(folder / "policy.safetensors")
    except TradingHFError as error:
        problems.append(str(error))
    return problems


def _episodes(_folder: Path, store: Store) -> None:
    store.add_episodes(make_episode(100 + i, bars=500) for i in range(3))


def _answers(_folder: Path, store: Store) -> None:
    ids = [info.id for info in store.episode_infos()]
    for index in range(100):
        store.submit(replace(answer(ids[:EPISODES], "full", index), comment=LONG))


def _trials(_folder: Path, store: Store) -> None:
    for index in range(100):
        store.count_trial("drill", f"{index} {LONG}", "market")


def _checkpoint(folder: Path, _store: Store) -> None:
    RunDirectory(folder / "run").save(2, {"x": torch.ones(50_000), "step": 2})


def _metrics(folder: Path, _store: Store) -> None:
    run = RunDirectory(folder / "run")
    for step in range(10, 1500):
        run.log({"step": step, "value": 1.0, "other": 2.0 / 3.0})


def _settings(folder: Path, _store: Store) -> None:
    RunDirectory(folder / "run").write_json("config.json", {"seed": 2, "text": LONG * 30})


def _policy(folder: Path, _store: Store | None = None) -> None:
    network = ActorCritic(44, 3, 1, (128, 128), True)
    scaler = FeatureScaler((0.0,), (1.0,), 5.0)
    Policy(network, EnvConfig(), scaler).save(folder / "policy.safetensors")


def _market(folder: Path, _store: Store) -> None:
    save_market(synthetic(seed=0, bars=2000, assets=1), folder / "bars.csv")


CASES: dict[str, Case] = {
    "episodes": _episodes,
    "answers": _answers,
    "counts of backtests": _trials,
    "a backup": lambda folder, store: store.backup(folder / "copy"),
    "a restored store": lambda folder, _: restore(folder / "backup", folder / "again"),
    "an export": lambda folder, store: store.export(folder / "all.jsonl"),
    "a new store": lambda folder, _: Store(folder / "fresh").close(),
    "a checkpoint": _checkpoint,
    "metrics of a training": _metrics,
    "settings of a run": _settings,
    "a policy": _policy,
    "a market file": _market,
}
