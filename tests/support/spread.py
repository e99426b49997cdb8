"""What is trained in other processes: policies of nothing, and trainings in tiny sizes."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from tradinghf import EnvConfig
from tradinghf.loop.labels import LabelBench
from tradinghf.loop.labels._cells import Cell


@dataclasses.dataclass
class Steady:
    """A policy that always holds the same."""

    level: float
    config: ClassVar = EnvConfig(horizon=16, actions="continuous")
    name: ClassVar = "steady"

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """[N, 1] of it."""
        import torch

        return torch.full((len(obs), 1), self.level)


def trained(past: object, validation: object, number: int) -> Steady:
    """A trainer of policies."""
    return Steady(0.5 - 0.1 * number)


@dataclasses.dataclass(frozen=True)
class WithoutRankings(LabelBench):
    """The benchmark's first two kinds of trainings, in tiny sizes."""

    traders: tuple[str, ...] = ("drawdown",)
    markets: tuple[str, ...] = ("momentum",)
    seeds: int = 1
    steps: int = 4096
    envs: int = 32
    test_episodes: int = 64

    def cells(self) -> list[list[Cell]]:
        """Without those that learn from rankings."""
        return super().cells()[:2]
