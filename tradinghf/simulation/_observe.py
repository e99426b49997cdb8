"""Observations: a window of market features, and the state of the own account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.market import FeatureScaler, MarketData, features
from tradinghf.simulation._bars import Floats, feature_windows
from tradinghf.simulation._given import frame_rows

LIMIT = 5.0  # bound of every observed number
PROFIT_BARS = 20.0  # open profit is seen in units of the volatility of so many bars
Observation = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class Observer:
    """Builds observations of N environments.

    The market part is one gather from precomputed windows, so that it can also be recomputed
    later from (asset, bar) alone; the account part is 3 A' + 1 numbers: positions, open profits
    in units of 20-bar volatility, time since the last trade, and drawdown; where orders may wait
    three more per asset (`waiting_part`), and with `time_left` one more at the end, the share of
    the review period that is left. The last feature of a
    portfolio's assets is 1 while they are listed; of others all features are 0.

    Attributes:
        windows: [R, W * F'] overlapping feature windows.
        bars: T.
        lookback: W.
        width: F' = A' * F features per bar; of portfolios A' * (F + 1).
        assets: A'.
        review: bars that the time since the last trade is measured against.
        horizon: L bars of an episode.
        time_left: whether the time left is shown.
        waits: whether orders that wait are shown.
        kind: one vector ("flat"), a dict of both parts ("dict"), or a dict of the market part's
            row in `windows` and the account part ("index").

    """

    windows: Tensor
    bars: int
    lookback: int
    width: int
    assets: int
    review: int
    horizon: int
    time_left: bool
    kind: str
    waits: bool = False

    @classmethod
    def of(
        cls,
        market: MarketData,
        values: Floats,
        config: EnvConfig,
        device: torch.device,
        member: NDArray[np.bool_] | None = None,
    ) -> Observer:
        """From scaled features [T, A, F], and which assets are listed [T, A] (None: all)."""
        assets = market.assets if config.portfolio else 1
        table = _with_listing(values, member) if config.portfolio else values.transpose(1, 0, 2)
        table = table.reshape(-1, assets * table.shape[-1])
        return cls(
            windows=feature_windows(table, config.lookback, device),
            bars=market.bars,
            lookback=config.lookback,
            width=table.shape[-1],
            assets=assets,
            review=config.review or config.horizon,
            horizon=config.horizon,
            time_left=config.time_left,
            kind=config.observation,
            waits=config.orders != ("market",),
        )

    @property
    def account_dim(self) -> int:
        """Numbers in the account part."""
        return 3 * (1 + self.waits) * self.assets + 1 + self.time_left

    @property
    def dim(self) -> int:
        """D, numbers in the whole observation."""
        return self.lookback * self.width + self.account_dim

    @property
    def space(self) -> spaces.Space[Any]:
        """Space of one environment's observation."""

        def box(size: int) -> spaces.Box:
            return spaces.Box(-LIMIT, LIMIT, (size,), np.float32)

        if self.kind == "flat":
            return box(self.dim)
        account = box(self.account_dim)
        if self.kind == "index":
            return spaces.Dict({"window": spaces.Discrete(len(self.windows)), "account": account})
        return spaces.Dict({"market": box(self.lookback * self.width), "account": account})

    def window(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N] rows of `windows` that end at [N] bars of [N] assets (0 for portfolios)."""
        return asset * self.bars + bar - (self.lookback - 1)

    def market(self, asset: Tensor, bar: Tensor) -> Tensor:
        """[N, W * F'] feature windows ending at [N] bars of [N] assets, oldest bar first."""
        return self.windows.index_select(0, self.window(asset, bar))

    def account(
        self,
        position: Tensor,
        open_profit: Tensor,
        volatility: Tensor,
        since: Tensor,
        drawdown: Tensor,
        elapsed: Tensor,
        waiting: Sequence[Tensor] = (),
    ) -> Tensor:
        """[N, 3 A' + 1 or more] float32 account part, each number within ±5.

        Args:
            position: [N, A'] signed fraction of equity.
            open_profit: [N, A'] of the open round trips [fraction of equity].
            volatility: [N, A'] of one bar's log return.
            since: [N, A'] bars since the last trade.
            drawdown: [N, 1] fall from the highest equity of the review period [fraction].
            elapsed: [N] bars since the start of the episode.
            waiting: columns [N, A'] of orders that wait.

        """
        profit = open_profit / (volatility * PROFIT_BARS**0.5)
        waited = (since / self.review).clamp_max(1.0)
        parts = [position, profit, waited, drawdown, *waiting]
        if self.time_left:
            parts.append(self.left(elapsed)[:, None])
        return torch.cat([p.to(torch.float32) for p in parts], dim=1).clamp(-LIMIT, LIMIT)

    def left(self, elapsed: Tensor) -> Tensor:
        """[N] share of the review period that is left after so many bars of the episode."""
        if self.review < self.horizon:
            elapsed = elapsed % self.review
        return 1.0 - elapsed / self.review

    def join(self, asset: Tensor, bar: Tensor, account: Tensor) -> Observation:
        """The observation at [N] bars of [N] assets, with its account part."""
        if self.kind == "index":
            return {"window": self.window(asset, bar), "account": account}
        market = self.market(asset, bar)
        if self.kind == "flat":
            return torch.cat([market, account], dim=1)
        return {"market": market, "account": account}

    def dense(self, obs: Observation) -> Tensor:
        """[N, D] the flat observation that one of any kind stands for."""
        if isinstance(obs, Tensor):
            return obs
        market = obs.get("market")
        if market is None:
            market = self.windows.index_select(0, obs["window"])
        return torch.cat([market, obs["account"]], dim=1)


def _with_listing(values: Floats, member: NDArray[np.bool_] | None) -> Floats:
    """[T, A, F + 1] features with one more, whether the asset is listed; all 0 where it is not."""
    listed = np.ones(values.shape[:2]) if member is None else member.astype(np.float64)
    return np.concatenate([values * listed[..., None], listed[..., None]], axis=2)


def market_features(
    market: MarketData,
    config: EnvConfig,
    scaler: FeatureScaler | None,
    own: pd.DataFrame | NDArray[Any] | None = None,
    bases: Floats | None = None,
) -> tuple[Floats, FeatureScaler]:
    """Scaled features [T, A, F] and their scaler, fitted on `market` when none is given.

    Fit on the training market and pass the scaler on to every other one: `env.scaler`.

    Args:
        market: [T, A] bars.
        config: names of the features.
        scaler: of the training market; None fits one here.
        own: the user's features, appended to the named ones: [T, F'] for every asset alike (an
            array, or a DataFrame whose index holds the market's times), or [T, A, F'].
        bases: [T, A, 2K] of the strategies that actions modulate.

    Raises:
        ConfigError: there are no features, the scaler is of other ones, or `own` does not fit.

    """
    values = features(market, config.features)
    if own is not None:
        values = np.concatenate([values, _own_features(market, own)], axis=2)
    if bases is not None:
        values = np.concatenate([values, bases], axis=2)
    if not values.shape[2]:
        raise ConfigError("EnvConfig.features is empty; name at least one feature.")
    if not isinstance(scaler, FeatureScaler | None):
        raise ConfigError(
            f"scaler is {scaler!r:.60}; expected a FeatureScaler, such as the training "
            "environment's `env.scaler`, or None to fit one here."
        )
    scaler = scaler or FeatureScaler.fit(values)
    return scaler.apply(values), scaler


def _own_features(market: MarketData, own: pd.DataFrame | NDArray[Any]) -> Floats:
    """[T, A, F'] of a user's features."""
    if isinstance(own, pd.DataFrame):
        own = frame_rows(market, own, "own_features")
    array = np.asarray(own, dtype=np.float64)
    array = array[:, None, :] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[0] != market.bars or array.shape[1] not in (1, market.assets):
        raise ConfigError(
            f"Own features have shape {np.shape(own)}; expected [T, F] or [T, A, F] with T = "
            f"{market.bars} and A = {market.assets}."
        )
    if not np.isfinite(array).all():
        bar = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ConfigError(f"Own features are not finite at bar {bar}; fill or drop it.")
    shape = (market.bars, market.assets, array.shape[2])
    return np.broadcast_to(array, shape).astype(np.float64)
