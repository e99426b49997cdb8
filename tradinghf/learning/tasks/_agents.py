"""Agents of one's own: what the loop asks of them, and those of other libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tradinghf.errors import ConfigError
from tradinghf.learning.tasks._paid import PaidEnv

_NEEDED = ("begin", "learn", "act")


@runtime_checkable
class Agent(Protocol):
    """A learner that is paid by what people value.

    `begin` comes once, then `learn` and `reward_changed` in turns.
    """

    def begin(self, env: PaidEnv, seed: int) -> None:
        """Take the environment to learn in, a Gymnasium vector environment (same-step resets)."""

    def learn(self, steps: int) -> None:
        """Train for about so many environment steps, all environments together."""

    def act(self, obs: Any) -> Any:
        """[N, ..] best actions for observations [N, ..] of the task."""

    def reward_changed(self, env: PaidEnv) -> None:
        """The environment pays by a new reward; those who remember steps use `env.pay`."""


class StableBaselines:
    """An algorithm of Stable-Baselines3 (or sb3-contrib) as agent.

    What a replay buffer remembers is paid anew when the reward changes (PEBBLE, arXiv:2106.05091).

    Args:
        algorithm: made with an environment of the task, or its class, which is made with
            "MlpPolicy".

    Raises:
        ConfigError: its environment normalises, which a learned reward would undo.

    """

    def __init__(self, algorithm: Any) -> None:
        self.algorithm = algorithm
        normalises = getattr(algorithm, "get_vec_normalize_env", lambda: None)
        if not isinstance(algorithm, type) and normalises() is not None:
            raise ConfigError(
                "The agent's environment is a VecNormalize; RLHF gives the agent an environment "
                "that pays the learned reward in units of its spread. Make the agent without it."
            )

    @property
    def num_envs(self) -> int | None:
        """Environments that it was made for; None: any number."""
        return None if isinstance(self.algorithm, type) else int(self.algorithm.n_envs)

    def begin(self, env: PaidEnv, seed: int) -> None:
        """See `Agent`.

        Raises:
            ConfigError: the algorithm was made for other spaces.

        """
        from tradinghf.learning.tasks._stable_baselines import vec_env

        wrapped = vec_env(env)
        if isinstance(self.algorithm, type):
            self.algorithm = self.algorithm("MlpPolicy", wrapped, seed=seed, device="cpu")
            return
        try:
            self.algorithm.set_env(wrapped, force_reset=True)
        except (ValueError, AssertionError) as error:
            raise ConfigError(
                f"The agent {type(self.algorithm).__name__} does not fit the task: {error} Make it "
                f"with an environment of {env.task.name}."
            ) from error

    def learn(self, steps: int) -> None:
        """See `Agent`."""
        self.algorithm.learn(steps, reset_num_timesteps=False)

    def act(self, obs: Any) -> Any:
        """See `Agent`."""
        return self.algorithm.predict(obs, deterministic=True)[0]

    def reward_changed(self, env: PaidEnv) -> None:
        """Pay what the replay buffer remembers anew, where single steps say what they are paid."""
        memory: Any = getattr(self.algorithm, "replay_buffer", None)
        held = 0 if memory is None else memory.buffer_size if memory.full else memory.pos
        if not held or not env.repays or isinstance(memory.observations, dict):
            return
        rows, space = held * memory.n_envs, memory.action_space
        obs = memory.observations[:held].reshape(rows, *memory.obs_shape)
        actions = memory.actions[:held].reshape(rows, *(space.shape or ()))
        if hasattr(space, "low"):
            actions = self.algorithm.policy.unscale_action(actions)
        memory.rewards[:held] = env.pay(obs, actions).reshape(held, memory.n_envs)


class FunctionAgent:
    """A training function in the style of CleanRL as agent.

    Args:
        train: (envs, steps, before) -> act: trains in a Gymnasium vector environment for about so
            many steps, and returns a function from observations [N, ..] to actions [N, ..].
            `before` is what it returned the last time (None at first), to go on from.

    """

    num_envs = None

    def __init__(self, train: Callable[..., Any]) -> None:
        self._train = train
        self._env: PaidEnv | None = None
        self._act: Any = None

    def begin(self, env: PaidEnv, seed: int) -> None:
        """See `Agent`."""
        self._env = env

    def learn(self, steps: int) -> None:
        """See `Agent`.

        Raises:
            ConfigError: the function returned nothing that acts.

        """
        found = self._train(self._env, steps, self._act)
        act = getattr(found, "act", found)
        if not callable(act):
            raise ConfigError(
                f"The agent's function returned a {type(found).__name__}; expected a function from "
                "observations [N, ..] to actions [N, ..], or something with such a method `act`."
            )
        self._act = found

    def act(self, obs: Any) -> Any:
        """See `Agent`."""
        return np.asarray(getattr(self._act, "act", self._act)(obs))

    def reward_changed(self, env: PaidEnv) -> None:
        """Nothing: such a function remembers no steps."""


def agent_of(given: Any) -> Agent:
    """The agent that a caller means.

    Raises:
        ConfigError: something that cannot learn.

    """
    kind = given if isinstance(given, type) else type(given)
    of_baselines = any(c.__module__.startswith("stable_baselines3.") for c in kind.__mro__)
    if of_baselines:
        return StableBaselines(given)
    if all(callable(getattr(given, name, None)) for name in _NEEDED) and not isinstance(
        given, type
    ):
        found: Agent = given
        return found
    if (inspect.isroutine(given) or isinstance(given, partial)) and _takes_three(given):
        return FunctionAgent(given)
    raise ConfigError(
        f"agent is {given!r:.80}; expected an algorithm of Stable-Baselines3 (PPO, A2C, SAC ...), "
        "a function (envs, steps, before) -> act, or an object with begin(env, seed), "
        "learn(steps), act(obs) and reward_changed(env). Left out, tradinghf's own PPO learns."
    )


def _takes_three(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None, 1, None)
    except (TypeError, ValueError):
        return False
    return True
