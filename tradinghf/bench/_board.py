"""A leaderboard that reruns: rules, tuned rules and trained policies on sealed bars, after costs.

Published leaderboards of reinforcement learning in finance show one seed, of bars that were looked
at before. Here every contender, seed and data set comes from one command, and the last bars of
each data set are sealed in a store: opened for the table alone, and the opening is logged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tradinghf._json import keep_settings, parse_json
from tradinghf.bench._board_cells import (
    BoardBench,
    Cell,
    first_sealed,
    measure_cell,
    too_short,
)
from tradinghf.bench._board_published import what_remains
from tradinghf.bench._board_table import board_markdown, board_of
from tradinghf.bench._core import stamp
from tradinghf.durable import make_folder, write_atomic
from tradinghf.errors import check_setting
from tradinghf.executors import ExecutorLike, as_executor

_SETTINGS = "bench.json"
_WHY = "the table of tradinghf bench board"


def measure_board(
    bench: BoardBench,
    folder: Path,
    *,
    executor: ExecutorLike = "local",
    progress: Callable[[str, int, int, Mapping[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Trade what is not traded yet, and make the tables.

    Args:
        bench: settings.
        folder: one JSON file per cell, and the store of seals; what exists is not made again.
        executor: where trainings run, see `tradinghf.executors.as_executor`.
        progress: called with (phase, done, total, {}).

    Returns:
        JSON-ready: boards (data set -> `board_of`), left_out (data set -> why it has no table),
        published (`what_remains`), markdown, settings and where it was measured.

    Raises:
        ConfigError: no data set has bars enough.
        CheckpointError: the folder holds results of other settings.

    """
    make_folder(folder)
    # Data and seeds may be added to a folder; how each is trained must not change.
    own = {k: v for k, v in asdict(bench).items() if k not in ("data", "seeds")}
    keep_settings(folder / _SETTINGS, own)
    left_out = {data: why for data in bench.data if (why := too_short(data))}
    check_setting(len(left_out) < len(bench.data), "data", bench.data, _enough(left_out))
    bench = replace(bench, data=tuple(data for data in bench.data if data not in left_out))
    for data in bench.data:
        _seal(data, folder)
    cells = bench.cells()
    missing = [cell for cell in cells if not _file(folder, cell).is_file()]
    done = len(cells) - len(missing)
    for number, found in as_executor(executor)(measure_cell, bench, missing):
        write_atomic(_file(folder, missing[number]), json.dumps(found).encode())
        done += 1
        if progress:
            progress("board", done, len(cells), {})
    boards = {data: _board(data, folder, cells) for data in bench.data}
    remains = what_remains()
    return {
        "benchmark": "board",
        **stamp(),
        "settings": asdict(bench),
        "boards": boards,
        "left_out": left_out,
        "published": remains,
        "markdown": board_markdown(boards, remains, left_out),
    }


def _board(data: str, folder: Path, cells: list[Cell]) -> dict[str, Any]:
    """The table of one data set, whose opening is logged."""
    from tradinghf.evaluation import open_study

    with open_study(
        data, store=str(folder / "store"), open_sealed=_WHY, purpose="board", notify=lambda _: None
    ) as study:
        own = [parse_json(_file(folder, c).read_text()) for c in cells if c[0] == data]
        study.count_trials("board", data, [{"cell": _file(folder, c).stem} for c in cells])
        found = board_of(own, study.market.bars_per_year)
        cut = first_sealed(study.data_set)
        about = {"sha256": study.data_set.sha256, "sealed_from": str(study.data_set.index[cut])}
    return about | {"cpu_seconds": sum(cell["cpu_seconds"] for cell in own)} | found


def _enough(left_out: Mapping[str, str]) -> str:
    return f"bars enough for a table ({'; '.join(f'{k}: {v}' for k, v in left_out.items())})"


def _seal(data: str, folder: Path) -> None:
    """Seal the last bars, once."""
    from tradinghf.evaluation import first_sealed_day
    from tradinghf.feedback.store import Store
    from tradinghf.market import load_market

    market = load_market(data)
    with Store(folder / "store") as store:
        store.recognise(market)
        if first_sealed_day(market, store) is None:
            day = f"{market.index[first_sealed(market)]:%Y-%m-%d}"
            store.count_trial("seal", day, market.sha256)


def _file(folder: Path, cell: Cell) -> Path:
    data, seed = cell
    name = "".join(c if c.isalnum() else "-" for c in data)
    return folder / f"{name}-{'rules' if seed is None else seed}.json"
