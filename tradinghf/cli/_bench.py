"""`tradinghf bench`: how fast this machine is, and how few rankings teach how much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tradinghf.bench import BENCHMARKS
from tradinghf.cli import _output as output
from tradinghf.cli._board import board
from tradinghf.cli._files import write_values
from tradinghf.cli._options import OutputFile, OutputPath, SpreadOver
from tradinghf.cli._progress import progress
from tradinghf.durable import write_atomic

if TYPE_CHECKING:
    from tradinghf.loop.labels import LabelBench

_Command = Callable[..., None]


def _speed_command(name: str) -> _Command:
    """The command of a registered benchmark."""

    def run(*, json: OutputFile = None, quick: bool = False) -> None:
        from tradinghf.bench import run_benchmark

        found = run_benchmark(name, quick=quick)
        columns = ["case", "value", "best", "unit"]
        rows = [tuple(row[column] for column in columns) for row in found["results"]]
        about = found["device"]
        where = f"{about['gpu'] or about['cpu']}, {about['cores']} cores"
        output.table(["case", "median", "best", "unit"], rows, title=f"{name} on {where}")
        if json is not None:
            _write_json(json, found)

    run.__doc__ = f"""Measure: {BENCHMARKS[name].help}.

    Example: `tradinghf bench {name} --json {name}.json`

    Args:
        json: Write the results, with device, versions and commit, to this file.
        quick: Small sizes: shows that it works, not how fast.

    """
    return run


def labels(
    *,
    traders: tuple[str, ...] = (),
    teachers: tuple[str, ...] = ("oracle",),
    rankings: tuple[int, ...] = (10, 25, 50),
    markets: tuple[str, ...] = ("momentum", "mean_reversion"),
    seeds: int = 3,
    steps: int = 800_000,
    yardstick_steps: int | None = None,
    yardsticks: int = 1,
    gate: Literal["all", "harmed", "none"] = "all",
    plain: bool = True,
    executor: SpreadOver = "processes",
    out: OutputPath = Path("runs/labels"),
    json: OutputFile = None,
) -> None:
    """Label efficiency: how near to training on the true utility so many rankings come (S, G).

    Trains PPO on sparse PnL, on each hidden utility itself, and on what the loop learns from
    rankings, and compares their true utility on unseen paths. Every training is a file in --out;
    a run that was stopped goes on with what is missing.

    Example: `tradinghf bench labels --traders drawdown --rankings 25 --seeds 1`

    Args:
        traders: Hidden utilities, by name or FILE.py:function; default: the eight built-in ones
            other than plain profit.
        teachers: How faithfully they answer; the first for every number of rankings, the others
            for the largest.
        rankings: Numbers of rankings of five.
        markets: Synthetic regimes.
        seeds: Seeds per market.
        steps: Environment steps of every training.
        yardstick_steps: Of PPO on the true utility, where it gets more.
        yardsticks: Seeds of PPO on the true utility; the best is the yardstick.
        gate: Ask the no-harm gate about all trainings, those that end below PPO on PnL, or none.
        plain: Also train the usual baseline: a plain network on as many bits of random pairs.
        executor: Where trainings run: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        out: Folder of the trainings.
        json: Write summary and trainings, with device, versions and commit, to this file, and
            the tables beside it as Markdown.

    """
    from tradinghf.loop.labels import IN_SPAN, LabelBench, markdown, run_labels, summarise

    bench = LabelBench(
        traders=traders or IN_SPAN,
        teachers=teachers,
        rankings=rankings,
        markets=markets,
        seeds=seeds,
        steps=steps,
        yardstick_steps=yardstick_steps,
        yardsticks=yardsticks,
        gate=gate,
        plain=plain,
    )
    with progress() as report:
        found = run_labels(bench, out, executor=executor, progress=report)
    rows = summarise(found)
    output.line(markdown(rows))
    if json is not None:
        _write_results(json, bench, rows, found)
        output.line(f"Results: {json} and {json.with_suffix('.md')}")


def tastes(
    *,
    traders: tuple[str, ...] = (),
    teachers: tuple[str, ...] = ("oracle",),
    rankings: tuple[int, ...] = (3, 5, 10, 25, 50, 100, 200),
    markets: tuple[str, ...] = ("momentum", "mean_reversion"),
    seeds: int = 3,
    learned: float = 0.5,
    executor: SpreadOver = "local",
    out: OutputPath = Path("runs/tastes"),
    json: OutputFile = None,
) -> None:
    """How well tastes are learned from so many rankings, without training a policy on each.

    Held-out answers, the order of unseen episodes and of what policies do, and what the choice by
    the learned reward is worth. Each market, seed, trader and teacher is a file in --out; a run
    that was stopped goes on with what is missing.

    Example: `tradinghf bench tastes --traders drawdown --rankings 5 25 --seeds 1`

    Args:
        traders: Hidden utilities, by name or FILE.py:function; default: the eight built-in ones
            other than plain profit.
        teachers: How faithfully they answer.
        rankings: Numbers of rankings of five.
        markets: Synthetic regimes.
        seeds: Worlds per market.
        learned: Prior probability that a taste needs the learned features; 0 leaves them out.
        executor: Where they are measured: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        out: Folder of the results.
        json: Write the rows, with device, versions and commit, to this file, and the table beside
            it as Markdown.

    """
    from tradinghf.bench import stamp
    from tradinghf.config import to_dict
    from tradinghf.learning.config import RewardConfig
    from tradinghf.loop.labels import IN_SPAN, TasteBench, run_tastes, taste_table

    bench = TasteBench(
        traders=traders or IN_SPAN,
        teachers=teachers,
        markets=markets,
        seeds=seeds,
        rankings=rankings,
        reward=RewardConfig(learned=learned),
    )
    with progress() as report:
        rows = run_tastes(bench, out, executor=executor, progress=report)
    table = taste_table(rows)
    output.line(table)
    if json is not None:
        about = {"benchmark": "tastes", **stamp(), "settings": to_dict(bench)}
        _write_json(json, about | {"rows": rows})
        write_atomic(json.with_suffix(".md"), table.encode())


def gate(
    *,
    markets: int = 1000,
    seed: int = 0,
    executor: SpreadOver = "local",
    json: OutputFile = None,
) -> None:
    """How often the no-harm gate lets harm through, on made-up markets whose truth is known.

    Candidates just at the edge of harm and worse ones, in worlds with fat tails, regimes,
    correlated assets, rare losses and several snapshots; worlds beyond what the gate promises;
    its power; the false alarms and the delay of the monitor; markets that break after the gate.

    Example: `tradinghf bench gate --json gate.json`

    Args:
        markets: Made-up markets per row of errors; a quarter of them in the other tables.
        seed: Of all of them.
        executor: Where rows are measured: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        json: Write the tables, with device, versions and commit, to this file.

    """
    from tradinghf.bench import measure_gate, stamp

    with progress() as tell:
        found = measure_gate(
            markets,
            seed,
            executor=executor,
            progress=lambda done, total: tell("rows", done, total, {}),
        )
    for name, rows in found.items():
        output.table(list(rows[0]), [tuple(map(_cell, row.values())) for row in rows], title=name)
    if json is not None:
        about = {"benchmark": "gate", "command": f"tradinghf bench gate --markets {markets}"}
        _write_json(json, about | stamp() | {"seed": seed, "tables": found})


def trust(*, quick: bool = False, json: OutputFile = None) -> None:
    """Can its numbers be trusted? Planted leaks, an agent that sees the future, and pure noise.

    50 strategies with a leak must be called leaking by `tradinghf check`, and 30 honest ones that
    look suspicious must not; PPO that observes the next move must earn what can be earned; the
    best of many rules on noise must not be called proven.

    Example: `tradinghf bench trust --json trust.json`

    Args:
        quick: A part of each.
        json: Write the results, with device, versions and commit, to this file.

    """
    from tradinghf.bench import measure_trust, stamp

    found = measure_trust(quick=quick)
    for name in ("leaks", "oracle", "noise"):
        output.pairs(found[name], title=name)
    wrong = [row["file"] for row in found["files"] if row["flagged"] != row["planted"]]
    output.line(f"Judged wrongly: {', '.join(wrong) or 'none'}.")
    if json is not None:
        about = {"benchmark": "trust", "command": "tradinghf bench trust" + " --quick" * quick}
        _write_json(json, about | stamp() | found)


def own(
    *,
    runs: int = 200,
    reached: int = 40,
    bases: tuple[str, ...] = ("sma_cross",),
    traders: tuple[str, ...] = ("drawdown",),
    rankings: int = 15,
    steps: int = 128_000,
    data: tuple[str, ...] = (),
    minutes: float = 0.0,
    executor: SpreadOver = "local",
    json: OutputFile = None,
) -> None:
    """From one's own strategy and a few rankings: what tuning and an overlay gain, and never harm.

    In every world a reward is learned from the rankings of a hidden taste; the base's parameters
    are tuned by it, and an overlay of the base is trained. G compares the gain in true utility on
    unseen bars with what the true utility itself finds. Then the gate decides. On real bars a
    policy from nothing stands beside them, and a table pools the differences to the base. Worlds
    that --json holds already are kept, so a run that was stopped goes on.

    Example: `tradinghf bench own --runs 4 --reached 2 --json own.json`

    Args:
        runs: Worlds of each base and taste.
        reached: In so many of them the best is also sought with the true utility.
        bases: Strategies that trade now, of those that are shipped.
        traders: Hidden tastes.
        rankings: Answers of five.
        steps: Environment steps of each training.
        data: Real bars instead of made-up ones; one after the other.
        minutes: Begin no world after so many minutes; 0: all of them.
        executor: Where worlds are measured: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        json: Write the summary and the worlds, with device, versions and commit, to this file,
            and of real bars the table beside it as Markdown.

    """
    import time

    from tradinghf.bench import OwnBench, measure_own

    bench = OwnBench(
        runs=runs,
        reached=reached,
        bases=bases,
        traders=traders,
        rankings=rankings,
        steps=steps,
        data=data,
    )
    until = time.time() + 60 * minutes if minutes else None
    with progress() as report:
        found = measure_own(bench, file=json, until=until, executor=executor, progress=report)
    for name, part in found["summary"].items():
        if isinstance(part, dict):
            output.pairs({k: _cell(v) for k, v in part.items()}, title=name)
    output.line(f"{found['summary']['worlds']} worlds.")
    if data:
        output.line(found["markdown"])
        if json is not None:
            write_atomic(json.with_suffix(".md"), found["markdown"].encode())


def _cell(value: Any) -> Any:
    return ", ".join(f"{v:.2f}" for v in value) if isinstance(value, list) else value


def _write_json(file: Path, found: dict[str, Any]) -> None:
    write_values(file, found)
    output.line(f"Results: {file}")


def _write_results(file: Path, bench: LabelBench, rows: list[Any], found: list[Any]) -> None:
    from tradinghf.bench import stamp
    from tradinghf.config import to_dict
    from tradinghf.loop.labels import markdown

    about = {"benchmark": "labels", **stamp(), "settings": to_dict(bench)}
    write_values(file, about | {"summary": rows, "trainings": found})
    write_atomic(file.with_suffix(".md"), markdown(rows).encode())


def coverage(
    *,
    worlds: int = 1000,
    kinds: tuple[str, ...] = (),
    seed: int = 0,
    executor: SpreadOver = "local",
    json: OutputFile = None,
) -> None:
    """How often the printed intervals hold the truth, in worlds where it is known.

    A nominal 95 % interval is good where that is 93 to 97 % of worlds. Kinds that --json holds
    already, with as many worlds, are not drawn again, so a run that was stopped goes on.

    Example: `tradinghf bench coverage --worlds 50 --kinds "10 held-out rankings"`

    Args:
        worlds: Draws of each kind.
        kinds: Kinds of worlds, as in the table; all by default.
        seed: Of the draws.
        executor: Where worlds are drawn: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        json: Write the results, with device, versions and commit, to this file, and the table
            beside it as Markdown.

    """
    from tradinghf.bench import coverage_table as table
    from tradinghf.bench import measure_coverage

    with progress() as report:
        found = measure_coverage(
            worlds, names=kinds, seed=seed, file=json, executor=executor, progress=report
        )
    output.line(table(found["rows"]))
    if json is not None:
        write_atomic(json.with_suffix(".md"), table(found["rows"]).encode())
        output.line(f"Results: {json} and {json.with_suffix('.md')}")


COMMANDS: dict[str, _Command] = {name: _speed_command(name) for name in BENCHMARKS} | {
    "board": board,
    "coverage": coverage,
    "gate": gate,
    "own": own,
    "trust": trust,
    "labels": labels,
    "tastes": tastes,
}
