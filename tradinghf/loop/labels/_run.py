"""Every training of the benchmark, over the machine's cores, continued where it was left."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tradinghf.durable import make_folder, write_atomic
from tradinghf.errors import CheckpointError
from tradinghf.loop.labels._cells import Cell, LabelBench, run_cell

Progress = Callable[[str, int, int, dict[str, float]], None]
_SETTINGS = "bench.json"


def run_labels(
    bench: LabelBench, folder: Path, *, jobs: int = 1, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Run what is not done yet.

    Args:
        bench: settings.
        folder: one JSON file per training; those that exist are not run again.
        jobs: trainings at a time: one here, or several processes of one thread each.
        progress: called with (phase, done, total, {}).

    Returns:
        One dict per training (`run_cell`).

    Raises:
        CheckpointError: the folder holds results of other settings.

    """
    report = progress or (lambda *_: None)
    make_folder(folder)
    _same_settings(bench, folder)
    phases = bench.cells()
    total = sum(len(phase) for phase in phases)
    done = 0
    for phase in phases:
        missing = [cell for cell in phase if not _file(folder, cell).is_file()]
        done += len(phase) - len(missing)
        if not missing:
            continue
        for _ in _spread(bench, missing, folder, jobs):
            done += 1
            report("trainings", done, total, {})
    return [json.loads(_file(folder, c).read_text()) for phase in phases for c in phase]


def _spread(bench: LabelBench, cells: list[Cell], folder: Path, jobs: int) -> Iterator[None]:
    """Run cells, `jobs` at a time; yields after each."""
    if jobs == 1:
        for cell in cells:
            _work(bench, cell, folder)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool:
        running = [pool.submit(_work, bench, cell, folder) for cell in cells]
        try:
            for future in as_completed(running):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _same_settings(bench: LabelBench, folder: Path) -> None:
    """Cells may be added to a folder; how each is trained must not change."""
    varied = ("traders", "teachers", "markets", "seeds", "rankings", "plain")
    own = {k: v for k, v in dataclasses.asdict(bench).items() if k not in varied}
    now = json.dumps(own, indent=1)
    file = folder / _SETTINGS
    if not file.is_file():
        write_atomic(file, now.encode())
    elif file.read_text() != now:
        raise CheckpointError(
            f"{folder} holds trainings of other settings (see {file}). Use another --out, or the "
            "same settings."
        )


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _work(bench: LabelBench, cell: Cell, folder: Path) -> None:
    found = run_cell(bench, cell, folder)
    write_atomic(_file(folder, cell), json.dumps(found).encode())
