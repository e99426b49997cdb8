"""A capsule: one file with all that gives a training run again, and what it gave.

    manifest.json     sha256 and size of every other file, the command, machine and packages
    run/...           config.json, result.json, metrics.jsonl, policies, what the policy became
    bars/NAME         the file of bars, where it was asked for
    store/...         a backup of the answers, where the run learned from a store
    report.html       the page of the policy on its test bars

Numbers, texts and safetensors only: nothing in it is code. Opening one writes no file outside the
folder it is opened in, and reads no more than its manifest says.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shlex
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tradinghf.durable import atomic_path, write_atomic
from tradinghf.errors import CheckpointError
from tradinghf.evaluation import backtest
from tradinghf.learning.policy import Policy
from tradinghf.loop._experiment import Experiment, split_market

MANIFEST, PAGE = "manifest.json", "report.html"
_RUN_FILES = ("config.json", "result.json", "metrics.jsonl", "policy.json", "reward.json")
_POLICIES = ("policy.safetensors", "pnl.safetensors", "reward.safetensors")
_MOST_FILES, _MOST_BYTES, _MOST_MANIFEST = 100_000, 4 * 2**30, 64 * 2**20
_NAME = re.compile(r"(run|bars|store)(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+|report\.html")
_DATE = (2020, 1, 1, 0, 0, 0)  # of every file inside: the same run gives the same bytes


@dataclass(frozen=True)
class Capsule:
    """What a capsule says of itself.

    Attributes:
        command: words of the command that trained, without `tradinghf`.
        threads: of torch in that training.
        machine: kind of machine.
        packages: {name: version} that were installed.
        files: {name: (sha256, bytes)}.

    """

    command: list[str]
    threads: int
    machine: str
    packages: dict[str, str]
    files: dict[str, tuple[str, int]]


def pack_run(run: Path, out: Path, *, bars: bool = False) -> dict[str, Any]:
    """Write a run as a capsule.

    Args:
        run: directory of `tradinghf train` or `tradinghf rlhf`.
        out: the file to write.
        bars: also the file of bars itself, where there is one; else its hash alone.

    Returns:
        The manifest.

    Raises:
        CheckpointError: the run is not complete, or needs code of one's own to be run again.

    """
    config = _config(run)
    words = shlex.split(config.get("command") or "")[1:]
    checked_command(words)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        inside = {f"run/{n}": run / n for n in (*_RUN_FILES, *_POLICIES) if (run / n).is_file()}
        data = Path(str(config["experiment"]["data"]).partition(":")[0])
        if bars:
            if not data.is_file():
                raise CheckpointError(f"--bars: {data} is no file; its hash is packed in any case.")
            inside[f"bars/{data.name}"] = data
        if words[0] == "train" and "pnl" not in words:
            inside |= _answers(config["experiment"]["trader"], made / "store")
        inside[PAGE] = policy_page(run, made / PAGE)
        manifest = {
            "format": 1,
            "command": words,
            "machine": {"kind": machine(), "threads": config["machine"]["threads"]},
            "code": config["code"],
            "seed": config["experiment"]["seed"],
            "data": {"file": data.name if bars else "", "sha256": config["data_sha256"]},
            "packages": installed(),
            "files": {n: [_sha256(f), f.stat().st_size] for n, f in sorted(inside.items())},
        }
        with atomic_path(out) as draft:
            _write_zip(draft, manifest, inside)
    return manifest


def _config(run: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run / "config.json").read_text())
        complete = (run / "policy.safetensors").is_file() and (run / "result.json").is_file()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{run} holds no readable config.json; expected a run.") from error
    if not complete:
        raise CheckpointError(f"{run} has no policy and result yet; let it end (--resume) first.")
    return found


def checked_command(words: list[str]) -> None:
    """Refuse a command that a stranger's capsule must not run here.

    Raises:
        CheckpointError: it is no training, or names files of code or places outside.

    """
    if not words or words[0] not in ("train", "rlhf"):
        raise CheckpointError(f"The run was made by {words[:1]}; expected train or rlhf.")
    for option, word in zip(["", *words[:-1]], words, strict=True):
        if ".py" in word or (option not in PLACES and ("/" in word or "\\" in word)):
            raise CheckpointError(
                f"The command names {word!r}; a capsule holds no code and names no other place, so "
                "only runs of shipped strategies, traders and rewards can be packed."
            )


PLACES = ("--out", "--store", "--data")
"""Options that are replaced when the command is run again."""


def _answers(trader: str, folder: Path) -> dict[str, Path]:
    """A backup of the store that the run learned from, as files of the capsule."""
    from tradinghf.feedback.store import Store

    with Store(trader.removeprefix("store:")) as store:
        store.backup(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {f"store/{path.relative_to(folder).as_posix()}": path for path in files}


def policy_page(run: Path, path: Path) -> Path:
    """Write the page of a run's policy on its test bars; the same policy gives the same bytes."""
    config = _config(run)["experiment"]
    names = ("trader", "data", "train_end", "test_start", "end", "seed")
    test = split_market(Experiment(**{n: config[n] for n in names if n in config})).test
    test = replace(test, source=test.name)  # a path of one machine would make other bytes
    policy = Policy.load(run / "policy.safetensors")
    report = backtest(policy, test, record=False).renamed("the policy")
    return report.save(path)


