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
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tradinghf._json import parse_json
from tradinghf.durable import atomic_path, write_atomic
from tradinghf.errors import CheckpointError
from tradinghf.evaluation import backtest
from tradinghf.learning.policy import Policy
from tradinghf.loop._experiment import Experiment, split_market
from tradinghf.market import names_files

MANIFEST, PAGE = "manifest.json", "report.html"
_RUN_FILES = ("config.json", "result.json", "metrics.jsonl", "policy.json", "reward.json")
_POLICIES = ("policy.safetensors", "pnl.safetensors", "reward.safetensors")
_NEEDED = (
    "run/config.json",
    "run/result.json",
    "run/metrics.jsonl",
    "run/policy.safetensors",
    PAGE,
)
_MOST_FILES, _MOST_BYTES, _MOST_MANIFEST = 100_000, 4 * 2**30, 64 * 2**20
_MOST_THREADS = 1024
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_NAME = re.compile(rf"bars/{_WORD}|store(/{_WORD})+")
_OTHER_PLACE = re.compile(r"[=,;]\s*(/|~|\.\.)")  # in the options of a source of bars
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
        settings: what else it says: seed, code, and hashes of the bars.

    """

    command: list[str]
    threads: int
    machine: str
    packages: dict[str, str]
    files: dict[str, tuple[str, int]]
    settings: dict[str, Any]


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
    words = command_of(config)
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
    found = read_config(run)
    if not ((run / "policy.safetensors").is_file() and (run / "result.json").is_file()):
        raise CheckpointError(f"{run} has no policy and result yet; let it end (--resume) first.")
    return found


_PARTS = {"experiment": dict, "data_sha256": dict, "machine": dict, "command": str, "code": str}


def read_config(run: Path) -> dict[str, Any]:
    """The config.json of a run.

    Raises:
        CheckpointError: there is none, or it lacks what a run writes.

    """
    found = read_object(run / "config.json")
    wrong = [name for name, kind in _PARTS.items() if not isinstance(found.get(name), kind)]
    if wrong or not {"data", "seed", "trader"} <= set(found["experiment"]):
        raise CheckpointError(
            f"{run.name}/config.json lacks {wrong[0] if wrong else 'data, seed or trader'}; "
            "expected the settings of a run."
        )
    return found


def read_object(path: Path) -> dict[str, Any]:
    """One object of JSON.

    Raises:
        CheckpointError: the file holds something else.

    """
    try:
        found: Any = parse_json(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.parent.name}/{path.name} is not readable: {error}."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path.parent.name}/{path.name} holds no object; expected one.")
    return found


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def command_of(config: dict[str, Any]) -> list[str]:
    """Words of the command that made a run, without `tradinghf`.

    Raises:
        CheckpointError: it cannot be taken apart.

    """
    try:
        return shlex.split(config["command"])[1:]
    except ValueError as error:
        raise CheckpointError(f"The run's command is not readable: {error}.") from error


def checked_command(words: list[str]) -> None:
    """Refuse a command that a stranger's capsule must not run here.

    Raises:
        CheckpointError: it is no training, or names files of code or places outside.

    """
    if not words or words[0] not in ("train", "rlhf"):
        raise CheckpointError(f"The run was made by {words[:1]}; expected train or rlhf.")
    for option, word in zip(["", *words[:-1]], words, strict=True):
        leads = _leads_elsewhere(word) if option in PLACES else "/" in word or "\\" in word
        if ".py" in word or leads or not word.isprintable():
            raise CheckpointError(
                f"The command names {word!r}; a capsule holds no code and names no other place, so "
                "only runs of shipped strategies, traders and rewards can be packed."
            )
    for option in PLACES:
        # Only what stands once, with its value, is replaced by a place of here.
        at = [i for i, word in enumerate(words) if word.partition("=")[0] == option]
        if at and (len(at) > 1 or words[at[0]] != option or _no_value(words[at[0] + 1 :])):
            raise CheckpointError(f"The command has {option} otherwise than once, with one value.")


def _leads_elsewhere(place: str) -> bool:
    """Whether the options of a source of bars name a file beside the bars, or a way out."""
    options = place.partition(":")[2]
    return bool(_OTHER_PLACE.search(place)) or ".." in options or names_files(place)


def _no_value(rest: list[str]) -> bool:
    return not rest or rest[0].startswith("-")


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
    except _DAMAGED as error:
        raise CheckpointError(f"{path} is no capsule, or damaged ({error}).") from error
    return capsule


_DAMAGED = (
    OSError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    UnicodeDecodeError,
)


def _manifest(archive: zipfile.ZipFile) -> Capsule:
    packed = {member.compress_type for member in archive.infolist()}
    if not packed <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise CheckpointError("The capsule is packed in a way that none is; expected deflate.")
    try:
        with archive.open(MANIFEST) as stream:
            text = stream.read(_MOST_MANIFEST + 1)
        found: Any = parse_json(text) if len(text) <= _MOST_MANIFEST else None
        words = [str(word) for word in found["command"]]
        files = {str(n): (str(d), int(s)) for n, (d, s) in found["files"].items()}
        versions = {str(n): str(v) for n, v in found["packages"].items()}
        about = found["machine"]
        says = {"seed": found["seed"], "code": found["code"], "bars": found["data"]["sha256"]}
        capsule = Capsule(words, int(about["threads"]), str(about["kind"]), versions, files, says)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError("The capsule has no readable manifest.json.") from error
    checked_command(words)
    if not 1 <= capsule.threads <= _MOST_THREADS:
        raise CheckpointError(
            f"The capsule says {capsule.threads} threads; expected 1 to {_MOST_THREADS}."
        )
    return capsule


def _check_members(archive: zipfile.ZipFile, capsule: Capsule) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    known = {MANIFEST, PAGE, *(f"run/{name}" for name in (*_RUN_FILES, *_POLICIES))}
    wrong = [n for n in names if n not in known and (".py" in n or not _NAME.fullmatch(n))]
    links = [m.filename for m in members if stat.S_ISLNK(m.external_attr >> 16)]
    if wrong or links:
        raise CheckpointError(f"The capsule holds {(wrong + links)[0]!r}, which it must not.")
    if len(set(names)) < len(names) or {MANIFEST, *capsule.files} != set(names):
        raise CheckpointError("The capsule holds other files than its manifest names.")
    lacks = [name for name in _NEEDED if name not in capsule.files]
    if lacks or sum(name.startswith("bars/") for name in names) > 1:
        raise CheckpointError(
            f"The capsule lacks {lacks[0]}, so nothing could be compared."
            if lacks
            else "The capsule holds several files of bars; expected one."
        )
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
