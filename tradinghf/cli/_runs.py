"""Run directories on the command line: their files, and what they say in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradinghf._json import parse_json
from tradinghf.cli import _output as output
from tradinghf.errors import CheckpointError

if TYPE_CHECKING:
    from tradinghf.loop import RLHF
    from tradinghf.market import MarketData

RESULT, REWARD, CONFIG = "result.json", "reward.json", "config.json"
PORTRAIT, POLICY = "policy.json", "policy.safetensors"
_EVALUATED, _SEED_OF_WINDOWS = 1024, 7  # the windows of `RLHF.evaluate`
_UTILITIES = {
    "utility_policy": "true utility of an episode: this policy",
    "utility_pnl": "... PPO on sparse PnL alone",
    "utility_true": "... PPO on the true utility",
    "utility_random": "... chance",
}
_SHARES = {
    "S": ("S: share attained of what is attainable over chance", "chance"),
    "G": ("G: share closed of the gap from PPO on PnL to PPO on the true utility", "PPO on PnL"),
}


def read_json(run: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run directory.

    Raises:
        CheckpointError: the run lacks it, or it is damaged.

    """
    try:
        found: Any = parse_json((run / name).read_text())
        if not isinstance(found, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{run} holds no readable {name}. Expected a run directory, as written by "
            "`tradinghf rlhf`, `tradinghf train` or `tradinghf reward fit`."
        ) from error
    return found


@contextmanager
def content_of(run: Path, name: str) -> Iterator[None]:
    """Where what a file of a run says is taken apart: the file may be anybody's.

    Raises:
        CheckpointError: it lacks what a run writes, or holds something else there.

    """
    try:
        yield
    except (LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{run / name} does not hold what a run writes ({type(error).__name__}: {error}). "
            "Restore it, or let the run end again with --resume."
        ) from error


def print_result(result: Mapping[str, Any]) -> None:
    """The headline figures of an experiment, and what its reward model learned."""
    shown = experiment_facts(result)
    output.pairs(shown, title=f"Trader {result['trader']} on {result['data']}, unseen bars")
    print_held_out(result["reward_model"])
    print_values(result["values"])


def experiment_facts(result: Mapping[str, Any]) -> dict[str, str]:
    """What an experiment measured, under plain names; G and S with intervals, or why not."""
    shown = {_SHARES[name][0]: share_text(result, name) for name in _SHARES if name in result}
    if result.get("preferred_to_pnl") is not None:
        low, high = result["preferred_to_pnl_interval"]
        shown["shown both blind, the trader prefers it to PPO on PnL"] = (
            f"{result['preferred_to_pnl']:.0%} of windows (95 % interval {low:.0%} to {high:.0%})"
        )
    if result.get("independent_windows") is not None:
        shown["windows that these numbers rest on"] = (
            f"{result['independent_windows']:,} that share no bar in time, of "
            f"{result['windows']:,} traded"
        )
    for name, text in _UTILITIES.items():
        if result.get(name) is not None:
            shown[text] = output.number(float(result[name]))
    if "rankings" in result:
        bits = f" ({result['bits']:,.0f} bits)" if result.get("bits") else ""
        shown["rankings learned from"] = f"{result['rankings']:,}{bits}"
    if "env_steps" in result:
        shown["environment steps"] = f"{result['env_steps']:,}"
    if "seconds" in result:
        shown["time it took"] = f"{result['seconds'] / 60:,.1f} minutes"
    return shown


def share_text(result: Mapping[str, Any], name: str) -> str:
    """S or G with its interval; "not meaningful" where its denominator is noise."""
    share, interval = result[name], result.get(f"{name}_interval")
    gap = result.get(f"{name}_gap_interval")
    if gap is None and result.get("utility_true") is None:
        return "not measured: it needs the baselines"
    if gap is None:
        known = "not meaningful" if share is None else f"{share:.2f}"
        few = result.get("independent_windows", "?")
        return f"{known} (too few independent windows for an interval: {few})"
    if interval is None:
        low, high = (output.number(float(end), 2) for end in gap)
        return (
            f"not meaningful: PPO on the true utility is not measurably better than "
            f"{_SHARES[name][1]} (difference {low} to {high})"
        )
    return f"{share:.2f} (95 % interval {interval[0]:.2f} to {interval[1]:.2f})"


def print_held_out(found: Mapping[str, Any]) -> None:
    """The reward model's scores on rankings that it was not fitted to, with 95 % intervals."""
    rows = []
    for name in ("accuracy", "precision", "recall", "f1", "log_loss", "brier", "ece"):
        if name in found:
            low, high = found.get(f"{name}_interval", (None, None))
            rows.append((name, found[name], low, high))
    count = found.get("held_out_rankings", "?")
    output.table(
        ["reward model", "value", "low", "high"], rows, title=f"On {count} held-out rankings"
    )


def print_values(values: list[Mapping[str, Any]]) -> None:
    """What the reward model thinks is valued, in words."""
    from tradinghf.feedback import matters, unclear_sentence

    output.table(
        ["aspect", "what the rankings say", "probability that it matters"],
        [(r["name"], r["sentence"], float(r["probability"])) for r in values if matters(r)],
        title="What the reward model learned",
    )
    if unclear := unclear_sentence(values):
        output.line(unclear)


def yardsticks(agent: RLHF, test: MarketData, seed: int, baseline: str) -> dict[str, Any]:
    """How buy and hold, and a strategy as the baseline, trade the windows of the evaluation."""
    from tradinghf.loop import env_like, strategy_actor, trading_metrics
    from tradinghf.strategies import strategy_names

    rules = {"buy_and_hold", baseline}.intersection(strategy_names())
    env, of_windows = env_like(agent.env, test, _EVALUATED), seed + _SEED_OF_WINDOWS
    return {
        name: trading_metrics(env, strategy_actor(name, test), of_windows) for name in sorted(rules)
    }
