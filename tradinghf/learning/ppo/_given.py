"""What `PPO` is given, checked before anything is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch

from tradinghf.errors import ConfigError, unknown_name
from tradinghf.learning.ppo._schedule import Callback


def check_given(env: Any, streams: Any, steps: Any) -> None:
    """An environment over tensors, at least one named stream, and rollouts of some steps.

    Raises:
        ConfigError: something else; the message says what to give.

    """
    if not hasattr(env, "num_envs") or not (hasattr(env, "dense") or hasattr(env, "obs_dim")):
        first = env.reset(seed=0)[0] if hasattr(env, "num_envs") else None
        if not isinstance(first, torch.Tensor):
            raise ConfigError(
                f"PPO got a {type(env).__name__} as environment; expected a vector environment "
                "over tensors: MarketEnv(market, num_envs=512), or GymnasiumEnv('CartPole-v1', "
                "num_envs) of tradinghf.learning.ppo."
            )
    named = isinstance(streams, Mapping) and len(streams) > 0
    if not named or not all(
        hasattr(s, "reward") and hasattr(s, "weight") for s in streams.values()
    ):
        raise ConfigError(
            f"PPO: streams is {streams!r:.60}; expected at least one reward stream by name, such "
            "as {'env': Stream(env_reward)}."
        )
    if steps is not None:
        whole_number("PPO: steps", steps, 1)


def callbacks_of(given: Any) -> list[Callback]:
    """One function, or several.

    Raises:
        ConfigError: something that cannot be called.

    """
    every = [given] if callable(given) else list(given)
    if wrong := [each for each in every if not callable(each)]:
        raise ConfigError(
            f"callbacks holds {wrong[0]!r:.60}; expected functions of the learner and a dict of "
            "metrics, or one of them."
        )
    return every


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`.

    Raises:
        ConfigError: something else.

    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} is {value!r:.60}; expected a whole number of at least {least}.")
    return int(value)


def stream_index(streams: Mapping[str, Any], name: str) -> int:
    """Which stream has that name.

    Raises:
        ConfigError: none.

    """
    if name not in streams:
        raise ConfigError(unknown_name("reward stream", name, list(streams)))
    return list(streams).index(name)
