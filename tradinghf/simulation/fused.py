"""`Dynamics.transition` through the compiled kernel, where its accounting covers the task."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.simulation.account import Account
from tradinghf.simulation.dynamics import Dynamics, EnvState, Info
from tradinghf.simulation.ledger import Ledger
from tradinghf.simulation.numeric import ABSOLUTE, RELATIVE, is_off
from tradinghf.simulation.observe import LIMIT, PROFIT_BARS, Observation
from tradinghf.simulation.rewards import MOMENT_RATE, Transition

PLAIN_COLUMNS = ("open", "high", "low", "close", "volume", "volatility")
SIDES = {"both": 0, "long": 1, "short": -1}
SHARE = 2048  # accounts that are worth a thread of their own


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES, BLOCK_BYTES = 1 << 28, 1 << 25


@lru_cache
def keep_freed_memory() -> None:
    """Tell glibc to keep up to 256 MiB of freed memory instead of returning it at once.

    Every step allocates its results anew. Beyond some thousand accounts these are blocks that
    glibc returns to the kernel when they are freed, and fetching them again costs more than the
    step's arithmetic.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
            libc.mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def covers(dynamics: Dynamics) -> bool:
    """Whether the kernel does all that this task's step consists of."""
    setup, limits = dynamics.setup, dynamics.setup.limits
    unlimited = all(
        is_off(x) for x in (limits.lot, limits.max_size, limits.max_position, limits.min_notional)
    )
    return (
        dynamics.bars.rows.device.type == "cpu"
        and dynamics.bars.columns == PLAIN_COLUMNS
        and not dynamics.config.portfolio
        and dynamics.observer.flat
        and unlimited
        and limits.allow_partial
        and not (limits.lock_cash or setup.waits or setup.forces)
        and setup.margin.leverage == 1.0
        and is_off(setup.rates.impact)
    )


