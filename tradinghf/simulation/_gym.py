"""Gymnasium environments in NumPy over `MarketEnv`: for Stable-Baselines3 and other libraries."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, settings_of
from tradinghf.errors import ConfigError, UnexpectedOptionError, unknown_name
from tradinghf.market import FeatureScaler, MarketLike
from tradinghf.simulation._env import MarketEnv
from tradinghf.simulation._frames import episode_frame
from tradinghf.simulation._render import History, episode_figure, episode_text
from tradinghf.simulation._resets import environment_seeds
from tradinghf.simulation._single import SingleStep
from tradinghf.simulation._spec import Specified, warn_of_own_scaler

_Array = NDArray[Any]
_SINGLE_MODES = ["ansi", "human", "plotly", "rgb_array"]
_VECTOR_MODES = ["ansi", "human", "rgb_array"]
_FRAMES_PER_SECOND = 8


def _make_market_env(
    market: MarketLike = "sp500", *, num_envs: int = 1, **options: Any
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
    config = settings_of(EnvConfig, options.pop("config", None), "config")
    config = replace(config, **{k: v for k, v in options.items() if k in task})
    if config.autoreset == "auto":
        config = replace(config, autoreset="next_step")
    costs = settings_of(CostModel, options.pop("costs", None), "costs")
    costs = replace(costs, **{k: v for k, v in options.items() if k in cost})
    rest = {k: v for k, v in options.items() if k in own}
    env = MarketEnv(market, num_envs=num_envs, config=config, costs=costs, **rest)
    if rest.get("scaler") is None:
        warn_of_own_scaler(env)
    return env


def _check_mode(mode: str | None, modes: list[str]) -> str | None:
    if mode is not None and mode not in modes:
        raise ConfigError(unknown_name("render mode", mode, modes))
    return mode


def _render(env: MarketEnv, mode: str | None, history: History) -> Any:
    """One environment's episode so far, as a render mode says."""
    if mode == "plotly":
        return episode_figure(env.market, history)
    if mode == "ansi":
        return episode_text(env.market, history)
    if mode == "rgb_array":
        assets = env.market.assets if env.config.portfolio else 1
        return episode_frame(env.market, history, env.config.horizon + 1, assets)
    return None


