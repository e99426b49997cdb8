"""Learning a Gymnasium task from rankings: teachers, reward, questions, loop, refusals."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tradinghf.errors import ConfigError, FeedbackError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.tasks import (
    Fragments,
    TaskConfig,
    TaskEnv,
    TaskReward,
    TaskRewardConfig,
    TaskRLHF,
    Teacher,
)
from tradinghf.learning.tasks._experience import Experience, explore
from tradinghf.learning.tasks._fragments import uniform_fragments
from tradinghf.learning.tasks._learners import true_return
from tradinghf.learning.tasks._loop import agreement, train_on_true_reward
from tradinghf.learning.tasks._reward import Posterior

GENERATOR = torch.Generator()


class Line(gym.Env[Any, Any]):
    """A point on a line, moved by at most 0.3 a step, paid for being near 1.

    observation: [1] position. action: [1] in [-1, 1] or 3 choices. reward: -|x - 1|.
    Ends early beyond 2 when `fragile`.
    """

    def __init__(self, discrete: bool = False, fragile: bool = False) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,))
        self.action_space: Any = spaces.Discrete(3) if discrete else spaces.Box(-1.0, 1.0, (1,))
        self.discrete, self.fragile = discrete, fragile

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 1)
        return self.x.astype(np.float32), {}

    def step(self, action: Any) -> Any:
        move = action - 1 if self.discrete else float(np.asarray(action)[0])
        self.x = self.x + 0.3 * move
        ended = bool(self.fragile and abs(self.x[0]) > 2)
        return self.x.astype(np.float32), -abs(float(self.x[0]) - 1), ended, False, {}


@pytest.fixture(autouse=True)
def line() -> Iterator[None]:
    """The task under three names."""
    gym.register("Line-v0", Line, max_episode_steps=16)
    gym.register("LineDiscrete-v0", Line, max_episode_steps=16, kwargs={"discrete": True})
    gym.register("LineEndless-v0", Line)
    gym.register("LineFragile-v0", Line, max_episode_steps=16, kwargs={"fragile": True})
    yield
    for name in ("Line-v0", "LineDiscrete-v0", "LineEndless-v0", "LineFragile-v0"):
        del gym.registry[name]


SMALL = TaskConfig(
    questions=20,
    fragment=4,
    rounds=5,
    asking=0.75,
    steps=16_384,
    envs=32,
    choices=20,
    reward=TaskRewardConfig(count=16),
    ppo=PPOConfig(hidden=(16, 16), gamma=0.9, minibatches=4, learning_rate=5e-3, bootstrap=True),
)


@pytest.mark.parametrize("name", ["Line-v0", "LineDiscrete-v0"])
def test_twenty_rankings_teach_the_task(name: str) -> None:
    agent = TaskRLHF(name, SMALL)
    chance = float(agent._fresh[0].rewards.sum()) / SMALL.envs
    learned = agent.train().evaluate()["mean_return"]
    best, env = train_on_true_reward(name, SMALL)
    ceiling = float(true_return(best, env, 100, 1_000_000).mean())
    assert ceiling > chance + 5
    assert (learned - chance) / (ceiling - chance) > 0.8
    assert len(agent.ranks) == agent.history[-1]["questions"] == SMALL.questions
    assert agent.steps == agent.history[-1]["steps"] == SMALL.steps


def test_the_same_seed_gives_the_same_policy_and_another_seed_another() -> None:
    short = dataclasses.replace(SMALL, steps=2_048, questions=4, rounds=2)
    runs = [TaskRLHF("Line-v0", dataclasses.replace(short, seed=s)).train() for s in (3, 3, 4)]
    weights = [torch.cat([p.flatten() for p in r.agent.network.parameters()]) for r in runs]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(runs[0].ranks, runs[1].ranks)
    assert not torch.equal(weights[0], weights[2])


def test_a_time_limit_is_found_where_there_is_one() -> None:
    assert TaskEnv("LineEndless-v0", 2).config.horizon is None
    assert TaskEnv("LineEndless-v0", 2, max_episode_steps=7).config.horizon == 7
    assert TaskEnv(gym.wrappers.TimeLimit(Line(), 9), 2).config.horizon == 9
    assert len(explore(TaskEnv("LineEndless-v0", 2), 0).rewards) == 2 * 256


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"fragment": 17}, "Fragments of 17 steps, but episodes of Line-v0 have 16"),
        ({"questions": 2}, "rounds is 5; expected 1 to 2"),
        ({"size": 7}, "size is 7"),
        ({"choices": 4}, "choices is 4; expected at least 5"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, int], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TaskRLHF("Line-v0", dataclasses.replace(SMALL, **change))  # type: ignore[arg-type]


def test_bits_of_rankings_of_five() -> None:
    assert SMALL.bits == pytest.approx(20 * math.log2(120))
    assert dataclasses.replace(SMALL, size=2).bits == 20


def test_exploration_freezes_units_and_holds_actions() -> None:
    env = TaskEnv("Line-v0", 10)
    found = explore(env, 5)
    torch.testing.assert_close(found.obs.mean(0), torch.zeros(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.obs.flatten().std(), torch.tensor(1.0), atol=1e-4, rtol=0)
    acted = found.actions.view(10, 16)
    changes = (acted[:, 1:] != acted[:, :-1]).sum(1)
    assert changes.tolist() == [15, 7, 3, 1, 0] * 2
    again, _ = env.reset(seed=5)
    torch.testing.assert_close(again, found.obs.view(10, 16, 1)[:, 0])


def test_fragments_are_consecutive_steps_of_one_episode() -> None:
    time = torch.arange(9.0)[:, None] + 100 * torch.arange(4.0)
    never = torch.zeros(9, 4, dtype=torch.bool)
    episodes = Experience.of_rows(time[..., None], -time[..., None], time, never, never)
    found = uniform_fragments(episodes, 3, (50, 2), GENERATOR.manual_seed(0))
    assert found.features.shape == (50, 2, 3, 2)
    assert bool((found.rewards.diff(dim=-1) == 1).all())
    assert bool(found.mask.all())
    assert torch.equal(found.features[..., 0], found.rewards)
    assert set((found.rewards[..., 0] % 100).flatten().tolist()) == set(range(7))


def test_the_oracle_ranks_by_return_and_ties_what_is_close() -> None:
    rewards = torch.tensor([[[1.0, 2.0], [4.0, 4.0], [0.0, 0.5], [4.0, 4.2]]])
    assert Teacher().rank(rewards, GENERATOR).tolist() == [[3, 2, 4, 1]]
    assert Teacher(tie=0.5).rank(rewards, GENERATOR).tolist() == [[2, 1, 3, 1]]
    # Only the last step counts: 2, 4, 0.5, 4.2; then reversed by mistake.
    assert Teacher(myopia=1e-9).rank(rewards, GENERATOR).tolist() == [[3, 2, 4, 1]]
    assert Teacher(mistake=1.0).rank(rewards, GENERATOR).tolist() == [[2, 3, 1, 4]]


def test_a_stochastic_teacher_follows_plackett_luce() -> None:
    rewards = torch.tensor([[[0.0], [1.0], [2.0]]]).expand(20_000, 3, 1)
    ranks = Teacher(rationality=0.7).rank(rewards, GENERATOR.manual_seed(1))
    strength = torch.tensor([0.0, 0.7, 1.4]).exp()
    order = strength[2] / strength.sum() * strength[1] / strength[:2].sum()
    assert float((ranks == 1).float().mean(0)[2]) == pytest.approx(
        float(strength[2] / strength.sum()), abs=0.015
    )
    assert float((ranks == torch.tensor([3, 2, 1])).all(1).float().mean()) == pytest.approx(
        float(order), abs=0.015
    )


def drawn(
    count: int, inputs: int, seed: int, reward: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[Fragments, torch.Tensor]:
    """`count` rankings of five fragments of three steps by their sums of `reward`."""
    generator = GENERATOR.manual_seed(seed)
    features = torch.randn(count, 5, 3, inputs, generator=generator)
    rewards = reward(features)
    lived = torch.ones(count, 5, 3, dtype=torch.bool)
    return Fragments(features, rewards, lived), Teacher().rank(rewards, generator)


@pytest.mark.parametrize("seed", [2, 3])
def test_ten_rankings_find_the_two_of_twelve_features_that_count(seed: int) -> None:
    def worth(x: torch.Tensor) -> torch.Tensor:
        return x[..., 0] - x[..., 2].square()

    questions, ranks = drawn(10, 12, seed, worth)
    model = TaskReward(12).fit(questions, ranks, torch.randn(2_000, 12))
    fresh, truth = drawn(200, 12, seed + 50, worth)
    right = agreement(model.rewards(fresh.features).sum(-1), truth)
    assert right > 0.9
    dense = TaskReward(12, TaskRewardConfig(passes=0)).fit(questions, ranks, torch.randn(2_000, 12))
    plain = agreement(dense.rewards(fresh.features).sum(-1), truth)
    assert plain < right - 0.02, "determination of relevance must pay"


def test_waves_reach_what_no_polynomial_of_degree_two_does() -> None:
    def worth(x: torch.Tensor) -> torch.Tensor:
        return (3 * x[..., 0]).sin()

    questions, ranks = drawn(80, 2, 4, worth)
    fresh, truth = drawn(200, 2, 5, worth)
    found = [
        TaskReward(2, TaskRewardConfig(waves=w)).fit(questions, ranks, torch.randn(2_000, 2))
        for w in (1e-6, 0.3)
    ]
    without, with_waves = (agreement(m.rewards(fresh.features).sum(-1), truth) for m in found)
    assert with_waves > 0.8 > 0.75 > without


def test_the_reward_is_the_mean_less_pessimism_times_variance_in_units_of_the_pool() -> None:
    questions, ranks = drawn(10, 3, 6, lambda x: x[..., 1])
    pool = torch.randn(4_000, 3, generator=GENERATOR.manual_seed(7))
    bold, cautious = (
        TaskReward(3, TaskRewardConfig(pessimism=p, samples=200)).fit(questions, ranks, pool)
        for p in (0.0, 0.5)
    )
    paid = bold.rewards(pool)
    assert float(paid.std()) == pytest.approx(1, abs=1e-3)
    members = bold.members(pool) / bold._unit
    torch.testing.assert_close(members.mean(0), paid, atol=0.05, rtol=0.2)
    torch.testing.assert_close(cautious.rewards(pool), paid - 0.5 * members.var(0))
    far = torch.full((1, 3), 8.0)
    assert float(bold.members(far).std()) > 3 * float(bold.members(pool).std(0).mean())


def test_the_posterior_matches_its_own_draws() -> None:
    totals = torch.randn(4, 5, 30, generator=GENERATOR.manual_seed(8)).double()
    totals = totals - totals.mean(1, keepdim=True)
    ranks = Teacher().rank(totals[..., :1], GENERATOR)
    posterior = Posterior.of(totals, ranks, torch.full((30,), 2.0).double(), 0.02)
    draws = posterior.draw(20_000, GENERATOR.manual_seed(9))
    torch.testing.assert_close(draws.mean(0), posterior.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(draws.var(0), posterior.variance, atol=0.05, rtol=0)
    assert int(posterior.mean.abs().argmax()) == 0
    assert float(posterior.variance.max()) <= 1 + 1e-9, "answers never widen the prior"


def test_tied_rankings_teach_indifference() -> None:
    features = torch.randn(40, 4, 5, 2, generator=GENERATOR.manual_seed(3))
    lived = torch.ones(40, 4, 5, dtype=torch.bool)
    questions = Fragments(features, torch.zeros(40, 4, 5), lived)
    tied = TaskReward(2).fit(questions, torch.ones(40, 4, dtype=torch.long), features.flatten(0, 2))
    assert float(tied.members(features).sum(-1).std((1, 2)).max()) < 0.5


def test_questions_before_any_answer_come_from_the_prior() -> None:
    pool = torch.randn(500, 3, generator=GENERATOR.manual_seed(1))
    model = TaskReward(3).guess(pool, 4)
    worth = model.members(pool.view(125, 4, 3)).sum(-1)
    assert float(worth.std(1).mean()) == pytest.approx(3, rel=0.5)
    assert float(model._mean.abs().max()) == 0, "no side is taken"


def test_nothing_is_learned_from_nothing() -> None:
    lived = torch.ones(0, 5, 4, dtype=torch.bool)
    empty = Fragments(torch.zeros(0, 5, 4, 2), torch.zeros(0, 5, 4), lived)
    with pytest.raises(FeedbackError, match="at least one question"):
        TaskReward(2).fit(empty, torch.zeros(0, 5, dtype=torch.long), torch.zeros(1, 2))
    with pytest.raises(FeedbackError, match="not been fitted"):
        TaskReward(2).rewards(torch.zeros(3, 2))


def test_agreement_counts_untied_pairs() -> None:
    ranks = torch.tensor([[1, 2, 3], [1, 1, 2]])
    scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]])
    assert agreement(scores, ranks) == pytest.approx(3 / 5)


@pytest.mark.extra("mujoco")
def test_a_mujoco_task_takes_a_step_of_the_loop() -> None:
    config = TaskConfig(
        questions=2, rounds=1, steps=200, envs=2, fragment=10, reward=TaskRewardConfig(count=8)
    )
    agent = TaskRLHF("Reacher-v5", config).train()
    assert agent.steps == 200
    assert math.isfinite(agent.evaluate(episodes=2)["mean_return"])
