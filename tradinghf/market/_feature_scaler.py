"""Standardising features with statistics of the training market only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tradinghf.errors import ConfigError
from tradinghf.market._bar_rules import Floats


@dataclass(frozen=True)
class FeatureScaler:
    """Standardises features with the mean and deviation of a training market.

    Attributes:
        mean: [F] of the training features.
        std: [F] > 0.
        clip: bound of the result.

    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float = 5.0

    def __post_init__(self) -> None:
        ok = len(self.mean) == len(self.std) and all(np.isfinite([*self.mean, *self.std]))
        if not ok or min(self.std, default=1.0) <= 0 or not self.clip > 0:
            raise ConfigError(
                f"FeatureScaler: mean {self.mean} and std {self.std} must be finite and of equal "
                f"length, std and clip ({self.clip}) positive."
            )

    @classmethod
    def fit(cls, array: NDArray[np.floating[Any]], *, clip: float = 5.0) -> Self:
        """Fit on the features of a training market only.

        The rows before a feature is first known (0 for every asset) do not count; a constant
        feature gets deviation 1.

        Args:
            array: [T, A, F] from `features`.
            clip: bound of the standardised values.

        """
        mean, std = [], []
        for i in range(array.shape[-1]):
            values = array[..., i].reshape(len(array), -1)
            known = (values != 0).any(axis=1)
            values = values[int(np.argmax(known)) :]
            deviation = float(values.std())
            mean.append(float(values.mean()))
            std.append(deviation if deviation > 1e-9 else 1.0)
        return cls(tuple(mean), tuple(std), clip)

    def apply(self, array: NDArray[np.floating[Any]]) -> Floats:
        """(array - mean) / std, clipped; shape [..., F] is kept.

        Raises:
            ConfigError: F differs from the training features.

        """
        if array.shape[-1] != len(self.mean):
            raise ConfigError(
                f"FeatureScaler was fitted on {len(self.mean)} features; got {array.shape[-1]}. "
                "Use the feature names of the training run; what was given as own_features belongs "
                "to that environment: register it with @feature, and name it in EnvConfig."
            )
        scaled: Floats = array - np.array(self.mean)
        scaled /= np.array(self.std)
        np.clip(scaled, -self.clip, self.clip, out=scaled)
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"mean": list(self.mean), "std": list(self.std), "clip": self.clip}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read `to_dict` back.

        Raises:
            ConfigError: a key is missing or a value is no number.

        """
        try:
            mean, std = (tuple(float(v) for v in values[key]) for key in ("mean", "std"))
            return cls(mean, std, float(values["clip"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"Not a FeatureScaler: {type(error).__name__}: {error}.") from error
