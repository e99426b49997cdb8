"""Run directories: what a killed run needs to continue bit-identically, and nothing else.

    RUN/config.json             settings, seed, data hash, code version
    RUN/metrics.jsonl           one row per iteration
    RUN/tensorboard/            the same rows for TensorBoard
    RUN/checkpoints/000012/     state.safetensors, state.json, manifest.json (sha256 of both)
    RUN/quarantine/             checkpoints that failed their hashes

A checkpoint is written under another name, flushed to disk, and renamed: it is whole or absent.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tradinghf.errors import CheckpointError
from tradinghf.feedback.store.blobs import sync_folder, write_atomic

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSOR = "__tensor__"
PAIRS = "__pairs__"
State = dict[str, Any]


def pack(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """Nested dicts, lists and numbers as JSON; tensors move into `tensors` under their path."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous()
        return {TENSOR: path}
    if isinstance(value, dict):
        items = [(k, pack(v, tensors, f"{path}.{k}")) for k, v in value.items()]
        if all(isinstance(k, str) for k in value):
            return dict(items)
        return {PAIRS: [[k, v] for k, v in items]}
    if isinstance(value, list | tuple):
        return [pack(v, tensors, f"{path}.{i}") for i, v in enumerate(value)]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise CheckpointError(f"{path} is a {type(value).__name__}; a checkpoint cannot hold it.")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Inverse of `pack`; tuples come back as lists."""
    if isinstance(value, dict):
        if TENSOR in value:
            return tensors[value[TENSOR]]
        if PAIRS in value:
            return {k: unpack(v, tensors) for k, v in value[PAIRS]}
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
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._events: SummaryWriter | None = None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run; a second process is refused instead of writing into it.

        Raises:
            CheckpointError: another process holds it.

        """
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CheckpointError(
                    f"Another process is writing to the run {self.path}. Wait for it, stop it, "
                    "or choose another directory with --out."
                ) from error
            yield

    def write_json(self, name: str, value: Any) -> None:
        """Write RUN/name durably."""
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        write_atomic(self.path / name, text.encode())

    def log(self, row: dict[str, Any]) -> None:
        """Append one row, with its "step", to metrics.jsonl and to TensorBoard's events."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        step = int(row["step"])
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)
        for name, value in row.items():
            self._events.add_scalar(name, value, step)

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
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, data in files.items():
            write_atomic(partial / name, data)
        if final.exists():
            self._remove(final)
        partial.rename(final)
        sync_folder(self.checkpoints)
        for old in self._steps()[: -self.keep]:
            self._remove(old)
        return final

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
            try:
                return int(folder.name), _read(folder)
            except (OSError, ValueError, KeyError, SafetensorError):
                quarantine = self.path / "quarantine"
                quarantine.mkdir(exist_ok=True)
                number = len(list(quarantine.iterdir()))
                folder.rename(quarantine / f"{folder.name}-{number}")
        return None


def _read(folder: Path) -> State:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    files = {name: (folder / name).read_bytes() for name in ("state.safetensors", "state.json")}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != manifest[name]:
            raise ValueError(f"{folder / name} does not match its manifest")
    tensors = load(files["state.safetensors"])
    state: State = unpack(json.loads(files["state.json"]), tensors)
    return state


def code_version() -> str:
    """Package version, and the commit where the package is a checkout."""
    from tradinghf import __version__

    head = Path(__file__).resolve().parents[2] / ".git" / "HEAD"
    try:
        text = head.read_text().strip()
        if text.startswith("ref: "):
            text = (head.parent / text[5:]).read_text().strip()
        return f"{__version__}+{text[:12]}"
    except OSError:
        return __version__


def torch_settings() -> dict[str, Any]:
    """What numbers depend on beside config and seed."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads()}
