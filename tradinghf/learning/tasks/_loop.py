"""The loop on a Gymnasium task: ask for rankings of fragments, learn the reward, train, repeat."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.errors import ConfigError, NamedOptions, check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Rollout, Stream, env_reward
from tradinghf.learning.reward import choose_groups
from tradinghf.learning.tasks._env import Experience, TaskEnv, explore
from tradinghf.learning.tasks._reward import TaskReward, TaskRewardConfig
from tradinghf.learning.tasks._teacher import Fragments, Teacher, cut

_POOL_STEPS = 20_000
_BUCKETS = 4  # rows of fragments per question wanted


@dataclass(frozen=True)
class TaskConfig(NamedOptions):
    """How a task is learned from rankings.

    Attributes:
        questions: rankings asked for in all.
        size: fragments per question K.
        fragment: steps of a fragment.
        rounds: times that the loop asks; the policy trains in between.
        asking: share of the training after which the last questions are asked. Early answers steer
            more of the training; late ones are about better behaviour.
        steps: environment steps in all, exploration included.
        envs: environments N; a rollout is one whole episode of each.
        uniform: share of the questions that are drawn at random.
        choices: fragments from which each question is chosen.
        reward: settings of the learned reward.
        ppo: settings of PPO.
        seed: of everything random.

    """

    questions: int = 20
    size: int = 5
    fragment: int = 25
    rounds: int = 8
    asking: float = 0.2
    steps: int = 120_000
    envs: int = 16
    uniform: float = 0.2
    choices: int = 100
    reward: TaskRewardConfig = field(default_factory=TaskRewardConfig)
    ppo: PPOConfig = field(default_factory=lambda: PPOConfig(gamma=0.99, bootstrap=True))
    seed: int = 0

    def __post_init__(self) -> None:
        check_setting(self.questions >= 1, "questions", self.questions, "at least 1")
        check_setting(2 <= self.size <= 6, "size", self.size, "2 to 6 fragments per question")
        check_setting(self.fragment >= 1, "fragment", self.fragment, "at least 1 step")
        check_setting(
            1 <= self.rounds <= self.questions,
            "rounds",
            self.rounds,
            f"1 to {self.questions}, a question for each",
        )
        check_setting(0 < self.asking <= 1, "asking", self.asking, "in (0, 1]")
        check_setting(self.choices >= self.size, "choices", self.choices, f"at least {self.size}")
        check_setting(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")

    @property
    def bits(self) -> float:
        """Information in all answers, at most: log2 K! per question [bits]."""
        return self.questions * math.log2(math.factorial(self.size))


class TaskRLHF:
    """Learns a task from rankings of fragments.

    Example:
        >>> agent = TaskRLHF("Pendulum-v1", TaskConfig(questions=20))    # doctest: +SKIP
        >>> agent.train()                                                # doctest: +SKIP
        >>> agent.evaluate()                                             # doctest: +SKIP

    Args:
        name: as for `gymnasium.make`.
        config: the loop's settings.
        teacher: who ranks; the oracle when not given.
        options: for `gymnasium.make`.

    Raises:
        ConfigError: the task has no fixed horizon, or fragments are longer than it.

    """

    def __init__(
        self,
        name: str,
        config: TaskConfig | None = None,
        teacher: Teacher | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.teacher = config or TaskConfig(), teacher or Teacher()
        self.options = dict(options or {})
        self.env = TaskEnv(name, self.config.envs, **self.options)
        horizon = self.env.config.horizon
        if self.config.fragment > horizon:
            raise ConfigError(
                f"Fragments of {self.config.fragment} steps, but episodes of {name} have "
                f"{horizon}; expected fragments that fit into an episode."
            )
        self._generator = torch.Generator().manual_seed(self.config.seed)
        self._rng = np.random.default_rng(self.config.seed)
        self._fresh: list[Experience] = [explore(self.env, self.config.seed)]
        self._past: list[Experience] = []
        self.asked: Fragments | None = None
        self.ranks = torch.zeros(0, self.config.size, dtype=torch.long)
        self.history: list[dict[str, float]] = []
        features = self._fresh[0].features
        self.reward = TaskReward(features.shape[-1], self.config.reward, self.config.seed)
        self.agent = PPO(
            self.env,
            {"learned": Stream(self._paid)},
            config=self.config.ppo,
            seed=self.config.seed,
        )

    def _paid(self, rollout: Rollout) -> Tensor:
        """[L, N] learned reward; the episodes join the pool of what can be asked about."""
        episodes = Experience.of(rollout, self.env)
        self._fresh.append(episodes)
        return self.reward.rewards(episodes.features)

    def train(self, after: Callable[[dict[str, float]], None] | None = None) -> TaskRLHF:
        """Run all rounds; `after` is called with each round's facts."""
        config = self.config
        rounds = range(1, config.rounds + 1)
        left = config.steps - self.env.num_envs * self.env.config.horizon
        iterations = max(round(left / self.agent.steps_per_iteration), config.rounds)
        shares = [round(config.questions * r / config.rounds) for r in rounds]
        stops = [max(round(config.asking * iterations * r / config.rounds), r) for r in rounds]
        stops[-1] = iterations
        for round_, share, stop in zip(rounds, shares, stops, strict=True):
            facts = self.ask(share - len(self.ranks))
            self._fit()
            self.agent.train(stop - self.agent.iteration, total=iterations)
            paid = torch.cat([e.rewards for e in self._fresh], 1).sum(0).mean()
            facts |= {
                "round": round_,
                "questions": len(self.ranks),
                "steps": self.steps,
                "training_return": float(paid),
            }
            self.history.append(facts)
            if after is not None:
                after(facts)
        return self

    @property
    def steps(self) -> int:
        """Environment steps so far, exploration included."""
        done = self.agent.iteration * self.agent.steps_per_iteration
        return done + self.env.num_envs * self.env.config.horizon

    def ask(self, count: int) -> dict[str, float]:
        """Choose `count` questions about recent and earlier episodes, and have them ranked.

        Returns:
            `foreseen`: share of the pairs of the randomly drawn questions whose order the reward
            predicted before it learned from them; NaN when there is none.

        """
        config = self.config
        pool = self._pool(_BUCKETS * count)
        if not self.reward.ready:
            self.reward.guess(pool.features.flatten(0, 2), config.fragment)
        scores = self.reward.members(pool.features).sum(-1)
        groups = choose_groups(
            scores,
            [range(config.choices)] * (_BUCKETS * count),
            count,
            size=config.size,
            uniform=config.uniform,
            rng=self._rng,
            keep=range(config.choices // 2),
        )
        rows = torch.tensor([[g.window] for g in groups])
        columns = torch.tensor([g.members for g in groups])
        shown = Fragments(pool.features[rows, columns], pool.rewards[rows, columns])
        ranks = self.teacher.rank(shown.rewards, self._generator)
        drawn = torch.tensor([g.uniform for g in groups])
        foreseen = math.nan
        if self.asked is not None and bool(drawn.any()):
            means = self.reward.members(shown.features).sum(-1).mean(0)
            foreseen = agreement(means[drawn], ranks[drawn])
        self.asked = shown if self.asked is None else self.asked.join(shown)
        self.ranks = torch.cat([self.ranks, ranks])
        return {"foreseen": foreseen}

    def _pool(self, buckets: int) -> Fragments:
        """[W, G] fragments to choose from; the first half of every row is recent."""
        fresh, self._fresh = self._fresh, []
        self._past.extend(fresh)
        half = self.config.choices // 2
        parts = [
            cut(
                Experience.joined(episodes), self.config.fragment, (buckets, count), self._generator
            )
            for episodes, count in ((fresh, half), (self._past, self.config.choices - half))
        ]
        return parts[0].join(parts[1], 1)

    def _fit(self) -> None:
        assert self.asked is not None
        steps = torch.cat([e.features.flatten(0, 1) for e in self._past])
        chosen = torch.randint(
            len(steps), (min(_POOL_STEPS, len(steps)),), generator=self._generator
        )
        self.reward.fit(self.asked, self.ranks, steps[chosen])

    def evaluate(self, episodes: int = 100) -> float:
        """Mean true return of the deterministic policy in fresh episodes."""
        return true_return(self.agent, self.env, episodes, self.config.seed + 1_000_000)


def agreement(scores: Tensor, ranks: Tensor) -> float:
    """Share of the untied pairs of [B, K] rankings that scores [B, K] order alike."""
    first, second = torch.triu_indices(ranks.shape[1], ranks.shape[1], 1)
    truth = (ranks[:, second] - ranks[:, first]).sign()
    guess = (scores[:, first] - scores[:, second]).sign()
    return float((truth == guess)[truth != 0].float().mean())


def true_return(agent: PPO, env: TaskEnv, episodes: int, seed: int) -> float:
    """Mean undiscounted return of the deterministic policy over at least `episodes` episodes."""
    assert agent.network is not None
    totals: list[Tensor] = []
    for batch in range(-(-episodes // env.num_envs)):
        obs, _ = env.reset(seed=seed + batch * env.num_envs)
        total = torch.zeros(env.num_envs)
        for _ in range(env.config.horizon):
            obs, reward, *_ = env.step(agent.network.act(obs))
            total += reward
        totals.append(total)
    return float(torch.cat(totals).mean())


def train_on_true_reward(
    name: str, config: TaskConfig, options: Mapping[str, Any] | None = None
) -> tuple[PPO, TaskEnv]:
    """The yardstick: the same learner, steps and units, paid by the task itself."""
    env = TaskEnv(name, config.envs, **(options or {}))
    explore(env, config.seed)
    agent = PPO(env, {"env": Stream(env_reward)}, config=config.ppo, seed=config.seed)
    left = config.steps - env.num_envs * env.config.horizon
    agent.train(max(round(left / agent.steps_per_iteration), 1))
    return agent, env
