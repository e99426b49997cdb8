"""A whole iteration of PPO as one launch: what the host hands to it, and the recording.

Environment steps, observations, the policy, the learned reward, advantages, epochs, minibatches and
Adam make some ten thousand kernels an iteration. Recorded once (`accelerate`), they are replayed as
one launch. Draws stay outside: a few launches an iteration, from a generator that needs nothing of
a graph, so that a replayed iteration draws what an eager one draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import check_setting
from tradinghf.learning.ppo import _graphs as graphs
from tradinghf.learning.ppo._distributed import ProcessGroup
from tradinghf.learning.ppo._schedule import StepRates


@dataclass(frozen=True, eq=False)
class Draws:
    """What changes from one iteration to the next without being learned.

    Attributes:
        seed: of the first of N environments, the others follow; or the seeds [N], on the device.
        noise: [L, N, A] uniform numbers of the actions.
        orders: [R] the rows of the rollout's table as each epoch takes them.
        rates: step size, clip range and weight of the entropy bonus.

    """

    seed: int | Tensor
    noise: Tensor
    orders: Iterable[Tensor]
    rates: StepRates

    @classmethod
    def of(
        cls,
        number: tuple[int, int],
        rates: StepRates,
        group: ProcessGroup,
        *,
        shape: tuple[int, int, int],
        epochs: int,
        device: torch.device,
    ) -> Draws:
        """Of a training's seed and the number of an iteration.

        Args:
            number: both.
            rates: of the iteration.
            group: noise is this process's share of what one process with all environments draws.
            shape: L, N, A.
            epochs: how many orders; each is drawn when it is asked for.
            device: of the generator and what it draws.

        """
        mixed, (steps, envs, actions) = _mix(*number), shape
        generator = torch.Generator(device=device)
        generator.manual_seed(mixed)
        place: dict[str, Any] = {"generator": generator, "device": device}
        first = group.rank * envs
        uniform = torch.rand((steps, envs * group.size, actions), **place)
        return cls(
            seed=(mixed >> 1) + first,
            noise=uniform[:, first : first + envs],
            orders=(torch.randperm(steps * envs, **place) for _ in range(epochs)),
            rates=rates,
        )


class RecordedIteration:
    """An iteration that is recorded at its first call and replayed at all others.

    Args:
        body: the iteration, a function of its draws; waits for nothing and draws nothing.
        envs: N.
        device: of everything.
        changes: what it updates in place: weights, moments, scales.

    """

    def __init__(
        self,
        body: Callable[[Draws], Tensor],
        envs: int,
        device: torch.device,
        changes: Sequence[Tensor],
    ) -> None:
        self._device = device
        # The optimiser's kernel reads 32 bits on a GPU; elsewhere the number stays as it is.
        self._precise = torch.float32 if device.type == "cuda" else torch.float64

        def run(seed: Tensor, noise: Tensor, orders: Tensor, *rates: Tensor) -> Any:
            seeds = torch.arange(envs, device=device) + seed
            return body(Draws(seeds, noise, orders.unbind(), StepRates(*rates)))

        self._call = graphs.accelerate(run, device, changes)

    def __call__(self, draws: Draws) -> Tensor:
        """What the body returns for these draws."""
        rates = draws.rates
        found = self._call(
            self._number(draws.seed, torch.int64),
            draws.noise,
            torch.stack(list(draws.orders)),
            self._number(rates.learning_rate, self._precise),
            self._number(rates.clip, torch.float64),
            self._number(rates.entropy, torch.float64),
        )
        assert isinstance(found, Tensor)
        return found.clone()  # the next replay writes over it

    def _number(self, value: float | Tensor, kind: torch.dtype) -> Tensor:
        """A number on the device, where a kernel fills it in: nothing is copied there."""
        return torch.full(
            (),
            float(value) if kind.is_floating_point else int(value),
            dtype=kind,
            device=self._device,
        )


def check_recordable(env: Any, *, whole_episodes: bool, processes: int) -> None:
    """Whether an iteration is the same work every time.

    Raises:
        ConfigError: the environment's step is not known to be tensors only, rollouts go on where
            the last one ended, or processes share gradients.

    """
    what, dynamics = "PPOConfig.graphs", getattr(env, "dynamics", None)
    check_setting(
        dynamics is not None and whole_episodes,
        what,
        "iteration",
        '"step" for environments other than MarketEnv and for rollouts that are not whole episodes',
    )
    for hook in ("fill_cost", "sampler"):
        check_setting(
            getattr(dynamics, hook) is None,
            what,
            "iteration",
            f'"step" for MarketEnv({hook}=...): a function of yours runs on the host',
        )
    check_setting(processes == 1, what, "iteration", '"none" where processes share gradients')


def _mix(seed: int, index: int) -> int:
    """splitmix64: well-spread 62-bit seeds from (seed, index)."""
    z = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 2
