"""The fused engine of plain tasks: one asset, fees and slippage; see `_kernel.advance`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.simulation._account import Account
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._fused import SIDES, EpisodeConstants, FusedEngine, FusedState
from tradinghf.simulation._ledger import Ledger
from tradinghf.simulation._observe import LIMIT, PROFIT_BARS
from tradinghf.simulation._rewards import MOMENT_RATE, Transition
from tradinghf.simulation._tolerance import ABSOLUTE, RELATIVE, is_off

_PLAIN_COLUMNS = ("open", "high", "low", "close", "volume", "volatility")


def is_plain(dynamics: Dynamics) -> bool:
    """Whether the plain kernel does all that this task's step consists of."""
    setup, limits = dynamics.setup, dynamics.setup.limits
    unlimited = all(
        is_off(x) for x in (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    )
    return (
        dynamics.bars.columns == _PLAIN_COLUMNS
        and not dynamics.config.portfolio
        and unlimited
        and limits.allow_partial
        and not (limits.lock_cash or setup.waits or setup.forces)
        and setup.margin.leverage == 1.0
        and is_off(setup.rates.impact)
    )


class PlainEngine(FusedEngine):
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
        self._shown, self._row_count = kernel.CARRIED.index("close"), len(kernel.ROWS)
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

    def _settings(self) -> tuple[float, ...]:
        """`kernel.SETTINGS`."""
        setup, config = self.dynamics.setup, self.dynamics.config
        rates, held = setup.rates, setup.financing
        relative = RELATIVE[self._dtype]
        least = float(setup.limits.min_size)
        least -= max(abs(least) * relative, ABSOLUTE)
        holding = (held.borrow, held.margin, held.cash, held.funding) if held else (0.0,) * 4
        return (
            *(0.0, 1.0, np.nan, relative, ABSOLUTE, float(rates.fixed), float(rates.per_share)),
            *(least, setup.ruin),
            *(config.cash, *holding, MOMENT_RATE, PROFIT_BARS**0.5),
            *(float(self.dynamics.observer.review), LIMIT),
        )

    def _switches(self) -> tuple[int, ...]:
        """`kernel.SWITCHES`."""
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
        return (np.empty((self._row_count, count), self._kind),)

    def _given(self, target: Tensor) -> tuple[Any, Any]:
        """See `FusedEngine._given`."""
        given = target.numpy().reshape(target.shape[0])
        return (self._none, given) if target.is_floating_point() else (given, self._no_orders)

    def facts(self, state: FusedState, after: FusedState) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""
        (rows,), (rows_before,) = after.tables, state.tables
        close, *found = rows[self._shown :].unbind()
        equity, drawdown_before, drawdown, realised, costs, turnover = found[:6]
        financing, position, debt, price = found[6:]
        previous = rows_before[self._shown + 1]
        mean = square = previous  # of no meaning where no moments are kept
        if self.dynamics.tracks_moments:
            mean, square = rows_before[1:3].unbind()
        happened = Transition(
            previous=previous,
            equity=equity,
            drawdown_before=drawdown_before,
            drawdown=drawdown,
            realised=realised,
            costs=costs,
            turnover=turnover,
            financing=financing,
            position=position[:, None],
            mean=mean,
            square=square,
            floor=self.dynamics.config.ruin,
        )
        shown = {"position": position, "debt": debt, "close": close, "price": price}
        return happened, happened.info(after.episodes, **shown, bar=after.bar)

    # ------------------------------------------------------------------ to and from tensors

    def pack(self, state: EnvState) -> FusedState:
        """See `engines.StepEngine`."""
        ledger, none = state.ledger, torch.zeros_like(state.peak)
        account = ledger.account
        equity = (account.cash + account.shares * ledger.close) / self.dynamics.config.cash
        columns = (
            *(none if x is None else x for x in (state.volatility, state.mean, state.square)),
            *(account.cash, account.shares, ledger.flow, ledger.owed),
            *(ledger.ruined.to(self._dtype), state.peak, state.since, state.target, ledger.close),
            *(equity, *[none] * (self._row_count - self._shown - 2)),
        )
        fee = self._fee if state.fee is None else self._fees(state.fee)
        slip = self._slip if state.slippage is None else self._factors(state.slippage)
        rows = torch.cat(columns, 1).T.contiguous().numpy()
        bars = state.bar.contiguous().numpy()
        return FusedState((rows,), bars, EpisodeConstants(state, (*fee, *slip)))

    def unpack(self, state: FusedState) -> EnvState:
        """See `engines.StepEngine`."""
        carried = state.tables[0][: self._shown + 1, :, None].unbind()
        volatility, mean, square, cash, shares, flow, owed, ruined, peak, since, target, close = (
            carried
        )
        episodes, tracked = state.episodes, self.dynamics.tracks_moments
        return EnvState(
            ledger=Ledger(Account(cash, shares), close, flow, owed, ruined != 0),
            key=episodes.key,
            episode=episodes.episode,
            asset=episodes.asset,
            start=episodes.start,
            bar=state.bar,
            target=target,
            peak=peak,
            since=since,
            volatility=volatility,
            mean=mean if tracked else None,
            square=square if tracked else None,
            fee=episodes.fee,
            slippage=episodes.slippage,
        )
