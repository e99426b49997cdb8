"""The engine of plain tasks on a GPU: one Triton kernel for a bar, one for what accounts see.

See `_plain_kernel_triton`; the tensor step stays the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf._triton import require_triton
from tradinghf.errors import ConfigError
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._fused import SIDES
from tradinghf.simulation._observe import Observation
from tradinghf.simulation._plain_rows import PlainRows, is_plain
from tradinghf.simulation._tolerance import is_off

_ACCOUNTS = 128  # of a block
_SHOWN_ACCOUNTS, _SHOWN_NUMBERS = 16, 64  # of a block of observations


@dataclass(frozen=True, eq=False)
class TritonState:
    """The environments as the kernel has them.

    Attributes:
        rows: [R, N] numbers of the accounts (`ROWS`).
        bar: [N].
        episodes: the state at their beginning; windows and costs stay.
        rates: fee, 1 + fee, and price factors of buying and selling, [1] or [N].
        seen: [N] index of the market's window, and [N, 4] the account's part of the observation;
            None: nobody wrote any.

    """

    rows: Tensor
    bar: Tensor
    episodes: EnvState
    rates: tuple[Tensor, ...]
    seen: tuple[Tensor, Tensor] | None = None

    @property
    def tables(self) -> tuple[Tensor]:
        """See `FusedState`."""
        return (self.rows,)

    @property
    def key(self) -> Tensor:
        """[N] of the seeds."""
        return self.episodes.key

    @property
    def episode(self) -> Tensor:
        """[N] number of the episodes."""
        return self.episodes.episode


class TritonEngine(PlainRows):
    """The step of a task that `is_plain` allows.

    Args:
        dynamics: of the task.
        termination: whether a function of the user's ends episodes early.

    Raises:
        ConfigError: the task is not plain, functions of the user's are part of it, or there is no
            GPU.
        MissingExtraError: Triton is not installed.

    """

    def __init__(self, dynamics: Dynamics, *, termination: bool = False) -> None:
        prices = dynamics.bars.rows
        require_triton(prices.device.type, "engine='triton'")
        _check_covered(dynamics, termination)
        from tradinghf.simulation import _plain_kernel_triton as kernel

        self._kernel, self.dynamics = kernel, dynamics
        self._like = prices[:0, 0, 0]
        columns = [dynamics.bars.columns.index(n) for n in ("open", "close", "volatility", "close")]
        self._prices = torch.stack([prices[:, column, 0] for column in columns], 1).contiguous()
        self._numbers = self._row(*self._settings())
        self._levels = self._row(*dynamics.config.levels)
        self._ends = torch.tensor([0, 1], dtype=torch.uint8, device=prices.device)
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

    def _row(self, *numbers: float) -> Tensor:
        return self._like.new_tensor(numbers)

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
        return TritonState(self._rows(state), state.bar, state, (*fee, *slip))

    def step(
        self, state: TritonState, target: Tensor, last: bool | Tensor, *, on_change: bool
    ) -> tuple[TritonState, Tensor, Info]:
        """See `engines.StepEngine`."""
        orders = target.flatten()
        if not orders.is_floating_point():
            orders = self._levels.index_select(0, orders)
        own = isinstance(last, Tensor)
        ends = last[:, 0].to(torch.uint8) if isinstance(last, Tensor) else self._ends[int(last) :]
        after = self._advance(state, orders.contiguous(), ends, OWN_ENDS=own, ON_CHANGE=on_change)
        happened, info = self.facts(state, after)
        return after, self.dynamics.reward(happened), info

    def _advance(
        self, state: TritonState, orders: Tensor, ends: Tensor, **switches: Any
    ) -> TritonState:
        rows, bar, begun = torch.empty_like(state.rows), torch.empty_like(state.bar), state.episodes
        count, observer = len(bar), self.dynamics.observer
        account = torch.empty(count, 4, dtype=torch.float32, device=bar.device)
        window = torch.empty_like(bar)
        self._kernel.advance[(-(-count // _ACCOUNTS),)](
            *(state.rows, begun.asset, begun.start, state.bar, orders, *state.rates, ends),
            *(self._prices, self._numbers, rows, bar, account, window),
            *(count, self.dynamics.bars.bars, observer.lookback, observer.review),
            OWN_FEE=int(len(state.rates[0]) > 1),
            OWN_SLIP=int(len(state.rates[2]) > 1),
            **{name: int(value) for name, value in (self._switches | switches).items()},
            BLOCK=_ACCOUNTS,
            enable_fp_fusion=False,
        )
        return TritonState(rows, bar, begun, state.rates, (window, account))

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
        self._kernel.show[blocks](
            *(observer.windows, observer.width, window, account, obs, len(window)),
            *(observer.lookback * observer.width, observer.account_dim),
            ROWS=_SHOWN_ACCOUNTS,
            COLUMNS=_SHOWN_NUMBERS,
        )
        return obs

    def standing(self, state: TritonState) -> tuple[Tensor, Tensor]:
        """See `engines.StepEngine`."""
        known = self.unpack(state)
        return self.dynamics.held(known), known.target


def _check_covered(dynamics: Dynamics, termination: bool) -> None:
    """Raise `ConfigError` unless the kernels do all that a task's step consists of."""
    if not is_plain(dynamics) or not dynamics.setup.rates.fused:
        raise ConfigError(
            "engine='triton' steps plain tasks: single assets, the fees, slippage and costs of "
            "holding of CostModel, without stops, margin, lots, limits of size and market impact. "
            "Use engine='auto' for this one."
        )
    beyond = {
        "termination": termination,
        "sampler": dynamics.sampler is not None,
        "fill_cost": dynamics.fill_cost is not None,
        "EnvConfig.time_left": dynamics.observer.time_left,
    }
    if asked := [name for name, wanted in beyond.items() if wanted]:
        raise ConfigError(
            f"engine='triton' knows no {', '.join(asked)}: its kernels carry out no function of "
            "yours, end all episodes together and show four numbers of the account. Use "
            "engine='auto' for this task."
        )
