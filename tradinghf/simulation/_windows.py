"""Windows of a market: where episodes may start, which ones are drawn, and which overlap in time.

Environments draw by a counter-based hash of (seed, episode) instead of a random generator: on
every device, in any order, with no state but the episode's number. Environment i of any number
draws what a single environment with its seed draws. One seed for all of them is spread by a hash
of (seed, i), so that neighbouring seeds share no windows, as they would by seed + i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError, check_memory
from tradinghf.market import MarketData

# splitmix64 (Steele, Lea & Flood 2014, OOPSLA), constants as signed 64-bit integers.
_GOLDEN = -7046029254386353131
_MIX = ((30, -4658895280553007687), (27, -7723592293110705685))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def splitmix64(x: Tensor) -> Tensor:
    """Hash int64 to int64, elementwise."""
    x = x + _GOLDEN
    for bits, factor in _MIX:
        x = (x ^ _shift(x, bits)) * factor
    return x ^ _shift(x, 31)


def keys(seeds: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """[N] the key of each environment, from its seed; a range is counted up on the device."""
    if isinstance(seeds, Tensor):
        return splitmix64(seeds.to(device))
    if isinstance(seeds, range):
        count = torch.arange(len(seeds), dtype=torch.int64, device=device)
        return splitmix64(count + seeds.start)
    return splitmix64(torch.tensor(seeds, dtype=torch.int64, device=device))


def spawned(seed: int, count: int, device: torch.device | None = None) -> Tensor:
    """[N] int64 seeds from one: itself, then hashes of it and i, at least 0."""
    number = torch.arange(count, dtype=torch.int64, device=device)
    first = torch.full_like(number, seed)
    seeds = _shift(splitmix64(splitmix64(first) + number * _GOLDEN), 1)
    return torch.where(number == 0, first, seeds)


def draw(key: Tensor, episode: Tensor, number: int) -> Tensor:
    """[N] non-negative int64, the `number`-th draw of each environment's episode."""
    return _shift(splitmix64(splitmix64(key + episode * _GOLDEN) + number), 1)


def uniform(key: Tensor, episode: Tensor, number: int, low: float, high: float) -> Tensor:
    """[N] float64 in [low, high), from 53 random bits."""
    unit = (draw(key, episode, number) >> 10).to(torch.float64) * 2.0**-53
    return low + (high - low) * unit


@dataclass(frozen=True, eq=False)
class Windows:
    """W stretches of a market, one per episode.

    Attributes:
        asset: [W] column of the market; 0 for portfolios.
        start: [W] bar of the first decision.

    """

    asset: NDArray[np.int64]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.asset)


@dataclass(frozen=True)
class WindowSpace:
    """All windows of a market that an episode may use, to draw from.

    Window w of an asset starts at bar first + w; there are `count` of each of `assets` assets.

    Attributes:
        first: first bar with a full lookback.
        count: windows per asset.
        assets: 1 for portfolios.
        horizon: L bars.
        allowed: [K] permitted window numbers asset * count + w; None permits all.

    """

    first: int
    count: int
    assets: int
    horizon: int
    allowed: Tensor | None = None

    @classmethod
    def of(
        cls,
        bars: int,
        assets: int,
        lookback: int,
        horizon: int,
        name: str,
        *,
        member: NDArray[np.bool_] | None = None,
        device: torch.device | None = None,
    ) -> WindowSpace:
        """All windows of a market of `bars` bars.

        Args:
            bars: T.
            assets: 1 for portfolios.
            lookback: W bars.
            horizon: L bars.
            name: of the market, for messages.
            member: [T, A] keeps the windows in which an asset is listed throughout.
            device: where tensors live.

        Raises:
            ConfigError: the market is shorter than one episode, or no asset is listed so long.

        """
        first = lookback - 1
        count = bars - horizon - first
        if count < 1:
            raise ConfigError(
                f"{name} has {bars} bars; an episode needs lookback + horizon = "
                f"{lookback + horizon}. Use more bars, or a shorter horizon."
            )
        if member is None:
            return cls(first, count, assets, horizon)
        listed = np.cumsum(np.vstack([np.zeros((1, assets)), member]), axis=0)
        span = horizon + 1
        whole = listed[span:] - listed[:-span] == span  # row s: bars s to s + horizon
        numbers = np.flatnonzero(whole[first:].T)
        if not len(numbers):
            raise ConfigError(
                f"{name}: no asset is listed for {span} bars in a row, as an episode needs. "
                "Shorten the horizon, or check the membership."
            )
        allowed = torch.as_tensor(numbers, dtype=torch.int64, device=device)
        return cls(first, count, assets, horizon, allowed)

    def random(self, key: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
        """[N] (asset, start), uniform over the windows."""
        number = draw(key, episode, 0)
        if self.allowed is not None:
            return self._split(self.allowed[number % self.allowed.shape[0]])
        return self._split(number % (self.assets * self.count))

    def sequential(self, episode: Tensor) -> tuple[Tensor, Tensor]:
        """[N] (asset, start): N environments walk through adjoining windows together."""
        count = episode.shape[0]
        number = episode * count + torch.arange(count, device=episode.device)
        if self.allowed is not None:
            return self._split(self.allowed[number * self.horizon % self.allowed.shape[0]])
        per_asset = -(-self.count // self.horizon)
        number = number % (self.assets * per_asset)
        return number // per_asset, self.first + number % per_asset * self.horizon

    def all(self) -> Windows:
        """Every window, by its asset and then by its start."""
        every = torch.arange(self.assets * self.count) if self.allowed is None else self.allowed
        asset, start = self._split(every.cpu())
        return Windows(asset.numpy(), start.numpy())

    def _split(self, number: Tensor) -> tuple[Tensor, Tensor]:
        return number // self.count, self.first + number % self.count


def random_windows(market: MarketData, config: EnvConfig, count: int, seed: int) -> Windows:
    """Distinct windows with room for the lookback and the horizon; all where there are fewer.

    Args:
        market: the bars.
        config: of the environment that will trade them.
        count: how many windows, at most.
        seed: of the draw.

    Raises:
        ConfigError: the market is too short.

    """
    check_memory(24.0 * count, f"{count:,} windows")
    space = WindowSpace.of(
        market.bars,
        1 if config.portfolio else market.assets,
        config.lookback,
        config.horizon,
        market.name,
    )
    places = space.assets * space.count
    pick = np.random.default_rng(seed).choice(places, min(count, places), replace=False)
    return Windows(pick // space.count, space.first + pick % space.count)
