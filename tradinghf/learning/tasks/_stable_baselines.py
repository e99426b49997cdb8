"""A Gymnasium vector environment as Stable-Baselines3 takes it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from tradinghf.learning.tasks._paying import PayingEnv


class _VecEnv(VecEnv):
    """A `PayingEnv` in the older interface of Stable-Baselines3."""

    def __init__(self, env: PayingEnv) -> None:
        self._env, self._actions = env, np.zeros(0)
        self.render_mode = env.render_mode
        self._began = time.monotonic()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """First observations [N, ..]."""
        seed = self._seeds[0]
        self._reset_seeds()
        obs, _ = self._env.reset(seed=seed)
        return obs

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Observations, rewards, ends, infos."""
        obs, paid, terminated, truncated, told = self._env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{"task_reward": float(own)} for own in told["task_reward"]]
        for row in np.flatnonzero(done):
            total, length = (told["episode"][name][row] for name in ("r", "l"))
            spent = round(time.monotonic() - self._began, 3)
            infos[row] |= {
                "terminal_observation": _row(told["final_obs"], row),
                "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
                "episode": {"r": float(total), "l": int(length), "t": spent},
            }
        return obs, paid.astype(np.float32), done, infos

    def close(self) -> None:
        """Free the copies."""
        self._env.close()

    def _of_each(self, value: Any, indices: Any) -> list[Any]:
        return [value for _ in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, for each."""
        return self._of_each(getattr(self._env, attr_name), indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the environment."""
        setattr(self._env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the environment, for each."""
        found = getattr(self._env, method_name)(*method_args, **method_kwargs)
        return self._of_each(found, indices)

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No wrapper of Stable-Baselines3 is around a copy."""
        return self._of_each(False, indices)

    def get_images(self) -> Sequence[Any]:
        """Pictures of the copies, where they were made to draw."""
        return self._env.render() or ()


def _row(obs: Any, row: Any) -> Any:
    """One environment's observation, of arrays or dicts of them."""
    return {k: _row(v, row) for k, v in obs.items()} if isinstance(obs, dict) else obs[row]


class PaidLate(BaseCallback):
    """Pays a rollout at its end: a market prices whole episodes, the same for one step as for all.

    Args:
        env: whose steps were paid 0 until then.

    """

    def __init__(self, env: PayingEnv) -> None:
        super().__init__()
        self._env = env

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer: Any = getattr(self.model, "rollout_buffer")  # noqa: B009
        # Values of the last observations of cut episodes are in the rewards already.
        buffer.rewards += self._env.paid_again(buffer.buffer_size).astype(np.float32)
        last = {"last_values": self.locals["values"], "dones": self.locals["dones"]}
        buffer.compute_returns_and_advantage(**last)


def collects_first(algorithm: Any) -> bool:
    """Whether rewards are read at the end of a rollout only (PPO, A2C)."""
    collect = getattr(type(algorithm), "collect_rollouts", None)
    return collect is OnPolicyAlgorithm.collect_rollouts


def vec_env(env: PayingEnv) -> VecEnv:
    """The environment in the interface of Stable-Baselines3."""
    return _VecEnv(env)
