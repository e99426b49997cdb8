"""What an action means: from what a policy hands over to target weights that respect the cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.config import Allocation, EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.simulation._allocation import (
    ROUNDING,
    above_cap,
    allocate,
    beyond_limits,
    outside_band,
    within_limits,
)
from tradinghf.simulation._ledger import sum_assets

_PLAIN = Allocation()
_LEAST = 1e-12  # total weight that is divided by


def action_space(config: EnvConfig, assets: int) -> spaces.Space[Any]:
    """Actions of one environment with A' assets: levels, or numbers in [-1, 1]."""
    if config.actions == "continuous":
        return spaces.Box(-1.0, 1.0, (assets,), np.float32)
    levels = len(config.levels)
    return spaces.MultiDiscrete([levels] * assets) if config.portfolio else spaces.Discrete(levels)


@dataclass(frozen=True)
class ActionMap:
    """Reads actions of N environments with A' assets each.

    A single asset's weight is a level, or a number in [-1, 1] times the leverage. A portfolio's
    weights are these, all scaled down by one factor where their absolute values sum to more than
    the leverage: w = leverage * a / max(1, sum |a|). So the direction of the action counts, the
    rest of the account is cash, and gross exposure never exceeds the cap when orders are sized,
    long and short together. `EnvConfig.allocation` has other mappings and further limits.

    Attributes:
        envs, assets: N and A'.
        discrete: actions are indices of levels.
        portfolio: the weights of one environment share a cap.
        leverage: the cap [multiple of equity].
        levels: weights of discrete actions.
        rules: of a portfolio.
        members: [T, A] bool, which assets are listed; None is all of them, always.
        compiled: portfolios' orders are computed in compiled code where that covers the rules.

    """

    envs: int
    assets: int
    discrete: bool
    portfolio: bool
    leverage: float
    levels: Tensor
    rules: Allocation = _PLAIN
    members: Tensor | None = None
    compiled: bool = False

    @classmethod
    def of(
        cls,
        config: EnvConfig,
        envs: int,
        assets: int,
        like: Tensor,
        member: Any = None,
        *,
        compiled: bool = False,
    ) -> ActionMap:
        """Of a task; `like` has the precision and the device of its prices."""
        levels = torch.tensor(config.levels, dtype=like.dtype, device=like.device)
        discrete = config.actions == "discrete"
        leverage, rules = config.margin.leverage, config.allocation
        listed = None if member is None else torch.as_tensor(member, device=like.device)
        return cls(
            *(envs, assets, discrete, config.portfolio, leverage, levels, rules, listed, compiled)
        )

    @property
    def _numbers(self) -> Any:
        """What the compiled code needs to know of the cap."""
        above = self.leverage * (1 + ROUNDING)
        kind = np.float64 if self.levels.dtype == torch.float64 else np.float32
        return np.array([0.0, 1.0, _LEAST, self.leverage, above], kind)

    def read(self, actions: Any) -> Tensor:
        """[N, A'] actions as engines take them: int64 indices of levels, or target weights.

        Raises:
            ConfigError: no numbers, another count, or indices that are not whole.

        """
        given = self.each(_tensor(actions, self.levels.device), "actions")
        if self.discrete:
            return _whole(given)
        if not (self.portfolio or isinstance(actions, Tensor)):
            given = numbers(given)  # a portfolio's NaN keeps what is held of an asset
        weights = given.to(self.levels.dtype).clamp(-1.0, 1.0)
        return weights if self.leverage == 1.0 else weights * self.leverage

    def weights(self, actions: Tensor, bar: Tensor | None = None) -> Tensor:
        """[N, A'] target weights of actions that were read, within the cap.

        Args:
            actions: as `read` gives them.
            bar: [N] whose close was last seen; of a portfolio it says which assets are listed.

        """
        if not actions.is_floating_point():
            actions = self.levels.index_select(0, actions.flatten()).view_as(actions)
        if not self.portfolio:
            return actions
        if self.members is not None or self.rules != _PLAIN:
            if self.rules.mapping == "softmax" and not self.discrete:
                actions = actions / self.leverage  # scores, which the leverage is shared out by
            listed = torch.ones_like(actions, dtype=torch.bool)
            if self.members is not None and bar is not None:
                listed = self.members.index_select(0, bar)
            actions = allocate(actions, listed, self.rules, self.leverage)
        if self.compiled:
            from tradinghf.simulation._allocation_kernel import scale_to_cap

            actions = actions.clone(memory_format=torch.contiguous_format)
            scale_to_cap(actions.numpy(), self._numbers)
            return actions
        return self.within_cap(actions)

    def within_cap(self, weights: Tensor, held: Tensor | None = None) -> Tensor:
        """Portfolio weights [N, A'] whose absolute values sum to the leverage at most.

        Args:
            weights: NaN keeps what is held.
            held: [N, A'] weights now.

        """
        none = weights.isnan()
        total = sum_assets(weights.masked_fill(none, 0.0).abs())
        kept = 0.0 if held is None else sum_assets(held.abs() * none)
        room = torch.clamp(self.leverage - kept + torch.zeros_like(total), min=0.0)
        return weights * (room / total.clamp_min(_LEAST)).clamp_max(1.0)

    def orders(self, weights: Tensor, held: Tensor, last: Tensor | None) -> Tensor:
        """[N, A'] orders of a portfolio: NaN where there is none.

        Args:
            weights: wanted; NaN keeps what is held.
            held: weights now.
            last: targets before: what equals them is no order; None makes all of them orders.

        Where prices have carried the account above a cap, every position is ordered back.

        """
        limited = self.rules != _PLAIN
        if self.compiled and not limited:
            return self._compiled_orders(weights, held, last)
        over = above_cap(held, self.leverage)
        wanted = weights if last is None else weights.masked_fill(weights == last, torch.nan)
        asked = torch.where(weights.isnan(), held, weights)
        if limited:
            kept = torch.where(wanted.isnan(), held, wanted)
            for each in (held, kept):
                over = over | beyond_limits(each, self.rules, self.leverage)
            asked = within_limits(asked, self.rules)
        # What is kept takes its part of the cap; where a limit is broken, nothing is kept.
        wanted = torch.where(over, asked, wanted)
        if limited:
            wanted = outside_band(wanted, held, self.rules, self.leverage)
        return self.within_cap(wanted, held)

    def _compiled_orders(self, weights: Tensor, held: Tensor, last: Tensor | None) -> Tensor:
        """`orders` within the gross cap."""
        from tradinghf.simulation._allocation_kernel import order

        numbers, found = self._numbers, weights.clone(memory_format=torch.contiguous_format)
        before = torch.empty(0, self.assets, dtype=held.dtype) if last is None else last
        given = (x.contiguous().numpy() for x in (found, held, before))
        order(*given, numbers, numbers.dtype.type(np.nan))
        return found

    def each(self, given: Tensor, what: str) -> Tensor:
        """[N, A'] of a tensor with as many numbers.

        Raises:
            ConfigError: another count.

        """
        if given.numel() != self.envs * self.assets:
            raise ConfigError(
                f"MarketEnv.step got {given.numel()} {what}; expected {self.assets} for each of "
                f"{self.envs} environments."
            )
        return given.reshape(self.envs, self.assets)


