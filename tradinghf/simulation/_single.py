"""One environment's step and reset in NumPy: what Gymnasium's loop pays for.

The tensor way makes some sixty small tensors, and one takes about as long as the compiled step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tradinghf.simulation._env import MarketEnv
from tradinghf.simulation._fused import FusedEngine, FusedState
from tradinghf.simulation._rewards import log_equity

Step = tuple[Any, float, bool, bool, dict[str, Any]]
_DRAWN_AT_ONCE = 64  # episodes: drawing that many takes hardly longer than drawing one


class SingleStep:
    """Steps a `MarketEnv` of one environment, with the numbers that its own `step` gives.

    Args:
        env: of one environment, which is used besides: both may step it in turn.
        engine: its engine.

    """

    def __init__(self, env: MarketEnv, engine: FusedEngine) -> None:
        self._env, self._engine = env, engine
        state = env.state
        before, after = (engine.pack(state) for _ in range(2))
        # Rewards are functions of tensors: of these, into which each step's numbers are copied.
        self._before, self._after = before.numbers, after.numbers
        self._happened, info = engine.facts(before, after)
        self._growth = None
        if env.reward is log_equity:
            places = (_cell(self._happened.previous, before), _cell(self._happened.equity, after))
            self._growth = _Growth(*places, env.config.ruin, before.numbers[0].dtype)
        self._places = [
            (name, _place(value, after))
            for name, value in info.items()
            if name not in ("asset", "start", "bar")
        ]
        self._episodes: Any = None
        self._window: dict[str, int] = {}
        self._discrete = env.config.actions == "discrete"
        self._on_change = not env.config.rebalance
        assets = () if engine.flat_orders else (1,)
        self._choice = np.zeros((1, *assets), np.int64)
        self._order = np.zeros((1, *assets), before.numbers[0].dtype)
        self._empty = np.empty((0, *assets), np.int64), np.empty((0, *assets), self._order.dtype)
        self._never, self._always = np.array([False]), np.array([True])
        self._ahead: FusedState | None = None  # the next episodes, side by side
        self._ahead_of = (0, 0)  # their key, and the first one's number
        self._seen: Any = None  # their first observations
        self._closes: list[float] = []

    @classmethod
    def of(cls, env: MarketEnv) -> SingleStep | None:
        """For an environment after its first step; None where this does not cover it."""
        engine = env._engine
        known = getattr(env.reward, "__module__", "") == log_equity.__module__  # keeps no tensor
        usual = not env.config.portfolio and env.config.overlay is None
        usual = usual and env.early_end is None and env.dynamics.sampler is None
        if env.num_envs == 1 and known and usual and isinstance(engine, FusedEngine):
            return cls(env, engine)
        return None

    def step(self, action: Any) -> Step | None:
        """What `TradingEnv.step` returns; None where the environment's own step has to decide."""
        env = self._env
        given, left = self._read(action), env._left
        if given is None or not left or env._unpaid:  # not in step, at the end, or at the start
            return None
        state: FusedState = env._now
        last = left == 1
        ends = self._always if last else self._never
        after = self._engine.advance(state, given, ends, on_change=self._on_change)
        env._now, env._left = after, left - 1
        shown = after.shown
        obs = {k: v[0] for k, v in shown.items()} if isinstance(shown, dict) else shown[0]
        return obs, self._reward(state, after), False, last, self._info(after)

    def reset(self) -> tuple[Any, dict[str, Any]] | None:
        """What `TradingEnv.reset` returns for the next episode, drawn with those after it."""
        env = self._env
        if env.config.windows != "random":  # walking on depends on how many walk
            return None
        now: FusedState = env._now
        key, number = int(now.key), int(now.episode) + 1
        place = number - self._ahead_of[1]
        if self._ahead is None or key != self._ahead_of[0] or not 0 <= place < _DRAWN_AT_ONCE:
            episodes = number + torch.arange(_DRAWN_AT_ONCE)
            states = env.dynamics.begin(now.key.expand(_DRAWN_AT_ONCE), episodes)
            self._ahead, self._ahead_of, place = self._engine.pack(states), (key, number), 0
            self._seen, self._closes = (
                _arrays(self._engine.observe(self._ahead)),
                states.ledger.close[:, 0].tolist(),
            )
        env._now, env._left = self._ahead.one(place), env.config.horizon
        asset, start = (part.item() for part in env._now.episodes.arrays)
        info = {"bar": start, "asset": asset, "start": start, "close": self._closes[place]}
        seen = self._seen
        if isinstance(seen, dict):
            return {name: part[place].copy() for name, part in seen.items()}, info
        return seen[place].copy(), info

    def _read(self, action: Any) -> tuple[Any, Any] | None:
        """The action as the kernel takes it; None: something else than one number."""
        if self._discrete:
            if isinstance(action, int | np.integer) and not isinstance(action, bool):
                self._choice[...] = action
                return self._choice, self._empty[1]
            return None
        if isinstance(action, np.ndarray) and action.size == 1 and action.dtype.kind == "f":
            if (value := action.item()) != value:  # NaN, which is told in words elsewhere
                return None
            self._order[...] = value
            np.clip(self._order, -1.0, 1.0, out=self._order)
            self._order *= self._env.config.margin.leverage
            return self._empty[0], self._order
        return None

    def _reward(self, state: FusedState, after: FusedState) -> float:
        if self._growth is not None:
            return self._growth.of(state.numbers, after.numbers)
        for mine, numbers in zip(self._before, state.numbers, strict=True):
            mine[...] = numbers
        for mine, numbers in zip(self._after, after.numbers, strict=True):
            mine[...] = numbers
        return float(self._env.reward(self._happened))

    def _info(self, after: FusedState) -> dict[str, Any]:
        numbers: list[float] = []
        for table in after.numbers:
            numbers += table.ravel().tolist()
        # What does not exist is NaN: the price of no fill.
        info = {n: numbers[place] for n, place in self._places if numbers[place] == numbers[place]}
        if after.episodes is not self._episodes:
            asset, start = after.episodes.arrays
            self._window = {"asset": asset.item(), "start": start.item()}
            self._episodes = after.episodes
        return {**info, "bar": after.bars.item(), **self._window}


