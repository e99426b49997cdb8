"""The fused engine of all other tasks: limits, margin, exits, portfolios; `_task_kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from tradinghf.simulation._dynamics import Dynamics, EnvState
from tradinghf.simulation._fused import SIDES, EpisodeConstants, FusedEngine, FusedState
from tradinghf.simulation._task_rows import TaskRows, rates_of, settings_of

_EXTRAS = {
    "funding": ("FUNDED", "FUNDING_RATE"),
    "split": ("SPLITS", "SPLIT_RATIO"),
    "dividend": ("PAYS_DIVIDENDS", "DIVIDEND_PAID"),
    "member": ("DELISTS", "LISTED"),
}  # columns of prices: their switch and their place in a block
_ACCOUNTS_PER_THREAD = 512  # of one asset


class TaskEngine(TaskRows, FusedEngine):
    """The step of any task on a processor, a block of accounts at a time.

    Args:
        dynamics: of the task.
        threads: that it may take; None: as many as torch.

    """

    def __init__(self, dynamics: Dynamics, threads: int | None = None) -> None:
        from tradinghf.simulation import _layout_kernel as layout
        from tradinghf.simulation import _task_kernel as kernel

        self._assets = dynamics.observer.assets
        super().__init__(dynamics, threads, max(1, _ACCOUNTS_PER_THREAD // self._assets))
        self._advance, self._at = kernel.advance, layout
        self._static = (
            self._levels,
            dynamics.bars.rows.numpy(),
            self._features(),
            np.array(settings_of(dynamics), self._kind),
            self._integers(),
            self._columns(),
            self._carried(),
        )
        self._choices = np.empty((0, self._assets), np.int64)
        self._orders = np.empty((0, self._assets), self._kind)
        self._costs = rates_of(dynamics).numpy()

    def _integers(self) -> Any:
        """The kernel's `i`."""
        setup, observer, at = self.dynamics.setup, self.dynamics.observer, self._at
        limits, bars = setup.limits, self.dynamics.bars
        i = np.zeros(at.INTEGERS, np.int64)
        i[[at.SIDE, at.EXACT_LOTS]] = SIDES[limits.side], limits.exact_lots
        i[[at.PARTIAL, at.LOCKS]] = limits.allow_partial, limits.lock_cash
        i[[at.AT_CLOSE, at.WAITS, at.EXITS]] = setup.fill == "close", setup.waits, setup.exits
        i[[at.FINANCES, at.FORCES]] = setup.financing is not None, self.dynamics.resets_targets
        i[at.MOMENTS] = self.dynamics.tracks_moments
        for name, (switch, _) in _EXTRAS.items():
            i[getattr(at, switch)] = name in bars.columns
        i[[at.BARS, at.LOOKBACK, at.WIDTH]] = bars.bars, observer.lookback, observer.width
        i[at.REVIEW] = observer.review if observer.review < self.dynamics.config.horizon else 0
        return i

    def _columns(self) -> Any:
        """[., 3] the kernel's `columns`: what it reads of a bar and of the one before."""
        at, setup, names = self._at, self.dynamics.setup, self.dynamics.bars.columns
        inside = setup.exits or setup.margin.maintenance
        liquid = setup.waits or setup.rates.impact
        wanted = [(1, "open", at.OPENED), (1, "close", at.CLOSED), (1, "volatility", at.SIGMA)]
        wanted += [(1, "high", at.HIGHEST), (1, "low", at.LOWEST)] if inside else []
        if liquid:
            wanted += [(1, "volume", at.TRADED), (0, "volume", at.OLD_TRADED)]
            wanted += [(0, "volatility", at.OLD_SIGMA)]
        wanted += [(1, n, getattr(at, place)) for n, (_, place) in _EXTRAS.items() if n in names]
        return np.array([(later, names.index(n), place) for later, n, place in wanted], np.int64)

    def _carried(self) -> Any:
        """The kernel's `carried`."""
        at, setup = self._at, self.dynamics.setup
        places = [at.SHARES, at.FLOW, at.CLOSE, at.TARGET, at.SINCE, at.RISK]
        places += [at.DEBT] if setup.limits.lock_cash else []
        places += [at.STOP, at.TAKE, at.BEST] if setup.exits else []
        places += [at.WAITING] if setup.waits else []
        return np.array([place // at.LANES for place in places], np.int64)

    def _blank(self, count: int) -> tuple[Any, ...]:
        """See `FusedEngine._blank`."""
        at, assets = self._at, self._assets
        return (
            np.empty((at.ACCOUNT_ROWS, count), self._kind),
            np.empty((at.POSITION_ROWS, assets, count), self._kind),
        )

    def _given(self, target: Tensor) -> tuple[Any, Any]:
        """See `FusedEngine._given`."""
        given = target.contiguous().numpy()
        return (self._choices, given) if target.is_floating_point() else (given, self._orders)

    def pack(self, state: EnvState) -> FusedState:
        """See `engines.StepEngine`."""
        drawn = state.fee is not None or state.slippage is not None
        rates = rates_of(self.dynamics, state).numpy() if drawn else self._costs
        tables = tuple(table.numpy() for table in self._tables(state))
        episodes = EpisodeConstants(state, (rates,))
        return FusedState(tables, state.bar.contiguous().numpy(), episodes)
