"""Proximal policy optimisation with several reward streams, one critic each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tradinghf.config import settings_of
from tradinghf.errors import CheckpointError, ConfigError, NamedOptions, check_memory
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo._distributed import ALONE, ProcessGroup
from tradinghf.learning.ppo._fastest import scan_of, update_of
from tradinghf.learning.ppo._forward import forward_of
from tradinghf.learning.ppo._fresh import network_for
from tradinghf.learning.ppo._gae import gae
from tradinghf.learning.ppo._given import (
    callbacks_of,
    check_given,
    stream_index,
    whole_number,
)
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._recorded import Draws, RecordedIteration, check_recordable
from tradinghf.learning.ppo._remembered import MemoryForward, check_reference, seen_by
from tradinghf.learning.ppo._returns import ReturnUnits
from tradinghf.learning.ppo._rollout import (
    RewardStream,
    Rollout,
    RolloutMemory,
    TensorVectorEnv,
    collect_rollout,
    flat_obs,
)
from tradinghf.learning.ppo._schedule import Callback, StepRates, tell
from tradinghf.learning.ppo._sequences import SequenceUpdate
from tradinghf.learning.ppo._streams import check_stream
from tradinghf.learning.ppo._transitions import Transitions
from tradinghf.learning.ppo._update import STATISTICS, LossWeights

Metrics = dict[str, float]
MAX_BAD_ITERATIONS = 3
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


class PPO(NamedOptions):
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
        callbacks: each is called with the learner and the metrics of every iteration, and may
            change the learner; one that returns False ends the training.

    Attributes:
        iteration: iterations done.
        whole_episodes: whether every rollout is one whole episode per environment.
        stopped: a callback ended the training.

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
        callbacks: Callback | Sequence[Callback] = (),
    ) -> None:
        check_given(env, streams, steps)
        self.callbacks, self.stopped = callbacks_of(callbacks), False
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
        self._scan = scan_of(self.config, self._obs.device)
        self._update = update_of(self._packed, self.config, group)
        horizon = getattr(getattr(env, "config", None), "horizon", None)
        self.steps = int(steps or horizon or 128)
        # Observations and about a dozen numbers a step; the update packs them a second time.
        per_step = 4.0 * (self._obs.shape[-1] + 12) * 2
        check_memory(per_step * self.steps * env.num_envs, f"{env.num_envs:,} environments")
        early = getattr(env, "early_end", None) is not None
        self.whole_episodes = self.steps == horizon and not early
        self.iteration = 0
        self._bad_iterations = 0
        bars = 0 if self.config.bootstrap or early else self._bars_apart(horizon)
        self._units = ReturnUnits(bars, len(streams), self._obs.device)
        self._anew = True  # the next rollout begins episodes
        self._age = 0  # bar of the episodes at which the next rollout begins
        weights = [stream.weight for stream in streams.values()]
        self._weights = torch.tensor(weights, dtype=torch.float32, device=self._obs.device)
        self._reference: ActorCritic | None = None
        self._memory = RolloutMemory()
        self._recorded: RecordedIteration | None = None
        check_reference(self.network, self.config, whole_episodes=self.whole_episodes)
        if self.config.graphs == "iteration":
            check_recordable(env, whole_episodes=self.whole_episodes, processes=group.size)

    def _bars_apart(self, horizon: int | None) -> int:
        """Bars of an episode, where all end in step and the critics see no time; else 0."""
        task: Any = getattr(self.env, "config", None)
        in_step = self.whole_episodes or hasattr(self.env, "dynamics")
        if not horizon or not in_step:
            return 0
        told = getattr(task, "time_left", False) and (task.review or horizon) >= horizon
        # Networks over assets do not look at it.
        return 0 if told and self.network.shape["assets"] is None else horizon

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration in all processes, L·N."""
        return self.steps * self.env.num_envs * self.group.size

    def restart(self, seed: int) -> None:
        """Begin new episodes at the next rollout: somebody else has stepped the environments."""
        self._obs, self._age = flat_obs(self.env, self.env.reset(seed=seed)[0]), 0
        self._anew = True

    @property
    def scale(self) -> Tensor:
        """[C] running spread of each stream's returns, in units of its rewards."""
        return self._units.whole

    @torch.no_grad()
    def values(self, obs: Any, bar: int = 0) -> Tensor:
        """[N, C] what is left to be paid from observations on, in units of each stream's rewards.

        Args:
            obs: as the environment shows them; to a network with a memory, as the first ones.
            bar: of the episode, from 0 on; it matters where episodes end all reward.

        """
        shown = flat_obs(self.env, obs)[None]
        seen = seen_by(self.network, shown, shown.new_zeros(shown.shape[:2], dtype=torch.bool))
        return self._units.value(self.network.value_out(seen), bar)[0]

    def weigh(self, stream: str, weight: float) -> None:
        """Change the weight of a reward stream from the next iteration on."""
        self._weights[stream_index(self.streams, stream)] = weight

    def freeze_reference(self) -> None:
        """Make the present policy the one that `reference_kl` refers to."""
        self._reference = copy.deepcopy(self.network).requires_grad_(False)
        self._recorded = None

    def train(
        self,
        iterations: int,
        *,
        total: int | None = None,
        after: Callable[[PPO, Metrics], bool | None] | None = None,
    ) -> list[Metrics]:
        """Run iterations; none once a callback has ended the training.

        Args:
            iterations: how many to run now.
            total: length of the whole schedule (learning rate, entropy); default: until the end
                of this call.
            after: called after each iteration as `callbacks` are (progress, logging, checkpoints).

        Returns:
            One dict of metrics per iteration.

        Raises:
            CheckpointError: gradients were not finite in three iterations in a row.

        """
        iterations = whole_number("PPO.train: iterations", iterations, 0)
        total = total or self.iteration + iterations
        self._recorded = None  # rewards may have been learned anew since
        history: list[Metrics] = []
        unread: list[tuple[StepRates, Tensor]] = []
        told = [*self.callbacks, *([] if after is None else [after])]
        for left in range(iterations - 1, -1, -1):
            if self.stopped:
                break
            rates = StepRates.at(self.config, min(self.iteration / max(total - 1, 1), 1.0))
            with self._update.threads():
                unread.append((rates, self._iterate(rates)))
            if told or left == 0 or len(unread) == _READ_TOGETHER:
                history += self._read(unread)
                unread = []
            if told:
                self.stopped = not tell(told, self, history[-1])
        return history

    def _read(self, rows: list[tuple[StepRates, Tensor]]) -> list[Metrics]:
        """Metrics of the last iterations, from rows of numbers that may lie on a device."""
        found, iteration = [], self.iteration - len(rows)
        numbers = torch.stack([row for _, row in rows]).tolist()
        for (rates, _), row in zip(rows, numbers, strict=True):
            iteration += 1
            metrics = dict(zip(self._names, row, strict=True))
            self._stop_if_bad(metrics, iteration)
            step = {"step": float(iteration * self.steps_per_iteration)}
            found.append(step | metrics | rates.metrics())
        return found

    def _iterate(self, rates: StepRates) -> Tensor:
        """One iteration; returns what `_names` names.

        The host waits for nothing here, after the first iteration.
        """
        draws = self._draws(rates)
        if self._recorded is not None:
            row = self._recorded(draws)
        else:  # the first one also looks at what is paid, which a graph cannot
            row = self._body(draws)
            self._recorded = self._recording() if self.config.graphs == "iteration" else None
        self.iteration += 1
        self._age = (self._age + self.steps) % (self._units.bars or 1)
        return row

    def _recording(self) -> RecordedIteration:
        changes = (*self._update.changes(), *self._units.state().values())
        return RecordedIteration(self._body, self.env.num_envs, self._obs.device, changes)

    def _draws(self, rates: StepRates) -> Draws:
        """What the next iteration gets from outside."""
        return Draws.of(
            (self.seed, self.iteration),
            rates,
            self.group,
            shape=(self.steps, self.env.num_envs, self._packed.actions),
            epochs=self.config.epochs,
            device=self._obs.device,
        )

    def _body(self, draws: Draws) -> Tensor:
        """An iteration as a function of its draws; see `_iterate`."""
        rollout = self._act(draws)
        advantages, targets, paid = self._advantages(rollout)
        learned = self._improve(rollout, advantages, targets, draws)
        facts = rollout.facts() if self.whole_episodes else {}
        self._names = [*(f"reward/{name}" for name in self.streams), *facts, *STATISTICS]
        return self.group.mean_(torch.cat([paid, *facts.values(), learned]))

    def _act(self, draws: Draws) -> Rollout:
        first_close = None
        if self.whole_episodes:
            seed: Any = draws.seed  # a number; seeds on the device where it is recorded
            if isinstance(seed, int) and hasattr(self.env, "dynamics"):
                seed = range(seed, seed + self.env.num_envs)  # of a hash: no two are neighbours
            shown, info = self.env.reset(seed=seed)
            self._obs, first_close, self._age = flat_obs(self.env, shown), info.get("close"), 0
        if isinstance(self._forward, MemoryForward):
            self._forward.begin(len(self._obs), blank=self.whole_episodes or self._anew)
            self._anew = False
        rollout, self._obs = collect_rollout(
            self.env,
            self._packed,
            self.steps,
            draws.noise,
            self._obs,
            first_close,
            self._memory,
            self._forward,
        )
        return rollout

    def _advantages(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Combined advantage [L, N], critics' targets [L, N, C], reward per episode [C].

        The critics' outputs become values by the running mean and spread of what is left to be
        paid (`ReturnUnits`), and every stream's advantage is divided by its standard deviation:
        A = Σ_c w_c · Â_c / σ_c.
        """
        config, units = self.config, self._units
        done = (rollout.terminated | rollout.truncated)[..., None]
        ended = rollout.terminated[..., None] if config.bootstrap else done
        paid = {name: stream.reward(rollout) for name, stream in self.streams.items()}
        for name, rows in paid.items():
            check_stream(name, rows, rollout, finite=self.iteration == 0)
        rewards = torch.stack([rows.to(rollout.values) for rows in paid.values()], -1)
        stay = config.gamma * (~done).to(rewards)
        left = rewards
        if units.bars and not self.whole_episodes:  # of episodes that go on: what critics expect
            following = units.value(rollout.next_values[-1:], self._age + self.steps)
            left = torch.cat([rewards[:-1], rewards[-1:] + stay[-1:] * following])
        units.learn(self._scan(left, stay.expand_as(left)), self._age, self.group)
        values = units.value(rollout.values, self._age)
        advantage = gae(
            rewards,
            values,
            units.value(rollout.next_values, self._age + 1),
            ended,
            done,
            gamma=config.gamma,
            lam=config.gae_lambda,
            scan=self._scan,
        )
        mean, spread = self.group.moments(advantage)
        total = ((advantage - mean) / spread.clamp(min=1e-8) * self._weights).sum(-1)
        per_episode = rewards.sum((0, 1)) / done.sum().clamp(min=1)
        return total, units.target(advantage + values, self._age), per_episode

    def _improve(
        self, rollout: Rollout, advantages: Tensor, targets: Tensor, draws: Draws
    ) -> Tensor:
        """[7] mean statistics of the update."""
        config, rates = self.config, draws.rates
        weights = LossWeights(rates.clip, config.value_weight, rates.entropy, config.reference_kl)
        table = Transitions.of(rollout, advantages, targets, self._reference_out(rollout))
        if isinstance(self._update, SequenceUpdate) and isinstance(self._forward, MemoryForward):
            self._update.remember(self._forward.first, rollout.terminated | rollout.truncated)
        return self._update.run(table, weights, rates.learning_rate, draws.orders)

    def _reference_out(self, rollout: Rollout) -> tuple[Tensor, Tensor] | None:
        """Outputs [L, N, O] and log standard deviations [A] of the reference policy."""
        if self._reference is None or self.config.reference_kl == 0:
            return None
        with torch.no_grad():
            seen = seen_by(self._reference, rollout.obs, rollout.terminated | rollout.truncated)
            return self._reference.policy_out(seen), self._reference.log_std

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
            "units": self._units.state(),
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
        self._units.restore(state["units"])
        self._update.adam.restore(state["optimiser"])
        self.network.load_state_dict(state["network"])
        self._reference = self._recorded = None
        if state["reference"] is not None:
            self.freeze_reference()
            assert self._reference is not None
            self._reference.load_state_dict(state["reference"])
