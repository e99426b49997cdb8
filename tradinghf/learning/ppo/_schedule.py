"""What changes while PPO trains: step size, clip and entropy bonus, and what callbacks do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig, Schedule

Callback = Callable[[Any, dict[str, float]], bool | None]


@dataclass(frozen=True)
class StepRates:
    """Settings of one iteration; numbers, or tensors on the device where it is recorded.

    Attributes:
        learning_rate: step size of Adam.
        clip: largest change of the probability ratio.
        entropy: weight of the entropy bonus.

    """

    learning_rate: float | Tensor
    clip: float | Tensor
    entropy: float | Tensor

    @classmethod
    def at(cls, config: PPOConfig, progress: float) -> StepRates:
        """At a share `progress` of the training, from 0 to 1.

        Raises:
            ConfigError: a schedule gives no finite number, or one that the setting may not have.

        """
        return cls(
            _at("learning_rate", config.learning_rate, config.final_learning_rate, progress),
            _at("clip", config.clip, None, progress),
            _at("entropy", config.entropy, config.final_entropy, progress),
        )

    def metrics(self) -> dict[str, float]:
        """What is logged of them."""
        return {
            "learning_rate": float(self.learning_rate),
            "clip": float(self.clip),
            "entropy_weight": float(self.entropy),
        }


def _at(name: str, begin: float | Schedule, end: float | None, progress: float) -> float:
    """A setting at a share of the training: a line from begin to end, or what a function says."""
    if not callable(begin):
        return begin if end is None else begin + progress * (end - begin)
    left = 1.0 - progress
    try:
        value = float(begin(left))
    except Exception as error:
        raise ConfigError(
            f"PPOConfig.{name}: the schedule failed at {left:g} of the training left "
            f"({type(error).__name__}: {error}); expected a function of the share of the training "
            "that is left, from 1 to 0, to a number."
        ) from error
    if not math.isfinite(value) or value < 0 or (value == 0 and name == "clip"):
        wanted = "above 0" if name == "clip" else "of at least 0"
        raise ConfigError(
            f"PPOConfig.{name}: the schedule gave {value} at {left:g} of the training left; "
            f"expected a finite number {wanted}."
        )
    return value


def tell(callbacks: Iterable[Callback], learner: Any, metrics: dict[str, float]) -> bool:
    """Call each with the learner and the metrics of an iteration; whether all want to go on.

    A callback ends the training by returning False; None goes on.
    """
    told = [callback(learner, metrics) for callback in callbacks]
    return not any(isinstance(one, bool | np.bool_) and not one for one in told)
