"""The door to TorchRL, which is optional."""

from __future__ import annotations

from typing import Any

from tradinghf.errors import MissingExtraError
from tradinghf.simulation._env import MarketEnv
from tradinghf.simulation._spec import warn_of_own_scaler


def torchrl_env(env: MarketEnv) -> Any:
    """`env` as a native environment of TorchRL, on the same tensors and device.

    Args:
        env: the task, its costs, reward, number of accounts N and device; it is not stepped itself.

    Returns:
        A `torchrl.envs.EnvBase` of batch size [N]. Keys: `observation` [N, D] (or one for each part
        of a dict observation), `action` [N] or [N, A], and under `next` also `reward`,
        `terminated`, `truncated`, `done` [N, 1].

    Raises:
        ConfigError: actions or observations that have no such form.
        MissingExtraError: TorchRL is not installed.

    """
    try:
        from tradinghf.simulation._tensordict import TensorDictEnv
    except ImportError as error:
        raise MissingExtraError("torchrl", "interop", "TorchRL's environment") from error
    warn_of_own_scaler(env, level=3)
    return TensorDictEnv(env)
