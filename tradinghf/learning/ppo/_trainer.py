"""Proximal policy optimisation with several reward streams, one critic each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.config import settings_of
from tradinghf.errors import CheckpointError, ConfigError, check_memory
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._compiled import CompiledUpdate, covers
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._forward import forward_of
from tradinghf.learning.ppo._fresh import network_for
from tradinghf.learning.ppo._gae import discounted, gae
from tradinghf.learning.ppo._graphs import RecordedUpdate
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._rollout import (
    RewardStream,
    Rollout,
    RolloutMemory,
    TensorVectorEnv,
    collect_rollout,
    flat_obs,
)
from tradinghf.learning.ppo._streams import check_stream
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import STATISTICS, LossWeights, Update

Metrics = dict[str, float]
MAX_BAD_ITERATIONS = 3
_SCALE_DECAY = 0.9
_READ_TOGETHER = 16  # iterations whose metrics are read at once where nobody waits for them


@dataclass(frozen=True)
class Stream:
    """One source of reward.

    Attributes:
        reward: rollout -> [L, N].
        weight: of its normalised advantage in the policy gradient.

    """

    reward: RewardStream
    weight: float = 1.0


class PPO:
    """Trains an actor-critic on a vector environment: act, price what happened, improve.

    With `whole_episodes`, every rollout starts afresh from a seed that depends on (seed,
    iteration) only, so an iteration is a function of the network, the optimiser and its number:
    a run continues bit-identically from a checkpoint of these alone.

    Args:
        env: vector environment over tensors, autoreset in the same step.
        streams: name -> reward stream; the critic's output c belongs to the c-th.
        config: settings.
        network: created from the environment when not given.
        steps: rollout length L; the environment's horizon when it has one.
        seed: of everything random.
        group: processes that train the same policy, each in environments of its own.

    Attributes:
        iteration: iterations done.
        whole_episodes: whether every rollout is one whole episode per environment.
        scale: [C] running scale of each stream's returns.

    Raises:
        ConfigError: the network has not one critic per stream, or suits no such environment.

    """

    def __init__(
        self,
        env: TensorVectorEnv,
        streams: Mapping[str, Stream],
        config: PPOConfig | None = None,
        network: ActorCritic | None = None,
        steps: int | None = None,
        seed: int = 0,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.env, self.streams, self.seed, self.group = env, streams, seed, group
        self.config = settings_of(PPOConfig, config, "config")
        self._obs = flat_obs(env, env.reset(seed=seed)[0])
        self.network = network or network_for(env, self._obs, len(streams), self.config, seed)
        if self.network.shape["streams"] != len(streams):
            raise ConfigError(
                f"The network has {self.network.shape['streams']} critics, but there are "
                f"{len(streams)} reward streams; expected one critic per stream."
            )
        self.network.to(self._obs.device)
        self._packed = PackedActorCritic(self.network, self.config.precision)
        self._forward = forward_of(self._packed)
        self._update = _update_of(self._packed, self.config, group)
        horizon = getattr(getattr(env, "config", None), "horizon", None)
        self.steps = int(steps or horizon or 128)
        # Observations and about a dozen numbers a step; the update packs them a second time.
        per_step = 4.0 * (self._obs.shape[-1] + 12) * 2
        check_memory(per_step * self.steps * env.num_envs, f"{env.num_envs:,} environments")
        self.whole_episodes = self.steps == horizon
        self.iteration = 0
        self._bad_iterations = 0
        self.scale = torch.ones(len(streams), device=self._obs.device)
        weights = [stream.weight for stream in streams.values()]
        self._weights = torch.tensor(weights, dtype=torch.float32, device=self._obs.device)
        self._reference: ActorCritic | None = None
        self._memory = RolloutMemory()

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration in all processes, L·N."""
        return self.steps * self.env.num_envs * self.group.size

    def restart(self, seed: int) -> None:
        """Begin new episodes at the next rollout: somebody else has stepped the environments."""
        self._obs = flat_obs(self.env, self.env.reset(seed=seed)[0])

    def weigh(self, stream: str, weight: float) -> None:
        """Change the weight of a reward stream from the next iteration on."""
        self._weights[list(self.streams).index(stream)] = weight

    def freeze_reference(self) -> None:
        """Make the present policy the one that `reference_kl` refers to."""
        self._reference = copy.deepcopy(self.network).requires_grad_(False)

    def train(
        self,
        iterations: int,
        *,
        total: int | None = None,
        after: Callable[[PPO, Metrics], None] | None = None,
    ) -> list[Metrics]:
        """Run iterations.

        Args:
            iterations: how many to run now.
            total: length of the whole schedule (learning rate, entropy); default: until the end
                of this call.
            after: called after each iteration with its metrics (progress, logging, checkpoints).

        Returns:
            One dict of metrics per iteration.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.

        """
        total = total or self.iteration + iterations
        history: list[Metrics] = []
        unread: list[Tensor] = []
        for left in range(iterations - 1, -1, -1):
            with self._update.threads():
                unread.append(self._iterate(min(self.iteration / max(total - 1, 1), 1.0)))
            if after is not None or left == 0 or len(unread) == _READ_TOGETHER:
                history += self._read(unread)
                unread = []
            if after is not None:
                after(self, history[-1])
        return history

    def _read(self, rows: list[Tensor]) -> list[Metrics]:
        """Metrics of the last iterations, from rows of numbers that may lie on a device."""
        found, first = [], self.iteration - len(rows) + 1
        for iteration, row in enumerate(torch.stack(rows).tolist(), first):
            metrics = dict(zip(self._names, row, strict=True))
            self._stop_if_bad(metrics, iteration)
            found.append({"step": float(iteration * self.steps_per_iteration), **metrics})
        return found

    def _iterate(self, progress: float) -> Tensor:
        """One iteration, at a share `progress` of the schedule; returns what `_names` names.

        The host waits for nothing here, after the first iteration.
        """
        generator = torch.Generator(device=self._obs.device)
        generator.manual_seed(_mix(self.seed, self.iteration))
        rollout = self._act(generator)
        advantages, targets, paid = self._advantages(rollout)
        learned = self._improve(rollout, advantages, targets, progress, generator)
        self.iteration += 1
        facts = self._facts(rollout)
        self._names = [*(f"reward/{name}" for name in self.streams), *facts, *STATISTICS]
        return self.group.mean_(torch.cat([paid, *facts.values(), learned]))

    def _act(self, generator: torch.Generator) -> Rollout:
        first_close, envs, rank = None, self.env.num_envs, self.group.rank
        if self.whole_episodes:
            seed = (_mix(self.seed, self.iteration) >> 1) + rank * envs
            shown, info = self.env.reset(seed=seed)
            self._obs, first_close = flat_obs(self.env, shown), info.get("close")
        # This process's share of what one process with all environments would draw.
        shape = (self.steps, envs * self.group.size, self._packed.actions)
        uniform = torch.rand(shape, generator=generator, device=generator.device)
        rollout, self._obs = collect_rollout(
            self.env,
            self._packed,
            self.steps,
            uniform[:, rank * envs : (rank + 1) * envs],
            self._obs,
            first_close,
            self._memory,
            self._forward,
        )
        return rollout

    def _advantages(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Combined advantage [L, N], critics' targets [L, N, C], reward per episode [C].

        Every stream is divided by a running scale of its returns, and its advantage by its
        standard deviation: A = Σ_c w_c · Â_c / σ_c.
        """
        config = self.config
        done = (rollout.terminated | rollout.truncated)[..., None]
        ended = rollout.terminated[..., None] if config.bootstrap else done
        paid = {name: stream.reward(rollout) for name, stream in self.streams.items()}
        for name, rows in paid.items():
            check_stream(name, rows, rollout, finite=self.iteration == 0)
        rewards = torch.stack([rows.to(rollout.values) for rows in paid.values()], -1)
        stay = config.gamma * (~done).to(rewards)
        to_go = discounted(rewards, stay.expand_as(rewards))
        size = self.group.moments(to_go)[1].clamp(min=1e-8)
        first = self.iteration == 0
        blend = size if first else _SCALE_DECAY * self.scale + (1 - _SCALE_DECAY) * size
        # Rewards that are not finite spoil this iteration, not the scale of all that follow.
        self.scale = torch.where(blend.isfinite(), blend, self.scale)
        advantage = gae(
            rewards / self.scale,
            rollout.values,
            rollout.next_values,
            ended,
            done,
            gamma=config.gamma,
            lam=config.gae_lambda,
        )
        mean, spread = self.group.moments(advantage)
        total = ((advantage - mean) / spread.clamp(min=1e-8) * self._weights).sum(-1)
        per_episode = rewards.sum((0, 1)) / done.sum().clamp(min=1)
        return total, advantage + rollout.values, per_episode

    def _improve(
        self,
        rollout: Rollout,
        advantages: Tensor,
        targets: Tensor,
        progress: float,
        generator: torch.Generator,
    ) -> Tensor:
        """[6] mean statistics of the update."""
        config = self.config
        rate = config.learning_rate + progress * (config.final_learning_rate - config.learning_rate)
        entropy = config.entropy + progress * (config.final_entropy - config.entropy)
        weights = LossWeights(config.clip, config.value_weight, entropy, config.reference_kl)
        table = Transitions.of(rollout, advantages, targets, self._reference_out(rollout))
        return self._update.run(table, weights, rate, generator)

    def _reference_out(self, rollout: Rollout) -> tuple[Tensor, Tensor] | None:
        """Outputs [L, N, O] and log standard deviations [A] of the reference policy."""
        if self._reference is None or self.config.reference_kl == 0:
            return None
        with torch.no_grad():
            return self._reference.policy_out(rollout.obs), self._reference.log_std

    def _facts(self, rollout: Rollout) -> dict[str, Tensor]:
        """Trading facts of whole episodes: name -> [1]."""
        info = rollout.info
        if "equity" not in info or not self.whole_episodes:
            return {}
        gross = info["position"].abs()
        if gross.ndim == 3:  # a portfolio holds several assets
            gross = gross.sum(-1)
        rows = {
            "pnl": info["equity"][-1] - 1,
            "turnover": info["turnover"].sum(0),
            "exposure": gross.mean(0),
        }
        return {name: x.float().mean()[None] for name, x in rows.items()}

    def _stop_if_bad(self, metrics: Metrics, iteration: int) -> None:
        self._bad_iterations = self._bad_iterations + 1 if metrics["bad_gradients"] > 0 else 0
        if self._bad_iterations >= MAX_BAD_ITERATIONS:
            raise CheckpointError(
                f"Gradients were not finite in {MAX_BAD_ITERATIONS} iterations in a row (now "
                f"iteration {iteration}). Training stops with the last good weights; "
                "check the rewards for NaN or lower the learning rate."
            )

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs: weights, Adam's moments, scales, numbers.

        The tensors are those that training changes: write them, or keep a deep copy.
        """
        return {
            "iteration": self.iteration,
            "bad_iterations": self._bad_iterations,
            "scale": self.scale,
            "optimiser": self._update.adam.state(),
            "network": self.network.state_dict(),
            "reference": None if self._reference is None else self._reference.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`.

        With `copied | {"iteration": agent.iteration}`, what was learned since is undone while the
        schedule goes on.
        """
        self.iteration = int(state["iteration"])
        self._bad_iterations = int(state["bad_iterations"])
        self.scale = state["scale"].to(self.scale)
        self._update.adam.restore(state["optimiser"])
        self.network.load_state_dict(state["network"])
        self._reference = None
        if state["reference"] is not None:
            self.freeze_reference()
            assert self._reference is not None
            self._reference.load_state_dict(state["reference"])


def _update_of(network: PackedActorCritic, config: PPOConfig, group: ProcessGroup) -> Update:
    """The fastest update that suits the network and the device."""
    if config.graphs:
        return RecordedUpdate(network, config, group)
    if covers(network.network, config):
        return CompiledUpdate(network, config, group)
    return Update(network, config, group)


def _mix(seed: int, index: int) -> int:
    """splitmix64: well-spread 62-bit seeds from (seed, index)."""
    z = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 2
