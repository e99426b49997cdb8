"""What Gymnasium keeps of how an environment was made, and what two of them have in common."""

from __future__ import annotations

import dataclasses
import json
import warnings
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from tradinghf.errors import ConfigError
from tradinghf.market import FeatureScaler
from tradinghf.simulation._env import MarketEnv

_MOST_REMEMBERED = 64
# What is scaled -> first and last bar, words for them, and the scaler.
_scaled: dict[Any, tuple[Any, Any, str, FeatureScaler]] = {}


class MarketSpec(EnvSpec):
    """An `EnvSpec` that says what of it JSON cannot hold."""

    @classmethod
    def of(cls, spec: EnvSpec) -> MarketSpec:
        """The same."""
        given = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec) if f.init}
        return cls(**given)

    def to_json(self) -> str:
        """As of `EnvSpec`.

        Raises:
            ConfigError: an argument lives in memory only, such as bars or a function.

        """
        for name, value in self.kwargs.items():
            try:
                json.dumps(value, default=dataclasses.asdict)
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    f"{self.id} was made with {name}, a {type(value).__name__} in memory, which "
                    "JSON cannot hold. Give what has a name instead: a source or a file as market "
                    "('sp500', 'prices.csv'), a registered reward; or hand on env.spec itself, "
                    "which gymnasium.make takes and pickle holds."
                ) from error
        return super().to_json()


class Specified:
    """Keeps the specification that `gymnasium.make` hands over as a `MarketSpec`."""

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> Any:
        """How the environment was made; None where it was made without Gymnasium."""
        return self._spec

    @spec.setter
    def spec(self, given: EnvSpec | None) -> None:
        self._spec = None if given is None else MarketSpec.of(given)


def warn_of_own_scaler(env: MarketEnv, level: int = 4) -> None:
    """Warn where features are scaled otherwise than in an earlier environment of the same assets.

    Training and evaluation on earlier and later bars are meant: the policy would see the same
    market in other units. Environments of other symbols, or of overlapping bars, say nothing.
    `level` is that of who made the environment (`warnings.warn`).
    """
    config, times = env.config, env.market.timestamps
    key = (env.market.symbols, config.features, config.lookback)
    first, last = times[0], times[-1]
    shown = " to ".join(str(np.datetime_as_string(t, "D")) for t in (first, last))
    before = _scaled.get(key)
    if before is None:
        if len(_scaled) >= _MOST_REMEMBERED:
            _scaled.pop(next(iter(_scaled)))
        _scaled[key] = (first, last, shown, env.scaler)
    elif (first > before[1] or last < before[0]) and env.scaler != before[3]:
        warnings.warn(
            f"This environment ({shown}) scales its features by its own bars, an earlier one by "
            f"{before[2]}. Whoever learned there sees other numbers here. Hand the scaler on: "
            "gymnasium.make(..., scaler=training_env.unwrapped.scaler), "
            "MarketEnv(..., scaler=training_env.scaler).",
            stacklevel=level,
        )
