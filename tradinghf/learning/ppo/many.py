"""Hundreds of small trainings: stacks of seeds that fit the cache, one stack per core at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from tradinghf.errors import TradingHFError, check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo.rollout import TensorVectorEnv
from tradinghf.learning.ppo.stacked import StackedPPO
from tradinghf.learning.ppo.trainer import Metrics, Stream

STACK_ROWS = 4096  # decisions of all learners in one minibatch: more fall out of the cache


class ManyPPO:
    """PPO for S seeds, each as `PPO(seed=seed)` does on N environments alone.

    Seeds are stacked (`StackedPPO`), and stacks shared out over processes: small operations hold
    Python's lock too long for threads to help. Every call of `train` forks its workers, which
    share the market and any closure, and takes back what they have learned. Results equal those
    of single runs up to rounding, whatever the number of processes.

    Args:
        make_env: number of environments to a vector environment of so many; called once per stack.
        streams: name -> reward stream; a stream's weight may be one number per seed, its reward
            must not depend on the learner.
        seeds: S seeds.
        envs: N environments of each training.
        config: settings of all.
        processes: stacks that train at the same time; None takes a core each. More than one
            needs Linux and environments in the processor's memory.

    Attributes:
        networks: S actor-critics, in the order of the seeds.
        stacks: what trains side by side.

    Raises:
        ConfigError: no seeds, environments or processes.

    """

    def __init__(
        self,
        make_env: Callable[[int], TensorVectorEnv],
        streams: Mapping[str, Stream],
        seeds: Sequence[int],
        *,
        envs: int,
        config: PPOConfig | None = None,
        processes: int | None = None,
    ) -> None:
        config, self.processes = config or PPOConfig(), cores() if processes is None else processes
        for name, value in (("seeds", len(seeds)), ("envs", envs), ("processes", self.processes)):
            check_setting(value >= 1, f"ManyPPO: {name}", value, "at least 1")

        def stack(first: int, last: int) -> StackedPPO:
            some = streams_of(streams, first, last)
            return StackedPPO(
                make_env(envs * (last - first)), some, seeds[first:last], config=config
            )

        rows = max(stack(0, 1).steps_per_iteration // config.minibatches, 1)
        size = max(min(STACK_ROWS // rows, -(-len(seeds) // self.processes)), 1)
        firsts = range(0, len(seeds), size)
        self.stacks = [stack(first, min(first + size, len(seeds))) for first in firsts]
        self.networks = [network for stack in self.stacks for network in stack.networks]

    def train(self, iterations: int, *, total: int | None = None) -> list[list[Metrics]]:
        """Run iterations; arguments as for `PPO.train`.

        Returns:
            Per iteration, one dict of metrics per seed.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.
            TradingHFError: a worker was killed.

        """
        here = next(self.networks[0].parameters()).device
        if min(self.processes, len(self.stacks)) == 1 or here.type != "cpu":
            parts = [stack.train(iterations, total=total) for stack in self.stacks]
        else:

            def job(stack: StackedPPO) -> tuple[list[list[Metrics]], Any]:
                metrics = stack.train(iterations, total=total)
                return metrics, _mapped(stack.state(), torch.Tensor, lambda x: x.numpy())

            found = forked([partial(job, stack) for stack in self.stacks], self.processes)
            parts = [metrics for metrics, _ in found]
            for stack, (_, state) in zip(self.stacks, found, strict=True):
                stack.restore(_mapped(state, np.ndarray, torch.from_numpy))
        return [[row for part in parts for row in part[index]] for index in range(iterations)]


def streams_of(streams: Mapping[str, Stream], first: int, last: int) -> dict[str, Stream]:
    """The streams with the weights of the learners [first, last)."""
    return {
        name: stream
        if isinstance(stream.weight, (int, float))
        else replace(stream, weight=list(stream.weight)[first:last])
        for name, stream in streams.items()
    }


def cores() -> int:
    """Processes worth starting: those that this one may run on; 1 where there is no safe fork."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def forked(jobs: Sequence[Callable[[], Any]], processes: int) -> list[Any]:
    """What the jobs return, in their order, worked off by forked children of one thread each.

    Raises:
        TradingHFError: a child was killed.
        Exception: whatever a job raised.

    """
    context = multiprocessing.get_context("fork")
    children = []
    for first in range(min(processes, len(jobs))):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(theirs, jobs[first::processes]), daemon=True)
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; the children use none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        theirs.close()
        children.append((child, ours))
    found: list[Any] = [None] * len(jobs)
    try:
        for first, (child, ours) in enumerate(children):
            try:
                answer = ours.recv()
            except EOFError:
                child.join()
                raise TradingHFError(
                    f"A training worker ended with code {child.exitcode} before it was done; "
                    "expected its results. Was it killed, or out of memory? Try processes=1."
                ) from None
            if isinstance(answer, BaseException):
                raise answer
            found[first::processes] = answer
    finally:
        for child, ours in children:
            ours.close()
            child.terminate()
            child.join()
    return found


def _work(pipe: Connection, jobs: Sequence[Callable[[], Any]]) -> None:
    torch.set_num_threads(1)
    try:
        pipe.send([job() for job in jobs])
    except Exception as error:  # noqa: BLE001  the parent raises it
        pipe.send(error)


def _mapped(tree: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Dicts, lists and tuples with `function` of every leaf of a kind."""
    if isinstance(tree, Mapping):
        return {key: _mapped(value, kind, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_mapped(value, kind, function) for value in tree]
    return function(tree) if isinstance(tree, kind) else tree


__all__ = ["ManyPPO"]
