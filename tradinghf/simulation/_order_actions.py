"""Actions that name how to order as well as what to hold: limit and stop prices near the close.

A price lies `distance` volatilities of one bar from the last close, on the side that the order's
direction gives it a meaning on: a limit waits for a better price, a stop for a worse one. The
orders are those of `simulate`: one waits for each asset, a new one replaces it, and what a bar's
four prices leave open is read pessimistically (`tradinghf.simulation._working_orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.simulation._actions import ActionMap, numbers
from tradinghf.simulation._dynamics import Dynamics, EnvState
from tradinghf.simulation._working_orders import PricedOrders

_NEAREST = 1 / 3  # second numbers of continuous actions up to this one are market orders


def signed_distance(name: str) -> float:
    """Distance from the close of an order of `EnvConfig.orders` [volatilities of one bar].

    Limits are below zero.
    """
    if name == "market":
        return 0.0
    return -float(name[5:]) if name.startswith("limit") else float(name[4:])


@dataclass(frozen=True)
class OrderActions:
    """Reads actions of N environments of one asset each as orders with prices.

    Attributes:
        actions: reads the part that says what to hold.
        kinds: names of `EnvConfig.orders`.
        distances: [K] signed distance of each (`signed_distance`).
        limits, stops: [K] bool, which of them wait for a better price, and which for a worse one.

    """

    actions: ActionMap
    kinds: tuple[str, ...]
    distances: Tensor
    limits: Tensor
    stops: Tensor

    @classmethod
    def of(cls, config: EnvConfig, actions: ActionMap) -> OrderActions | None:
        """Of a task; None where all orders are market orders.

        Raises:
            ConfigError: the task is a portfolio's, or modulates strategies.

        """
        kinds, levels = config.orders, actions.levels
        if kinds == ("market",):
            return None
        if config.portfolio or config.overlay is not None:
            raise ConfigError(
                f"EnvConfig.orders is {kinds}; expected ('market',) for portfolios and overlays, "
                "whose actions are weights and moves."
            )
        return cls(
            actions=actions,
            kinds=kinds,
            distances=levels.new_tensor([signed_distance(name) for name in kinds]),
            limits=torch.tensor([k.startswith("limit") for k in kinds], device=levels.device),
            stops=torch.tensor([k.startswith("stop") for k in kinds], device=levels.device),
        )

    @property
    def space(self) -> spaces.Space[Any]:
        """Of one environment's actions."""
        if self.actions.discrete:
            return spaces.Discrete(len(self.actions.levels) * len(self.kinds))
        return spaces.Box(-1.0, 1.0, (2,), np.float32)

    def read(self, given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """[N, 1] targets, signed distances, whether each is a limit, or a stop, and its manner.

        The manner tells orders of the same target apart.

        Args:
            given: [N] numbers of actions, or [N, 2] in [-1, 1].

        Raises:
            ConfigError: another count, or numbers that name no action.

        """
        levels, envs = self.actions.levels, self.actions.envs
        if self.actions.discrete:
            action = self.actions.read(given)
            count = len(levels) * len(self.kinds)
            if bool(((action < 0) | (action >= count)).any()):
                raise ConfigError(
                    f"MarketEnv.step got actions from {int(action.min())} to {int(action.max())}; "
                    f"expected 0 to {count - 1}: level * {len(self.kinds)} + order."
                )
            kind = action % len(self.kinds)
            target = levels[action // len(self.kinds)] * 1.0
            manner = kind.to(levels.dtype)
            return target, self.distances[kind], self.limits[kind], self.stops[kind], manner
        rows = torch.as_tensor(given, device=levels.device)
        if rows.numel() != 2 * envs:
            raise ConfigError(
                f"MarketEnv.step got {rows.numel()} numbers; expected 2 for each of {envs} "
                "environments: what to hold, and how to order it (EnvConfig.orders)."
            )
        if not isinstance(given, Tensor):
            numbers(rows)
        rows = rows.reshape(envs, 2).to(levels.dtype).clamp(-1.0, 1.0)
        target, side = rows[:, :1] * self.actions.leverage, rows[:, 1:]
        share = (side.abs() - _NEAREST).clamp_min(0.0) / (1.0 - _NEAREST)
        limit = (side < -_NEAREST) & self.limits.any()
        stop = (side > _NEAREST) & self.stops.any()
        deepest = (self.distances * mask for mask in (self.limits, self.stops))
        below, above = (part.sum() for part in deepest)
        distance = share * torch.where(limit, below, torch.where(stop, above, 0.0))
        return target, distance, limit, stop, side

    def orders(
        self, given: Any, state: EnvState, dynamics: Dynamics, *, on_change: bool
    ) -> PricedOrders:
        """The orders that actions amount to in a state (`PricedOrders`).

        Args:
            given: see `read`.
            state: at the close of the decision bar.
            dynamics: of the environment.
            on_change: an action that names the last target in the last manner is no order.

        """
        target, distance, limit, stop, manner = self.read(given)
        close = state.ledger.close
        buys = torch.where(target > dynamics.held(state), 1.0, -1.0).to(close)
        # Not a plain product: prices stay above zero however wide the bars are.
        price = close * (buys * distance * state.volatility).exp()
        size = target
        if on_change and state.manner is not None:
            same = (target == state.target) & (manner == state.manner)
            size = target.masked_fill(same, torch.nan)
        return PricedOrders(
            size=size,
            limit=torch.where(limit, price, torch.nan),
            stop=torch.where(stop, price, torch.nan),
            manner=manner,
        )

    def targets(self, given: Any) -> Tensor:
        """[N, 1] target weights of actions."""
        return self.read(given)[0]

    def given(self, weights: Any, limit: Any, stop: Any) -> PricedOrders:
        """Orders [N] at prices [N] or None [currency] of the caller's."""
        like = self.actions.levels

        def each(values: Any, what: str) -> Tensor:
            found = torch.as_tensor(values, dtype=like.dtype, device=like.device)
            return self.actions.each(found, what)

        return PricedOrders(
            size=each(weights, "targets"),
            limit=None if limit is None else each(limit, "limit prices"),
            stop=None if stop is None else each(stop, "stop prices"),
        )


def with_prices(found: OrderActions | None) -> OrderActions:
    """The reader of an environment whose orders may wait.

    Raises:
        ConfigError: all orders of this environment are market orders.

    """
    if found is None:
        raise ConfigError(
            "All orders of this environment are market orders. For limit and stop prices make it "
            "with EnvConfig(orders=('market', 'limit0.5', 'stop0.5')), for instance."
        )
    return found
