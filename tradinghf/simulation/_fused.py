"""What the fused engines have in common: a task's step and observation in one compiled pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._observe import Observation
from tradinghf.simulation._rewards import Transition
from tradinghf.workers import Pace, Team, keep_freed_memory, threads_to_share

SIDES = {"both": 0, "long": 1, "short": -1}
_HEAD_START = 0.625  # of a thread's smallest share: the caller's lead while another one wakes up


class EpisodeConstants:
    """The windows and costs of the running episodes, as tensors and as arrays."""

    def __init__(self, state: EnvState, rates: tuple[Any, ...]) -> None:
        self.key, self.episode = state.key, state.episode
        self.asset, self.start = state.asset, state.start
        self.fee, self.slippage = state.fee, state.slippage
        self.arrays: tuple[Any, ...] = (
            state.asset.contiguous().numpy(),
            state.start.contiguous().numpy(),
        )
        self.rates = rates

    def one(self, account: int) -> EpisodeConstants:
        """Those of one account alone."""
        part = copy(self)
        for name in ("key", "episode", "asset", "start", "fee", "slippage"):
            values = getattr(self, name)
            setattr(part, name, None if values is None else values[account : account + 1])
        part.arrays = tuple(values[account : account + 1] for values in self.arrays)
        part.rates = tuple(r if len(r) == 1 else r[account : account + 1] for r in self.rates)
        return part


class FusedState:
    """The environments as a kernel has them: matrices of numbers; the engine unpacks them.

    Attributes:
        numbers: what the kernel reads and writes of the accounts.
        bars: [N].
        episodes: what they have in common with the bars before.
        shown: the arrays of their observation; None: nobody wrote any.

    """

    __slots__ = ("_bar", "_obs", "_tables", "bars", "episodes", "numbers", "shown")

    def __init__(
        self, numbers: tuple[Any, ...], bars: Any, episodes: EpisodeConstants, shown: Any = None
    ) -> None:
        self.numbers, self.bars, self.episodes, self.shown = numbers, bars, episodes, shown
        self._tables: tuple[Tensor, ...] | None = None
        self._bar: Tensor | None = None
        self._obs: Observation | None = None

    def one(self, account: int) -> FusedState:
        """The state of one account alone."""
        numbers = tuple(table[..., account : account + 1].copy() for table in self.numbers)
        return FusedState(numbers, self.bars[account : account + 1], self.episodes.one(account))

    @property
    def tables(self) -> tuple[Tensor, ...]:
        """The same memory as `numbers`, as tensors."""
        if self._tables is None:
            self._tables = tuple(torch.from_numpy(n) for n in self.numbers)
        return self._tables

    @property
    def bar(self) -> Tensor:
        """[N]."""
        if self._bar is None:
            self._bar = torch.from_numpy(self.bars)
        return self._bar

    @property
    def obs(self) -> Observation | None:
        """What they show; None until somebody asks."""
        if self._obs is None and self.shown is not None:
            self._obs = _tensors(self.shown)
        return self._obs

    @obs.setter
    def obs(self, obs: Observation) -> None:
        self._obs = obs

    @property
    def key(self) -> Tensor:
        """[N] of the seeds."""
        return self.episodes.key

    @property
    def episode(self) -> Tensor:
        """[N] number of the episodes."""
        return self.episodes.episode


def _tensors(shown: Any) -> Observation:
    if isinstance(shown, dict):
        return {name: torch.from_numpy(part) for name, part in shown.items()}
    return torch.from_numpy(shown)


class FusedEngine(ABC):
    """A task's step and observation, one compiled pass over N accounts.

    Args:
        dynamics: of the task.
        threads: that it takes; None: at most as many as torch and as there are processors to
            use, where measured to be faster than one.
        accounts_per_thread: fewer are not worth a thread of their own.

    Attributes:
        flat_orders: the kernel takes orders [N] of one asset instead of [N, A'].

    """

    flat_orders = False

    _advance: Callable[..., int]
    _static: tuple[Any, ...]

    def __init__(
        self, dynamics: Dynamics, threads: int | None, accounts_per_thread: int = 2048
    ) -> None:
        keep_freed_memory()
        self.dynamics, self._threads, self._team = dynamics, threads, Team()
        self._pace = Pace()
        self._share, observer = accounts_per_thread, dynamics.observer
        self._dtype = dynamics.bars.rows.dtype
        self._kind: Any = np.float64 if self._dtype == torch.float64 else np.float32
        self._levels = np.array(dynamics.config.levels, self._kind)
        self._never, self._always = np.array([False]), np.array([True])
        self._none = np.empty(0, np.int64)
        self._widths = (observer.lookback * observer.width, observer.account_dim)
        self._shown_as, self._shows_time_left = observer.kind, observer.time_left

    def _features(self) -> Any:
        """[rows * F'] the memory that all windows overlap in."""
        table = self.dynamics.observer.windows
        return table.as_strided((table.untyped_storage().nbytes() // 4,), (1,)).numpy()

    # ------------------------------------------------------------------ one bar on

    def step(
        self, state: FusedState, target: Tensor, last: bool | Tensor, *, on_change: bool
    ) -> tuple[FusedState, Tensor, Info]:
        """See `engines.StepEngine`."""
        if isinstance(last, Tensor):
            ends = last[:, 0].numpy()
        else:
            ends = self._always if last else self._never
        after = self.advance(state, self._given(target), ends, on_change=on_change)
        happened, info = self.facts(state, after)
        return after, self.dynamics.reward(happened), info

    def advance(
        self, state: FusedState, given: tuple[Any, Any], ends: Any, *, on_change: bool
    ) -> FusedState:
        """The accounts one bar on, in arrays.

        Args:
            state: before.
            given: choices [N, A'] or [N], and orders; one of them is empty.
            ends: [1] or [N] bool, whether the step ends the episode.
            on_change: a target equal to the last one is no order either.

        """
        episodes, bars = state.episodes, state.bars
        count = len(bars)
        shown, places = self._blank_observation(count)
        numbers, later = self._blank(count), np.empty(count, np.int64)
        self._run(
            count,
            (*state.numbers, *episodes.arrays, bars, *given, on_change, *episodes.rates, ends,
             *self._static, *numbers, later, *places),
        )  # fmt: skip
        if self._shows_time_left:
            account = shown["account"] if isinstance(shown, dict) else shown
            elapsed = torch.from_numpy(later - episodes.arrays[1])
            account[:, -1] = self.dynamics.observer.left(elapsed).numpy()
        return FusedState(numbers, later, episodes, shown)

    def _blank_observation(self, count: int) -> tuple[Any, tuple[Any, ...]]:
        """An observation to be written, and the arguments that tell the kernel where."""
        seen, own = self._widths
        kind = self._shown_as
        if kind == "flat":
            there = np.empty((count, seen + own), np.float32)
            return there, (there, there, seen, self._none)
        account = np.empty((count, own), np.float32)
        if kind == "index":
            window = np.empty(count, np.int64)
            return {"window": window, "account": account}, (account, account, 0, window)
        market = np.empty((count, seen), np.float32)
        return {"market": market, "account": account}, (market, account, 0, self._none)

    def _run(self, count: int, arguments: tuple[Any, ...]) -> None:
        """Call the kernel, over several threads where there is enough to do."""
        shares = count // self._share
        if shares >= 2:
            shares = min(self._threads or threads_to_share(), shares)
        if shares < 2:
            return self._check(self._advance(0, count, *arguments))
        own = int(self._share * _HEAD_START)
        rest = count - own
        cuts = list(pairwise([0, *(own + rest * s // shares for s in range(1, shares + 1))]))

        def several() -> int:
            return sum(self._team.run(self._advance, cuts, *arguments))

        if self._threads:
            return self._check(several())
        return self._check(self._pace.run(several, lambda: self._advance(0, count, *arguments)))

    def _check(self, wrong: int) -> None:
        if wrong:
            raise IndexError(
                f"{wrong} actions of MarketEnv.step are out of range; expected 0 to "
                f"{len(self._levels) - 1}."
            )

    def observe(self, state: FusedState) -> Observation:
        """See `engines.StepEngine`."""
        obs = state.obs
        if obs is None:
            obs = state.obs = self.dynamics.observe(self.unpack(state))
        return obs

    def standing(self, state: FusedState) -> tuple[Tensor, Tensor]:
        """See `engines.StepEngine`."""
        known = self.unpack(state)
        return self.dynamics.held(known), known.target

    # ------------------------------------------------------------------ what each kernel has

    @abstractmethod
    def _blank(self, count: int) -> tuple[Any, ...]:
        """The tables of `count` accounts, to be written."""

    @abstractmethod
    def _given(self, target: Tensor) -> tuple[Any, Any]:
        """Choices and orders; one of them is empty."""

    @abstractmethod
    def facts(self, state: FusedState, after: FusedState) -> tuple[Transition, Info]:
        """The quantities that rewards and info are computed from."""

    @abstractmethod
    def pack(self, state: EnvState) -> FusedState:
        """See `engines.StepEngine`."""

    @abstractmethod
    def unpack(self, state: FusedState) -> EnvState:
        """See `engines.StepEngine`."""
