"""N copies of an environment, whatever a caller has: its id, itself, its class, or copies of it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from tradinghf.errors import ConfigError, MissingExtraError

Given = str | gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | Callable[..., gym.Env[Any, Any]]
_SAME = AutoresetMode.SAME_STEP
_OF_VECTORS = {"num_envs", "render_mode", "vector_kwargs", "vectorization_mode", "wrappers"}


def name_of(given: Given) -> str:
    """What messages call an environment."""
    if isinstance(given, str):
        return given
    spec = None if isinstance(given, type) else getattr(given, "spec", None)
    return getattr(spec, "id", None) or getattr(given, "__name__", None) or type(given).__name__


def copies_of(given: Given, num_envs: int, **options: Any) -> VectorEnv[Any, Any, Any]:
    """N copies that begin their next episode in the step in which one ends.

    Args:
        given: an id of `gymnasium.make`, an environment, its class or a function that makes one,
            or a vector environment, which is made again where it says how (`env_fns`).
        num_envs: N; a vector environment that cannot be made again keeps its own.
        options: for `gymnasium.make`, or for the class or function.

    Raises:
        ConfigError: something else, a vector environment of another way to reset, or one that
            cannot be copied.
        MissingExtraError: a MuJoCo task without MuJoCo.

    """
    try:
        return _copies(given, num_envs, options)
    except gym.error.DependencyNotInstalled as error:
        raise MissingExtraError("mujoco", "mujoco", name_of(given)) from error
    except gym.error.UnregisteredEnv as error:
        raise ConfigError(
            f"Gymnasium knows no environment {given!r}: {error} Register it first "
            "(gymnasium.register), or give the environment itself."
        ) from error


def _copies(given: Given, num_envs: int, options: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    if isinstance(given, str):
        same = {"autoreset_mode": _SAME}
        made: VectorEnv[Any, Any, Any] = gym.make_vec(
            given, num_envs, vectorization_mode="sync", vector_kwargs=same, **options
        )
        return made
    if isinstance(given, VectorEnv):
        return _vector(given, num_envs)
    if isinstance(given, gym.Env):
        return SyncVectorEnv([_maker(given)] * num_envs, autoreset_mode=_SAME)
    if not callable(given):
        raise ConfigError(
            f"The environment is a {type(given).__name__}; expected an id of gymnasium.make, a "
            "gymnasium.Env, its class, a function that makes one, or a gymnasium VectorEnv."
        )
    first = given(**options)
    if not isinstance(first, gym.Env):
        raise ConfigError(
            f"{name_of(given)}() made a {type(first).__name__}; expected a gymnasium.Env."
        )
    check_protocol(first, name_of(given))
    first.close()
    return SyncVectorEnv([partial(given, **options)] * num_envs, autoreset_mode=_SAME)


def _vector(given: VectorEnv[Any, Any, Any], num_envs: int) -> VectorEnv[Any, Any, Any]:
    """The copies of a vector environment; those of Gymnasium are made again."""
    makers = getattr(given, "env_fns", None)
    if given.unwrapped is given and makers:
        makers = [makers[i % len(makers)] for i in range(num_envs)]
        return SyncVectorEnv(makers, autoreset_mode=_SAME)
    spec = getattr(given, "spec", None)
    if given.unwrapped is given and spec is not None:  # a task with a vector version of its own
        kwargs = {k: v for k, v in spec.kwargs.items() if k not in _OF_VECTORS}
        kwargs.setdefault("max_episode_steps", spec.max_episode_steps)
        single = partial(gym.make, spec.id, **kwargs)
        return SyncVectorEnv([single] * num_envs, autoreset_mode=_SAME)
    mode = given.metadata.get("autoreset_mode")
    if mode != _SAME:
        raise ConfigError(
            f"{type(given).__name__} resets ended environments by {mode}, and cannot be made again "
            "in another way; expected AutoresetMode.SAME_STEP. Give the environment's id or a "
            "single environment, with wrappers of single environments instead of vector wrappers."
        )
    return given


def _maker(given: gym.Env[Any, Any]) -> Callable[[], gym.Env[Any, Any]]:
    """What makes one more of an environment: its spec, or else a copy of itself.

    Raises:
        ConfigError: it has no spec and cannot be copied.

    """
    try:
        spec = copy.deepcopy(given.spec)
        if spec is not None:
            spec.kwargs.pop("render_mode", None)  # no window for each copy
            gym.make(spec).close()
            return partial(gym.make, spec)
    except (gym.error.Error, ValueError, TypeError, AttributeError):
        pass  # a wrapper that does not say how it was made
    try:
        twin = copy.deepcopy(given)
    except Exception as error:
        raise ConfigError(
            f"{type(given).__name__} cannot be copied ({type(error).__name__}: {error}). Give its "
            "class, or a function that makes one: RLHF(lambda: MyEnv(...), ...)."
        ) from error
    check_protocol(twin, name_of(given))
    return partial(copy.deepcopy, given)


def check_protocol(env: gym.Env[Any, Any], name: str) -> None:
    """Try a reset and a step of an environment that nobody has checked.

    Raises:
        ConfigError: they return something else than Gymnasium has asked for since 0.26.

    """
    if "seed" not in (taken := inspect.signature(env.reset).parameters) and not any(
        each.kind is each.VAR_KEYWORD for each in taken.values()
    ):
        raise ConfigError(
            f"{name}.reset() takes no seed; expected reset(self, *, seed=None, options=None), "
            "with super().reset(seed=seed) in it."
        )
    started = env.reset(seed=0)
    if not (isinstance(started, tuple) and len(started) == 2 and isinstance(started[1], dict)):
        raise ConfigError(
            f"{name}.reset() returned {_shape_of(started)}; expected (observation, info), info a "
            "dict: Gymnasium's interface since 0.26."
        )
    moved = env.step(env.action_space.sample())
    if not (isinstance(moved, tuple) and len(moved) == 5 and isinstance(moved[4], dict)):
        raise ConfigError(
            f"{name}.step() returned {_shape_of(moved)}; expected (observation, reward, "
            "terminated, truncated, info): Gymnasium's interface since 0.26, which tells the end "
            "of a task from that of its time."
        )
    reward: Any = moved[1]
    if np.ndim(reward):
        raise ConfigError(
            f"{name}.step() returned a reward of shape {np.shape(reward)}; expected one number. "
            "Return float(reward)."
        )


def _shape_of(given: Any) -> str:
    kind = f"a {type(given).__name__}"
    return f"{kind} of {len(given)}" if isinstance(given, tuple | list) else kind
