"""`MarketEnv` as an environment of TorchRL, on the same tensors: nothing goes through NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from gymnasium import spaces
from tensordict import TensorDict
from torch import Tensor
from torchrl.data import Bounded, Categorical, Composite, Unbounded
from torchrl.envs import EnvBase

from tradinghf.errors import ConfigError
from tradinghf.simulation._env import MarketEnv


class TensorDictEnv(EnvBase):  # type: ignore[misc]  # of an optional package
    """See `torchrl_env`. Ended accounts wait until `_reset` starts them, as collectors do."""

    def __init__(self, env: MarketEnv) -> None:
        config = replace(env.config, autoreset="disabled")
        self._market = env.like(num_envs=env.num_envs, config=config)
        size = [env.num_envs]
        super().__init__(device=env.device, batch_size=torch.Size(size))
        parts = _parts(env.single_observation_space)
        shapes = {name: [*size, *(space.shape or ())] for name, space in parts.items()}
        self.observation_spec = Composite(
            {n: Unbounded(shape=s, dtype=torch.float32) for n, s in shapes.items()}, shape=size
        ).to(env.device)
        self.action_spec = _action_spec(env.single_action_space, size).to(env.device)
        self.reward_spec = Unbounded(shape=[*size, 1]).to(env.device)
        ends = {n: Categorical(2, [*size, 1], dtype=torch.bool) for n in _ENDS}
        self.done_spec = Composite(ends, shape=size).to(env.device)
        self._seed: int | None = None

    def _reset(self, tensordict: Any = None, **_: Any) -> Any:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        seed, self._seed = self._seed, None
        if mask is None or seed is not None:
            obs, _info = self._market.reset(seed=seed)
        else:
            obs, _info = self._market.reset(options={"reset_mask": mask.reshape(-1).long()})
        going = torch.zeros(self._market.num_envs, dtype=torch.bool, device=self.device)
        return self._told(obs, going, going)

    def _step(self, tensordict: Any) -> Any:
        obs, reward, terminated, truncated, _ = self._market.step(tensordict["action"])
        told = self._told(obs, terminated, truncated)
        return told.set("reward", reward.float()[:, None])

    def _told(self, obs: Any, terminated: Tensor, truncated: Tensor) -> Any:
        parts = dict(obs) if isinstance(obs, dict) else {"observation": obs}
        ends = (terminated, truncated, terminated | truncated)
        parts |= {name: end[:, None].clone() for name, end in zip(_ENDS, ends, strict=True)}
        return TensorDict(parts, batch_size=self.batch_size, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        self._seed = seed


_ENDS = ("terminated", "truncated", "done")


def _parts(space: Any) -> dict[str, Any]:
    """Observation spaces by key."""
    found = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
    if wrong := [name for name, part in found.items() if not isinstance(part, spaces.Box)]:
        raise ConfigError(
            f"The observation {wrong[0]!r} is {found[wrong[0]]}; expected a Box of numbers. Set "
            "EnvConfig(observation='flat')."
        )
    return found


def _action_spec(space: Any, size: list[int]) -> Any:
    """[N] choices, or [N, ..] numbers within bounds."""
    if isinstance(space, spaces.Discrete):
        return Categorical(int(space.n), torch.Size(size))
    if isinstance(space, spaces.Box):
        low, high = (
            torch.as_tensor(x).expand(*size, *space.shape) for x in (space.low, space.high)
        )
        return Bounded(low, high, shape=torch.Size([*size, *space.shape]), dtype=torch.float32)
    raise ConfigError(
        f"Actions are {space}; expected Discrete or a Box. Set EnvConfig(actions='continuous')."
    )
