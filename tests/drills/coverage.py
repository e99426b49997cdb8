"""Drill of the file readers by a coverage-guided fuzzer: atheris keeps what reaches new lines.

`blob-fuzz` and `market-fuzz` make files that lie in ways that somebody thought of; this one finds
its own, from one good file of each kind. A reader runs in a process of its own, which ends at the
first error that is none of the package. `pip install atheris` beside the other packages.

    python tests/drills/coverage.py KIND FOLDER SECONDS    # what the drill runs for each reader
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from drills.core import NotHereError, Outcome, Say, in_child

KINDS = (
    "bars.csv",
    "bars.parquet",
    "episode.safetensors",
    "policy.safetensors",
    "export.jsonl",
    "export.csv",
    "model.json",
)
MEMORY = 2048  # [MiB] for the whole process
SLOWEST = 20  # seconds for one file
Reader = Callable[[Path], object]


def coverage(work: Path, seconds: int, say: Say) -> Outcome:
    """Fuzz each reader for `seconds`; a case is a file that was read."""
    if find_spec("atheris") is None:
        raise NotHereError("No coverage guides the fuzzing: pip install atheris (not in the lock).")
    code, _ = in_child(lambda _tell: _samples(work))
    if code:
        raise RuntimeError("The samples could not be made; see above.")
    failures, figures = [], {}
    for kind in KINDS:
        done = subprocess.run(
            [sys.executable, __file__, kind, str(work), str(seconds)],
            cwd=work,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + 600,
            check=False,
        )
        read = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
        reached = re.findall(r"\bft: (\d+)", done.stderr)
        figures[kind] = {"files": int(read[1]) if read else 0, "reached": int((reached or [0])[-1])}
        if done.returncode or not read:
            failures.append(f"{kind}: code {done.returncode}: {_last_words(done.stderr)}")
        say(f"{kind}: {figures[kind]}, code {done.returncode}")
    return Outcome(sum(found["files"] for found in figures.values()), tuple(failures), figures)


def _last_words(said: str) -> str:
    """The error of the file that ended it, without libFuzzer's table."""
    found = re.search(r"Uncaught Python exception.*?(?===\d+==)", said, re.DOTALL)
    return " | ".join((found[0] if found else said[-600:]).split("\n"))[-900:]


def _samples(work: Path) -> None:
    """A folder for each reader, with one good file."""
    from drills.blob_fuzz import make_samples
    from tradinghf.market import save_market, synthetic

    made = work / "made"
    made.mkdir()
    make_samples(made)
    bars = synthetic(seed=0, bars=12, assets=1)
    for name in ("bars.csv", "bars.parquet"):
        save_market(bars, made / name)
    _model(made / "model.json")
    for kind in KINDS:
        (work / kind).mkdir()
        (work / kind / "good").write_bytes((made / kind).read_bytes())


def _model(path: Path) -> None:
    """A reward model of a few answers."""
    from drills.samples import EPISODES, answer, fill_store
    from tradinghf.feedback.store import Store
    from tradinghf.learning.reward import RewardModel

    folder = path.with_name("answers")
    ids = fill_store(folder)
    with Store(folder) as store:
        for index in range(2 * EPISODES):
            store.submit(answer(ids, "ann", index))
        episodes = {episode.id: episode for episode in store.episodes()}
        RewardModel().fit(store.rankings(), episodes).save(path)


def _reader(kind: str, work: Path) -> Reader:
    """What the package does with that kind of file; loads no more than it needs."""
    if kind.startswith("bars"):
        from tradinghf.market import load_file

        return load_file
    if kind.startswith("episode"):
        from tradinghf.episodes import Episode

        return Episode.load
    if kind.startswith("policy"):
        from tradinghf.learning.policy import Policy

        return Policy.load
    if kind.startswith("model"):
        from tradinghf.learning.reward import RewardModel

        return RewardModel.load
    from tradinghf.feedback.store import Store

    store = Store(work / f"importing-{kind}")
    if kind.endswith(".csv"):  # a table names episodes and brings none
        store.import_from(work / "made" / "export.jsonl")
    return store.import_from


def main(kind: str, work: Path, seconds: str) -> None:
    """Fuzz one reader in this process; libFuzzer ends it."""
    atheris: Any = import_module("atheris")  # not in the lock, so that it is no dependency

    with atheris.instrument_imports(include=["tradinghf"]):
        read = _reader(kind, work)
    from tradinghf.errors import TradingHFError

    path = work / f"fuzzed-{kind}"
    read(_copied(work / kind / "good", path))  # what loads late is loaded now

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path)
        except TradingHFError as error:
            if not str(error).strip():
                raise AssertionError("an error without a sentence") from error

    options = {
        "max_total_time": seconds,
        "seed": "1",
        "rss_limit_mb": str(MEMORY),
        "timeout": str(SLOWEST),
        "max_len": "20000",
        "print_final_stats": "1",
        "artifact_prefix": f"{work}/",
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *words, str(work / kind)], one)
    atheris.Fuzz()


def _copied(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