def _arrays(obs: Any) -> Any:
    if isinstance(obs, dict):
        return {name: part.numpy() for name, part in obs.items()}
    return obs.numpy()


class _Growth:
    """`log_equity` of one account: two numbers of arrays, and torch's logarithm alone."""

    def __init__(
        self, before: tuple[int, int], after: tuple[int, int], floor: float, kind: Any
    ) -> None:
        self._before, self._after = before, after
        self._ratio, self._log = np.empty(1, kind), np.empty(1, kind)
        self._floor = self._ratio.dtype.type(floor).item()
        self._in, self._out = torch.from_numpy(self._ratio), torch.from_numpy(self._log)

    def of(self, before: tuple[Any, ...], after: tuple[Any, ...]) -> float:
        (table, row), (later, place) = self._before, self._after
        previous, equity = before[table].item(row), after[later].item(place)
        floor = self._floor
        # Rounding the quotient of two float32 from float64 is the float32 quotient.
        self._ratio[0] = max(equity, floor) / max(previous, floor)
        torch.log(self._in, out=self._out)
        return float(self._log.item())


def _cell(value: Any, state: FusedState) -> tuple[int, int]:
    """In which of the state's tables a tensor begins, and where in it."""
    for number, table in enumerate(state.tables):
        if value.untyped_storage().data_ptr() == table.untyped_storage().data_ptr():
            return number, int(value.storage_offset())
    raise LookupError("a number that is in no table of the engine")


def _place(value: Any, state: FusedState) -> int:
    """Where a tensor begins in the state's tables, laid end to end."""
    number, cell = _cell(value, state)
    return cell + sum(table.numel() for table in state.tables[:number])