def machine() -> str:
    """What has to be the same for equal bits: processor and system."""
    return f"{platform.system()} {platform.machine()}"


def installed() -> dict[str, str]:
    """{name: version} of every package that is installed."""
    return {d.metadata["Name"]: d.version for d in sorted(metadata.distributions(), key=str)}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_zip(path: Path, manifest: dict[str, Any], inside: dict[str, Path]) -> None:
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST, _DATE), text, zipfile.ZIP_DEFLATED)
        for name, file in sorted(inside.items()):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while part := source.read(2**20):
                    target.write(part)


def unpack(path: Path, folder: Path) -> Capsule:
    """Open a capsule in a new folder, and check every byte by its manifest.

    Raises:
        CheckpointError: it is no capsule, damaged, or holds what it must not: other files than its
            manifest names, links, names that lead outside, more bytes than it says.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            capsule = _manifest(archive)
            _check_members(archive, capsule)
            for name, (digest, size) in capsule.files.items():
                _extract(archive, name, folder / name, digest, size)
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no capsule, or damaged ({error}).") from error
    return capsule


def _manifest(archive: zipfile.ZipFile) -> Capsule:
    try:
        with archive.open(MANIFEST) as stream:
            text = stream.read(_MOST_MANIFEST + 1)
        found: Any = json.loads(text) if len(text) <= _MOST_MANIFEST else None
        words = [str(word) for word in found["command"]]
        files = {str(n): (str(d), int(s)) for n, (d, s) in found["files"].items()}
        versions = {str(n): str(v) for n, v in found["packages"].items()}
        about = found["machine"]
        capsule = Capsule(words, int(about["threads"]), str(about["kind"]), versions, files)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError("The capsule has no readable manifest.json.") from error
    checked_command(words)
    return capsule


def _check_members(archive: zipfile.ZipFile, capsule: Capsule) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    wrong = [n for n in names if n != MANIFEST and not _NAME.fullmatch(n)]
    links = [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
    if wrong or links:
        raise CheckpointError(f"The capsule holds {(wrong + links)[0]!r}, which it must not.")
    if len(set(names)) < len(names) or {MANIFEST, *capsule.files} != set(names):
        raise CheckpointError("The capsule holds other files than its manifest names.")
    total = sum(size for _, size in capsule.files.values())
    if len(names) > _MOST_FILES or total > _MOST_BYTES:
        raise CheckpointError(
            f"The capsule says it holds {len(names):,} files of {total:,} bytes; expected at most "
            f"{_MOST_FILES:,} of {_MOST_BYTES:,}."
        )
    for member in members:
        if member.filename != MANIFEST and member.file_size != capsule.files[member.filename][1]:
            raise CheckpointError(f"{member.filename} in the capsule is not of the size it says.")


def _extract(archive: zipfile.ZipFile, name: str, target: Path, digest: str, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    found = hashlib.sha256()

    def parts() -> Iterator[bytes]:
        for part in _limited(source, size):
            found.update(part)
            yield part

    with archive.open(name) as source:
        write_atomic(target, parts())
    if found.hexdigest() != digest:
        raise CheckpointError(f"{name} in the capsule is not what its manifest says: other sha256.")


def _limited(source: Any, size: int) -> Iterator[bytes]:
    """The parts of a stream of `size` bytes; more of them are a bomb."""
    left = size
    while part := source.read(min(2**20, left + 1)):
        left -= len(part)
        if left < 0:
            raise CheckpointError("A file in the capsule is larger than it says.")
        yield part


def same_environment() -> dict[str, str]:
    """The environment of a training that is run again: without a store or log of this place."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TRADINGHF_")}
