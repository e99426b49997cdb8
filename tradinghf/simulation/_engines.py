"""The engines that compute the environment's step: tensors, torch.compile, or one fused pass."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from tradinghf.errors import ConfigError, unknown_name
from tradinghf.simulation._dynamics import Dynamics, EnvState, Info
from tradinghf.simulation._fused_plain import PlainEngine
from tradinghf.simulation._fused_task import TaskEngine
from tradinghf.simulation._observe import Observation
from tradinghf.simulation._plain_rows import is_plain
from tradinghf.simulation._triton_engine import triton_engine
from tradinghf.simulation._working_orders import BarOrders

Engine = Literal["auto", "tensor", "fused", "compiled", "triton"]
_StepFunction = Callable[
    [EnvState, Tensor | BarOrders, bool | Tensor], tuple[EnvState, Tensor, Info]
]


class StepEngine(Protocol):
    """Computes steps on a state in its own form, which `pack` and `unpack` translate.

    That form has `bar`, `key` and `episode` [N] as `EnvState` has.
    """

    def pack(self, state: EnvState) -> Any:
        """The engine's form of a state."""

    def unpack(self, state: Any) -> EnvState:
        """The state that the engine's form stands for."""

    def step(
        self, state: Any, target: Tensor, last: bool | Tensor, *, on_change: bool
    ) -> tuple[Any, Tensor, Info]:
        """One bar for every environment, without resets.

        Args:
            state: in the engine's form.
            target: [N, A'] target weights, NaN is no order; or int64 indices of levels.
            last: whether this step ends the episode, for all or [N, 1] bool.
            on_change: a target equal to the last one is no order either.

        Returns:
            The next state in the engine's form, the reward [N], and info.

        """

    def observe(self, state: Any) -> Observation:
        """Observation of a state in the engine's form."""

    def standing(self, state: Any) -> tuple[Tensor, Tensor]:
        """[N, A'] weights of the positions at the last close, and the targets."""


class TensorEngine:
    """The step as tensor operations, or as another function of the same result.

    Args:
        dynamics: of the task.
        transition: `Dynamics.transition` or what stands for it.

    """

    def __init__(self, dynamics: Dynamics, transition: _StepFunction) -> None:
        self._dynamics, self._transition = dynamics, transition
        prices = dynamics.bars.rows
        self._levels = torch.tensor(
            dynamics.config.levels, dtype=prices.dtype, device=prices.device
        )

    def pack(self, state: EnvState) -> EnvState:
        """See `StepEngine`."""
        return state

    def unpack(self, state: EnvState) -> EnvState:
        """See `StepEngine`."""
        return state

    def step(
        self, state: EnvState, target: Tensor | BarOrders, last: bool | Tensor, *, on_change: bool
    ) -> tuple[EnvState, Tensor, Info]:
        """See `StepEngine`; takes orders with prices as well."""
        if not isinstance(target, Tensor):
            return self._transition(state, target, last)
        if not target.is_floating_point():
            target = self._levels.index_select(0, target.flatten()).view_as(target)
        if on_change:
            target = torch.where(target == state.target, torch.nan, target)
        return self._transition(state, target, last)

    def observe(self, state: EnvState) -> Observation:
        """See `StepEngine`."""
        return self._dynamics.observe(state)

    def standing(self, state: EnvState) -> tuple[Tensor, Tensor]:
        """See `StepEngine`."""
        return self._dynamics.held(state), state.target


def fused_covers(dynamics: Dynamics) -> bool:
    """Whether compiled kernels do all that this task's step consists of."""
    known = dynamics.setup.rates.fused and dynamics.fill_cost is None
    known = known and not dynamics.observer.waits
    return dynamics.bars.rows.device.type == "cpu" and known


def make_engine(engine: str, dynamics: Dynamics, threads: int | None = None) -> StepEngine:
    """The engine of a name, with the threads that the fused one may take.

    Args:
        engine: its name.
        dynamics: of the task.
        threads: of the fused one.

    Raises:
        ConfigError: the engine is unknown, or does not cover the task.

    """
    if engine not in get_args(Engine):
        raise ConfigError(unknown_name("engine", engine, get_args(Engine)))
    if engine == "fused" and not fused_covers(dynamics):
        raise ConfigError(
            "engine='fused' steps on a CPU, with market orders and the costs of CostModel; this "
            "task has another device, other orders or other costs. Use engine='auto' or 'tensor'."
        )
    if engine == "compiled" and dynamics.fill_cost is not None:
        raise ConfigError(
            "engine='compiled' compiles no function of yours; with fill_cost use engine='auto'."
        )
    if engine == "triton" and dynamics.observer.waits:
        raise ConfigError(
            "engine='triton' knows market orders only; with EnvConfig(orders=...) use "
            "engine='auto'."
        )
    if engine == "triton":
        return triton_engine(dynamics)
    if engine == "fused" or (engine == "auto" and fused_covers(dynamics)):
        return (PlainEngine if is_plain(dynamics) else TaskEngine)(dynamics, threads)
    return TensorEngine(
        dynamics, _compiled(dynamics) if engine == "compiled" else dynamics.transition
    )


def _compiled(dynamics: Dynamics) -> _StepFunction:
    """The transition through `torch.compile`, with a compile cache of its own.

    The reward stays outside: it may be any function, and compiled logarithms differ from eager
    ones in the last bit.
    """
    function = Dynamics.advance
    # torch.compile counts recompilations per code object: a copy keeps environments apart.
    code = function.__code__.replace()
    own = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    compiled = torch.compile(own, fullgraph=True, dynamic=False)

    def transition(state: EnvState, orders: Any, last: bool | Tensor) -> Any:
        after, happened, info = compiled(dynamics, state, orders, last)
        return after, dynamics.reward(happened), info

    return transition
