"""`--base`: the strategy that a policy starts from, and why there is one where nobody named it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from tradinghf.cli import _output as output
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.loop import Experiment

Bases = Annotated[
    tuple[str, ...],
    arg(
        metavar="STRATEGY|none ...",
        help_behavior_hint="(default: of few real bars, the baseline; else none)",
    ),
]
DEFAULT_BASELINE = "buy_and_hold"
ENOUGH_WINDOWS = 1_000
"""Windows without a common bar below which a policy from nothing is not the default."""


def start_from(
    experiment: Experiment, base: tuple[str, ...], baseline: str
) -> tuple[Experiment, str]:
    """The experiment with the base that is modulated, and the gate's baseline.

    Args:
        experiment: of a policy from nothing.
        base: as it was given: strategies, "none", or nothing, which leaves it to the data.
        baseline: as it was given; where that was the default, it becomes the base.

    Raises:
        ConfigError: "none" beside strategies.

    """
    from tradinghf.config import Overlay
    from tradinghf.strategies import load_strategy

    if "none" in base:
        if len(base) > 1:
            raise ConfigError("--base none starts from nothing; name no strategy beside it.")
        return experiment, baseline
    chosen = base or _by_default(experiment, baseline)
    if not chosen:
        return experiment, baseline
    for name in chosen:
        load_strategy(name)
    if base and baseline == DEFAULT_BASELINE:
        baseline = chosen[0]
    task = replace(experiment.env, overlay=Overlay(chosen))
    return replace(experiment, env=task), baseline


def _by_default(experiment: Experiment, baseline: str) -> tuple[str, ...]:
    """The baseline, where there are too few real bars for a policy from nothing; says why."""
    from tradinghf.loop import split_market, task_for

    if task_for(experiment.data) == "short" or experiment.portfolio:
        return ()  # made-up bars are as many as one likes; portfolios pool their assets
    train, horizon = split_market(experiment).train, experiment.env.horizon
    windows = train.bars // horizon
    policy = Path(baseline).is_dir() or baseline.endswith(".safetensors")
    if windows >= ENOUGH_WINDOWS or policy:
        return ()
    output.line(
        f"{train.name} has {train.bars:,} training bars, {windows} windows of {horizon} that share "
        f"no bar: too few to learn trading from nothing. So the policy starts as {baseline} and "
        "learns when to depart from it. Other starts: --base STRATEGY, or --base none; parameters "
        "alone: tradinghf sweep STRATEGY --objective learned:RUN."
    )
    return (baseline,)
