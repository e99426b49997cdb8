"""`RLHF` for environments without a market: the loop on rankings of fragments."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from tradinghf.errors import ConfigError, UnexpectedOptionError, unknown_name
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.tasks import TaskRLHF
from tradinghf.simulation import MarketEnv

_OF_MARKETS = {
    "store": "answers of people about market episodes",
    "validation_market": "bars",
    "test_market": "bars",
    "until": "a time of bars",
    "out": "a run directory of a market's policy",
    "safe": "a gate on test bars",
    "baseline": "a strategy",
    "look": "test bars",
}


def is_task(given: Any) -> bool:
    """Whether something is an environment, or a name or maker of one, without a market of ours."""
    if isinstance(given, MarketEnv) or (isinstance(given, str) and "tradinghf/" in given):
        return False
    if isinstance(getattr(getattr(given, "unwrapped", None), "env", None), MarketEnv):
        return False
    kinds = (str, gymnasium.Env, VectorEnv)
    return isinstance(given, kinds) or (callable(given) and not hasattr(given, "bars"))


def blank(kind: Any, options: Mapping[str, Any]) -> Any:
    """An instance of a class of loops that is to be initialised with options.

    Raises:
        UnexpectedOptionError: it takes no such option.

    """
    taken = inspect.signature(kind.__init__).parameters
    settings = {f.name for f in dataclasses.fields(RLHFConfig)}
    for name in options:
        if name in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            continue
        hint = f"{name!r} is an option of RLHFConfig: config=RLHFConfig({name}=...). "
        known = unknown_name("option of RLHF", name, taken.keys() - {"self"})
        said = hint if name in settings else ""
        raise UnexpectedOptionError(f"{said}{known} (unexpected keyword argument {name!r})")
    return object.__new__(kind)


def task_loop(
    env: Any,
    reward_model: Any = None,
    *,
    agent: Any = None,
    trader: Any = None,
    config: Any = None,
    **others: Any,
) -> TaskRLHF:
    """The loop on a task; arguments are those of `RLHF`.

    Raises:
        ConfigError: an argument that only a market has a use for.

    """
    progress, callbacks = others.pop("progress", None), list(others.pop("callbacks", ()))
    given = [name for name, value in others.items() if value not in (None, False)]
    if unknown := [name for name in given if name not in _OF_MARKETS]:
        raise ConfigError(
            f"RLHF has no argument {', '.join(unknown)}. For a task it takes the environment, "
            "reward_model, agent, trader, config, progress and callbacks."
        )
    if given:
        text = ", ".join(f"{name} ({_OF_MARKETS[name]})" for name in given)
        raise ConfigError(
            f"RLHF on an environment without a market has no use for {text}. Leave it out, or give "
            "a MarketEnv."
        )
    if isinstance(trader, str):
        raise ConfigError(
            f"trader={trader!r} judges market episodes. On a task without a market give a "
            "tradinghf.learning.tasks.Teacher, or a function from Fragments [B, K] to ranks "
            "[B, K]; left out, the task's own reward ranks."
        )
    if isinstance(config, RLHFConfig):
        raise ConfigError(
            "RLHFConfig is about market episodes; give config=TaskConfig(questions=..., steps=...) "
            "of tradinghf.learning.tasks."
        )
    loop = TaskRLHF(env, config, trader, reward=reward_model, agent=agent, progress=progress)
    if callbacks and not hasattr(loop.agent, "callbacks"):
        raise ConfigError(
            f"callbacks are told of our PPO's iterations; {type(loop.agent).__name__} takes those "
            "of its own library. Give them to the agent."
        )
    if callbacks:
        loop.agent.callbacks += callbacks
    return loop
