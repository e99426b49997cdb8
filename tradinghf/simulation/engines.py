"""How the environment's step is carried out: as tensors, compiled, or in one fused pass."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from tradinghf.errors import ConfigError, unknown_name
from tradinghf.simulation.dynamics import Dynamics, EnvState, Info
from tradinghf.simulation.fused import Fused, covers
from tradinghf.simulation.observe import Observation

Engine = Literal["auto", "tensor", "fused", "compiled"]
Transition = Callable[[EnvState, Tensor, bool | Tensor], tuple[EnvState, Tensor, Info]]


def engine_of(
    engine: str, dynamics: Dynamics
) -> tuple[Transition, Callable[[EnvState], Observation]]:
    """The transition and the observation of an engine.

    Raises:
        ConfigError: the engine is unknown, or does not cover the task.

    """
    if engine not in get_args(Engine):
        raise ConfigError(unknown_name("engine", engine, get_args(Engine)))
    if engine == "fused" and not covers(dynamics):
        raise ConfigError(
            "engine='fused' steps single assets on a CPU with market orders, fees, slippage and "
            "financing only; this task needs more. Use engine='auto' or 'tensor'."
        )
    if engine == "fused" or (engine == "auto" and covers(dynamics)):
        fused = Fused(dynamics)
        return fused.transition, fused.observe
    if engine == "compiled":
        return _compiled(dynamics), dynamics.observe
    return dynamics.transition, dynamics.observe


def _compiled(dynamics: Dynamics) -> Transition:
    """The transition through `torch.compile`, with a compile cache of its own.

    The reward stays outside: it may be any function, and compiled logarithms differ from eager
    ones in the last bit.
    """
    function = Dynamics.advance
    # torch.compile counts recompilations per code object: a copy keeps environments apart.
    code = function.__code__.replace()
    own = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    compiled = torch.compile(own, fullgraph=True, dynamic=False)

    def transition(state: EnvState, orders: Tensor, last: bool | Tensor) -> Any:
        after, happened, info = compiled(dynamics, state, orders, last)
        return after, dynamics.reward(happened), info

    return transition
