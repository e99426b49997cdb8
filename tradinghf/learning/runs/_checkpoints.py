"""Run directories: what a killed run needs to continue bit-identically, and nothing else.

    RUN/config.json             settings, seed, data hash, code version
    RUN/metrics.jsonl           one row per iteration
    RUN/tensorboard/            the same rows for TensorBoard
    RUN/checkpoints/000012/     state.safetensors, state.json, manifest.json (sha256 of both)
    RUN/quarantine/             checkpoints that failed their hashes
    RUN/earlier/                checkpoints and metrics of a run that was here before
    RUN/lock                    held by the one process that writes

A checkpoint is written under another name, flushed to disk, and renamed: it is whole or absent.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tradinghf._json import parse_json
from tradinghf.durable import make_folder, sync_folder, write_atomic
from tradinghf.errors import CheckpointError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from tradinghf.feedback import Ranking
    from tradinghf.feedback.store import Store

_log = logging.getLogger(__name__)
_TENSOR = "__tensor__"
_PAIRS = "__pairs__"
# What a killed writer can leave behind in a run directory.
LEFTOVERS = (".tmp-*", "checkpoints/.*.partial", "checkpoints/.*.removed")
# What reading a damaged checkpoint can raise: bytes may turn into any JSON, of any depth.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    SafetensorError,
)
State = dict[str, Any]


def pack(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """Nested dicts, lists and numbers as JSON; tensors move into `tensors` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {_TENSOR: path}
    if isinstance(value, dict):
        items = [(k, pack(v, tensors, f"{path}.{k}")) for k, v in value.items()]
        if all(isinstance(k, str) for k in value):
            return dict(items)
        return {_PAIRS: [[k, v] for k, v in items]}
    if isinstance(value, list | tuple):
        return [pack(v, tensors, f"{path}.{i}") for i, v in enumerate(value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise CheckpointError(f"{path} is a {type(value).__name__}; a checkpoint cannot hold it.")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of `pack`; tuples come back as lists."""
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        if _PAIRS in value:
            return {k: unpack(v, tensors) for k, v in value[_PAIRS]}
        return {k: unpack(v, tensors) for k, v in value.items()}
    if isinstance(value, list):
        return [unpack(v, tensors) for v in value]
    return value


class RunDirectory:
    """One training run on disk.

    Args:
        path: folder, made when absent.
        keep: newest checkpoints that are kept.

    """

    def __init__(self, path: Path | str, keep: int = 2) -> None:
        self.path = Path(path)
        self.keep = keep
        self.checkpoints = self.path / "checkpoints"
        make_folder(self.checkpoints)
        self._events: SummaryWriter | None = None
        self._held = False

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run; a second process is refused instead of writing into it.

        Within the block it may be taken again. What a killed process left half is removed.

        Raises:
            CheckpointError: another process holds it.

        """
        if self._held:
            yield
            return
        with _written(self.path / "lock"):
            file = (self.path / "lock").open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CheckpointError(
                    f"Another process is writing to the run {self.path}. Wait for it, stop it, "
                    "or choose another directory with --out."
                ) from error
            self._held = True
            try:
                self.sweep()
                yield
            finally:
                self._held = False

    def sweep(self) -> list[Path]:
        """Remove what killed writers left half; only for the holder of the lock."""
        found = [p for pattern in LEFTOVERS for p in self.path.glob(pattern)]
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return found

    def start_over(self) -> None:
        """Move checkpoints and metrics of an earlier run in this directory out of the way.

        Otherwise they would be taken for the new run's, whose numbers are still smaller.
        """
        old = [*self._steps(), *self.path.glob("metrics.jsonl")]
        if old:
            aside = _free(self.path / "earlier", "run")
            with _written(aside):
                aside.mkdir(parents=True)
                for path in old:
                    path.rename(aside / path.name)

    def write_json(self, name: str, value: Any) -> None:
        """Write RUN/name durably.

        Raises:
            CheckpointError: the disk refused (full, read-only).

        """
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        with _written(self.path / name):
            write_atomic(self.path / name, text.encode())
        _log.info("file of a run written", extra={"run": str(self.path), "file": name})

    def log(self, row: dict[str, Any]) -> None:
        """Append one row, with its "step", to metrics.jsonl and to TensorBoard's events.

        Raises:
            CheckpointError: the disk refused (full, read-only).

        """
        with _written(self.path / "metrics.jsonl"):
            self._append(json.dumps(row) + "\n")
            self._chart(row)

    def _append(self, text: str) -> None:
        with (self.path / "metrics.jsonl").open("ab", buffering=0) as file:
            before = file.tell()
            data = text.encode()
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(before)  # no half row
                raise

    def _chart(self, row: dict[str, Any]) -> None:
        step = int(row["step"])
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)
        try:
            for name, value in row.items():
                self._events.add_scalar(name, value, step)
        except OSError:
            self._events = None  # its thread has ended: the next row starts another file
            raise

    def trim_metrics(self, step: float) -> None:
        """Drop rows after `step`: a continued run writes them again."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line that a kill cut short
            if row.get("step", 0) <= step:
                kept.append(json.dumps(row))
        write_atomic(path, "".join(f"{line}\n" for line in kept).encode())

    def save(self, step: int, state: State) -> Path:
        """Write checkpoint `step`; older ones beyond `keep` are removed.

        Raises:
            CheckpointError: a value that it cannot hold, or the disk refused (full, read-only).
        Source: order of operations after Pillai et al. 2014, "All File Systems Are Not Created
        Equal" (temporary name, flush, rename, flush the folder).

        """
        tensors: dict[str, Tensor] = {}
        about = json.dumps(pack(state, tensors)).encode()
        files = {"state.safetensors": bytes(save(tensors)), "state.json": about}
        manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        files["manifest.json"] = json.dumps(manifest).encode()
        final = self.checkpoints / f"{step:08d}"
        partial = self.checkpoints / f".{step:08d}.partial"
        with _written(final):
            self._place(files, partial, final)
        _log.info("checkpoint written", extra={"run": str(self.path), "step": step})
        for old in self._steps()[: -self.keep]:
            self._remove(old)
        return final

    def _place(self, files: dict[str, bytes], partial: Path, final: Path) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            for name, data in files.items():
                write_atomic(partial / name, data)
            if final.exists():
                self._remove(final)
            partial.rename(final)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync_folder(self.checkpoints)

    def _remove(self, folder: Path) -> None:
        doomed = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _steps(self) -> list[Path]:
        return sorted(p for p in self.checkpoints.iterdir() if p.name.isdigit())

    def latest(self) -> tuple[int, State] | None:
        """Newest good checkpoint as (step, state); bad ones are moved to quarantine."""
        for folder in reversed(self._steps()):
            if (state := self._read_or_quarantine(folder)) is not None:
                return int(folder.name), state
        return None

    def _read_or_quarantine(self, folder: Path) -> State | None:
        try:
            return _read(folder)
        except _DAMAGE:
            quarantine = self.path / "quarantine"
            quarantine.mkdir(exist_ok=True)
            folder.rename(_free(quarantine, folder.name))
            about = {"run": str(self.path), "checkpoint": folder.name}
            _log.warning("checkpoint quarantined", extra=about)
            return None

    def problems(self) -> list[str]:
        """What a continuation would stumble over or clean up, one sentence each."""
        found = []
        for folder in self._steps():
            try:
                _read(folder)
            except _DAMAGE as error:
                found.append(f"checkpoint {folder.name} is damaged ({type(error).__name__})")
        drafts = sum(len(list(self.path.glob(pattern))) for pattern in LEFTOVERS)
        return [*found, f"{drafts} drafts of killed writers"] if drafts else found

    def repair(self) -> list[str]:
        """Put damaged checkpoints aside and remove drafts; returns what `problems` had found.

        Raises:
            CheckpointError: another process is writing to the run.

        """
        found = self.problems()
        with self.lock():
            for folder in self._steps():
                self._read_or_quarantine(folder)
        return found


def _free(folder: Path, name: str) -> Path:
    """A path in `folder` that is not taken."""
    return next(p for n in itertools.count() if not (p := folder / f"{name}-{n}").exists())


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """The operating system's refusal to write, in a sentence."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"Cannot write {path}: {error.strerror or error}. What was there before is whole. "
            "Free some space or fix the permissions, then continue with --resume."
        ) from error


