"""`--objective` of commands that choose parameters: a metric, or a trader's taste."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from tradinghf.cli._progress import fit_bar
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.evaluation import Taste

Objective = Annotated[
    str | None,
    arg(
        metavar="learned:RUN|learned+pnl:RUN|learned+keep:RUN",
        help_behavior_hint="(default: the metric)",
    ),
]
DEFAULT_METRIC = "sharpe_annual"
_KEPT = 0.0025  # a mean profit a window lower by up to this is the strategy's own [of equity]
_KINDS = ("learned", "learned+pnl", "learned+keep")


def read_objective(text: str | None, metric: str) -> tuple[Taste | None, str]:
    """What parameters are chosen by: the taste that a run has learned, and its column.

    Args:
        text: "learned:RUN"; "learned+pnl:RUN" for profit beside it; "learned+keep:RUN" for the
            best by taste among those that keep the strategy's own profit; None for the metric.
        metric: as it was given.

    Raises:
        ConfigError: another text, no such run, or a metric was asked for as well.
        FeedbackError: the run has no rankings.

    """
    if text is None:
        return None, metric
    kind, _, run = text.partition(":")
    if kind not in _KINDS or not run:
        raise ConfigError(
            f"--objective got {text!r}; expected learned:RUN, learned+pnl:RUN or learned+keep:RUN, "
            "where RUN is a run directory of `tradinghf reward fit`, `train` or `rlhf`."
        )
    if metric != DEFAULT_METRIC:
        raise ConfigError(
            f"--objective {text} and --metric {metric} both say what to choose by; give one."
        )
    if not Path(run).is_dir():
        raise ConfigError(
            f"--objective {text}: there is no run directory {run}. Learn what the trader values "
            "with `tradinghf reward fit --store store --out runs/reward`."
        )
    from tradinghf.evaluation import Taste
    from tradinghf.loop import fitted_reward_of

    with fit_bar():
        reward = fitted_reward_of(Path(run))[0]
    keep = _KEPT if kind == "learned+keep" else None
    taste = Taste.of(reward, profit=kind == "learned+pnl", keep=keep)
    return taste, taste.name
