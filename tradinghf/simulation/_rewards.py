"""The rewards of a step, by name, and the transition that they are computed from.

A reward is any function `Transition -> Tensor [N]`. Registering one makes it available by name::

    @reward("profit_less_turnover")
    def profit_less_turnover(t: Transition) -> Tensor:
        return t.equity - t.previous - 0.001 * t.turnover
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.registry import Registry


class Transition(NamedTuple):  # a frozen dataclass takes four times as long to make
    """One step of N environments; tensors [N] unless noted, money in units of starting equity.

    Attributes:
        previous, equity: value of the account before and after the step.
        drawdown_before, drawdown: fall from the highest equity of the review period [fraction].
        realised: net profit of the round trips that closed; at the end of an episode also of
            what is still open.
        costs: fees and slippage.
        turnover: traded notional / value before the trade.
        financing: interest, borrow and funding paid less received.
        position: [N, A'] signed fraction of equity at the bar's close.
        mean, square: moving averages of the return and its square before this step.
        floor: equity at which an account is ruined.

    """

    previous: Tensor
    equity: Tensor
    drawdown_before: Tensor
    drawdown: Tensor
    realised: Tensor
    costs: Tensor
    turnover: Tensor
    financing: Tensor
    position: Tensor
    mean: Tensor
    square: Tensor
    floor: float

    def info(self, window: Any, **shown: Tensor) -> dict[str, Any]:
        """The info of `MarketEnv.step`: this, `shown`, and the asset and start [N] of `window`."""
        return {
            "equity": self.equity,
            "turnover": self.turnover,
            "costs": self.costs,
            "financing": self.financing,
            "realised_pnl": self.realised,
            **shown,
            "asset": window.asset,
            "start": window.start,
        }


Reward = Callable[[Transition], Tensor]
REWARDS: Registry[Reward] = Registry("reward", ConfigError)
MOMENT_RATE = 1.0 / 64  # of the moving averages that differential Sharpe needs


def find_reward(given: str | Reward | None) -> Reward:
    """The reward of a name, a function as it is, `log_equity` for None.

    Raises:
        ConfigError: an unknown name, or something that cannot be called.

    """
    if given is None:
        return log_equity
    if isinstance(given, str):
        return REWARDS[given]
    if not callable(given):
        raise ConfigError(
            f"reward is {given!r}; expected a registered name or a function of a Transition: "
            f"{', '.join(REWARDS)}."
        )
    return given


def check_rewards(rewards: Any, count: int, whose: str) -> None:
    """What a function of somebody's own pays in the first step is one finite number for each env.

    Args:
        rewards: what came.
        count: N.
        whose: for messages.

    Raises:
        ConfigError: no tensor, another shape, whole numbers or truth values, or not finite.

    """
    if not isinstance(rewards, Tensor):
        found = f"a {type(rewards).__name__}"
    elif rewards.shape != (count,) or not rewards.is_floating_point():
        found = f"{rewards.dtype} {list(rewards.shape)}".removeprefix("torch.")
    elif not bool(rewards.isfinite().all()):
        bad = int((~rewards.isfinite()).nonzero()[0])
        found = f"{float(rewards[bad])} for environment {bad}"
    else:
        return
    raise ConfigError(
        f"{whose} paid {found} in the first step; expected a floating-point tensor of shape "
        f"[{count}], one finite number for each environment."
    )


def reward(name: str) -> Callable[[Reward], Reward]:
    """Register a reward under `name`."""
    return REWARDS.register(name)


@reward("log_equity")
def log_equity(t: Transition) -> Tensor:
    """Change of log equity, net of all costs; sums to log(final / initial equity).

    Equity counts at least the ruin level, so that ruin costs a finite amount.
    """
    return torch.log(t.equity.clamp_min(t.floor) / t.previous.clamp_min(t.floor))


@reward("pnl")
def pnl(t: Transition) -> Tensor:
    """Profit of the bar, net of all costs; sums to the episode's net return."""
    return t.equity - t.previous


@reward("sparse_pnl")
def sparse_pnl(t: Transition) -> Tensor:
    """Net profit when a round trip closes, and at the end for what is open; same sum as pnl."""
    return t.realised


def drawdown_penalised(weight: float = 1.0) -> Reward:
    """Change of log equity less `weight` times the deepening of the drawdown.

    Args:
        weight: price of one unit of drawdown, in units of log equity.

    """

    def drawdown_penalised(t: Transition) -> Tensor:
        return log_equity(t) - weight * (t.drawdown - t.drawdown_before).clamp_min(0.0)

    return drawdown_penalised


REWARDS.add("drawdown_penalised", drawdown_penalised())


@reward("differential_sharpe")
def differential_sharpe(t: Transition) -> Tensor:
    """Influence of the bar's return on the moving Sharpe ratio.

    D = (B * dA - A * dB / 2) / (B - A^2)^(3/2) with dA = R - A and dB = R^2 - B, A and B the
    moving averages of the return R and its square; clipped to ±10, 0 while the variance is 0.

    Source: Moody & Saffell 2001, IEEE Trans. Neural Networks 12(4), eq. 14.
    """
    change = t.equity / t.previous.clamp_min(t.floor) - 1.0
    variance = t.square - t.mean * t.mean
    gain = t.square * (change - t.mean) - 0.5 * t.mean * (change * change - t.square)
    ratio = gain / variance.clamp_min(1e-12).pow(1.5)
    return torch.where(variance > 1e-12, ratio, 0.0).clamp(-10.0, 10.0)


def moments(mean: Tensor, square: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """Moving averages of a return and its square after one more bar [N]."""
    return (
        mean + MOMENT_RATE * (change - mean),
        square + MOMENT_RATE * (change * change - square),
    )
