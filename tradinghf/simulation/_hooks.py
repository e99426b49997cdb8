"""What users put into an environment: what fills cost, and when episodes end.

Each is a function of tensors over all environments. A reward is one too, see `_rewards`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.simulation._ledger import Ledger, Tape, sum_assets
from tradinghf.simulation._rewards import Reward, Transition


@dataclass(frozen=True)
class BarFills:
    """What was traded in one bar, for a function that charges for it; tensors [N, A'].

    Attributes:
        size: net signed shares; 0 where nothing was traded.
        volume: shares bought and sold, together.
        notional: value traded [currency].
        price: average price of the fills [currency]; NaN where there was none.
        costs: fees and slippage by `CostModel` [currency].
        before: shares held before the bar.
        equity: [N, 1] of the account at the bar's close, before this charge [currency].

    """

    size: Tensor
    volume: Tensor
    notional: Tensor
    price: Tensor
    costs: Tensor
    before: Tensor
    equity: Tensor


FillCost = Callable[[BarFills], Tensor]
Termination = Callable[[Transition], Tensor]


def charge(function: FillCost, before: Ledger, ledger: Ledger, tape: Tape) -> tuple[Ledger, Tape]:
    """Take what a user's function asks for a bar's fills, as fees, from the accounts' cash.

    It is charged at the bar's close, when all orders have been sized: it makes none smaller.

    Args:
        function: fills to [N, A'] [currency]; asked where something was traded only.
        before: at the close before.
        ledger, tape: of the bar.

    Raises:
        ConfigError: it returned another shape, or what is not finite where something was traded.

    """
    traded, shares = tape.volume > 0, ledger.account.shares
    fills = BarFills(
        *(tape.size, tape.volume, tape.notional, tape.price, tape.fees + tape.slippage),
        *(before.account.shares, ledger.equity),
    )
    asked = function(fills)
    shape = list(shares.shape)
    if not isinstance(asked, Tensor) or list(asked.shape) != shape:
        raise _wrong("fill_cost", asked, f"a tensor [N, A'] = {shape}, the cost of each asset's")
    fees = torch.where(traded, asked, 0.0).to(shares)
    if not bool(fees.isfinite().all()):
        raise _wrong("fill_cost", "what is not finite", "a number for each asset's")
    # Of a position that is still open it burdens the round trip, else the profit that was made.
    flow = ledger.flow - fees.masked_fill(shares == 0, 0.0)
    realised = tape.realised - sum_assets(fees.masked_fill(shares != 0, 0.0))
    account = ledger.account.pay_in(-sum_assets(fees))
    ledger = replace(ledger, account=account, flow=flow)
    return ledger, replace(tape, fees=tape.fees + fees, realised=realised)


def _wrong(hook: str, came: Any, expected: str) -> ConfigError:
    if isinstance(came, Tensor):
        came = f"{came.dtype} {list(came.shape)}".removeprefix("torch.")
    elif not isinstance(came, str):
        came = f"a {type(came).__name__}"
    return ConfigError(f"MarketEnv({hook}=...) returned {came}; expected {expected} fills.")


def early_end_of(function: Any, reward: Reward) -> EarlyEnd | None:
    """The termination that a caller gave.

    Raises:
        ConfigError: it is no function.

    """
    if not callable(function) and function is not None:
        raise ConfigError(
            f"termination is {function!r:.60}; expected a function of a Transition to a bool "
            "tensor [N], such as `lambda t: t.drawdown > 0.2`, or None."
        )
    return None if function is None else EarlyEnd(function, reward)


class EarlyEnd:
    """A user's termination, told of every transition by listening to what the reward is told.

    Args:
        function: transition to [N] bool, which episodes end here.
        reward: of the environment.

    """

    def __init__(self, function: Termination, reward: Reward) -> None:
        self.function, self._reward = function, reward
        self._last: Transition | None = None

    def reward(self, happened: Transition) -> Tensor:
        """The environment's reward."""
        self._last = happened
        return self._reward(happened)

    def __call__(self) -> Tensor:
        """[N] bool, of the last transition.

        Raises:
            ConfigError: the function returned something else.

        """
        assert self._last is not None
        ended = self.function(self._last)
        count = len(self._last.equity)
        if isinstance(ended, Tensor) and ended.dtype == torch.bool and ended.shape == (count,):
            return ended
        found = f"{ended.dtype} {list(ended.shape)}" if isinstance(ended, Tensor) else repr(ended)
        raise ConfigError(
            f"MarketEnv(termination=...) returned {found:.60}; expected a bool tensor [N] = "
            f"[{count}]: which episodes end here, such as `lambda t: t.drawdown > 0.2`."
        )
