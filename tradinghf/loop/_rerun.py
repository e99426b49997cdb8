"""Run a capsule's training again, and say whether it gives the same bytes, or where it departed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradinghf._json import parse_json
from tradinghf.errors import CheckpointError
from tradinghf.loop._capsule import (
    PAGE,
    Capsule,
    command_of,
    installed,
    machine,
    policy_page,
    read_config,
    read_object,
    same_environment,
    unpack,
)

_CLOCKS = ("seconds", "steps_per_s")  # of the metrics: they differ in every run
_MISSING = object()


@dataclass(frozen=True)
class Verified:
    """What came of running a capsule again.

    Attributes:
        same: policy, results and page are equal, byte by byte.
        first: where the training first departed, in words; empty if it did not.
        differences: what differs, most important first.
        elsewhere: how this machine is another one than the capsule's.

    """

    same: bool
    first: str
    differences: tuple[str, ...]
    elsewhere: tuple[str, ...]


def verify_capsule(path: Path, *, data: str | None = None) -> Verified:
    """Train again what a capsule holds, and compare.

    The command of the capsule runs in a folder that is removed afterwards: `train` or `rlhf` with
    shipped parts alone, as a capsule brings no code.

    Args:
        path: the capsule.
        data: the bars, where the capsule has only their hash, and their name leads to others here.

    Raises:
        CheckpointError: the capsule is damaged or not to be trusted; the training failed.

    """
    with tempfile.TemporaryDirectory() as folder:
        held, again = Path(folder) / "capsule", Path(folder) / "again"
        capsule = unpack(path, held)
        _check_settings(capsule, read_config(held / "run"))
        again.mkdir()
        command = _command(capsule, held, again, data)
        done = subprocess.run(
            [sys.executable, "-m", "tradinghf", "--quiet", *command],
            cwd=again,
            env=same_environment() | {"OMP_NUM_THREADS": str(capsule.threads)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or ["no words"]
            raise CheckpointError(f"The capsule's training failed here: {said[0]}")
        return _compare(capsule, held / "run", again)


def _command(capsule: Capsule, held: Path, again: Path, data: str | None) -> list[str]:
    """The capsule's command with places of here."""
    words = list(capsule.command)
    places = {"--out": "run"}
    bars = sorted((held / "bars").glob("*"))
    spec = words[words.index("--data") + 1] if "--data" in words else ""
    if data is not None:
        places["--data"] = str(Path(data).resolve()) if Path(data).is_file() else data
    elif bars:
        options = spec.partition(":")[1:]
        places["--data"] = f"{bars[0]}{''.join(options)}"
    elif "/" in spec or Path(spec.partition(":")[0]).suffix:
        raise CheckpointError(
            f"The capsule has the hash of its bars alone ({spec}); name the file with --data."
        )
    if (held / "store").is_dir():
        from tradinghf.feedback.store import restore

        restore(held / "store", again / "store")
    places["--store"] = "store"
    for option, place in places.items():
        if option in words:
            words[words.index(option) + 1] = place
        else:
            words += [option, place]
    return words


def _check_settings(capsule: Capsule, config: dict[str, Any]) -> None:
    """Refuse a capsule whose manifest says another training than its config.json."""
    said = {
        "command": capsule.command,
        "seed": capsule.settings["seed"],
        "code": capsule.settings["code"],
        "bars": capsule.settings["bars"],
    }
    held = {
        "command": command_of(config),
        "seed": config["experiment"]["seed"],
        "code": config["code"],
        "bars": config["data_sha256"],
    }
    other = [name for name in said if said[name] != held[name]]
    if other:
        raise CheckpointError(
            f"The capsule contradicts itself: its manifest and its config.json name another "
            f"{other[0]}. Ask for the file as `tradinghf pack` wrote it."
        )


