"""The fused engine of plain tasks: one asset, fees and slippage; see `_kernel.advance`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from tradinghf.simulation._dynamics import Dynamics, EnvState
from tradinghf.simulation._fused import SIDES, EpisodeConstants, FusedEngine, FusedState
from tradinghf.simulation._plain_rows import ROWS, PlainRows


class PlainEngine(PlainRows, FusedEngine):
    """The step of a task that `is_plain` allows, several accounts in one instruction.

    Args:
        dynamics: of the task.
        threads: that it may take; None: as many as torch.

    """

    flat_orders = True

    def __init__(self, dynamics: Dynamics, threads: int | None = None) -> None:
        from tradinghf.simulation import _kernel as kernel

        super().__init__(dynamics, threads)
        self._advance = kernel.advance
        bars = dynamics.bars
        # What the kernel reads of a bar, in 16 or 32 bytes: a row never spans two cache lines.
        columns = [bars.columns.index(n) for n in ("open", "close", "volatility", "volatility")]
        self._static = (
            self._levels,
            bars.rows[:, columns, 0].contiguous().numpy(),
            self._features(),
            np.array(self._settings(), self._kind),
            np.array(self._switches(), np.int64),
        )
        self._no_orders = np.empty(0, self._kind)
        rates = dynamics.setup.rates
        self._fee, self._slip = self._fees(rates.fee), self._factors(rates.slippage)

    def _switches(self) -> tuple[int, ...]:
        """One integer for each of `SWITCHES`."""
        setup, observer = self.dynamics.setup, self.dynamics.observer
        return (
            self.dynamics.bars.bars,
            SIDES[setup.limits.side],
            int(setup.fill == "close"),
            int(setup.financing is not None),
            int(self.dynamics.tracks_moments),
            observer.review if observer.review < self.dynamics.config.horizon else 0,
            observer.lookback,
            observer.width,
        )

    def _factors(self, slippage: float | Tensor) -> tuple[Any, Any]:
        return self._array(1.0 + slippage), self._array(1.0 - slippage)

    def _fees(self, fee: float | Tensor) -> tuple[Any, Any]:
        return self._array(fee), self._array(1.0 + fee)

    def _array(self, rate: float | Tensor) -> Any:
        return rate.numpy()[:, 0] if isinstance(rate, Tensor) else np.array([rate], self._kind)

    def _blank(self, count: int) -> tuple[Any, ...]:
        """See `FusedEngine._blank`."""
        return (np.empty((len(ROWS), count), self._kind),)

    def _given(self, target: Tensor) -> tuple[Any, Any]:
        """See `FusedEngine._given`."""
        given = target.numpy().reshape(target.shape[0])
        return (self._none, given) if target.is_floating_point() else (given, self._no_orders)

    def pack(self, state: EnvState) -> FusedState:
        """See `engines.StepEngine`."""
        rows = self._rows(state).numpy()
        fee = self._fee if state.fee is None else self._fees(state.fee)
        slip = self._slip if state.slippage is None else self._factors(state.slippage)
        bars = state.bar.contiguous().numpy()
        return FusedState((rows,), bars, EpisodeConstants(state, (*fee, *slip)))
