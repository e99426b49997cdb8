"""One environment's step in NumPy, from the action to info: what Gymnasium's loop pays for.

The tensor way makes some sixty small tensors, and one takes about as long as the compiled step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.simulation._env import MarketEnv
from tradinghf.simulation._fused import FusedEngine, FusedState
from tradinghf.simulation._rewards import log_equity

Step = tuple[Any, float, bool, bool, dict[str, Any]]


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
        self._places = [
            (name, _place(value, after))
            for name, value in info.items()
            if name not in ("asset", "start", "bar")
        ]
        self._episodes: Any = None
        self._window: dict[str, int] = {}
        self._discrete = env.config.actions == "discrete"
        assets = () if engine.flat_orders else (1,)
        self._choice = np.zeros((1, *assets), np.int64)
        self._order = np.zeros((1, *assets), before.numbers[0].dtype)
        self._empty = np.empty((0, *assets), np.int64), np.empty((0, *assets), self._order.dtype)
        self._never, self._always = np.array([False]), np.array([True])

    @classmethod
    def of(cls, env: MarketEnv) -> SingleStep | None:
        """For an environment after its first step; None where this does not cover it."""
        engine = env._engine
        known = getattr(env.reward, "__module__", "") == log_equity.__module__  # keeps no tensor
        usual = not env.config.portfolio and env.config.overlay is None
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
        on_change = not env.config.rebalance
        after = self._engine.advance(state, given, ends, on_change=on_change)
        env._now, env._left = after, left - 1
        shown = after.shown
        obs = {k: v[0] for k, v in shown.items()} if isinstance(shown, dict) else shown[0]
        return obs, self._reward(state, after), False, last, self._info(after)

    def _read(self, action: Any) -> tuple[Any, Any] | None:
        """The action as the kernel takes it; None: something else than one number."""
        if self._discrete:
            if isinstance(action, int | np.integer) and not isinstance(action, bool):
                self._choice[...] = action
                return self._choice, self._empty[1]
            return None
        if isinstance(action, np.ndarray) and action.size == 1 and action.dtype.kind == "f":
            self._order[...] = action
            np.clip(self._order, -1.0, 1.0, out=self._order)
            self._order *= self._env.config.margin.leverage
            return self._empty[0], self._order
        return None

    def _reward(self, state: FusedState, after: FusedState) -> float:
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


def _place(value: Any, state: FusedState) -> int:
    """Where a tensor begins in the state's tables, laid end to end."""
    before = 0
    for table in state.tables:
        if value.untyped_storage().data_ptr() == table.untyped_storage().data_ptr():
            return before + int(value.storage_offset())
        before += table.numel()
    raise LookupError("info has a number that is in no table of the engine")
