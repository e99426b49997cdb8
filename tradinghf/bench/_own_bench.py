"""What `tradinghf bench own` measures: worlds, tastes, bases, and the parameters tried of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tradinghf.errors import check_setting

GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "sma_cross": {
        "fast": (3, 5, 8, 12, 20, 30),
        "slow": (10, 20, 35, 50, 75, 100),
        "short": (False, True),
    },
    "momentum": {
        "lookback": (10, 20, 40, 60, 120, 180),
        "every": (1, 5, 20),
        "short": (False, True),
    },
    "donchian_breakout": {"enter": (10, 20, 35, 50, 75, 100), "leave": (5, 10, 20, 35, 50)},
    "rsi_reversion": {
        "period": (3, 5, 10, 14, 21),
        "enter": (20.0, 30.0, 40.0, 50.0),
        "leave": (50.0, 60.0, 70.0),
    },
    "vol_target": {"target_pct": (5.0, 10.0, 15.0, 20.0, 30.0), "window": (10, 20, 40, 60)},
    "buy_and_hold": {"weight": (0.0, 0.25, 0.5, 0.75, 1.0)},
}


@dataclass(frozen=True)
class OwnBench:
    """What is measured.

    Attributes:
        runs: worlds of each taste and base, each with rankings and trainings of its own.
        reached: in so many of them the best is also sought with the true utility.
        traders: hidden tastes.
        bases: strategies that are traded now.
        rankings: answers of five.
        regime: of the synthetic market.
        bars: of one asset to train on, and of 8 assets for the gate, and of 8 more to judge by.
        steps: environment steps of each training.
        envs: environments.
        margin: a mean profit a window lower by up to this is no harm [fraction of equity].
        data: real bars instead: policies learn from the first 55 % and are chosen, among those
            that a training passed through, on the next 15 %; parameters are tuned on both; the
            rest judges and is the gate's too. Both are chosen by taste alone, and by taste among
            what keeps the base's profit to within the margin ("kept"), which the gate is offered.

    """

    runs: int = 200
    reached: int = 40
    traders: tuple[str, ...] = ("drawdown",)
    bases: tuple[str, ...] = ("sma_cross",)
    rankings: int = 15
    regime: str = "momentum"
    bars: int = 8_192
    steps: int = 128_000
    envs: int = 128
    margin: float = 0.0025
    data: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_setting(self.runs >= 1, "runs", self.runs, "at least 1")
        check_setting(self.reached >= 0, "reached", self.reached, "0 or more")
        check_setting(self.bars >= 2_048, "bars", self.bars, "at least 2048")
        check_setting(len(self.traders) > 0, "traders", self.traders, "at least one")
        for base in self.bases:
            check_setting(base in GRIDS, "bases", base, f"one of {', '.join(GRIDS)}")

    def cells(self) -> list[tuple[int, str, str]]:
        """Every world: seed, taste and base."""
        return [
            (seed, trader, base)
            for seed in range(self.runs)
            for trader in self.traders
            for base in self.bases
        ]
