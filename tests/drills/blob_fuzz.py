"""Drill of files that people exchange: episodes, policies, checkpoints, exports, capsules, arrays.

Each is damaged at random, or made to lie: a header that announces terabytes, JSON of a thousand
levels, a pickle that would run a command. While a file is read, an audit hook watches for anything
that executes, and the process may take `HEADROOM` more memory than it had.
"""

from __future__ import annotations

import base64
import codecs
import json
import os
import random
import resource
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # which torch loads when it first refuses a shape
from safetensors.numpy import save

from drills import archives
from drills.core import Outcome, Say, Tell, fuzz_in_children, in_child
from drills.market_fuzz import damaged
from drills.samples import answer, fill_store, make_episode
from tradinghf.config import EnvConfig
from tradinghf.episodes import Episode
from tradinghf.errors import TradingHFError
from tradinghf.feedback.store import Store
from tradinghf.learning.policy import ActorCritic, Policy
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import FeatureScaler
from tradinghf.serving import RunFolder
from tradinghf.serving._runs import BAR_REWARDS_FILE, REWARD_FILE

HEADROOM = 1 << 30  # [bytes] of address space that a child may take while it reads
GROWTH = 256  # [MiB] of memory that it may really use
EXECUTION = (
    "exec",
    "compile",
    "import",
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "ctypes.dlopen",
    "marshal.loads",
    "code.__new__",
)
# A pickle that would run `touch CANARY`, written by hand: this package does not import pickles.
CANARY = "executed"
PICKLE = b"cposix\nsystem\n(S'touch " + CANARY.encode() + b"'\ntR."
DEEP = b"[" * 100_000
Reader = Callable[[Path], object]


def blob_fuzz(work: Path, count: int, say: Say) -> Outcome:
    """Read `count` malformed files, in turn of each kind."""
    samples = _samples(work / "samples")
    failures, told = fuzz_in_children(partial(_batch, work, samples), count, say)
    growth = max(told.pop("growth", [0]))
    if growth > GROWTH:
        failures.append(f"reading took {growth} MiB; at most {GROWTH} are allowed")
    figures = {
        "executions": 0,
        "memory_growth_mib": growth,
        **{k: sum(told[k]) for k in sorted(told)},
    }
    figures["executions"] = sum("executed" in failure for failure in failures)
    return Outcome(count, tuple(failures), figures)


def _samples(folder: Path) -> dict[str, bytes]:
    """One good file of each kind; made in a child, for it opens a store."""
    folder.mkdir(parents=True)
    code, _ = in_child(lambda _tell: make_samples(folder))
    if code:
        raise RuntimeError("The samples could not be made; see above.")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*"))}


def make_samples(folder: Path) -> None:
    make_episode(1).save(folder / "episode.safetensors")
    policy = Policy(
        ActorCritic(44, 3, 1, (8,), True), EnvConfig(), FeatureScaler((0.0,), (1.0,), 5)
    )
    policy.save(folder / "policy.safetensors")
    ids = fill_store(folder / "store")
    with Store(folder / "store") as store:
        store.submit(answer(ids, "ann", 0))
        store.export(folder / "export.jsonl")
        store.export(folder / "export.csv")
        store.export(folder / "export.parquet")
    run = RunDirectory(folder / "run")
    place = run.save(1, {"x": torch.ones(3), "step": 1})
    for name in ("state.safetensors", "state.json", "manifest.json"):
        (folder / name).write_bytes((place / name).read_bytes())
    (folder / REWARD_FILE).write_text(json.dumps({"values": [{"name": "profit", "weight": 1.0}]}))
    archives.make_archives(folder)
    (folder / BAR_REWARDS_FILE).write_bytes(save({"e": np.ones((2, 4), dtype=np.float32)}))


class Watch:
    """An audit hook that notes what executes while it is armed."""

    def __init__(self) -> None:
        self.armed, self.seen = False, list[str]()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        # NumPy takes the header of an array apart as a tree of literals; nothing runs by that.
        literal = event == "compile" and args[1] == "<unknown>"
        if self.armed and event.startswith(EXECUTION) and not literal:
            self.seen.append(f"{event} {str(args)[:80]}")


def _batch(work: Path, samples: dict[str, bytes], seeds: range, tell: Tell) -> None:
    os.chdir(work)
    readers = _readers(work)
    for name, data in samples.items():  # everything that loads late is loaded now
        readers[name](_written(work / name, data))
    for encoding in ("utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be"):
        codecs.lookup(encoding)  # which JSON may be in
    watch, totals = Watch(), Counter[str]()
    before = _peak()
    limit = _address_space() + HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for seed in seeds:
        name = sorted(samples)[seed % len(samples)]
        rng = random.Random(seed)  # repeatable damage  # nosec B311
        zipped = name.endswith(archives.SUFFIXES)
        good = samples[name]
        data = archives.malformed_archive(rng, good, malformed) if zipped else malformed(rng, good)
        path = _written(work / name, data)
        watch.armed = True
        try:
            readers[name](path)
            totals[f"{name}_read"] += 1
        except TradingHFError:
            totals[f"{name}_refused"] += 1
        except Exception as error:  # noqa: BLE001 - any other error is what the drill looks for
            said = f"{type(error).__name__}: {str(error)[:160]}".replace("\n", " ")
            tell(f"! seed {seed}, {name}: {said}")
        finally:
            watch.armed = False
        if watch.seen or (work / CANARY).exists():
            tell(f"! seed {seed}, {name}: executed {watch.seen[:2]}")
            watch.seen.clear()
    tell(f"growth {(_peak() - before) // 1024}")
    for kind, number in totals.items():
        tell(f"{kind} {number}")


