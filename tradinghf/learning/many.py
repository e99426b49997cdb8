"""Hundreds of small trainings: stacks of seeds that fit the cache, one stack per core at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import torch

from tradinghf.errors import check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.rollout import TensorVectorEnv
from tradinghf.learning.stacked import StackedPPO
from tradinghf.learning.trainer import Metrics, Stream

STACK_ROWS = 4096  # decisions of all learners in one minibatch: more fall out of the cache


class ManyPPO:
    """PPO for S seeds, each as `PPO(seed=seed)` does on N environments alone.

    Seeds are stacked (`StackedPPO`), and stacks shared out over threads: torch and the
    environment's kernel leave Python to others while they work, so threads fill the cores without
    copies of the market. Each operation has one thread meanwhile. Results equal those of single
    runs up to rounding, whatever the number of threads.

    Args:
        make_env: number of environments to a vector environment of so many; called once per stack.
        streams: name -> reward stream; a stream's weight may be one number per seed, its reward
            must not depend on the learner.
        seeds: S seeds.
        envs: N environments of each training.
        config: settings of all.
        threads: stacks that train at the same time; None takes as many as torch uses.

    Attributes:
        networks: S actor-critics, in the order of the seeds.
        stacks: what trains side by side.

    Raises:
        ConfigError: no seeds, environments or threads.

    """

    def __init__(
        self,
        make_env: Callable[[int], TensorVectorEnv],
        streams: Mapping[str, Stream],
        seeds: Sequence[int],
        *,
        envs: int,
        config: PPOConfig | None = None,
        threads: int | None = None,
    ) -> None:
        config, self.threads = config or PPOConfig(), threads or torch.get_num_threads()
        for name, value in (("seeds", len(seeds)), ("envs", envs), ("threads", self.threads)):
            check_setting(value >= 1, f"ManyPPO: {name}", value, "at least 1")

        def stack(first: int, last: int) -> StackedPPO:
            some = streams_of(streams, first, last)
            return StackedPPO(
                make_env(envs * (last - first)), some, seeds[first:last], config=config
            )

        rows = max(stack(0, 1).steps_per_iteration // config.minibatches, 1)
        size = max(min(STACK_ROWS // rows, -(-len(seeds) // self.threads)), 1)
        firsts = range(0, len(seeds), size)
        # Weights come from torch's one generator, so networks are made before threads start.
        self.stacks = [stack(first, min(first + size, len(seeds))) for first in firsts]
        self.networks = [network for stack in self.stacks for network in stack.networks]

    def train(self, iterations: int, *, total: int | None = None) -> list[list[Metrics]]:
        """Run iterations; arguments as for `PPO.train`.

        Returns:
            Per iteration, one dict of metrics per seed.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.

        """
        with _one_thread_each(), ThreadPoolExecutor(self.threads) as pool:
            parts = list(pool.map(lambda s: s.train(iterations, total=total), self.stacks))
        return [[row for part in parts for row in part[index]] for index in range(iterations)]


def streams_of(streams: Mapping[str, Stream], first: int, last: int) -> dict[str, Stream]:
    """The streams with the weights of the learners [first, last)."""
    return {
        name: stream
        if isinstance(stream.weight, (int, float))
        else replace(stream, weight=list(stream.weight)[first:last])
        for name, stream in streams.items()
    }


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Operations in one thread each: two pools on the same cores slow each other down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


__all__ = ["ManyPPO"]
