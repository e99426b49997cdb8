"""Every training of the benchmark, over cores or machines, continued where it was left."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tradinghf._json import keep_settings
from tradinghf.durable import make_folder, write_atomic
from tradinghf.executors import ExecutorLike, as_executor
from tradinghf.loop.labels._cells import Cell, LabelBench, run_cell

Progress = Callable[[str, int, int, dict[str, float]], None]
_SETTINGS = "bench.json"
_VARIED = ("traders", "teachers", "markets", "seeds", "rankings", "plain")


def run_labels(
    bench: LabelBench,
    folder: Path,
    *,
    executor: ExecutorLike = "local",
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Run what is not done yet.

    Args:
        bench: settings.
        folder: one JSON file per training; those that exist are not run again.
        executor: where trainings run, see `tradinghf.executors.as_executor`. Other machines need
            no access to `folder`; a trader's file travels with its trainings.
        progress: called with (phase, done, total, {}).

    Returns:
        One dict per training (`run_cell`).

    Raises:
        CheckpointError: the folder holds results of other settings.

    """
    report = progress or (lambda *_: None)
    run = as_executor(executor)
    make_folder(folder)
    # Cells may be added to a folder; how each is trained must not change.
    own = {k: v for k, v in dataclasses.asdict(bench).items() if k not in _VARIED}
    keep_settings(folder / _SETTINGS, own)
    phases = bench.cells()
    total = sum(len(phase) for phase in phases)
    done = 0
    for phase in phases:
        missing = [cell for cell in phase if not _file(folder, cell).is_file()]
        done += len(phase) - len(missing)
        if not missing:
            continue
        for _, made in run(_work, (bench, _needed(missing, folder)), missing):
            for name, content in made.items():  # the policy of a training before its results
                write_atomic(folder / name, content)
            done += 1
            report("trainings", done, total, {})
    return [json.loads(_file(folder, c).read_text()) for phase in phases for c in phase]


def _needed(cells: Sequence[Cell], folder: Path) -> dict[str, bytes]:
    """Files that trainings read: policies of earlier ones, and traders by their paths."""
    policies = {path.name: path for path in folder.glob("*.safetensors")}
    traders = {cell.trader.rpartition(":")[0] for cell in cells if ".py:" in cell.trader}
    files = policies | {name: Path(name) for name in traders}
    return {name: file.read_bytes() for name, file in files.items()}


def _work(setting: tuple[LabelBench, dict[str, bytes]], cell: Cell) -> dict[str, bytes]:
    """One training in a folder of its own, wherever the executor puts it; the files it made."""
    bench, needed = setting
    with TemporaryDirectory() as place:
        folder, there = Path(place), {}
        for number, (name, content) in enumerate(needed.items()):
            there[name] = folder / (name if name.endswith(".safetensors") else f"{number}.py")
            write_atomic(there[name], content)
        trader, _, function = cell.trader.rpartition(":")
        here = replace(cell, trader=f"{there[trader]}:{function}") if trader in there else cell
        found = run_cell(bench, here, folder) | {"trader": cell.trader}
        made = {p.name: p.read_bytes() for p in folder.iterdir() if p not in there.values()}
    return made | {_file(Path(), cell).name: json.dumps(found).encode()}


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"