class TradingEnv(Specified, gymnasium.Env[Any, Any]):
    """One trading account with NumPy observations: `gymnasium.make("tradinghf/Market-v0")`.

    Observation, action, reward and episode are those of `MarketEnv`; `info` holds the same
    quantities as Python numbers, without those that do not exist (the price of no fill).

    Args:
        market: bars, or what `load_market` takes.
        render_mode: "rgb_array" draws the episode so far in 480 x 640 pixels (videos), "plotly"
            as a figure, "ansi" describes it in a line, "human" writes that line to the terminal
            at every step.
        options: fields of `EnvConfig` and `CostModel`, and options of `MarketEnv`.

    """

    metadata = {  # noqa: RUF012 - Gymnasium's
        "render_modes": _SINGLE_MODES,
        "render_fps": _FRAMES_PER_SECOND,
    }

    def __init__(
        self,
        market: MarketLike = "sp500",
        *,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.render_mode = _check_mode(render_mode, _SINGLE_MODES)
        self.env = _make_market_env(market, **(options | {"autoreset": "disabled"}))
        self.observation_space = self.env.single_observation_space
        self.action_space = self.env.single_action_space
        self._history: list[dict[str, Any]] = []
        self._single: SingleStep | None = None

    @property
    def scaler(self) -> FeatureScaler:
        """What brings features to unit scale; an environment for evaluation takes the same."""
        return self.env.scaler

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: not the fast step, which reads this one's memory."""
        return self.__dict__ | {"_single": None}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; see `MarketEnv.reset`."""
        super().reset(seed=None if seed is None else int(environment_seeds(seed, 1)[0]))
        plain = self._single is not None and seed is None and not options
        found = self._single.reset() if self._single is not None and plain else None
        if found is None:
            obs, info = self.env.reset(seed=seed, options=options)
            self._single = self._single or SingleStep.of(self.env)
            found = _numpy(obs, 0), _first(info)
        self._history = [found[1]]
        self._show()
        return found

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act for one bar; see `MarketEnv.step_weights` for `info`."""
        found = None if self._single is None else self._single.step(action)
        if found is None:
            obs, reward, terminated, truncated, info = self.env.step(np.asarray(action)[None])
            ends = bool(terminated[0]), bool(truncated[0])
            found = (_numpy(obs, 0), float(reward[0]), *ends, _first(info))
        self._history.append(found[4])
        self._show()
        return found

    def render(self) -> Any:
        """The episode so far, as `render_mode` says.

        Raises:
            ResetNeeded: before the first reset.

        """
        if not self._history:
            raise ResetNeeded("There is no episode to render yet. Call reset() first.")
        return _render(self.env, self.render_mode, self._history)

    def _show(self) -> None:
        if self.render_mode == "human":
            sys.stdout.write(episode_text(self.env.market, self._history) + "\n")


class TradingVectorEnv(Specified, VectorEnv[Any, Any, Any]):
    """N trading accounts with NumPy arrays: `gymnasium.make_vec("tradinghf/Market-v0", 8)`.

    `autoreset` is "next_step" unless given, as in Gymnasium's own vector environments. A reset
    with options={"reset_mask": ...} starts the named ones at once, whatever the mode.

    Args:
        market: bars, or what `load_market` takes.
        num_envs: N.
        render_mode: "rgb_array", "ansi" or "human", one picture or line per environment.
        options: fields of `EnvConfig` and `CostModel`, and options of `MarketEnv`.

    """

    def __init__(
        self,
        market: MarketLike = "sp500",
        *,
        num_envs: int = 1,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.render_mode = _check_mode(render_mode, _VECTOR_MODES)
        self.env = _make_market_env(market, num_envs=num_envs, **options)
        self.num_envs = num_envs
        self.metadata = self.env.metadata | {
            "render_modes": _VECTOR_MODES,
            "render_fps": _FRAMES_PER_SECOND,
        }
        self.single_observation_space = self.env.single_observation_space
        self.single_action_space = self.env.single_action_space
        self.observation_space = self.env.observation_space
        self.action_space = self.env.action_space
        self._histories: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]

    @property
    def scaler(self) -> FeatureScaler:
        """What brings features to unit scale; an environment for evaluation takes the same."""
        return self.env.scaler

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """What libraries that reset ended environments themselves (TorchRL) may rely on.

        With "next_step", an environment that is reset by a mask before its next step is not reset
        again by that step: to such a library it behaves as one without autoreset.
        """
        declared: AutoresetMode = self.metadata["autoreset_mode"]
        return AutoresetMode.DISABLED if declared == AutoresetMode.NEXT_STEP else declared

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes; see `MarketEnv.reset`."""
        first = None if seed is None else int(environment_seeds(seed, self.num_envs)[0])
        super().reset(seed=first)
        obs, info = self.env.reset(seed=seed, options=options)
        shown = _numpy(info)
        self._remember(shown)
        return _numpy(obs), shown

    def step(self, actions: Any) -> tuple[Any, _Array, _Array, _Array, dict[str, Any]]:
        """Act in every environment; see `MarketEnv.step_weights` for `info`."""
        obs, reward, terminated, truncated, info = self.env.step(np.asarray(actions))
        flags, shown = (_numpy(terminated), _numpy(truncated)), _numpy(info)
        self._remember(shown)
        return _numpy(obs), _numpy(reward).astype(np.float64), *flags, shown

    def render(self) -> tuple[Any, ...] | None:
        """The episodes so far, one picture or line per environment.

        Raises:
            ResetNeeded: before the first reset.

        """
        if self.render_mode not in ("ansi", "rgb_array"):
            return None
        if not self._histories[0]:
            raise ResetNeeded("There is no episode to render yet. Call reset() first.")
        return tuple(_render(self.env, self.render_mode, each) for each in self._histories)

    def _remember(self, info: dict[str, Any]) -> None:
        """Keep what pictures need; nothing where nobody asks for them."""
        if self.render_mode is None:
            return
        now = self.env.state
        places = (now.start.tolist(), now.asset.tolist(), now.bar.tolist())
        for row, (start, asset, bar) in enumerate(zip(*places, strict=True)):
            if bar == start:
                self._histories[row] = [{"start": start, "asset": asset, "bar": bar}]
            elif self._histories[row][-1]["bar"] != bar:  # it is not waiting for its reset
                self._histories[row].append({k: info[k][row] for k in _DRAWN if k in info})
        if self.render_mode == "human":
            lines = (episode_text(self.env.market, each) for each in self._histories)
            sys.stdout.write("\n".join(lines) + "\n")


_DRAWN = ("bar", "equity", "position", "price")


def _numpy(value: Any, row: int | None = None) -> Any:
    """Tensors as arrays of their own memory, through dicts; one row of them if asked for."""
    if isinstance(value, dict):
        return {name: _numpy(part, row) for name, part in value.items()}
    if not isinstance(value, Tensor):
        return value
    chosen = value if row is None else value[row]
    return chosen.clone().cpu().numpy()


def _first(info: dict[str, Any]) -> dict[str, Any]:
    """The single environment's info as Python numbers and lists; NaN is left out."""
    values = {name: value[0] for name, value in info.items()}
    return {
        name: value.item() if value.ndim == 0 else value.cpu().numpy()
        for name, value in values.items()
        if not bool(value.isnan().all())
    }
