"""The fused engine: `Dynamics.transition` in the compiled kernel, for the tasks that it covers."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.simulation._account import Account
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._ledger import Ledger
from tradinghf.simulation._observe import LIMIT, PROFIT_BARS, Observation
from tradinghf.simulation._rewards import MOMENT_RATE, Transition
from tradinghf.simulation._tolerance import ABSOLUTE, RELATIVE, is_off
from tradinghf.workers import Team

_PLAIN_COLUMNS = ("open", "high", "low", "close", "volume", "volatility")
_SIDES = {"both": 0, "long": 1, "short": -1}
_ACCOUNTS_PER_THREAD = 2048  # fewer are not worth a thread of their own
_HEAD_START = 1280  # accounts that the caller does while another thread wakes up

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES, _BLOCK_BYTES = 1 << 28, 1 << 25


@lru_cache
def _keep_freed_memory() -> None:
    """Tell glibc to keep up to 256 MiB of freed memory instead of returning it at once.

    Every step allocates its results anew. Beyond some thousand accounts these are blocks that
    glibc returns to the kernel when they are freed, and fetching them again costs more than the
    step's arithmetic.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
            libc.mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)


def fused_covers(dynamics: Dynamics) -> bool:
    """Whether the kernel does all that this task's step consists of."""
    setup, limits = dynamics.setup, dynamics.setup.limits
    unlimited = all(
        is_off(x) for x in (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    )
    return (
        dynamics.bars.rows.device.type == "cpu"
        and dynamics.bars.columns == _PLAIN_COLUMNS
        and not dynamics.config.portfolio
        and dynamics.observer.kind != "dict"
        and unlimited
        and limits.allow_partial
        and not (limits.lock_cash or setup.waits or setup.forces)
        and setup.margin.leverage == 1.0
        and setup.rates.fused
    )


class _EpisodeConstants:
    """The windows and costs of the running episodes, as tensors and as arrays."""

    def __init__(self, state: EnvState, fee: Any, slip: tuple[Any, Any]) -> None:
        self.key, self.episode = state.key, state.episode
        self.asset, self.start = state.asset, state.start
        self.fee, self.slippage = state.fee, state.slippage
        self.arrays = (state.asset.contiguous().numpy(), state.start.contiguous().numpy())
        self.rates = (fee, *slip)


class _FusedState:
    """The environments as the kernel has them: rows of numbers; the engine unpacks them.

    Attributes:
        rows: [R, N] (`kernel.ROWS`).
        bar: [N].
        numbers, bars: the same memory as arrays.
        episodes: what they have in common with the bars before.
        obs: what they show; None until somebody asks.

    """

    __slots__ = ("bar", "bars", "episodes", "numbers", "obs", "rows")

    def __init__(
        self, rows: Tensor, bar: Tensor, episodes: _EpisodeConstants, obs: Observation | None = None
    ) -> None:
        self.rows, self.bar, self.episodes, self.obs = rows, bar, episodes, obs
        self.numbers, self.bars = rows.numpy(), bar.numpy()

    @property
    def key(self) -> Tensor:
        """[N] of the seeds."""
        return self.episodes.key

    @property
    def episode(self) -> Tensor:
        """[N] number of the episodes."""
        return self.episodes.episode


class FusedEngine:
    """A task's step and observation, one compiled pass over N accounts.

    Args:
        dynamics: of a task that `fused_covers` allows.
        threads: that it may take; None: as many as torch.

    """

    def __init__(self, dynamics: Dynamics, threads: int | None = None) -> None:
        from tradinghf.simulation import _kernel as kernel

        _keep_freed_memory()
        self.dynamics, self._advance = dynamics, kernel.advance
        self._shown, self._row_count = kernel.CARRIED.index("close"), len(kernel.ROWS)
        self._dtype = dynamics.bars.rows.dtype
        self._kind: Any = np.float64 if self._dtype == torch.float64 else np.float32
        table, bars = dynamics.observer.windows, dynamics.bars
        # What the kernel reads of a bar, in 16 or 32 bytes: a row never spans two cache lines.
        columns = [bars.columns.index(n) for n in ("open", "close", "volatility", "volatility")]
        self._levels = np.array(dynamics.config.levels, self._kind)
        self._static = (
            self._levels,
            bars.rows[:, columns, 0].contiguous().numpy(),
            table.as_strided((table.untyped_storage().nbytes() // 4,), (1,)).numpy(),
            np.array(self._settings(), self._kind),
            np.array(self._switches(), np.int64),
        )
        self._never, self._always = np.array([False]), np.array([True])
        self._indexed, self._none = dynamics.observer.kind == "index", np.empty(0, np.int64)
        self._no_orders = np.empty(0, self._kind)
        self._width = dynamics.observer.account_dim if self._indexed else dynamics.observer.dim
        rates = dynamics.setup.rates
        self._fee, self._slip = self._array(rates.fee), self._factors(rates.slippage)
        self._threads = threads
        self._team = Team()

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
            _SIDES[setup.limits.side],
            int(setup.fill == "close"),
            int(setup.financing is not None),
            int(self.dynamics.tracks_moments),
            observer.review if observer.review < self.dynamics.config.horizon else 0,
            observer.lookback,
            observer.width,
        )

    # ------------------------------------------------------------------ one bar on

    def step(
        self, state: _FusedState, target: Tensor, last: bool | Tensor, *, on_change: bool
    ) -> tuple[_FusedState, Tensor, Info]:
        """See `engines.StepEngine`."""
        episodes, count = state.episodes, target.shape[0]
        rows = torch.empty(self._row_count, count, dtype=self._dtype)
        bar = torch.empty(count, dtype=torch.int64)
        obs = torch.empty(count, self._width)
        window = torch.empty(count, dtype=torch.int64) if self._indexed else None
        shown: Observation = obs if window is None else {"window": window, "account": obs}
        after = _FusedState(rows, bar, episodes, shown)
        given = target.numpy().reshape(count)
        chosen, orders = (
            (self._none, given) if target.is_floating_point() else (given, self._no_orders)
        )
        if isinstance(last, Tensor):
            ends = last[:, 0].numpy()
        else:
            ends = self._always if last else self._never
        self._run(
            count,
            state.numbers,
            *episodes.arrays,
            state.bars,
            *(chosen, orders, on_change, *episodes.rates, ends),
            *self._static,
            after.numbers,
            after.bars,
            obs.numpy(),
            self._none if window is None else window.numpy(),
        )
        happened, info = self._facts(state, after)
        return after, self.dynamics.reward(happened), info

    def _run(self, count: int, *arguments: Any) -> None:
        """Call the kernel, over several threads where there is enough to do."""
        threads = self._threads or torch.get_num_threads()
        shares = min(threads, count // _ACCOUNTS_PER_THREAD)
        if shares < 2:
            wrong = self._advance(0, count, *arguments)
            return self._check(wrong)
        own, rest = _HEAD_START, count - _HEAD_START
        cuts = list(pairwise([0, *(own + rest * s // shares for s in range(1, shares + 1))]))
        self._check(sum(self._team.run(self._advance, cuts, *arguments)))

    def _check(self, wrong: int) -> None:
        if wrong:
            raise IndexError(
                f"{wrong} actions of MarketEnv.step are out of range; expected 0 to "
                f"{len(self._levels) - 1}."
            )

    def observe(self, state: _FusedState) -> Observation:
        """See `engines.StepEngine`."""
        if state.obs is None:
            state.obs = self.dynamics.observe(self.unpack(state))
        return state.obs

    def _factors(self, slippage: float | Tensor) -> tuple[Any, Any]:
        return self._array(1.0 + slippage), self._array(1.0 - slippage)

    def _array(self, rate: float | Tensor) -> Any:
        return rate.numpy()[:, 0] if isinstance(rate, Tensor) else np.array([rate], self._kind)

    def _facts(self, state: _FusedState, after: _FusedState) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""
        close, *found = after.rows[self._shown :].unbind()
        equity, drawdown_before, drawdown, realised, costs, turnover = found[:6]
        financing, position, debt, price = found[6:]
        previous = state.rows[self._shown + 1]
        mean = square = previous  # of no meaning where no moments are kept
        if self.dynamics.tracks_moments:
            mean, square = state.rows[1:3].unbind()
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

    def pack(self, state: EnvState) -> _FusedState:
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
        fee = self._fee if state.fee is None else self._array(state.fee)
        slip = self._slip if state.slippage is None else self._factors(state.slippage)
        rows = torch.cat(columns, 1).T.contiguous()
        return _FusedState(rows, state.bar.contiguous(), _EpisodeConstants(state, fee, slip))

    def unpack(self, state: _FusedState) -> EnvState:
        """See `engines.StepEngine`."""
        carried = state.rows[: self._shown + 1, :, None].unbind()
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
