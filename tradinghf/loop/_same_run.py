"""Whether a checkpoint is of the run that wants to go on: the same bars, settings and seed.

A run that goes on with other bars of the same shape would end as nobody's result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tradinghf.config import to_dict
from tradinghf.errors import CheckpointError
from tradinghf.learning.ppo import PPO
from tradinghf.learning.runs import RunDirectory
from tradinghf.resources import code_version, strategy_hashes

_MAY_DIFFER = {
    "experiment.loop.steps",
    "experiment.loop.rankings",
    "experiment.loop.rounds",
    "experiment.loop.checkpoint_seconds",
    "experiment.baselines",
    "experiment.test_episodes",
    "experiment.data",
}
"""Budgets may grow; the bars themselves are compared, wherever the file lies now."""
_SHOWN = 4


def origin(agent: PPO) -> dict[str, Any]:
    """What a checkpoint says of where it comes from: bars, settings, seed and version."""
    env: Any = agent.env
    market = getattr(env, "market", None)
    overlay = getattr(getattr(env, "config", None), "overlay", None)
    return {
        "bars": getattr(market, "sha256", ""),
        "environment": _plain(getattr(env, "config", None)),
        "costs": _plain(getattr(env, "costs", None)),
        "base": strategy_hashes(overlay.bases if overlay is not None else ()),
        "environments": env.num_envs,
        "learner": _plain(agent.config),
        "streams": sorted(agent.streams),
        "seed": agent.seed,
        "version": code_version(),
    }


def check_origin(where: str, then: Mapping[str, Any] | None, agent: PPO) -> None:
    """Refuse to go on from a checkpoint of something else.

    Args:
        where: names the checkpoint.
        then: what `origin` said; None in checkpoints of before.
        agent: that wants to go on.

    Raises:
        CheckpointError: it differs; the message says in what.

    """
    if then is not None:
        _refuse(where, then, origin(agent))


def record_settings(run: RunDirectory, now: Mapping[str, Any], *, resume: bool) -> None:
    """Write the config.json of a run that begins; of one that goes on, only if it is the same.

    Args:
        run: held.
        now: `provenance` of the run.
        resume: it goes on.

    Raises:
        CheckpointError: it differs in more than budgets; the message says in what, and the file
            stays as it was.

    """
    if resume:
        check_settings(run.path, now)
    run.write_json("config.json", now)


def check_settings(run: Path, now: Mapping[str, Any]) -> None:
    """Refuse to go on in a run directory whose config.json is of another experiment.

    Args:
        run: directory.
        now: `provenance` of the run that wants to go on.

    Raises:
        CheckpointError: it differs in more than budgets; the message says in what.

    """
    try:
        then = json.loads((run / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(then, dict) and "experiment" in then:
        kept = ("experiment", "data_sha256")
        _refuse(str(run), {k: then.get(k) for k in kept}, {k: now[k] for k in kept})


def _refuse(where: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    before, present = dict(_flat(then)), dict(_flat(now))
    different = [
        name
        for name in sorted(before.keys() & present.keys())
        if before[name] != present[name] and name not in _MAY_DIFFER
    ]
    if different:
        said = "; ".join(
            f"{name} was {_short(before[name])} and is {_short(present[name])} now"
            for name in different[:_SHOWN]
        )
        raise CheckpointError(
            f"{where} is of another run: {said}. Resume with what it started with, or begin anew "
            "without --resume in another --out."
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every leaf."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, json.loads(json.dumps(value, default=str))


def _plain(config: Any) -> Any:
    return None if config is None else json.loads(json.dumps(to_dict(config), default=str))


def _short(value: Any) -> str:
    return repr(value if not isinstance(value, str) else value[:48])
