"""Gymnasium environments in NumPy over `MarketEnv`: for Stable-Baselines3 and other libraries."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from typing import Any

import gymnasium
import numpy as np
import plotly.graph_objects as go
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import ConfigError, UnexpectedOptionError, unknown_name
from tradinghf.market import MarketData, load_market
from tradinghf.simulation._env import MarketEnv
from tradinghf.simulation._render import episode_figure, episode_text
from tradinghf.simulation._resets import environment_seeds

_Array = NDArray[Any]


def _make_market_env(
    market: MarketData | str = "sp500", *, num_envs: int = 1, **options: Any
) -> MarketEnv:
    """A `MarketEnv` from flat options, as `gymnasium.make` passes them.

    Args:
        market: bars, or what `load_market` takes ("sp500", "synthetic:seed=3,regime=jumps").
        num_envs: N.
        options: fields of `EnvConfig` and of `CostModel` by name, and `MarketEnv`'s own options
            (config, costs, reward, scaler, device, seed ...).

    Raises:
        UnexpectedOptionError: an option is unknown; the message suggests close ones.

    """
    task = {f.name for f in fields(EnvConfig)}
    cost = {f.name for f in fields(CostModel)}
    own = set(inspect.signature(MarketEnv).parameters) - {"market", "num_envs"}
    for name in options:
        if name not in task | cost | own:
            known = unknown_name("option", name, task | cost | own)
            raise UnexpectedOptionError(f"{known} (unexpected keyword argument {name!r})")
    config = options.pop("config", None) or EnvConfig()
    config = EnvConfig(**config) if isinstance(config, dict) else config
    config = replace(config, **{k: v for k, v in options.items() if k in task})
    costs = options.pop("costs", None) or CostModel()
    costs = CostModel(**costs) if isinstance(costs, dict) else costs
    costs = replace(costs, **{k: v for k, v in options.items() if k in cost})
    data = load_market(market) if isinstance(market, str) else market
    rest = {k: v for k, v in options.items() if k in own}
    return MarketEnv(data, num_envs=num_envs, config=config, costs=costs, **rest)


class TradingEnv(gymnasium.Env[Any, Any]):
    """One trading account with NumPy observations: `gymnasium.make("tradinghf/Market-v0")`.

    Observation, action, reward and episode are those of `MarketEnv`; `info` holds the same
    quantities as Python numbers, without those that do not exist (the price of no fill).

    Args:
        market: bars, or what `load_market` takes.
        render_mode: "plotly" draws the episode so far as a figure, "ansi" describes it in a line.
        options: fields of `EnvConfig` and `CostModel`, and options of `MarketEnv`.

    """

    metadata = {"render_modes": ["plotly", "ansi"], "render_fps": 4}  # noqa: RUF012 - Gymnasium's

    def __init__(
        self,
        market: MarketData | str = "sp500",
        *,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ConfigError(unknown_name("render mode", render_mode, modes))
        self.env = _make_market_env(market, autoreset="disabled", **options)
        self.render_mode = render_mode
        self.observation_space = self.env.single_observation_space
        self.action_space = self.env.single_action_space
        self._history: list[dict[str, Any]] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; see `MarketEnv.reset`."""
        super().reset(seed=None if seed is None else environment_seeds(seed, 1)[0])
        obs, info = self.env.reset(seed=seed, options=options)
        first = _first(info)
        self._history = [first]
        return _numpy(obs, 0), first

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act for one bar; see `MarketEnv.step_weights` for `info`."""
        obs, reward, terminated, truncated, info = self.env.step(np.asarray(action)[None])
        about = _first(info)
        self._history.append(about)
        return _numpy(obs, 0), float(reward[0]), bool(terminated[0]), bool(truncated[0]), about

    def render(self) -> go.Figure | str | None:
        """The episode so far, as `render_mode` says."""
        if self.render_mode == "plotly":
            return episode_figure(self.env.market, self._history)
        if self.render_mode == "ansi":
            return episode_text(self.env.market, self._history)
        return None


class TradingVectorEnv(VectorEnv[Any, Any, Any]):
    """N trading accounts with NumPy arrays: `gymnasium.make_vec("tradinghf/Market-v0", 8)`.

    Args:
        market: bars, or what `load_market` takes.
        num_envs: N.
        options: fields of `EnvConfig` and `CostModel`, and options of `MarketEnv`.

    """

    def __init__(
        self, market: MarketData | str = "sp500", *, num_envs: int = 1, **options: Any
    ) -> None:
        self.env = _make_market_env(market, num_envs=num_envs, **options)
        self.num_envs, self.metadata = num_envs, self.env.metadata
        self.single_observation_space = self.env.single_observation_space
        self.single_action_space = self.env.single_action_space
        self.observation_space = self.env.observation_space
        self.action_space = self.env.action_space

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes; see `MarketEnv.reset`."""
        super().reset(seed=None if seed is None else environment_seeds(seed, self.num_envs)[0])
        obs, info = self.env.reset(seed=seed, options=options)
        return _numpy(obs), _numpy(info)

    def step(self, actions: Any) -> tuple[Any, _Array, _Array, _Array, dict[str, Any]]:
        """Act in every environment; see `MarketEnv.step_weights` for `info`."""
        obs, reward, terminated, truncated, info = self.env.step(np.asarray(actions))
        flags = (_numpy(terminated), _numpy(truncated))
        return _numpy(obs), _numpy(reward).astype(np.float64), *flags, _numpy(info)


def _numpy(value: Any, row: int | None = None) -> Any:
    """Tensors as arrays of their own memory, through dicts; one row of them if asked for."""
    if isinstance(value, dict):
        return {name: _numpy(part, row) for name, part in value.items()}
    if not isinstance(value, Tensor):
        return value
    chosen = value if row is None else value[row]
    return torch.clone(chosen).cpu().numpy()


def _first(info: dict[str, Any]) -> dict[str, Any]:
    """The single environment's info as Python numbers and lists; NaN is left out."""
    values = {name: value[0] for name, value in info.items()}
    return {
        name: value.item() if value.ndim == 0 else value.cpu().numpy()
        for name, value in values.items()
        if not bool(value.isnan().all())
    }