def _compare(capsule: Capsule, before: Path, again: Path) -> Verified:
    run = again / "run"
    found = [*_config_differences(before, run)]
    names = sorted(name for name in capsule.files if name.endswith(".safetensors"))
    found += [
        f"{name.removeprefix('run/')} has other bytes."
        for name in names
        if name.startswith("run/") and not _same_bytes(again / name, before.parent / name)
    ]
    for name in ("result.json", "policy.json", "reward.json"):
        if (before / name).is_file() or (run / name).is_file():
            found += _json_differences(before / name, run / name, name)
    if not _same_bytes(policy_page(run, again / PAGE), before.parent / PAGE):
        found.append(f"{PAGE} has other bytes.")
    first = _departed(before, run)
    same = not (found or first)
    return Verified(same, first, tuple(found), tuple(_elsewhere(capsule)))


def _same_bytes(one: Path, two: Path) -> bool:
    return one.is_file() and two.is_file() and one.read_bytes() == two.read_bytes()


def _config_differences(before: Path, run: Path) -> Iterator[str]:
    """Other bars or other settings explain everything that follows."""
    one, two = read_config(before), read_config(run)
    for part in sorted({*one["data_sha256"], *two["data_sha256"]}):
        old, new = (config["data_sha256"].get(part) for config in (one, two))
        if old != new:
            yield f"The {part} bars are others: {new}, not {old}."
    for where, old, new in _unequal(_anywhere(one["experiment"]), _anywhere(two["experiment"])):
        yield f"config.json, {where}: {new!r} here, {old!r} in the capsule."


def _anywhere(found: dict[str, Any]) -> dict[str, Any]:
    """Without the names of places: bars are compared by their hash, answers by what they teach."""
    places = {"data"} | ({"trader"} if str(found.get("trader")).startswith("store:") else set())
    return {name: value for name, value in found.items() if name not in places}


def _departed(before: Path, run: Path) -> str:
    """The first number of the training's metrics that differs."""
    rows = [_metrics(place) for place in (before, run)]
    for k, (one, two) in enumerate(zip(*rows, strict=False), 1):
        for where, old, new in _unequal(one, two):
            step = one.get("step")
            at = f"step {step:,.0f}" if isinstance(step, int | float) else f"row {k}"
            return f"{at}, {where}: {new!r} here, {old!r} in the capsule"
    if len(rows[0]) != len(rows[1]):
        return f"row {min(map(len, rows)) + 1}: {len(rows[1])} rows here, {len(rows[0])} there"
    return ""


def _metrics(run: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl."""
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [parse_json(line) for line in lines]
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"run/metrics.jsonl is not readable: {error}.") from error
    if not all(isinstance(row, dict) for row in rows):
        raise CheckpointError("run/metrics.jsonl holds a line that is no object; expected one.")
    return rows


def _json_differences(before: Path, after: Path, what: str) -> list[str]:
    if not (before.is_file() and after.is_file()):
        return [f"{what} is {'not made here' if before.is_file() else 'not in the capsule'}."]
    one, two = _anywhere(read_object(before)), _anywhere(read_object(after))
    return [
        f"{what}, {where}: {new!r} here, {old!r} in the capsule."
        for where, old, new in _unequal(one, two)
    ]


def _unequal(one: Any, two: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(two, dict):
        for name in sorted({*one, *two} - set(_CLOCKS)):
            place = f"{where}.{name}".lstrip(".")
            yield from _unequal(one.get(name, _MISSING), two.get(name, _MISSING), place)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for k, pair in enumerate(zip(one, two, strict=True)):
            yield from _unequal(*pair, f"{where}[{k}]")
    elif one != two and not (one != one and two != two):  # NaN is NaN
        nothing = {id(_MISSING): "nothing"}
        yield where, nothing.get(id(one), one), nothing.get(id(two), two)


def _elsewhere(capsule: Capsule) -> Iterator[str]:
    """How this machine differs from the one that made the capsule."""
    if machine() != capsule.machine:
        yield f"machine: {machine()} here, {capsule.machine} in the capsule"
    here = installed()
    for name in ("torch", "numpy", "numba", "pandas", "scipy", "tradinghf"):
        there = capsule.packages.get(name)
        if there is not None and here.get(name) != there:
            yield f"{name}: {here.get(name, 'none')} here, {there} in the capsule"
