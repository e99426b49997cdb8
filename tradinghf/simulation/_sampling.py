"""Which windows the next episodes trade, where a user's function decides: strata, curricula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.simulation._windows import Windows, WindowSpace, uniform

Sampler = Callable[[Windows, Tensor], Any]


@dataclass(frozen=True)
class WindowDraw:
    """A user's sampler over the windows of a market.

    Attributes:
        function: (windows [W], uniform numbers [N] in [0, 1)) to [N] indices of windows.
        windows: all that an episode may use.

    """

    function: Sampler
    windows: Windows

    @classmethod
    def of(cls, function: Any, space: WindowSpace) -> WindowDraw:
        """Of a market's windows.

        Raises:
            ConfigError: the sampler is no function.

        """
        if not callable(function):
            raise ConfigError(
                f"sampler is {function!r:.60}; expected a function of (windows, uniform numbers "
                "[N]) to [N] indices of windows, such as LabelledWindows(labels)."
            )
        return cls(function, space.all())

    def __call__(self, key: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
        """[N] (asset, start) of the next episodes; the same for the same seeds.

        Raises:
            ConfigError: the sampler returned something else than N indices of windows.

        """
        drawn = self.function(self.windows, uniform(key, episode, 0, 0.0, 1.0))
        picked = torch.as_tensor(drawn)
        count = len(self.windows)
        whole = not picked.is_floating_point() and picked.shape == key.shape
        if not whole or int(picked.min()) < 0 or int(picked.max()) >= count:
            raise ConfigError(
                f"MarketEnv(sampler=...) drew {picked.tolist()!r:.60}; expected {len(key)} whole "
                f"numbers from 0 to {count - 1}: the windows of the next episodes."
            )
        at = picked.cpu().numpy()
        place = (torch.as_tensor(part[at]) for part in (self.windows.asset, self.windows.start))
        asset, start = (part.to(key.device) for part in place)
        return asset, start


class LabelledWindows:
    """Draws windows by the label of the bar that they start at: stratified, or as a curriculum.

    First a label is drawn, then one of its windows, all alike. For `MarketEnv(sampler=...)`.

    Example:
        >>> calm = features(market, ("volatility_20",))[..., 0] < 0.01   # doctest: +SKIP
        >>> sampler = LabelledWindows(calm.astype(int))                  # doctest: +SKIP
        >>> sampler.weights = {1: 1.0, 0: 0.2}     # later: mostly calm  # doctest: +SKIP

    Args:
        labels: [T] or [T, A] whole numbers, the regime or difficulty of each bar; what is below 0
            starts no episode.
        weights: label -> weight, at least 0; labels without one are not drawn. None: all alike.

    Attributes:
        weights: may be changed at any time, for instance by a callback of `PPO`.

    """

    def __init__(self, labels: Any, weights: Mapping[int, float] | None = None) -> None:
        self.labels = np.asarray(labels)
        if self.labels.ndim not in (1, 2) or not np.issubdtype(self.labels.dtype, np.integer):
            raise ConfigError(
                f"LabelledWindows: labels are {self.labels.dtype} {list(self.labels.shape)}; "
                "expected whole numbers [T] or [T, A], the regime of each bar."
            )
        self.weights = None if weights is None else dict(weights)
        self._of: Windows | None = None
        self._groups: dict[int, Any] = {}

    def __call__(self, windows: Windows, unit: Tensor) -> Tensor:
        """[N] indices of windows, for uniform numbers [N].

        Raises:
            ConfigError: labels of another market, or no window has a label of positive weight.

        """
        if self._of is not windows:
            self._groups, self._of = self._by_label(windows), windows
        every = list(self._groups)
        weights = dict.fromkeys(every, 1.0) if self.weights is None else self.weights
        share = np.array([float(weights.get(label, 0.0)) for label in every])
        if not len(share) or share.min() < 0 or not 0 < share.sum() < np.inf:
            raise ConfigError(
                f"LabelledWindows: weights are {self.weights!r}, and windows start at bars "
                f"labelled {every}; expected weights of at least 0, one of them above."
            )
        share = share / share.sum()
        place, high = unit.cpu().numpy(), np.cumsum(share)
        # Rounding may leave the last one a hair below 1.
        which = np.searchsorted(high, place, side="right").clip(0, np.flatnonzero(share)[-1])
        inside = (place - (high - share)[which]) / share[which]
        sizes = np.array([len(group) for group in self._groups.values()])
        row = (inside * sizes[which]).astype(np.int64).clip(0, sizes[which] - 1)
        begin = np.cumsum(sizes) - sizes
        return torch.from_numpy(np.concatenate(list(self._groups.values()))[begin[which] + row])

    def _by_label(self, windows: Windows) -> dict[int, Any]:
        """Indices of the windows of each label."""
        last = [int(windows.start.max()), int(windows.asset.max())][: self.labels.ndim]
        if any(most >= size for most, size in zip(last, self.labels.shape, strict=True)):
            raise ConfigError(
                f"LabelledWindows: labels are {list(self.labels.shape)}, but windows start up to "
                f"bar {windows.start.max()} of asset {windows.asset.max()}; expected one for each "
                "bar of the market, [T] or [T, A]."
            )
        label = self.labels[(windows.start, windows.asset)[: self.labels.ndim]]
        return {int(k): np.flatnonzero(label == k) for k in np.unique(label) if k >= 0}