def _peak() -> int:
    """Largest memory so far [KiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _readers(work: Path) -> dict[str, Reader]:
    """What the package does with each kind of file."""
    run, shown = RunDirectory(work / "foreign"), RunFolder(work)

    def checkpoint(path: Path) -> object:
        """A foreign checkpoint whose hashes are right."""
        place = run.checkpoints / "00000001"
        place.mkdir(exist_ok=True)
        for name in ("state.safetensors", "state.json", "manifest.json"):
            source = path if path.name == name else work / "samples" / name
            (place / name).write_bytes(source.read_bytes())
        if path.name != "manifest.json":
            _sign(place)
        found = run.latest()
        shutil.rmtree(run.path / "quarantine", ignore_errors=True)
        return found

    store = Store(work / "importing")
    store.import_from(work / "samples" / "export.jsonl")
    return {
        "episode.safetensors": Episode.load,
        "policy.safetensors": Policy.load,
        "state.safetensors": checkpoint,
        "state.json": checkpoint,
        "manifest.json": checkpoint,
        "export.jsonl": store.import_from,
        "export.csv": store.import_from,
        "export.parquet": store.import_from,
        REWARD_FILE: lambda _path: shown.document(REWARD_FILE),
        BAR_REWARDS_FILE: lambda _path: shown.bar_rewards("e"),
        **archives.READERS,
    }


def _sign(place: Path) -> None:
    names = ("state.safetensors", "state.json")
    hashes = {name: sha256((place / name).read_bytes()).hexdigest() for name in names}
    (place / "manifest.json").write_text(json.dumps(hashes))


def malformed(rng: random.Random, data: bytes) -> bytes:
    """The file with random damage, or with a false statement in it."""
    if rng.random() < 0.5:
        return damaged(rng, data)
    return LIES[rng.randrange(len(LIES))](rng, data)


def _header_size(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((2**63, 2**40, 2**31, 0, 7)).to_bytes(8, "little") + data[8:]


def _header(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    try:
        return json.loads(data[8 : 8 + size]), data[8 + size :]
    except ValueError:
        return {}, data


def _with_header(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _shape(rng: random.Random, data: bytes) -> bytes:
    """A header whose tensor has an impossible shape, type or place."""
    header, body = _header(data)
    names = [name for name in header if name != "__metadata__"]
    if names:
        entry = header[rng.choice(names)]
        field = rng.choice(("shape", "dtype", "data_offsets"))
        entry[field] = {
            "shape": rng.choice(([2**40], [2**20, 2**20], [-1], [0], [[1]], "x", [1.5])),
            "dtype": rng.choice(("F64", "I8", "BOOL", "O", "PICKLE", 7)),
            "data_offsets": rng.choice(([0, 2**50], [8, 0], [-8, 8], [0, 0], [1, 2, 3])),
        }[field]
    return _with_header(header, body)


def _about(rng: random.Random, data: bytes) -> bytes:
    """A description of the policy with a network of terabytes, or with values of other types."""
    header, body = _header(data)
    for key, text in header.get("__metadata__", {}).items():
        try:
            about = json.loads(text)
        except ValueError:
            continue
        name = rng.choice(sorted(about))
        about[name] = _odd(rng)
        network = about.get("network")
        if isinstance(network, dict) and network:  # it may just have been emptied
            field = rng.choice(sorted(network))
            network[field] = rng.choice((2**31, 10**6, [10**6] * 3, [4] * 10**4, -1, "x"))
        header["__metadata__"][key] = json.dumps(about)
    return _with_header(header, body)


def _odd(rng: random.Random) -> Any:
    values: tuple[Any, ...] = (None, [], {}, -1, 2**70, 1e308, "x" * 1000, [[[]]], True, "../../x")
    return rng.choice(values)


def _json_value(rng: random.Random, data: bytes) -> bytes:
    """One value of a JSON document or line replaced by another kind of value."""
    lines = data.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    try:
        found = json.loads(lines[at])
    except ValueError:
        return damaged(rng, data)
    place = found
    while isinstance(place, dict) and place:
        key = rng.choice(sorted(place))
        if not isinstance(place[key], dict) or rng.random() < 0.3:
            place[key] = _odd(rng)
            break
        place = place[key]
    lines[at] = json.dumps(found).encode()
    return b"\n".join(lines)


def _deep_header(_rng: random.Random, data: bytes) -> bytes:
    return len(DEEP).to_bytes(8, "little") + DEEP + data[-64:]


def _pickled(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((PICKLE, b"\x80\x04" + PICKLE, data + PICKLE, PICKLE + data))


def _zipped(_rng: random.Random, data: bytes) -> bytes:
    """The beginning of a file in torch's older format, which is a pickle."""
    return b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + PICKLE + data[:64]


def _encoded(_rng: random.Random, _data: bytes) -> bytes:
    """An export whose episode is a pickle."""
    first = b'{"format": "tradinghf-feedback-1"}\n'
    return first + b'{"episode": "' + base64.b64encode(PICKLE) + b'"}\n'


LIES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _header_size,
    _shape,
    _shape,
    _about,
    _about,
    _json_value,
    _json_value,
    _deep_header,
    lambda _rng, _data: DEEP,
    _pickled,
    _zipped,
    _encoded,
)