class Fused:
    """A task's transition and observation, one compiled pass over N accounts.

    Args:
        dynamics: of a task that `covers` allows.

    """

    def __init__(self, dynamics: Dynamics) -> None:
        from tradinghf.simulation import kernel  # numba takes half a second to import

        keep_freed_memory()
        self.dynamics, self._kernel = dynamics, kernel
        self._dtype = dynamics.bars.rows.dtype
        self._kind: Any = np.float64 if self._dtype == torch.float64 else np.float32
        rows, observer = dynamics.bars.rows, dynamics.observer
        self._bars = rows[..., 0].numpy()
        names = dynamics.bars.columns
        self._columns = tuple(names.index(name) for name in ("open", "close", "volatility"))
        table = observer.windows
        self._table = table.as_strided((table.untyped_storage().nbytes() // 4,), (1,)).numpy()
        self._settings = tuple(self._kind(x) for x in self._numbers())
        self._review = observer.review if observer.review < dynamics.config.horizon else 0
        self._never, self._always = np.array([False]), np.array([True])
        rates = dynamics.setup.rates
        self._fee = self._array(rates.fee)
        self._slip = self._factors(rates.slippage)
        self._pool: ThreadPoolExecutor | None = None
        self._seen: tuple[EnvState, Tensor, Tensor] | None = None

    def _numbers(self) -> tuple[float, ...]:
        """`kernel.SETTINGS`."""
        setup, config = self.dynamics.setup, self.dynamics.config
        rates, held = setup.rates, setup.financing
        relative = RELATIVE[self._dtype]
        least = float(setup.limits.min_size)
        least -= max(abs(least) * relative, ABSOLUTE)
        holding = (held.borrow, held.margin, held.cash, held.funding) if held else (0.0,) * 4
        return (
            *(0.0, 1.0, relative, ABSOLUTE, float(rates.fixed), float(rates.per_share)),
            *(least, setup.ruin),
            *(config.cash, *holding, MOMENT_RATE, PROFIT_BARS**0.5),
            *(float(self.dynamics.observer.review), LIMIT),
        )

    # ------------------------------------------------------------------ one bar on

    def transition(
        self, state: EnvState, orders: Tensor, last: bool | Tensor
    ) -> tuple[EnvState, Tensor, Info]:
        """See `Dynamics.transition`."""
        count = state.bar.shape[0]
        before = self._matrix(state)
        after = torch.empty_like(before)
        result = torch.empty(len(self._kernel.RESULT), count, dtype=self._dtype)
        ruined = torch.empty(count, dtype=torch.bool)
        obs = torch.empty(count, self.dynamics.observer.dim)
        self._run(state, orders, last, before, after, result, ruined, obs)
        following = self._state(state, after, ruined)
        self._seen = (following, after, obs)
        happened, info = self._facts(state, following, result)
        return following, self.dynamics.reward(happened), info

    def observe(self, state: EnvState) -> Observation:
        """See `Dynamics.observe`."""
        if self._seen is not None and self._seen[0] is state:
            return self._seen[2]
        return self.dynamics.observe(state)

    def _run(
        self,
        state: EnvState,
        orders: Tensor,
        last: bool | Tensor,
        before: Tensor,
        after: Tensor,
        result: Tensor,
        ruined: Tensor,
        obs: Tensor,
    ) -> None:
        """Call the kernel, over several threads where there is enough to do."""
        setup, count = self.dynamics.setup, before.shape[1]
        arguments = (
            before.numpy(),
            state.ledger.ruined.numpy()[:, 0],
            *(x.numpy() for x in (state.asset, state.start, state.bar)),
            orders.numpy()[:, 0],
            *(self._bars, self._columns, self.dynamics.bars.bars, self._settings),
            *self._rates(state),
            SIDES[setup.limits.side],
            setup.fill == "close",
            setup.financing is not None,
            self.dynamics.tracks_moments,
            self._ends(last),
            self._review,
            *(after.numpy(), ruined.numpy(), result.numpy(), self._table),
            self.dynamics.observer.width,
            self.dynamics.observer.lookback,
            obs.numpy(),
        )
        shares = min(torch.get_num_threads(), count // SHARE)
        if shares < 2:
            self._kernel.advance(0, count, *arguments)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(torch.get_num_threads())
        cuts = [count * s // shares for s in range(shares + 1)]
        running = [
            self._pool.submit(self._kernel.advance, *cut, *arguments) for cut in pairwise(cuts)
        ]
        for part in running:
            part.result()

    def _ends(self, last: bool | Tensor) -> Any:
        if isinstance(last, Tensor):
            return last[:, 0].numpy()
        return self._always if last else self._never

    def _rates(self, state: EnvState) -> tuple[Any, Any, Any]:
        """Proportional fee and the price factors of buys and sells, each [1] or [N]."""
        fee = self._fee if state.fee is None else self._array(state.fee)
        return fee, *(self._slip if state.slippage is None else self._factors(state.slippage))

    def _factors(self, slippage: float | Tensor) -> tuple[Any, Any]:
        return self._array(1.0 + slippage), self._array(1.0 - slippage)

    def _array(self, rate: float | Tensor) -> Any:
        return rate.numpy()[:, 0] if isinstance(rate, Tensor) else np.array([rate], self._kind)

    # ------------------------------------------------------------------ tensors and matrices

    def _matrix(self, state: EnvState) -> Tensor:
        """[11, N] what the kernel carries; no copy when the state came from it."""
        if self._seen is not None and self._seen[0] is state:
            return self._seen[1]
        ledger = state.ledger
        none = torch.zeros_like(state.peak)
        rows = (
            *(ledger.account.cash, ledger.account.shares, ledger.flow, ledger.owed, ledger.close),
            *(state.peak, state.since, state.volatility, state.target),
            *(none if x is None else x for x in (state.mean, state.square)),
        )
        return torch.cat(rows, 1).T.contiguous()

    def _state(self, state: EnvState, after: Tensor, ruined: Tensor) -> EnvState:
        """The kernel's rows as the environment's state."""
        rows = after[..., None].unbind(0)
        cash, shares, flow, owed, close, peak, since, volatility, target, mean, square = rows
        ledger = Ledger(Account(cash, shares), close, flow, owed, ruined[:, None])
        tracked = self.dynamics.tracks_moments
        return EnvState(
            ledger=ledger,
            key=state.key,
            episode=state.episode,
            asset=state.asset,
            start=state.start,
            bar=state.bar + 1,
            target=target,
            peak=peak,
            since=since,
            volatility=volatility,
            mean=mean if tracked else None,
            square=square if tracked else None,
            fee=state.fee,
            slippage=state.slippage,
        )

    def _facts(
        self, state: EnvState, following: EnvState, result: Tensor
    ) -> tuple[Transition, Info]:
        """What rewards and info are made of."""
        found = dict(zip(self._kernel.RESULT, result.unbind(0), strict=True))
        position, debt, price = found["position"], found.pop("debt"), found.pop("price")
        none = found["previous"]  # of no meaning where no moments are kept
        happened = Transition(
            **found | {"position": position[:, None]},
            mean=none if state.mean is None else state.mean[:, 0],
            square=none if state.square is None else state.square[:, 0],
            floor=self.dynamics.config.ruin,
        )
        info = {
            "equity": happened.equity,
            "position": position,
            "turnover": happened.turnover,
            "costs": happened.costs,
            "financing": happened.financing,
            "realised_pnl": happened.realised,
            "debt": debt,
            "close": following.ledger.close[:, 0],
            "price": price,
            "bar": following.bar,
            "asset": following.asset,
            "start": following.start,
        }
        return happened, info
