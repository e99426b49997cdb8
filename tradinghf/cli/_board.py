"""`tradinghf bench board`: the leaderboard that reruns."""

from __future__ import annotations

from pathlib import Path

from tradinghf.cli import _output as output
from tradinghf.cli._files import write_values
from tradinghf.cli._options import OutputFile, OutputPath, SpreadOver
from tradinghf.cli._progress import progress
from tradinghf.durable import write_atomic


def board(
    *,
    data: tuple[str, ...] = ("sp500", "goog", "eurusd_1h"),
    seeds: int = 10,
    steps: int = 40_960,
    rankings: int = 25,
    trader: str = "drawdown",
    fee_bps: float = 5.0,
    slippage_bps: float = 5.0,
    executor: SpreadOver = "processes",
    out: OutputPath = Path("runs/board"),
    json: OutputFile = None,
) -> None:
    """A leaderboard that reruns: rules and trained policies on sealed last bars, after costs.

    Shipped strategies, the same tuned, PPO on PnL, RLHF, PPO of Stable-Baselines3 where it is
    installed, and ensembles that choose by the last quarter, each with intervals and deflated by
    all that was tried. Everything is a file in --out; a run that was stopped goes on with what is
    missing.

    Example: `tradinghf bench board --data sp500 --seeds 2 --steps 4096`

    Args:
        data: Bars of each table; files of your own too. What is too short for one is said.
        seeds: Of everything that is trained.
        steps: Environment steps of each training.
        rankings: Of five, for RLHF.
        trader: Hidden taste that answers them.
        fee_bps: Fee per fill [basis points].
        slippage_bps: Slippage per fill [basis points].
        executor: Where trainings run: local (this process), processes (one per
            processor, or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        out: Folder of the results, and of the store with the seals.
        json: Write the tables, with device, versions and commit, to this file, and as Markdown
            beside it.

    """
    from tradinghf.bench import BoardBench, measure_board

    bench = BoardBench(
        data=data,
        seeds=seeds,
        steps=steps,
        rankings=rankings,
        trader=trader,
        fee_bps=fee_bps,
        slippage_bps=slippage_bps,
    )
    with progress() as report:
        found = measure_board(bench, out, executor=executor, progress=report)
    text = found.pop("markdown")
    output.line(text)
    if json is not None:
        write_values(json, found)
        write_atomic(json.with_suffix(".md"), text.encode())
        output.line(f"Results: {json} and {json.with_suffix('.md')}")
