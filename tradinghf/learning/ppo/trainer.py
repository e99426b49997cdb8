"""One PPO iteration of S learners: act, price what happened, improve."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy.networks import ActorCritic
from tradinghf.learning.ppo.distributed import ALONE, Group
from tradinghf.learning.ppo.gae import discounted, gae
from tradinghf.learning.ppo.learners import Learners
from tradinghf.learning.ppo.minibatches import Experience
from tradinghf.learning.ppo.rollout import (
    Recorder,
    RewardStream,
    Rollout,
    TensorVectorEnv,
    collect_rollout,
    flat_obs,
)
from tradinghf.learning.ppo.surrogate import Weights

Metrics = dict[str, float]
MAX_BAD_ITERATIONS = 3
SCALE_DECAY = 0.9
LOSSES = ("loss/policy", "entropy", "kl", "clip_fraction", "loss/value", "bad_gradients")


@dataclass(frozen=True)
class Stream:
    """One source of reward.

    Attributes:
        reward: rollout -> [L, N].
        weight: of its normalised advantage in the policy gradient; where several learners train
            side by side, one number for all or one for each.

    """

    reward: RewardStream
    weight: float | Sequence[float] = 1.0


class Trainer:
    """S learners in one vector environment of S*N; learner s owns rows [s*N, (s+1)*N).

    With whole episodes, every rollout starts afresh from seeds that depend on (seed, iteration)
    only, so an iteration is a function of networks, optimiser and its number.

    Args:
        env: vector environment over tensors, autoreset in the same step.
        streams: name -> reward stream; the critic's output c belongs to the c-th.
        config: settings.
        networks: S networks of one shape, on the environment's device.
        seeds: S seeds of everything random.
        steps: rollout length L; the environment's horizon when it has one.
        obs: [S*N, D] first observations.
        group: processes that train the same networks, each in environments of its own.

    """

    def __init__(
        self,
        env: TensorVectorEnv,
        streams: Mapping[str, Stream],
        config: PPOConfig,
        networks: Sequence[ActorCritic],
        seeds: Sequence[int],
        steps: int | None,
        obs: Tensor,
        group: Group = ALONE,
    ) -> None:
        for network in networks:
            if network.shape["streams"] != len(streams):
                raise ConfigError(
                    f"The network has {network.shape['streams']} critics, but there are "
                    f"{len(streams)} reward streams; expected one critic per stream."
                )
        self.env, self.streams, self.config = env, streams, config
        self.learners, self.seeds = Learners(networks, config, group), tuple(seeds)
        self.group = group
        horizon = getattr(getattr(env, "config", None), "horizon", None)
        self.steps = int(steps or horizon or 128)
        self.whole_episodes = self.steps == horizon
        self.iteration = 0
        self.bad_iterations = 0
        self.scale = torch.ones(len(networks), len(streams), device=obs.device)
        self.reference: list[ActorCritic] | None = None
        self._weights = torch.stack(
            [
                torch.as_tensor(s.weight, device=obs.device).expand(len(seeds))
                for s in streams.values()
            ],
            1,
        ).float()
        self._obs, self._recorder = obs, Recorder()

    def weigh(self, stream: str, weight: float) -> None:
        """Change the weight of a stream from the next iteration on, for every learner."""
        self._weights[:, list(self.streams).index(stream)] = weight

    def freeze_reference(self) -> None:
        """Make the present policies the ones that `reference_kl` refers to."""
        copies = [copy.deepcopy(network) for network in self.learners.networks]
        self.reference = [network.requires_grad_(False) for network in copies]

    def iterate(self, progress: float) -> list[Metrics]:
        """One iteration.

        Args:
            progress: share of the schedule (step size, entropy) that is behind, in [0, 1].

        Returns:
            Metrics of each learner.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.

        """
        config = self.config
        generators = [
            torch.Generator(device="cpu").manual_seed(mix(seed, self.iteration))
            for seed in self.seeds
        ]
        rollout = self._act(generators)
        advantages, targets, paid = self._advantages(rollout)
        rate = config.learning_rate + progress * (config.final_learning_rate - config.learning_rate)
        entropy = config.entropy + progress * (config.final_entropy - config.entropy)
        with self.learners.updating():
            learned = self._improve(rollout, advantages, targets, rate, entropy, generators)
        self.iteration += 1
        facts = self._facts(rollout)
        names = [*(f"reward/{name}" for name in self.streams), *facts]
        rows = self.group.mean_(torch.cat([paid, *facts.values(), learned])).T.tolist()
        history = [dict(zip([*names, *LOSSES], row, strict=True)) for row in rows]
        self._guard(history)
        return history

    def _act(self, generators: Sequence[torch.Generator]) -> Rollout:
        first_close = None
        if self.whole_episodes:
            shown, info = self._restart([mix(seed, self.iteration) >> 1 for seed in self.seeds])
            self._obs = flat_obs(self.env, shown)
            first_close = info.get("close")
        uniform = torch.cat([self._uniform(generator) for generator in generators], 1)
        rollout, self._obs = collect_rollout(
            self.env,
            self.learners,
            self.steps,
            uniform.to(self._obs.device),
            self._obs,
            first_close,
            self._recorder,
        )
        return rollout

    def _uniform(self, generator: torch.Generator) -> Tensor:
        """[L, N, A] this process's share of what one process with all environments would draw."""
        envs, rank = self.env.num_envs // len(self.seeds), self.group.rank
        shape = (self.steps, envs * self.group.size, self.learners.actions)
        return torch.rand(shape, generator=generator)[:, rank * envs : (rank + 1) * envs]

    def _restart(self, seeds: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """New episodes; each learner's are those of an environment of its own with its seed."""
        envs = self.env.num_envs // len(seeds)
        first = self.group.rank * envs
        if len(seeds) == 1:
            return self.env.reset(seed=seeds[0] + first)
        return self.env.reset(seed=[seed + first + i for seed in seeds for i in range(envs)])

    def _advantages(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Combined advantage [L, S*N], critics' targets [L, S*N, C], reward per episode [C, S].

        Every stream is divided by a running scale of its returns, and its advantage by its
        standard deviation: A = Σ_c w_c · Â_c / σ_c.
        """
        config, count = self.config, len(self.seeds)
        done = (rollout.terminated | rollout.truncated)[..., None]
        ended = rollout.terminated[..., None] if config.bootstrap else done
        rewards = torch.stack([s.reward(rollout) for s in self.streams.values()], -1)
        rewards = rewards.to(rollout.values)
        stay = config.gamma * (~done).to(rewards)
        to_go = discounted(rewards, stay.expand_as(rewards))
        size = self.group.moments(per_learner(to_go, count), (0, 2))[1][0, :, 0].clamp(min=1e-8)
        first = self.iteration == 0
        blend = size if first else SCALE_DECAY * self.scale + (1 - SCALE_DECAY) * size
        # Rewards that are not finite spoil this iteration, not the scale of all that follow.
        self.scale = torch.where(blend.isfinite(), blend, self.scale)
        advantage = gae(
            (per_learner(rewards, count) / self.scale[:, None]).flatten(1, 2),
            rollout.values,
            rollout.next_values,
            ended,
            done,
            gamma=config.gamma,
            lam=config.gae_lambda,
        )
        grouped = per_learner(advantage, count)
        mean, spread = self.group.moments(grouped, (0, 2))
        standard = (grouped - mean) / spread.clamp(min=1e-8)
        total = (standard * self._weights[:, None]).sum(-1).flatten(1, 2)
        episodes = per_learner(done, count).sum((0, 2)).clamp(min=1)
        paid = per_learner(rewards, count).sum((0, 2)) / episodes
        return total, advantage + rollout.values, paid.T

    def _improve(
        self,
        rollout: Rollout,
        advantages: Tensor,
        targets: Tensor,
        rate: float,
        entropy: float,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Epochs of minibatch steps; returns mean statistics [6, S]."""
        config, count = self.config, len(self.seeds)
        experience = Experience.of(
            rollout, advantages, targets, count, self._reference_out(rollout)
        )
        weights = Weights(config.clip, config.value_weight, entropy, config.reference_kl)
        size = max(experience.rows // config.minibatches, 1)
        sums = torch.zeros(len(LOSSES), count, device=advantages.device)
        updates = 0
        for _ in range(config.epochs):
            order = experience.shuffled(generators)
            found, steps = self.learners.epoch(order, size, experience, weights, rate)
            sums, updates = sums + found, updates + steps
        return sums / updates

    def _reference_out(self, rollout: Rollout) -> tuple[Tensor, Tensor] | None:
        """Outputs [L, S*N, A] and log standard deviations [S, 1, A] of the reference policies."""
        if self.reference is None or self.config.reference_kl == 0:
            return None
        parts = rollout.obs.chunk(len(self.seeds), dim=1)
        with torch.no_grad():
            outs = [r.policy_out(part) for r, part in zip(self.reference, parts, strict=True)]
        return torch.cat(outs, 1), torch.stack([r.log_std for r in self.reference])[:, None]

    def _facts(self, rollout: Rollout) -> dict[str, Tensor]:
        """Trading facts of each learner's whole episodes: name -> [1, S]."""
        info, count = rollout.info, len(self.seeds)
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
        return {n: x.float().unflatten(0, (count, -1)).mean(1)[None] for n, x in rows.items()}

    def _guard(self, history: list[Metrics]) -> None:
        bad = any(metrics["bad_gradients"] > 0 for metrics in history)
        self.bad_iterations = self.bad_iterations + 1 if bad else 0
        if self.bad_iterations >= MAX_BAD_ITERATIONS:
            raise CheckpointError(
                f"Gradients were not finite in {MAX_BAD_ITERATIONS} iterations in a row (now "
                f"iteration {self.iteration}). Training stops with the last good weights; "
                "check the rewards for NaN or lower the learning rate."
            )

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs, beside the networks."""
        reference = None if self.reference is None else [r.state_dict() for r in self.reference]
        return {
            "iteration": self.iteration,
            "bad_iterations": self.bad_iterations,
            "scale": self.scale,
            "optimiser": self.learners.adam.state(),
            "networks": [network.state_dict() for network in self.learners.networks],
            "reference": reference,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.iteration = int(state["iteration"])
        self.bad_iterations = int(state["bad_iterations"])
        self.scale = state["scale"].to(self.scale)
        self.learners.adam.restore(state["optimiser"])
        for network, weights in zip(self.learners.networks, state["networks"], strict=True):
            network.load_state_dict(weights)
        self.reference = None
        if state["reference"] is not None:
            self.freeze_reference()
            for network, weights in zip(self.reference or (), state["reference"], strict=True):
                network.load_state_dict(weights)


def per_learner(x: Tensor, count: int) -> Tensor:
    """[L, S*N, ..] as [L, S, N, ..]."""
    return x.view(len(x), count, x.shape[1] // count, *x.shape[2:])


def mix(seed: int, index: int) -> int:
    """splitmix64: well-spread 62-bit seeds from (seed, index)."""
    z = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 2
