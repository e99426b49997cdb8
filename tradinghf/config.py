"""Every setting, in one place: frozen dataclasses, units in the docs, standard library only.

A config that exists is valid: `__post_init__` raises `ConfigError` otherwise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tradinghf.errors import ConfigError

Fill = Literal["next_open", "close"]


def check(ok: bool, what: str, value: object, expected: str) -> None:
    """Raise `ConfigError` unless `ok`."""
    if not ok:
        raise ConfigError(f"{what} is {value!r}; expected {expected}.")


@dataclass(frozen=True)
class CostModel:
    """What trading costs.

    Attributes:
        fee_bps: proportional fee per fill [basis points of traded notional].
        fixed_fee: fee per fill [currency].
        slippage_bps: buys fill above and sells below the reference price by this much [bps].

    """

    fee_bps: float = 1.0
    fixed_fee: float = 0.0
    slippage_bps: float = 1.0

    def __post_init__(self) -> None:
        for name in ("fee_bps", "fixed_fee", "slippage_bps"):
            value = getattr(self, name)
            check(0 <= value < float("inf"), f"CostModel.{name}", value, "a finite number >= 0")
        check(self.slippage_bps < 1e4, "CostModel.slippage_bps", self.slippage_bps, "below 10000")


@dataclass(frozen=True)
class EnvConfig:
    """One trading task: what the agent sees, may do, and for how long.

    Attributes:
        horizon: length of an episode L [bars].
        lookback: bars of market features in each observation W.
        actions: "discrete" picks one of `levels`; "continuous" is any target in [-1, 1].
        levels: target positions of the discrete actions [signed fraction of equity].
        fill: an action decided on the close of bar t fills at the open of bar t+1
            ("next_open") or at that same close ("close").
        rebalance: False: an action equal to the last one is no order, the position drifts;
            True: every action is an order, so drift is traded back every bar.
        cash: starting cash [currency]; scales `CostModel.fixed_fee`.
        windows: where episodes start: "random" draws, "sequential" walks through the market.
        features: names of market features (`tradinghf.market.features`).
        dtype: accounting precision.

    """

    horizon: int = 64
    lookback: int = 8
    actions: Literal["discrete", "continuous"] = "discrete"
    levels: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    fill: Fill = "next_open"
    rebalance: bool = False
    cash: float = 100_000.0
    windows: Literal["random", "sequential"] = "random"
    features: tuple[str, ...] = (
        "log_return",
        "momentum_5",
        "momentum_20",
        "volatility_20",
        "range",
    )
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        check(self.horizon >= 2, "EnvConfig.horizon", self.horizon, "at least 2 bars")
        check(self.lookback >= 1, "EnvConfig.lookback", self.lookback, "at least 1 bar")
        check(self.cash > 0, "EnvConfig.cash", self.cash, "a positive amount")
        check(len(self.levels) >= 2, "EnvConfig.levels", self.levels, "at least 2 positions")
        check(
            self.fill in ("next_open", "close"), "EnvConfig.fill", self.fill, "next_open or close"
        )


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-ready values."""
    return asdict(config)


__all__ = ["CostModel", "EnvConfig", "Fill", "to_dict"]
