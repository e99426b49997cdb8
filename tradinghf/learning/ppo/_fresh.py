"""A fresh network that suits an environment: its inputs, its actions, and what it looks at."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._rollout import TensorVectorEnv


def network_for(
    env: TensorVectorEnv, obs: Tensor, streams: int, config: PPOConfig, seed: int
) -> ActorCritic:
    """A network with the environment's input and action sizes; its weights from a seed.

    Args:
        env: whose actions it takes.
        obs: [N, D] observations.
        streams: critics.
        config: kind and widths of the network.
        seed: of its weights.

    Raises:
        ConfigError: there is no policy for such actions, no window to attend to, no assets to
            share weights, or the network cannot be trained in the precision that is asked for.

    """
    space: Any = getattr(env, "single_action_space")  # noqa: B009
    kind, levels = _kind(env, config), _levels(space)
    discrete = levels > 0
    if kind != "assets" and isinstance(space, spaces.MultiDiscrete):
        raise ConfigError(
            f"PPOConfig(network={kind!r}) has no policy for actions {space}; expected Discrete or "
            "Box. A portfolio needs network='assets' or EnvConfig(actions='continuous')."
        )
    if kind == "assets" and (config.graphs != "none" or config.precision != "float32"):
        raise ConfigError(
            "PPOConfig(network='assets'), which portfolios have by default, trains in float32 "
            f"without graphs; got precision={config.precision!r} and graphs={config.graphs}. Leave "
            "them out, or use network='mlp'."
        )
    size = int(torch.Size(space.shape).numel()) if kind == "assets" or not discrete else levels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ActorCritic(
            int(obs.shape[-1]),
            size,
            streams,
            config.hidden,
            discrete,
            config.shared,
            config.head,
            _window(env) if kind == "attention" else None,
            (*_asset_window(env), levels) if kind == "assets" else None,
            recurrent=kind == "gru",
        )
    return network.to(obs.device)


def _kind(env: TensorVectorEnv, config: PPOConfig) -> str:
    """The network that is meant; "auto" looks at the task."""
    if config.network != "auto":
        return config.network
    task = getattr(env, "config", None)
    # An overlay decides for all assets at once what to make of its base.
    each = getattr(task, "portfolio", False) and getattr(task, "overlay", None) is None
    return "assets" if each else "mlp"


def _levels(space: Any) -> int:
    """Choices of each action; 0: any number.

    Raises:
        ConfigError: actions are neither Discrete, nor MultiDiscrete with equal choices, nor a Box.

    """
    if isinstance(space, spaces.Box):
        return 0
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete) and len(set(space.nvec.tolist())) == 1:
        return int(space.nvec[0])
    raise ConfigError(
        f"PPO has no policy for actions {space}; expected Discrete, Box, or a portfolio's "
        "MultiDiscrete."
    )


def _observer(env: TensorVectorEnv, network: str) -> Any:
    observer = getattr(getattr(env, "dynamics", None), "observer", None)
    if observer is None:
        raise ConfigError(
            f"PPOConfig(network={network!r}) looks at the bars of a market; {type(env).__name__} "
            "shows none. Use network='mlp'."
        )
    return observer


def _window(env: TensorVectorEnv) -> tuple[int, int]:
    """(W, F') bars and features of the market part that observations begin with."""
    observer = _observer(env, "attention")
    return observer.lookback, observer.width


def _asset_window(env: TensorVectorEnv) -> tuple[int, int]:
    """(W, F') bars and features of each asset of a portfolio."""
    observer = _observer(env, "assets")
    if not getattr(env, "config").portfolio:  # noqa: B009
        raise ConfigError(
            "PPOConfig(network='assets') shares weights between the assets of a portfolio; this "
            "environment trades one asset. Use network='mlp', or EnvConfig(portfolio=True)."
        )
    return observer.lookback, observer.width // observer.assets
