"""The rounds of a training: how many questions and iterations each has, and what more adds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig, RLHFConfig


@dataclass
class RoundPlan:
    """Rounds of questions and training; larger budgets add rounds after those there are.

    Attributes:
        rounds: questions and iterations by the end of each.
        questions, steps: the budgets that these rounds are for.

    """

    rounds: list[tuple[int, int]] = field(default_factory=list)
    questions: int = 0
    steps: int = 0

    @classmethod
    def of(cls, state: dict[str, Any]) -> RoundPlan:
        """From `dataclasses.asdict`, as a checkpoint gives it back."""
        rounds = [(int(questions), int(stop)) for questions, stop in state["rounds"]]
        return cls(rounds, int(state["questions"]), int(state["steps"]))

    @property
    def iterations(self) -> int:
        """Of all rounds."""
        return self.rounds[-1][1] if self.rounds else 0

    def part(self, number: int) -> tuple[int, int, int]:
        """Questions of a round, and the iterations that it begins and ends at."""
        (asked, begin), (questions, end) = ((0, 0), *self.rounds)[number : number + 2]
        return questions - asked, begin, end

    def steps_for(self, questions: int, each: int) -> int:
        """Steps that leave as many to each question; `each` is those of an iteration."""
        return max(math.ceil(self.iterations * each * questions / self.questions), self.steps)

    def extend(self, config: RLHFConfig, each: int, *, asks: bool) -> bool:
        """Add rounds for what the configuration has beyond those there are; False if nothing.

        Args:
            config: budgets in all, and how many rounds more questions are spread over.
            each: environment steps of an iteration.
            asks: whether the rounds ask; if not, whatever is new is learned at once.

        Raises:
            ConfigError: there are more questions, but no steps to train on their answers.

        """
        first, done = not self.rounds, self.iterations
        steps, more = max(config.steps, self.steps), max(config.rankings - self.questions, 0)
        ahead = math.ceil(steps / each) - done
        if first:
            ahead = max(ahead, config.rounds)
        if ahead < 1 and more:
            raise ConfigError(
                f"RLHF: {more} more rankings are wanted, but all {self.steps:,} steps are spent; "
                "expected more steps to train on them, such as "
                f"{self.steps_for(config.rankings, each):,}."
            )
        if ahead < 1:
            return False
        rounds = config.rounds if first or (more and asks) else 1
        added = dataclasses.replace(config, rankings=max(more, 1), rounds=rounds)
        for questions, stop in zip(*added.schedule(ahead), strict=True):
            self.rounds.append((self.questions + min(questions, more), done + stop))
        self.questions, self.steps = self.questions + more, steps
        return True


def schedule_changes(ppo: PPOConfig, before: int, after: int) -> str:
    """Why a training of `before` steps that goes on to `after` is not one of `after`; or ""."""
    decays = {
        "learning rate": ppo.learning_rate != ppo.final_learning_rate,
        "entropy": ppo.entropy != ppo.final_entropy,
        "clip": callable(ppo.clip),
    }
    names = " and ".join(name for name, decaying in decays.items() if decaying)
    return names and (
        f"Training goes on to {after:,} steps, but its {names} decayed over {before:,} and now "
        f"follows a schedule of {after:,}: the policy is not that of one training of {after:,} "
        "steps. Equal first and final values in PPOConfig go on exactly."
    )
