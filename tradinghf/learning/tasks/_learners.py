"""Who learns a task: our PPO, with a critic for each part of the pay, or an agent of one's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Rollout, Stream, env_reward
from tradinghf.learning.tasks._agents import Agent
from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._experience import LONGEST_LOOK, Experience
from tradinghf.learning.tasks._paid import PaidEnv, Pay


class OwnLearner:
    """PPO in the task's tensor environment.

    Args:
        env: the task; stepped by nobody else while `train_to` runs.
        pay: what steps are paid; None: the task's own reward.
        config: settings of PPO.
        early: whether episodes end early; then rollouts do not wait for them.
        seed: of everything random.

    Attributes:
        ppo: the learner.
        each: environment steps of one iteration.

    Raises:
        ConfigError: the task takes several choices at once.

    """

    def __init__(
        self, env: TaskEnv, pay: Pay | None, config: PPOConfig, early: bool, seed: int
    ) -> None:
        if env.choices is not None:
            raise ConfigError(
                f"{env.name}: actions are {env.single_action_space}, several choices at once, "
                "which tradinghf's own PPO does not make; expected Discrete or a bounded Box. Give "
                "an agent that does, such as agent=stable_baselines3.PPO."
            )
        self.env, self._pay = env, pay
        self._taken: list[Experience] = []
        streams = {}
        if pay is not None:
            streams["learned"] = Stream(self._paid)
        if pay is None or pay.env_weight:
            streams["env"] = Stream(env_reward, 1.0 if pay is None else pay.env_weight)
        horizon = env.config.horizon
        steps = LONGEST_LOOK if early or not horizon else horizon
        self.ppo = PPO(env, streams, config=config, steps=steps, seed=seed)
        self.each = self.ppo.steps_per_iteration
        self._acting: Any = None

    def _paid(self, rollout: Rollout) -> Tensor:
        """[L, N] learned reward; the episodes join the pool of what can be asked about."""
        assert self._pay is not None
        found = Experience.of(rollout, self.env)
        self._taken.append(found)
        paid = self._pay.learned.rewards(found.features, found.ended)
        return found.by_rows(paid, self.env.num_envs)

    @property
    def done(self) -> int:
        """Iterations so far."""
        return self.ppo.iteration

    def train_to(self, stop: int, total: int) -> None:
        """Train until iteration `stop` of `total`."""
        self.ppo.train(max(stop - self.ppo.iteration, 0), total=total)

    def taken(self) -> list[Experience]:
        """What was done since the last call."""
        found, self._taken = self._taken, []
        return found

    def begin(self) -> None:
        """Episodes begin, in which `act` is asked."""
        self._acting = self.ppo.network.fresh()

    def act(self, env: TaskEnv, raw: Any, shown: Tensor) -> Any:
        """Best actions as the task takes them, for what it and our policies see."""
        return env.raw_actions(self._acting.act(shown))

    def rewarded(self) -> None:
        """Nothing: a rollout is paid when it ends."""

    def resume(self, seed: int) -> None:
        """Begin new episodes: others have stepped the environments."""
        self.ppo.restart(seed)


class BroughtLearner:
    """An agent of one's own, in a `PaidEnv`.

    Args:
        agent: who learns.
        env: copies of the task for it alone.
        pay: what steps are paid.
        seed: of everything random.

    """

    each = 1

    def __init__(self, agent: Agent, env: TaskEnv, pay: Pay, seed: int) -> None:
        self.agent, self.env = agent, PaidEnv(env, pay, seed)
        self._seed, self._began = seed, False

    @property
    def done(self) -> int:
        """Environment steps so far."""
        return self.env.steps

    def train_to(self, stop: int, total: int) -> None:
        """Train until step `stop`.

        Raises:
            ConfigError: the agent takes no steps in its environment.

        """
        if not self._began:
            self.agent.begin(self.env, self._seed)
            self._began = True
        self.env.teach(self.agent, stop)

    def taken(self) -> list[Experience]:
        """What was done since the last call."""
        found = self.env.taken()
        return [] if found is None else [found]

    def begin(self) -> None:
        """Nothing: the agent is asked about observations alone."""

    def act(self, env: TaskEnv, raw: Any, shown: Tensor) -> Any:
        """Best actions as the task takes them, for what it and our policies see."""
        return self.agent.act(raw)

    def rewarded(self) -> None:
        """Tell the agent that it is paid otherwise now."""
        if self._began and hasattr(self.agent, "reward_changed"):
            self.agent.reward_changed(self.env)

    def resume(self, seed: int) -> None:
        """Nothing: it has environments of its own."""


Learner = OwnLearner | BroughtLearner


def true_return(learner: Learner, env: TaskEnv, episodes: int, seed: int) -> Tensor:
    """[E] undiscounted returns of the best actions in E episodes or a few more.

    Args:
        learner: who acts.
        env: the task.
        episodes: fewest episodes.
        seed: of the first episodes.

    """
    totals: list[Tensor] = []
    for batch in range(-(-episodes // env.num_envs)):
        learner.begin()
        raw, _ = env.vector.reset(seed=(seed + batch * env.num_envs) % 2**31)
        total, going = torch.zeros(env.num_envs), torch.ones(env.num_envs, dtype=torch.bool)
        for _ in range(env.config.horizon or _LONGEST):
            raw, reward, *ends, _ = env.vector.step(learner.act(env, raw, env.tensor(raw)))
            total += torch.from_numpy(reward.astype("float32")) * going
            going &= ~torch.from_numpy(ends[0] | ends[1])
            if not bool(going.any()):
                break
        totals.append(total)
    return torch.cat(totals)


_LONGEST = 2_000  # steps of an episode in an evaluation, where no time limit is known
