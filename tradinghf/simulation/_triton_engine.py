"""The engines of tasks on a GPU: one Triton kernel for a bar, one for what accounts see.

Plain tasks have a kernel of their own (`_plain_kernel_triton`), any other takes
`_task_bar_triton`; the tensor step stays the definition of both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tradinghf._triton import require_triton
from tradinghf.errors import ConfigError
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._fused import SIDES
from tradinghf.simulation._observe import Observation
from tradinghf.simulation._plain_rows import PlainRows, is_plain
from tradinghf.simulation._rewards import Transition
from tradinghf.simulation._task_rows import TaskRows, rates_of, settings_of
from tradinghf.simulation._task_switches import BITS, switches_of
from tradinghf.simulation._tolerance import is_off

_ACCOUNTS = 128  # of a block
_POSITIONS = 256  # of a block of portfolios
_SHOWN_ACCOUNTS, _SHOWN_NUMBERS = 16, 64  # of a block of observations
_EXTRAS = ("funding", "split", "dividend", "member")


@dataclass(frozen=True, eq=False)
class TritonState:
    """The environments as the kernels have them.

    Attributes:
        tables: numbers of the accounts, and of their positions where these have a table of their
            own; N comes last.
        bar: [N].
        episodes: the state at their beginning; windows and costs stay.
        rates: what fills cost, one row for all or one for each account.
        seen: [N] index of the market's window, and [N, .] the account's part of the observation;
            None: nobody wrote any.

    """

    tables: tuple[Tensor, ...]
    bar: Tensor
    episodes: EnvState
    rates: tuple[Tensor, ...]
    seen: tuple[Tensor, Tensor] | None = None

    @property
    def key(self) -> Tensor:
        """[N] of the seeds."""
        return self.episodes.key

    @property
    def episode(self) -> Tensor:
        """[N] number of the episodes."""
        return self.episodes.episode


class _Engine(ABC):
    """What both kinds of task have in common.

    Args:
        dynamics: of the task.

    """

    _bar: Any  # the kernel of a bar

    def __init__(self, dynamics: Dynamics) -> None:
        from tradinghf.simulation import _plain_kernel_triton as kernel

        self._shows, self.dynamics = kernel.show, dynamics
        rows = dynamics.bars.rows
        self._like = rows[:0, 0, 0]
        self._levels = self._row(*dynamics.config.levels)
        self._ends = torch.tensor([0, 1], dtype=torch.uint8, device=rows.device)

    def _row(self, *numbers: float) -> Tensor:
        return self._like.new_tensor(numbers)

    def step(
        self, state: TritonState, target: Tensor, last: bool | Tensor, *, on_change: bool
    ) -> tuple[TritonState, Tensor, Info]:
        """See `engines.StepEngine`."""
        orders = target.flatten()
        if not orders.is_floating_point():
            orders = self._levels.index_select(0, orders)
        own = isinstance(last, Tensor)
        ends = last[:, 0].to(torch.uint8) if isinstance(last, Tensor) else self._ends[int(last) :]
        tables = tuple(torch.empty_like(table) for table in state.tables)
        bar, observer = torch.empty_like(state.bar), self.dynamics.observer
        account = torch.empty(
            len(bar), observer.account_dim, dtype=torch.float32, device=bar.device
        )
        window = torch.empty_like(bar)
        after = replace(state, tables=tables, bar=bar, seen=(window, account))
        self._advance(
            state, orders.contiguous(), ends, after, (account, window), own=own, on_change=on_change
        )
        happened, info = self.facts(state, after)
        return after, self.dynamics.reward(happened), info

    def observe(self, state: TritonState) -> Observation:
        """See `engines.StepEngine`."""
        if state.seen is None:
            return self.dynamics.observe(self.unpack(state))
        (window, account), observer = state.seen, self.dynamics.observer
        if observer.kind == "index":
            return {"window": window, "account": account}
        if observer.kind == "dict":
            return {"market": observer.windows.index_select(0, window), "account": account}
        obs = torch.empty(len(window), observer.dim, dtype=torch.float32, device=window.device)
        blocks = -(-len(window) // _SHOWN_ACCOUNTS), -(-observer.dim // _SHOWN_NUMBERS)
        self._shows[blocks](
            *(observer.windows, observer.width, window, account, obs, len(window)),
            *(observer.lookback * observer.width, observer.account_dim),
            ROWS=_SHOWN_ACCOUNTS,
            COLUMNS=_SHOWN_NUMBERS,
        )
        return obs

    @abstractmethod
    def _advance(
        self,
        state: TritonState,
        orders: Tensor,
        ends: Tensor,
        after: TritonState,
        seen: tuple[Tensor, Tensor],
        *,
        own: bool,
        on_change: bool,
    ) -> None:
        """Write the accounts one bar on to `after` and `seen`, by orders [N * A'].

        `own`: each has its own end, in `ends` [N]; `on_change`: see `engines.StepEngine`.
        """

    @abstractmethod
    def facts(self, state: TritonState, after: TritonState) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""

    @abstractmethod
    def unpack(self, state: TritonState) -> EnvState:
        """See `engines.StepEngine`."""


class _PlainTask(PlainRows, _Engine):
    """The step of a task that `is_plain` allows."""

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__(dynamics)
        from tradinghf.simulation import _plain_kernel_triton as kernel

        self._bar, prices = kernel.advance, dynamics.bars.rows
        columns = [dynamics.bars.columns.index(n) for n in ("open", "close", "volatility", "close")]
        self._prices = torch.stack([prices[:, column, 0] for column in columns], 1).contiguous()
        self._numbers = self._row(*self._settings())
        self._rates = (*self._fees(None), *self._factors(None))
        setup, observer, costs = dynamics.setup, dynamics.observer, dynamics.setup.rates
        random = dynamics.config.randomise.fee_bps is not None
        self._switches: dict[str, Any] = {
            "SIDE": SIDES[setup.limits.side],
            "AT_CLOSE": setup.fill == "close",
            "FINANCES": setup.financing is not None,
            "MOMENTS": dynamics.tracks_moments,
            "REVIEWS": observer.review < dynamics.config.horizon,
            "FIXED": not is_off(costs.fixed),
            "PER_SHARE": not is_off(costs.per_share),
            "PROPORTIONAL": random or not is_off(costs.fee),
        }

    def _fees(self, fee: Tensor | None) -> tuple[Tensor, Tensor]:
        if fee is not None:
            return fee[:, 0].contiguous(), 1.0 + fee[:, 0]
        rate = float(self.dynamics.setup.rates.fee)
        return self._row(rate), self._row(1.0 + rate)

    def _factors(self, slippage: Tensor | None) -> tuple[Tensor, Tensor]:
        if slippage is not None:
            return 1.0 + slippage[:, 0], 1.0 - slippage[:, 0]
        rate = float(self.dynamics.setup.rates.slippage)
        return self._row(1.0 + rate), self._row(1.0 - rate)

    def pack(self, state: EnvState) -> TritonState:
        """See `engines.StepEngine`."""
        fee = self._rates[:2] if state.fee is None else self._fees(state.fee)
        slip = self._rates[2:] if state.slippage is None else self._factors(state.slippage)
        return TritonState((self._rows(state),), state.bar, state, (*fee, *slip))

    def _advance(
        self,
        state: TritonState,
        orders: Tensor,
        ends: Tensor,
        after: TritonState,
        seen: tuple[Tensor, Tensor],
        *,
        own: bool,
        on_change: bool,
    ) -> None:
        begun, count, observer = state.episodes, len(state.bar), self.dynamics.observer
        switches = self._switches | {"OWN_ENDS": own, "ON_CHANGE": on_change}
        self._bar[(-(-count // _ACCOUNTS),)](
            *(*state.tables, begun.asset, begun.start, state.bar, orders, *state.rates, ends),
            *(self._prices, self._numbers, *after.tables, after.bar, *seen),
            *(count, self.dynamics.bars.bars, observer.lookback, observer.review),
            OWN_FEE=int(len(state.rates[0]) > 1),
            OWN_SLIP=int(len(state.rates[2]) > 1),
            **{name: int(value) for name, value in switches.items()},
            BLOCK=_ACCOUNTS,
            enable_fp_fusion=False,
        )

    def standing(self, state: TritonState) -> tuple[Tensor, Tensor]:
        """See `engines.StepEngine`."""
        known = self.unpack(state)
        return self.dynamics.held(known), known.target


class _AnyTask(TaskRows, _Engine):
    """The step of all other tasks: limits, margin, exits, portfolios."""

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__(dynamics)
        from tradinghf.simulation import _task_bar_triton as kernel

        self._bar, self._assets = kernel.advance, dynamics.observer.assets
        self._prices, columns = dynamics.bars.rows.contiguous(), dynamics.bars.columns
        self._numbers = self._row(*settings_of(dynamics))
        self._rates, self._used = rates_of(dynamics), switches_of(dynamics)
        self._columns = [columns.index(n) if n in columns else 0 for n in _EXTRAS]
        # A tile of accounts by assets: numbers of places that hold no asset are of no meaning.
        self._width = 1 << (self._assets - 1).bit_length()
        self._block = _ACCOUNTS if self._width == 1 else max(1, _POSITIONS // self._width)

    def pack(self, state: EnvState) -> TritonState:
        """See `engines.StepEngine`."""
        drawn = state.fee is not None or state.slippage is not None
        rates = rates_of(self.dynamics, state) if drawn else self._rates
        return TritonState(self._tables(state), state.bar, state, (rates,))

    def _advance(
        self,
        state: TritonState,
        orders: Tensor,
        ends: Tensor,
        after: TritonState,
        seen: tuple[Tensor, Tensor],
        *,
        own: bool,
        on_change: bool,
    ) -> None:
        begun, count, observer = state.episodes, len(state.bar), self.dynamics.observer
        called = {"own_ends": own, "on_change": on_change, "own_costs": len(state.rates[0]) > 1}
        used = self._used | sum(BITS[name] for name, wanted in called.items() if wanted)
        self._bar[(-(-count // self._block),)](
            *(*state.tables, begun.asset, begun.start, state.bar, orders, *state.rates, ends),
            *(self._prices, self._numbers, *after.tables, after.bar, *seen),
            *(count, self._assets, self._prices.shape[1], self.dynamics.bars.bars),
            *(observer.lookback, observer.review, observer.account_dim, *self._columns),
            P=self._width,
            S=used,
            BLOCK=self._block,
            enable_fp_fusion=False,
        )


def triton_engine(dynamics: Dynamics) -> _PlainTask | _AnyTask:
    """The engine that steps a task by Triton kernels.

    Raises:
        ConfigError: the task has costs or hooks that no kernel knows, or there is no GPU.
        MissingExtraError: Triton is not installed.

    """
    require_triton(dynamics.bars.rows.device.type, "engine='triton'")
    if not dynamics.setup.rates.fused or dynamics.fill_cost is not None:
        raise ConfigError(
            "engine='triton' knows the fees of CostModel but min_fee, max_fee_bps, maker_fee_bps "
            "and rebates, and carries out no fill_cost of yours. Use engine='auto' for this task."
        )
    if dynamics.setup.waits and dynamics.setup.forces:  # an exit cancels what is left of an entry
        raise ConfigError(
            "engine='triton' knows no participation beside stops, targets or maintenance margin. "
            "Use engine='auto' for this task."
        )
    return (_PlainTask if is_plain(dynamics) and not dynamics.observer.time_left else _AnyTask)(
        dynamics
    )