def _tensor(actions: Any, device: torch.device) -> Tensor:
    try:
        return torch.as_tensor(actions, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"MarketEnv.step got {actions!r} as actions ({error}); expected numbers as an array, "
            "a tensor or a list."
        ) from error


def numbers(given: Tensor) -> Tensor:
    """The same, where no number is NaN, as those of a policy are whose weights have overflowed.

    Nobody looks at tensors: in a training the processor would wait for each step's.

    Raises:
        ConfigError: one is.

    """
    if bool(given.isnan().any()):
        raise ConfigError(
            f"MarketEnv.step got NaN in {int(given.isnan().sum())} of {given.numel()} actions; "
            "expected numbers in [-1, 1]. Look at the policy's weights; where NaN is to be no "
            "order, call step_weights."
        )
    return given


def _whole(given: Tensor) -> Tensor:
    """Indices as int64; what is no whole number is refused instead of cut."""
    if given.dtype == torch.int64:
        return given
    index = given.long()
    if given.is_floating_point() and not bool((index == given).all()):
        wrong = given[index != given].flatten()[0]
        raise ConfigError(
            f"MarketEnv.step got the action {float(wrong):g}; expected whole numbers, indices of "
            'EnvConfig.levels. For targets in [-1, 1] use EnvConfig(actions="continuous").'
        )
    return index
