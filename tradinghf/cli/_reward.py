"""`tradinghf reward`: fit the reward model to rankings, and show what it learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._feedback import open_store
from tradinghf.cli._options import InputPath, OutputFile, OutputPath, StoreName
from tradinghf.cli._progress import progress
from tradinghf.cli._runs import (
    RESULT,
    REWARD,
    content_of,
    print_held_out,
    print_values,
    read_json,
)
from tradinghf.durable import write_atomic
from tradinghf.errors import CheckpointError


def reward_fit(*, store: StoreName = "store", out: OutputPath = Path("runs/reward")) -> None:
    """Fit the reward model to the rankings in the store, and say what it learned.

    Example: `tradinghf reward fit --store store --out runs/reward`

    Args:
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        out: Run directory; `tradinghf reward show` and the dashboard read it.

    """
    from tradinghf.learning.reward import fit_reward_run

    with open_store(store) as bank, progress() as report:

        def tell(phase: str, done: int, total: int) -> None:
            report(phase, done, total, {})

        fit_reward_run(bank, out, progress=tell)
    reward_show(out)


def reward_show(
    run: Positional[InputPath] = Path("runs/reward"), /, *, plot: OutputFile = None
) -> None:
    """Show what a fitted reward model thinks is valued, and how far to believe it.

    Example: `tradinghf reward show runs/reward`

    Example: `tradinghf reward show runs/reward --plot reward.html`

    Args:
        run: Run directory of `tradinghf reward fit`, `train` or `rlhf`.
        plot: Also write a page: the learned reward, bar by bar, of the episodes of the answer
            that the model fits worst. Needs a run of `tradinghf reward fit`.

    """
    from tradinghf.learning.reward import worst_rows

    found = read_json(run, REWARD)
    held_out = found.get("held_out") or {}
    if not held_out and (run / RESULT).is_file():
        held_out = read_json(run, RESULT).get("reward_model", {})
    with content_of(run, REWARD):
        if held_out:
            print_held_out(held_out)
        print_values(found["values"])
        if found.get("worst"):
            output.table(
                [
                    "rater",
                    "query",
                    "ranks given",
                    "ranks foreseen",
                    "probability",
                    "pairs otherwise",
                ],
                worst_rows(found["worst"]),
                title="The answers that it fits worst",
            )
    relation = found.get("profit_correlation")
    if relation is not None:
        output.line(f"Rank correlation of the learned reward with profit: {relation:+.2f}")
    for warning in found.get("warnings", []):
        output.line(f"warning: {warning}")
    if plot is not None:
        _plot_reward(run, found, plot)


def _plot_reward(run: Path, found: Mapping[str, Any], file: Path) -> None:
    """Write the page of `tradinghf reward show --plot`.

    Raises:
        CheckpointError: the run has no rewards of bars.

    """
    from safetensors.numpy import load_file

    from tradinghf.learning.reward import reward_figure

    rewards = run / "bar_rewards.safetensors"
    if not rewards.is_file():
        raise CheckpointError(
            f"{run} holds no {rewards.name}, which --plot draws. Fit the rankings with "
            "`tradinghf reward fit` first."
        )
    bars = load_file(rewards)
    names = list(bars)[:5]
    some = {"episodes": names, "ranks": [0] * len(names)}
    answer = next(iter(found.get("worst", [])), some)
    figure = reward_figure(bars, answer, found.get("bar_unit", "points"))
    write_atomic(file, figure.to_html().encode())
    output.line(f"Reward of each bar: {file}")
