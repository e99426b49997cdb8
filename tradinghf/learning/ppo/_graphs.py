"""PPO's minibatch step as a CUDA graph: recorded at the first call, replayed at all others.

A minibatch step is hundreds of kernels that take a GPU microseconds each; launching them one by
one takes a processor longer than running them takes the GPU. A graph launches them all at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError, check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import LossWeights, Update

Outputs = Tensor | tuple[Tensor, ...]
_WARM_UPS = 3  # calls in which libraries choose kernels and reserve memory, as PyTorch advises


# Calls a function without arguments, whose inputs lie in memory that stays, any number of times,
# the last time to record it. Returns what runs the recorded work once more, and the outputs,
# which it writes over.
Recorder = Callable[[Callable[[], Outputs]], tuple[Callable[[], None], Outputs]]


def _capture(device: torch.device, function: Callable[[], Outputs]) -> Any:
    """A `Recorder`: captures into a CUDA graph with a memory pool of its own.

    Source: PyTorch, "CUDA semantics", CUDA graphs: warm-up on a side stream, then capture.
    """
    with torch.cuda.device(device):
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            outputs = function()
    return graph.replay, outputs


def call_again(function: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
    """A `Recorder` where there are no graphs: calls the function again, on the same memory."""
    outputs = function()

    def replay() -> None:
        for held, new in zip(_tensors(outputs), _tensors(function()), strict=True):
            held.copy_(new)

    return replay, outputs


class Captured:
    """A function of tensors that is recorded at its first call; see `accelerate`.

    Args:
        function: of tensors.
        changes: what it writes to, besides its outputs and memory that it does not read first.
        record: makes the recording.

    """

    def __init__(
        self, function: Callable[..., Outputs], changes: Sequence[Tensor], record: Recorder
    ) -> None:
        self._function, self._changes, self._record = function, tuple(changes), record
        self._replay: Callable[[], None] | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: Outputs = ()

    def __call__(self, *inputs: Tensor) -> Outputs:
        """The function's outputs; they last until the next call.

        Raises:
            ConfigError: inputs differ from the first call's in number, shape, dtype or device.

        """
        if self._replay is None:
            self._first_call(inputs)
        self._check(inputs)
        for held, given in zip(self._inputs, inputs, strict=True):
            held.copy_(given)
        assert self._replay is not None
        self._replay()
        return self._outputs

    def _first_call(self, inputs: tuple[Tensor, ...]) -> None:
        """Record, and undo what recording changed: the first call counts as one call."""
        held = tuple(x.detach().clone(memory_format=torch.contiguous_format) for x in inputs)
        before = [x.clone() for x in self._changes]
        try:
            replay, outputs = self._record(lambda: self._function(*held))
        finally:
            for tensor, value in zip(self._changes, before, strict=True):
                tensor.copy_(value)
        self._inputs, self._replay, self._outputs = held, replay, outputs

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        expected, found = _kinds(self._inputs), _kinds(inputs)
        if expected != found:
            raise ConfigError(
                f"A recorded function was called with {found}; expected {expected}, as at its "
                "first call. Use accelerate() once for each set of shapes."
            )


def accelerate(
    function: Callable[..., Outputs], device: torch.device, changes: Sequence[Tensor] = ()
) -> Captured:
    """A function of tensors that on a GPU is one launch instead of one for each of its kernels.

    Its first call records it in a CUDA graph. Every call copies the inputs to where the graph
    reads them, and replays it. Numbers, shapes and tensors that are not inputs are recorded as
    they are: such tensors must stay where they are, and be changed in place only. The function
    must not ask for values of tensors, make tensors of numbers on the host, or draw random
    numbers. On other devices it is called each time, on the same copies of its inputs.

    Args:
        function: of tensors to a tensor or a tuple of tensors.
        device: of all of them.
        changes: tensors that it updates in place, such as parameters and optimiser moments.
            Recording calls it several times, and puts them back afterwards.

    Returns:
        The function, whose outputs last until its next call.

    """
    record = partial(_capture, device) if device.type == "cuda" else call_again
    return Captured(function, changes, record)


class RecordedUpdate(Update):
    """`Update` whose step is recorded; the table and `StepRates` are copied to it.

    It is recorded anew when anything changes that a graph takes down as it is: shapes, and the
    other weights of the loss. The table costs its memory a second time.

    Args:
        network: what is trained.
        config: of PPO.
        group: must be one process.

    Raises:
        ConfigError: several processes share gradients.

    """

    def __init__(
        self, network: PackedActorCritic, config: PPOConfig, group: ProcessGroup = ALONE
    ) -> None:
        alone = group.size == 1
        check_setting(alone, "PPOConfig.graphs", "step", '"none" where processes share gradients')
        super().__init__(network, config, group)
        device = network.data.device
        # The optimiser's kernel reads 32 bits on a GPU; elsewhere the number stays as it is.
        precise = torch.float32 if device.type == "cuda" else torch.float64
        self._rate = torch.zeros((), dtype=precise, device=device)
        self._clip, self._entropy = torch.zeros(2, dtype=torch.float64, device=device).unbind()
        self._layout: object = None
        self._table: Transitions | None = None
        self._source: Callable[[], Transitions | None] = lambda: None
        self._recorded: Captured | None = None

    def epoch(
        self,
        order: Tensor,
        size: int,
        table: Transitions,
        weights: LossWeights,
        rate: float | Tensor,
    ) -> Tensor:
        """See `Update`."""
        self._load(size, table, weights, rate)
        step: Any = self._recorded
        minibatches = order[: len(order) // size * size].split(size)
        # The outputs of a recording last until its next call.
        return torch.stack([step(rows).clone() for rows in minibatches]).sum(0)

    def _load(
        self, size: int, table: Transitions, weights: LossWeights, rate: float | Tensor
    ) -> None:
        """Make these what the next steps, of B rows, work on; the same table is copied once."""
        fixed = (weights.value, weights.reference_kl)
        layout = (size, fixed, _layout(table))
        if layout != self._layout:
            self._record(table, weights)
            self._layout = layout
        assert self._table is not None
        if self._source() is not table:
            for name, held in _parts(self._table).items():
                held.copy_(getattr(table, name))
            self._source = weakref.ref(table)
        self._rate.fill_(rate)
        self._clip.fill_(weights.clip)
        self._entropy.fill_(weights.entropy)

    def _record(self, table: Transitions, weights: LossWeights) -> None:
        """Make room for such a table; the next step is recorded."""
        self._recorded = self._table = None  # frees their memory first
        like: dict[str, Any] = {name: torch.empty_like(x) for name, x in _parts(table).items()}
        held = replace(table, **like)
        weights = replace(weights, clip=self._clip, entropy=self._entropy)

        def step(rows: Tensor) -> Tensor:
            return self.step(rows, held, weights, self._rate)

        self._recorded = accelerate(step, self._rate.device, self.changes())
        self._table, self._source = held, lambda: None


def _tensors(outputs: Outputs) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _kinds(tensors: tuple[Tensor, ...]) -> list[str]:
    return [f"{x.dtype} {list(x.shape)} on {x.device}" for x in tensors]


def _parts(table: Transitions) -> dict[str, Tensor]:
    found = {f.name: getattr(table, f.name) for f in fields(table)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _layout(table: Transitions) -> tuple[object, ...]:
    """Everything about a table but the contents of its tensors."""
    values = (getattr(table, f.name) for f in fields(table))
    return tuple((v.shape, v.dtype, v.device) if isinstance(v, Tensor) else v for v in values)
