"""Settings of the loop on a task."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tradinghf.errors import NamedOptions, check_setting
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.tasks._reward import TaskRewardConfig


@dataclass(frozen=True)
class TaskConfig(NamedOptions):
    """How a task is learned from rankings.

    Attributes:
        questions: rankings asked for in all.
        size: fragments per question K.
        fragment: most steps of a fragment.
        rounds: times that the loop asks; the policy trains in between.
        asking: share of the training after which the last questions are asked. Early answers steer
            more of the training; late ones are about better behaviour.
        steps: environment steps in all, exploration included.
        envs: environments N; a rollout is one whole episode of each, where none ends early. An
            agent of Stable-Baselines3 keeps its own number.
        uniform: share of the questions that are drawn at random.
        choices: fragments from which each question is chosen.
        env_weight: weight of the task's own reward beside the learned one, whose weight is 1.
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
    env_weight: float = 0.0
    reward: TaskRewardConfig = field(default_factory=TaskRewardConfig)
    ppo: PPOConfig = field(default_factory=lambda: PPOConfig(gamma=0.99, bootstrap=True))
    seed: int = 0

    def __post_init__(self) -> None:
        check_setting(self.questions >= 1, "questions", self.questions, "at least 1")
        check_setting(2 <= self.size <= 6, "size", self.size, "2 to 6 fragments per question")
        check_setting(self.fragment >= 1, "fragment", self.fragment, "at least 1 step")
        check_setting(self.envs >= 1, "envs", self.envs, "at least 1")
        check_setting(
            1 <= self.rounds <= self.questions,
            "rounds",
            self.rounds,
            f"1 to {self.questions}, a question for each",
        )
        check_setting(0 < self.asking <= 1, "asking", self.asking, "in (0, 1]")
        check_setting(0 <= self.uniform <= 1, "uniform", self.uniform, "a share in [0, 1]")
        check_setting(self.env_weight >= 0, "env_weight", self.env_weight, "at least 0")
        check_setting(self.choices >= self.size, "choices", self.choices, f"at least {self.size}")
        check_setting(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")

    @property
    def bits(self) -> float:
        """Information in all answers, at most: log2 K! per question [bits]."""
        return self.questions * math.log2(math.factorial(self.size))
