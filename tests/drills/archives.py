"""Zipped files for the drill of files that people exchange: arrays of NumPy, and capsules."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from drills.market_fuzz import NAMES, bars, damaged
from tradinghf.feedback import read_fragments
from tradinghf.learning.tasks import Preferences
from tradinghf.loop._capsule import MANIFEST, read_config, read_object, unpack
from tradinghf.loop._rerun import _check_settings, _metrics
from tradinghf.market import load_file

Malform = Callable[[random.Random, bytes], bytes]
SUFFIXES = (".npz", ".thf", ".xlsx")
_KINDS = ("<f8", "|O", "<U1000000", "|S2000000000", "<i8", "<zz", "|V8", "<M8[ns]")
_SHAPES = (
    "(1,)",
    "(10**13,)",
    "(9000000000,2)",
    "(-1,)",
    "()",
    "(4611686018427387904,4)",
    "('a',)",
)


def make_archives(folder: Path) -> None:
    """One good file of each kind: pairs of fragments, preferences, a workbook, a capsule."""
    rows = np.random.default_rng(1).normal(size=(2, 3, 2))
    np.savez_compressed(folder / "preferences.npz", first=rows, second=rows, label=[0, 1])
    np.savez_compressed(
        folder / "fragments.npz",
        episode=["a" * 64, "b" * 64],
        pairs=[[0, 1]],
        preferences=[1.0],
        ranking=["r"],
        rater=["ann"],
        session=[""],
    )
    config: dict[str, Any] = {
        "experiment": {"data": "bars.csv", "seed": 0, "trader": "drawdown"},
        "data_sha256": {"train": "ab", "test": "cd"},
        "machine": {"threads": 1},
        "command": "tradinghf rlhf --trader drawdown --data bars.csv",
        "code": "0.1.0",
    }
    files = {
        "run/config.json": json.dumps(config).encode(),
        "run/result.json": b'{"utility_policy": 0.5}',
        "run/metrics.jsonl": b'{"step": 1, "entropy": 0.5}\n',
        "run/policy.safetensors": b"weights",
        "report.html": b"<html>",
        "bars/bars.csv": b"timestamp,open\n",
    }
    manifest = {
        "command": config["command"].split()[1:],
        "machine": {"kind": "Linux", "threads": 1},
        "packages": {"numpy": "2"},
        "seed": 0,
        "code": "0.1.0",
        "data": {"sha256": config["data_sha256"]},
        "files": {name: _signed(data) for name, data in files.items()},
    }
    if find_spec("openpyxl"):
        workbook = import_module("openpyxl").Workbook()
        workbook.active.append(NAMES)
        for row in bars(random.Random(1)):  # repeatable  # nosec B311
            workbook.active.append([row[0], *map(float, row[1:])])
        workbook.save(folder / "bars.xlsx")
    (folder / "capsule.thf").write_bytes(_zip({MANIFEST: json.dumps(manifest).encode(), **files}))


def read_capsule(path: Path) -> None:
    """What `tradinghf verify` reads of a capsule before and after it trains."""
    place = path.parent / "opened"
    try:
        capsule = unpack(path, place)
        _check_settings(capsule, read_config(place / "run"))
        read_object(place / "run/result.json")
        _metrics(place / "run")
        outside = [f for f in place.rglob("*") if not f.resolve().is_relative_to(place)]
        if outside or (path.parent / "evil").exists():
            raise AssertionError(f"wrote outside: {outside}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


READERS: dict[str, Callable[[Path], object]] = {
    "fragments.npz": read_fragments,
    "preferences.npz": Preferences.load,
    "capsule.thf": read_capsule,
    "bars.xlsx": load_file,
}


def malformed_archive(rng: random.Random, data: bytes, malform: Malform) -> bytes:
    """An archive with damage, or a whole one with a member that lies, is another, or too much."""
    if rng.random() < 0.3:
        return damaged(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(held))
    kind = rng.randrange(6)
    if kind == 0:
        held[rng.choice(("../evil", "/evil", "run/../../evil", "evil.py", "x.npy"))] = held.pop(
            name
        )
    elif kind == 1:
        del held[name]
    elif kind == 2 and name.endswith(".npy"):
        held[name] = _lying_array(rng)
    else:
        held[name] = malform(rng, held[name])
    if MANIFEST in held and name != MANIFEST:
        held[MANIFEST] = _signed_again(held)
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    return _zip(held, packing)


def _lying_array(rng: random.Random) -> bytes:
    """An array whose header announces more, or something else, than it holds."""
    kind, shape = rng.choice(_KINDS), rng.choice(_SHAPES)
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode()
    head = rng.choice((head, head, b"(" * 5000, b"__import__('os').system('touch executed')"))
    return b"\x93NUMPY\x01\x00" + (len(head) + 1).to_bytes(2, "little") + head + b"\n" + bytes(8)


def _signed_again(held: dict[str, bytes]) -> bytes:
    """The manifest with the right hashes of what it is zipped with."""
    manifest = json.loads(held[MANIFEST])
    manifest["files"] = {n: _signed(data) for n, data in held.items() if n != MANIFEST}
    return json.dumps(manifest).encode()


def _signed(data: bytes) -> list[object]:
    return [hashlib.sha256(data).hexdigest(), len(data)]


def _zip(held: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return out.getvalue()
