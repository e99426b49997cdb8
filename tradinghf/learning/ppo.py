"""Proximal policy optimisation with several reward streams, one critic each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.rollout import RewardStream, Rollout, TensorVectorEnv, collect_rollout, gae

Metrics = dict[str, float]
MAX_BAD_ITERATIONS = 3
SCALE_DECAY = 0.9


@dataclass(frozen=True)
class Stream:
    """One source of reward.

    Attributes:
        reward: rollout -> [L, N].
        weight: of its normalised advantage in the policy gradient.

    """

    reward: RewardStream
    weight: float = 1.0


@dataclass(eq=False)
class PPO:
    """Trains an actor-critic on a vector environment.

    With `whole_episodes`, every rollout starts afresh from a seed that depends on (seed,
    iteration) only, so an iteration is a function of the network, the optimiser and its number:
    a run continues bit-identically from a checkpoint of these alone.

    Attributes:
        env: vector environment over tensors, autoreset in the same step.
        streams: name -> reward stream; the critic's output s belongs to the s-th.
        network: created from the environment when not given.
        steps: rollout length L; the environment's horizon when it has one.
        seed: of everything random.

    """

    env: TensorVectorEnv
    streams: Mapping[str, Stream]
    config: PPOConfig = field(default_factory=PPOConfig)
    network: ActorCritic | None = None
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        horizon = getattr(getattr(self.env, "config", None), "horizon", None)
        self.steps = self.steps or horizon or 128
        self.whole_episodes = self.steps == horizon
        self.iteration = 0
        self.bad_iterations = 0
        obs, _ = self.env.reset(seed=self.seed)
        self._obs = obs
        if self.network is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                self.network = network_for(self.env, obs, len(self.streams), self.config)
        self.network.to(obs.device)
        if self.network.shape["streams"] != len(self.streams):
            raise ConfigError(
                f"The network has {self.network.shape['streams']} critics, but there are "
                f"{len(self.streams)} reward streams; expected one critic per stream."
            )
        self.reference: ActorCritic | None = None
        self.scale = torch.ones(len(self.streams), device=obs.device)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=self.config.learning_rate, eps=1e-5)

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration, L·N."""
        return int(self.steps or 0) * self.env.num_envs

    def freeze_reference(self) -> None:
        """Make the present policy the one that `reference_kl` refers to."""
        self.reference = copy.deepcopy(self._network).requires_grad_(False)

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
        history = []
        for _ in range(iterations):
            metrics = self._iterate(min(self.iteration / max(total - 1, 1), 1.0))
            history.append(metrics)
            if after is not None:
                after(self, metrics)
        return history

    def _iterate(self, progress: float) -> Metrics:
        config, network = self.config, self._network
        generator = torch.Generator(device="cpu").manual_seed(_mix(self.seed, self.iteration))
        first_close = None
        if self.whole_episodes:
            self._obs, info = self.env.reset(seed=_mix(self.seed, self.iteration) >> 1)
            first_close = info.get("close")
        rollout, self._obs = collect_rollout(
            self.env, network, int(self.steps or 0), generator, self._obs, first_close
        )
        advantages, returns, per_stream = self._advantages(rollout)
        rate = config.learning_rate + progress * (config.final_learning_rate - config.learning_rate)
        entropy = config.entropy + progress * (config.final_entropy - config.entropy)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        losses = self._update(rollout, advantages, returns, entropy, generator)
        self.iteration += 1
        metrics = {f"reward/{name}": value for name, value in per_stream.items()}
        if "equity" in rollout.info and self.whole_episodes:
            metrics["pnl"] = float(rollout.info["equity"][-1].mean()) - 1
            metrics["turnover"] = float(rollout.info["turnover"].sum(0).mean())
            metrics["exposure"] = float(rollout.info["position"].abs().mean())
        return {"step": float(self.iteration * self.steps_per_iteration), **metrics, **losses}

    @property
    def _network(self) -> ActorCritic:
        assert self.network is not None
        return self.network

    def _advantages(self, rollout: Rollout) -> tuple[Tensor, Tensor, Metrics]:
        """Combined advantage [L, N], critics' targets [L, N, S], mean episode reward per stream.

        Every stream is divided by a running scale of its returns, and its advantage by its
        standard deviation: A = Σ_s w_s · Â_s / σ_s.
        """
        config = self.config
        done = rollout.terminated | rollout.truncated
        ended = rollout.terminated if config.bootstrap else done
        total = torch.zeros_like(rollout.rewards)
        targets, logged = [], {}
        episodes = done.sum().clamp(min=1)
        for index, (name, stream) in enumerate(self.streams.items()):
            reward = stream.reward(rollout)
            logged[name] = float(reward.sum() / episodes)
            zeros = torch.zeros_like(reward)
            to_go = gae(reward, zeros, zeros, ended, done, gamma=config.gamma, lam=1.0)
            size = to_go.std().clamp(min=1e-8)
            first = self.iteration == 0
            self.scale[index] = (
                size if first else SCALE_DECAY * self.scale[index] + (1 - SCALE_DECAY) * size
            )
            advantage = gae(
                reward / self.scale[index],
                rollout.values[..., index],
                rollout.next_values[..., index],
                ended,
                done,
                gamma=config.gamma,
                lam=config.gae_lambda,
            )
            targets.append(advantage + rollout.values[..., index])
            total += (
                stream.weight * (advantage - advantage.mean()) / advantage.std().clamp(min=1e-8)
            )
        return total, torch.stack(targets, dim=-1), logged

    def _update(
        self,
        rollout: Rollout,
        advantages: Tensor,
        returns: Tensor,
        entropy_weight: float,
        generator: torch.Generator,
    ) -> Metrics:
        """Epochs of minibatch steps; metrics stay on the device until the end."""
        network, config = self._network, self.config
        flat = [
            x.flatten(0, 1)
            for x in (rollout.obs, rollout.actions, rollout.log_probs, advantages, returns)
        ]
        count = flat[0].shape[0]
        size = max(count // config.minibatches, 1)
        sums = torch.zeros(6, device=flat[0].device)
        updates = 0
        for _ in range(config.epochs):
            order = torch.randperm(count, generator=generator).to(flat[0].device)
            for start in range(0, count - size + 1, size):
                pick = order[start : start + size]
                sums += self._step(network, [x[pick] for x in flat], entropy_weight)
                updates += 1
        policy, value, entropy, kl, clipped, bad = (sums / updates).tolist()
        self.bad_iterations = self.bad_iterations + 1 if bad > 0 else 0
        if self.bad_iterations >= MAX_BAD_ITERATIONS:
            raise CheckpointError(
                f"Gradients were not finite in {MAX_BAD_ITERATIONS} iterations in a row (now "
                f"iteration {self.iteration}). Training stops with the last good weights; "
                "check the rewards for NaN or lower the learning rate."
            )
        return {
            "loss/policy": policy,
            "loss/value": value,
            "entropy": entropy,
            "kl": kl,
            "clip_fraction": clipped,
            "bad_gradients": bad,
        }

    def _step(self, network: ActorCritic, batch: list[Tensor], entropy_weight: float) -> Tensor:
        """One gradient step; returns sums for logging [6]."""
        obs, actions, old_log_prob, advantage, target = batch
        config = self.config
        log_prob, entropy, values = network.evaluate(obs, actions)
        log_ratio = log_prob - old_log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        value_loss = (values - target).square().mean()
        loss = policy_loss + config.value_weight * value_loss - entropy_weight * entropy.mean()
        if self.reference is not None and config.reference_kl > 0:
            loss = loss + config.reference_kl * network.divergence(obs, self.reference).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), config.max_gradient_norm)
        finite = torch.isfinite(norm)
        if bool(finite):
            self.optimiser.step()
        with torch.no_grad():
            # Schulman's low-variance, non-negative estimate of KL(old || new).
            kl = ((ratio - 1) - log_ratio).mean()
            far = ((ratio - 1).abs() > config.clip).to(loss.dtype).mean()
            values_out = (policy_loss, value_loss, entropy.mean(), kl, far)
            good = [torch.nan_to_num(v.detach()) for v in values_out]
            return torch.stack([*good, (~finite).to(loss.dtype)])

    def state(self) -> dict[str, Any]:
        """Everything that a continuation needs."""
        return {
            "iteration": self.iteration,
            "bad_iterations": self.bad_iterations,
            "scale": self.scale,
            "network": self._network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "reference": None if self.reference is None else self.reference.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self.iteration = int(state["iteration"])
        self.bad_iterations = int(state["bad_iterations"])
        self.scale = state["scale"].to(self.scale)
        self._network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if state["reference"] is not None:
            self.freeze_reference()
            assert self.reference is not None
            self.reference.load_state_dict(state["reference"])


def network_for(env: TensorVectorEnv, obs: Tensor, streams: int, config: PPOConfig) -> ActorCritic:
    """A fresh network with the environment's input and action sizes."""
    space: Any = getattr(env, "single_action_space")  # noqa: B009
    discrete = hasattr(space, "n")
    actions = int(space.n) if discrete else int(torch.Size(space.shape).numel())
    return ActorCritic(int(obs.shape[-1]), actions, streams, config.hidden, discrete)


def _mix(seed: int, index: int) -> int:
    """splitmix64: well-spread 62-bit seeds from (seed, index)."""
    z = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return (z ^ (z >> 31)) >> 2
