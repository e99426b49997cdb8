"""Agents of one's own: what the loop asks of them, and those of other libraries."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium.spaces import Dict

from tradinghf.errors import ConfigError
from tradinghf.learning.tasks._paying import PayingEnv

_NEEDED = ("begin", "learn", "act")


@runtime_checkable
class Agent(Protocol):
    """A learner that is paid by what people value.

    `begin` comes once, then `learn` and `reward_changed` in turns. On markets, those who also have
    `state()`, `restore(state)` and `snapshot()`, something that acts as they do now, have their
    earlier selves chosen from, and what games the reward undone.
    """

    def begin(self, env: PayingEnv, seed: int) -> None:
        """Take the environment to learn in, a Gymnasium vector environment (same-step resets)."""

    def learn(self, steps: int) -> None:
        """Train for about so many environment steps, all environments together."""

    def act(self, obs: Any) -> Any:
        """[N, ..] best actions for observations [N, ..] of the task."""

    def reward_changed(self, env: PayingEnv) -> None:
        """The environment pays by a new reward; `env.pay` and `env.paid_again` say what for."""


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
        self._callback: Any = None
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

    def begin(self, env: PayingEnv, seed: int) -> None:
        """See `Agent`.

        Raises:
            ConfigError: the algorithm was made for other spaces.

        """
        from tradinghf.learning.tasks._stable_baselines import PaidLate, collects_first, vec_env

        wrapped = vec_env(env)
        kind = "MultiInputPolicy" if isinstance(env.observation_space, Dict) else "MlpPolicy"
        try:
            if isinstance(self.algorithm, type):
                self.algorithm = self.algorithm(kind, wrapped, seed=seed, device="cpu")
            else:
                self.algorithm.set_env(wrapped, force_reset=True)
        except (ValueError, AssertionError) as error:
            name = getattr(self.algorithm, "__name__", type(self.algorithm).__name__)
            raise ConfigError(
                f"The agent {name} does not fit the task: {error} Make it "
                f"with an environment of {env.name}, or take another algorithm."
            ) from error
        env.remembers = getattr(self.algorithm, "replay_buffer", None) is not None
        if env.late is not None and collects_first(self.algorithm):
            env.late = int(self.algorithm.n_steps)
            self._callback = PaidLate(env)

    def learn(self, steps: int) -> None:
        """See `Agent`."""
        self.algorithm.learn(steps, self._callback, reset_num_timesteps=False)

    def act(self, obs: Any) -> Any:
        """See `Agent`."""
        return self.algorithm.predict(obs, deterministic=True)[0]

    def state(self) -> dict[str, Any]:
        """Weights and optimisers."""
        found: dict[str, Any] = self.algorithm.get_parameters()
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to `state()`."""
        self.algorithm.set_parameters(state, device=self.algorithm.device)

    def snapshot(self) -> Any:
        """Its policy as it is now; built anew, since what it last drew cannot be copied."""
        policy = self.algorithm.policy
        twin = type(policy)(**policy._get_constructor_parameters()).to(policy.device)
        twin.load_state_dict(policy.state_dict())
        return twin.requires_grad_(False)

    def reward_changed(self, env: PayingEnv) -> None:
        """Pay what the replay buffer remembers anew, where single steps say what they are paid."""
        memory: Any = getattr(self.algorithm, "replay_buffer", None)
        held = 0 if memory is None else memory.buffer_size if memory.full else memory.pos
        if not held:
            return
        if (again := env.paid_again(held)) is not None:
            memory.rewards[(memory.pos - held + np.arange(held)) % memory.buffer_size] = again
            return
        if not env.repays or isinstance(memory.observations, dict):
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
        self._env: PayingEnv | None = None
        self._act: Any = None

    def begin(self, env: PayingEnv, seed: int) -> None:
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

    def state(self) -> Any:
        """What the function returned."""
        return self._act

    def restore(self, state: Any) -> None:
        """Go on from what it returned earlier."""
        self._act = state

    def snapshot(self) -> Any:
        """What the function returned, as it is now."""
        return copy.deepcopy(self._act)

    def reward_changed(self, env: PayingEnv) -> None:
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