def _read(folder: Path) -> State:
    manifest = parse_json((folder / "manifest.json").read_bytes())
    files = {name: (folder / name).read_bytes() for name in ("state.safetensors", "state.json")}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != manifest[name]:
            raise ValueError(f"{folder / name} does not match its manifest")
    tensors = load(files["state.safetensors"])
    state: State = unpack(parse_json(files["state.json"]), tensors)
    if not isinstance(state, dict):
        raise ValueError(f"{folder} holds no state of a run")
    return state


@contextlib.contextmanager
def understood(what: str) -> Iterator[None]:
    """Errors of reading a state that was made by something else, in a sentence.

    Raises:
        CheckpointError: the block met a state of another shape.

    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{what} is of another task or version ({type(error).__name__}: {error}). "
            "Start again without --resume."
        ) from error


def recall(store: Store | None, keys: Sequence[str]) -> list[Ranking]:
    """The answers with these keys, in this order: what a run had learned from.

    Raises:
        CheckpointError: the store lacks one, or there is no store.

    """
    known = {r.key: r for r in store.rankings(include_superseded=True)} if store and keys else {}
    if lost := [key for key in keys if key not in known]:
        raise CheckpointError(
            f"{len(lost)} of the answers that this run learned from are not in its store, first "
            f"{lost[0]!r}. Resume with the store that it started with."
        )
    return [known[key] for key in keys]


def torch_settings() -> dict[str, Any]:
    """What numbers depend on beside config and seed."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}
