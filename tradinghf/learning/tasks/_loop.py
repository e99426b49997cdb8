"""The loop on a Gymnasium task: ask for rankings of fragments, learn the reward, train, repeat."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tradinghf.config import settings_of
from tradinghf.errors import ConfigError, NamedOptions
from tradinghf.learning.reward import choose_groups
from tradinghf.learning.runs import Scores
from tradinghf.learning.tasks._agents import Agent, agent_of
from tradinghf.learning.tasks._config import TaskConfig
from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._experience import Experience, explore
from tradinghf.learning.tasks._fragments import Fragments, Sampler, uniform_fragments
from tradinghf.learning.tasks._learners import BroughtLearner, Learner, OwnLearner, true_return
from tradinghf.learning.tasks._network import NetworkReward
from tradinghf.learning.tasks._paid import Pay, StepReward
from tradinghf.learning.tasks._reward import TaskReward
from tradinghf.learning.tasks._teacher import Ranker, Teacher, ranks_of

Progress = Callable[[str, int, int, dict[str, float]], None]
_POOL_STEPS = 20_000
_BUCKETS = 4  # rows of fragments per question wanted
_ABOUT_ASKING = ("asking", "choices", "rounds", "uniform")  # may change between calls of `train`


class TaskRLHF(NamedOptions):
    """Learns a task from rankings of fragments; what `RLHF` is for environments without a market.

    Example:
        >>> agent = TaskRLHF("CartPole-v1", TaskConfig(questions=20))    # doctest: +SKIP
        >>> agent.train().evaluate()                                     # doctest: +SKIP

    Args:
        env: an id of `gymnasium.make`, an environment, its class, a function that makes one, or a
            vector environment.
        config: the loop's settings.
        teacher: who ranks: a `Teacher` (the oracle when not given), an object with its method
            `rank`, or a function from `Fragments` [B, K] to ranks [B, K].
        options: for `gymnasium.make`, or for the class.
        reward: what learns; a `torch.nn.Module` from features [B, L, D + A] to [B, L] or [B] is
            trained as `NetworkReward`. `TaskReward` when not given.
        agent: who is trained; our PPO when not given. See `Agent`.
        sampler: draws the fragments to choose from.
        progress: called with (phase, steps done, steps in all, facts) after each round.

    Attributes:
        asked: what was ranked.
        ranks: [B, K] the answers.
        history: facts of each round.

    Raises:
        ConfigError: an environment, reward or agent that cannot be used, or fragments that are
            longer than episodes.

    """

    def __init__(
        self,
        env: Any,
        config: TaskConfig | None = None,
        teacher: Ranker | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        reward: StepReward | nn.Module | None = None,
        agent: Agent | Any = None,
        sampler: Sampler = uniform_fragments,
        progress: Progress | None = None,
    ) -> None:
        self.config = settings_of(TaskConfig, config, "config")
        self.teacher, self.options = teacher or Teacher(), dict(options or {})
        self._sampler, self._progress = sampler, progress or (lambda *_: None)
        brought = None if agent is None else agent_of(agent)
        self.env = TaskEnv(env, self.config.envs, **self.options)
        self._check_fragment()
        self._generator = torch.Generator().manual_seed(self.config.seed)
        self._rng = np.random.default_rng(self.config.seed)
        first = explore(self.env, self.config.seed)
        self._explored = len(first.rewards)
        self._fresh: list[Experience] = [first]
        self._past: list[Experience] = []
        self.asked: Fragments | None = None
        self.ranks = torch.zeros(0, self.config.size, dtype=torch.long)
        self.history: list[dict[str, float]] = []
        self.reward = _reward_of(reward, first.features.shape[-1], self.config)
        size = float(first.rewards.square().mean().sqrt())
        self._pay = Pay(self.reward, self.config.env_weight, max(size, 1e-9))
        self._learner = self._learner_for(env, brought, early=bool(first.terminated.any()))

    def _check_fragment(self) -> None:
        horizon = self.env.config.horizon
        if horizon and self.config.fragment > horizon:
            raise ConfigError(
                f"Fragments of {self.config.fragment} steps, but episodes of {self.env.name} have "
                f"{horizon}; expected fragments that fit into an episode. "
                "Set TaskConfig(fragment=...)."
            )

    def _learner_for(self, env: Any, brought: Agent | None, *, early: bool) -> Learner:
        """Our PPO in the environments of the exploration, or an agent in some of its own."""
        seed = self.config.seed
        if brought is None:
            return OwnLearner(self.env, self._pay, self.config.ppo, early, seed)
        wanted = getattr(brought, "num_envs", None) or self.config.envs
        copies = TaskEnv(env, wanted, **self.options)
        if copies.num_envs != wanted:
            raise ConfigError(
                f"The agent was made for {wanted} environments, but {self.env.name} has "
                f"{copies.num_envs} and cannot be made again. Make the agent with as many, or give "
                "the environment's id."
            )
        copies.use_units(self.env)
        return BroughtLearner(brought, copies, self._pay, seed)

    @property
    def agent(self) -> Any:
        """Who is trained: `PPO`, or the agent that was given."""
        learner = self._learner
        return learner.ppo if isinstance(learner, OwnLearner) else learner.agent

    def train(
        self,
        *,
        rankings: int | None = None,
        steps: int | None = None,
        after: Callable[[dict[str, float]], None] | None = None,
        **others: Any,
    ) -> TaskRLHF:
        """Run all rounds; called again with larger budgets, it goes on.

        Args:
            rankings: questions in all, earlier calls included; default: the configuration's.
            steps: environment steps in all; default: the configuration's.
            after: called with each round's facts.
            others: settings of `TaskConfig` about asking (asking, choices, rounds, uniform).

        Raises:
            ConfigError: another setting.

        """
        if unknown := sorted(set(others) - set(_ABOUT_ASKING)):
            raise ConfigError(
                f"RLHF.train() takes rankings, steps and {', '.join(_ABOUT_ASKING)}; "
                f"{', '.join(unknown)} must be known before. Give it to the constructor: "
                "RLHF(env, ..., config=TaskConfig(...))."
            )
        wanted = self.config.questions if rankings is None else rankings
        others.setdefault("rounds", min(self.config.rounds, max(wanted, 1)))
        others |= {"questions": wanted, "steps": self.config.steps if steps is None else steps}
        self.config = dataclasses.replace(self.config, **others)
        self._run(after or (lambda _: None))
        return self

    def _run(self, after: Callable[[dict[str, float]], None]) -> None:
        """The rounds that the budgets have beyond what is done."""
        config, learner = self.config, self._learner
        asked, begun = len(self.ranks), learner.done
        left = config.steps - self.steps
        new = config.questions - asked
        if new <= 0 and left < learner.each:
            warnings.warn(
                f"RLHF.train() has nothing left to do: {asked} rankings were learned from in "
                f"{self.steps:,} steps. To go on, give a larger budget (rankings=..., steps=...), "
                "which counts from the beginning.",
                stacklevel=4,
            )
            return
        rounds = range(1, (config.rounds if new > 0 else 1) + 1)
        count = len(rounds)
        iterations = max(round(left / learner.each), count)
        shares = [round(max(new, 0) * r / count) for r in rounds]
        stops = [max(round(config.asking * iterations * r / count), r) for r in rounds]
        stops[-1] = iterations
        for share, stop in zip(shares, stops, strict=True):
            self._round(asked + share, begun + stop, begun + iterations, after)

    def _round(
        self, questions: int, stop: int, total: int, after: Callable[[dict[str, float]], None]
    ) -> None:
        """Ask until so many questions are answered, learn, and train until `stop`."""
        new = questions - len(self.ranks)
        facts = self.ask(new) if new > 0 else {"foreseen": math.nan}
        if new > 0:
            self._fit()
            self._learner.rewarded()
        self._learner.train_to(stop, total)
        self._fresh += self._learner.taken()
        facts |= {
            "round": len(self.history) + 1,
            "questions": len(self.ranks),
            "steps": self.steps,
            "training_return": _mean_return(self._fresh),
        }
        self.history.append(facts)
        self._progress("train", self.steps, self.config.steps, facts)
        after(facts)

    @property
    def steps(self) -> int:
        """Environment steps so far, exploration included."""
        return self._explored + self._learner.done * self._learner.each

    def ask(self, count: int) -> dict[str, float]:
        """Choose `count` questions about recent and earlier episodes, and have them ranked.

        Returns:
            `foreseen`: share of the pairs of the randomly drawn questions whose order the reward
            predicted before it learned from them; NaN when there is none.

        """
        config = self.config
        pool = self._pool(_BUCKETS * count)
        if not self.reward.ready:
            self.reward.guess(pool.features[pool.mask], config.fragment)
        groups = choose_groups(
            self.reward.scores(pool),
            [range(config.choices)] * (_BUCKETS * count),
            count,
            size=config.size,
            uniform=config.uniform,
            rng=self._rng,
            keep=range(config.choices // 2),
        )
        rows = torch.tensor([[g.window] for g in groups])
        shown = pool[rows, torch.tensor([g.members for g in groups])]
        ranks = ranks_of(self.teacher, shown, self._generator)
        drawn = torch.tensor([g.uniform for g in groups])
        foreseen = math.nan
        if self.asked is not None and bool(drawn.any()):
            means = self.reward.scores(shown).mean(0)
            foreseen = agreement(means[drawn], ranks[drawn])
        self.asked = shown if self.asked is None else self.asked.join(shown)
        self.ranks = torch.cat([self.ranks, ranks])
        return {"foreseen": foreseen}

    def _pool(self, buckets: int) -> Fragments:
        """[W, G] fragments to choose from; the first half of every row is recent."""
        fresh, self._fresh = self._fresh, []
        self._past.extend(fresh)
        recent, half = fresh or self._past, self.config.choices // 2
        parts = [
            self._sampler(
                Experience.joined(episodes), self.config.fragment, (buckets, count), self._generator
            )
            for episodes, count in ((recent, half), (self._past, self.config.choices - half))
        ]
        return parts[0].join(parts[1], 1)

    def _fit(self) -> None:
        assert self.asked is not None
        steps = torch.cat([e.features for e in self._past])
        chosen = torch.randint(
            len(steps), (min(_POOL_STEPS, len(steps)),), generator=self._generator
        )
        self.reward.fit(self.asked, self.ranks, steps[chosen])

    def evaluate(self, *, episodes: int = 100, rankings: int = 40) -> Scores:
        """How good is what was learned?

        Args:
            episodes: fresh ones, for the policy's best actions.
            rankings: fresh questions to the teacher, about all that was done; nothing is learned
                from them. 0 asks none.

        Returns:
            mean_return: true return of an episode; accuracy: share of the pairs of the fresh
            rankings whose order the reward foresees.

        """
        seed = self.config.seed + 1_000_000
        found = true_return(self._learner, self.env, episodes, seed)
        self._learner.resume(seed)
        scores = {"mean_return": float(found.mean()), "episodes": len(found)}
        if rankings and self.reward.ready:
            generator = torch.Generator().manual_seed(seed)
            shape = (rankings, self.config.size)
            known = Experience.joined([*self._past, *self._fresh])
            shown = self._sampler(known, self.config.fragment, shape, generator)
            ranks = ranks_of(self.teacher, shown, generator)
            right = agreement(self.reward.scores(shown).mean(0), ranks)
            scores |= {"accuracy": right, "held_out_rankings": rankings}
        return Scores(scores)


def _reward_of(given: Any, inputs: int, config: TaskConfig) -> StepReward:
    """The learned reward that a caller means.

    Raises:
        ConfigError: something that is no learned reward of steps.

    """
    if given is None:
        return TaskReward(inputs, config.reward, config.seed)
    if isinstance(given, type):
        raise ConfigError(
            f"The reward is the class {given.__name__}; expected an instance: {given.__name__}()."
        )
    if isinstance(given, nn.Module):
        return NetworkReward(given, inputs, config.seed)
    needed = ("ready", "guess", "fit", "scores", "rewards")
    if missing := [name for name in needed if not hasattr(given, name)]:
        raise ConfigError(
            f"The reward is a {type(given).__name__}, which has no {', '.join(missing)}; expected "
            f"a torch.nn.Module from features [B, L, {inputs}] (observation, then action) to one "
            "number for each step [B, L] or fragment [B], or nothing for tradinghf's own. Rewards "
            "of market episodes (RewardModel, ScoreModel) need a MarketEnv."
        )
    found: StepReward = given
    return found


def _mean_return(parts: list[Experience]) -> float:
    """Mean of the task's own reward, summed over episodes."""
    total = sum(float(part.rewards.double().sum()) for part in parts)
    return total / max(sum(int(part.ended.sum()) for part in parts), 1)


def agreement(scores: Tensor, ranks: Tensor) -> float:
    """Share of the untied pairs of [B, K] rankings that scores [B, K] order alike."""
    first, second = torch.triu_indices(ranks.shape[1], ranks.shape[1], 1)
    truth = (ranks[:, second] - ranks[:, first]).sign()
    guess = (scores[:, first] - scores[:, second]).sign()
    return float((truth == guess)[truth != 0].float().mean())


def train_on_true_reward(
    env: Any, config: TaskConfig, options: Mapping[str, Any] | None = None
) -> tuple[OwnLearner, TaskEnv]:
    """The yardstick: the same learner, steps and units, paid by the task itself."""
    task = TaskEnv(env, config.envs, **(options or {}))
    first = explore(task, config.seed)
    learner = OwnLearner(task, None, config.ppo, bool(first.terminated.any()), config.seed)
    iterations = max(round((config.steps - len(first.rewards)) / learner.each), 1)
    learner.train_to(iterations, iterations)
    return learner, task
