"""Environments, rewards and agents of one's own in the loop on tasks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

from tradinghf import RLHF
from tradinghf.errors import ConfigError, FeedbackError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.tasks import (
    Fragments,
    NetworkReward,
    PaidEnv,
    TaskConfig,
    TaskRLHF,
    Teacher,
)
from tradinghf.learning.tasks._env import TaskEnv
from tradinghf.learning.tasks._experience import Experience, explore
from tradinghf.learning.tasks._fragments import uniform_fragments
from tradinghf.learning.tasks._paid import Pay

PPO = pytest.importorskip("stable_baselines3").PPO
SMALL = TaskConfig(
    questions=4,
    rounds=2,
    fragment=8,
    choices=12,
    steps=1_500,
    envs=2,
    ppo=PPOConfig(hidden=(8,), minibatches=2, gamma=0.9, bootstrap=True),
)


class Walk(gym.Env[Any, Any]):
    """A point that falls off beyond 1 on either side, paid 1 for each of 40 steps on the line.

    observation: [1] position. action: 0 left, 1 right, or a push in [-1, 1].
    """

    def __init__(self, pushed: bool = False) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (1,))
        self.action_space: Any = spaces.Box(-1, 1, (1,)) if pushed else spaces.Discrete(2)
        self.pushed = pushed

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.x, self.left = self.np_random.uniform(-0.5, 0.5), 40
        return np.array([self.x], np.float32), {}

    def step(self, action: Any) -> Any:
        push = float(np.asarray(action).reshape(-1)[0])
        self.x += 0.2 * (push if self.pushed else 2 * push - 1)
        self.left -= 1
        return np.array([self.x], np.float32), 1.0, abs(self.x) > 1, self.left == 0, {}


def per_step(inputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))


class Whole(nn.Module):
    """Features [B, L, D] to [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = per_step()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).sum(1)[:, 0]  # type: ignore[no-any-return]


class Remembers(nn.Module):
    """Features [B, L, D] to [B, L] through a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gru(x)[0])[..., 0]  # type: ignore[no-any-return]


def test_a_fragment_ends_where_the_task_terminates_and_nowhere_else() -> None:
    """Rows: one episode of 5 steps that terminates, 4 that a time limit cuts, 6 cut by the end."""
    value = torch.arange(15.0)[:, None, None]
    terminated, truncated = torch.zeros(2, 15, 1, dtype=torch.bool)
    terminated[4], truncated[8] = True, True
    episodes = Experience.of_rows(value, -value, value[..., 0], terminated, truncated)
    drawn = uniform_fragments(episodes, 3, (400,), torch.Generator().manual_seed(0))
    rows = {tuple(f[m].tolist()) for f, m in zip(drawn.rewards, drawn.mask, strict=True)}
    whole = {(a, a + 1.0, a + 2.0) for a in (0.0, 1.0, 2.0, 5.0, 6.0, 9.0, 10.0, 11.0, 12.0)}
    assert rows == whole | {(3.0, 4.0), (4.0,)}
    assert bool((drawn.features[~drawn.mask] == 0).all() & (drawn.rewards[~drawn.mask] == 0).all())
    with pytest.raises(ConfigError, match=r"20 steps, but the longest episode has 9.*fragment="):
        uniform_fragments(_cut_only(value), 20, (3,), torch.Generator())


def _cut_only(value: Tensor) -> Experience:
    never, truncated = torch.zeros(2, 15, 1, dtype=torch.bool)
    truncated[8] = True
    return Experience.of_rows(value, -value, value[..., 0], never, truncated)


@pytest.mark.parametrize("network", [None, per_step(), Whole(), Remembers()])
def test_staying_alive_is_learned_from_fragments_of_different_lengths(network: Any) -> None:
    config = TaskConfig(
        questions=12, rounds=1, fragment=8, choices=12, steps=400, envs=2, ppo=SMALL.ppo
    )
    agent = TaskRLHF(Walk, config, reward=network).train()
    assert agent.asked is not None
    assert len(agent.asked.lengths.unique()) > 2
    assert agent.evaluate(episodes=8, rankings=100)["accuracy"] > 0.8
    found = agent._past[0]
    paid = agent.reward.rewards(found.features, found.ended)
    assert paid.shape == found.rewards.shape
    assert float(paid.square().mean().sqrt()) == pytest.approx(1, abs=0.7)
    if not isinstance(network, Whole):
        assert float(paid.mean()) > 0.2, "to live through a step is worth something"


@pytest.mark.parametrize("network", [per_step(), Whole(), Remembers()])
def test_agents_of_others_are_paid_as_our_own(network: nn.Module) -> None:
    """Step by step in the environment, or a whole rollout at once: the same reward."""
    task = TaskEnv(Walk, 3)
    first = explore(task, 0)
    reward = NetworkReward(network, 3, seed=1).guess(first.features, 6)
    env = PaidEnv(task, Pay(reward, env_weight=0.5, env_scale=2.0), seed=4)
    env.reset()
    rows = []
    for step in range(30):
        _, paid, terminated, _, told = env.step(np.array([0, 1, step % 2]))
        rows.append(paid)
        if terminated.any():
            ended = np.flatnonzero(terminated)
            assert (told["episode"]["r"][ended] == told["episode"]["l"][ended]).all()
    taken = env.taken()
    assert taken is not None
    assert env.taken() is None
    learned = reward.rewards(taken.features, taken.ended).view(3, 30).T
    np.testing.assert_allclose(np.stack(rows), learned.double() + 0.25, atol=1e-5)
    assert env.steps == 90


@pytest.mark.parametrize(
    ("network", "match"),
    [
        (nn.Linear(2, 1), r"Linear gives \['an error: mat1.*features \[B, L, 3\]"),
        (nn.Linear(3, 2), r"gives \[2, 8, 2\] for features \[2, 8, 3\]"),
    ],
)
def test_a_network_of_another_shape_is_refused(network: nn.Module, match: str) -> None:
    with pytest.raises(FeedbackError, match=match):
        TaskRLHF(Walk, SMALL, reward=network).train()


class Still:
    """An agent by the protocol: does one thing, and counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, env: PaidEnv, seed: int) -> None:
        self.env, self.told = env, [f"begin {env.num_envs} {seed}"]
        env.reset(seed=seed)

    def learn(self, steps: int) -> None:
        self.told.append("learn")
        for _ in range(-(-steps // self.env.num_envs)):
            self.env.step(np.array([a.sample() for a in [self.env.single_action_space] * 2]))

    def act(self, obs: Any) -> Any:
        return np.zeros(len(obs), dtype=np.int64)

    def reward_changed(self, env: PaidEnv) -> None:
        self.told.append("changed")


def cleanrl(envs: Any, steps: int, before: Any) -> Any:
    """Random play; acts to the right once it was called twice."""
    envs.reset(seed=1)
    for _ in range(steps // envs.num_envs + 1):
        envs.step(np.array([envs.single_action_space.sample() for _ in range(envs.num_envs)]))
    right = before is not None
    return lambda obs: np.full(len(obs), int(right))


def test_agents_of_every_kind_learn_in_turns() -> None:
    still = Still()
    agent = TaskRLHF(Walk, SMALL, reward=per_step(), agent=still).train()
    assert still.told == ["begin 2 0", "learn", "changed", "learn"]
    assert agent.agent is still
    assert 1_500 <= agent.steps < 1_510
    assert len(agent.ranks) == 4
    taught = TaskRLHF(Walk, SMALL, agent=cleanrl).train()
    assert (taught.agent.act(np.zeros((3, 1))) == 1).all(), "the second call got the first's"
    own = PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=64, device="cpu", seed=0)
    with pytest.raises(ConfigError, match=r"agent PPO does not fit the task.*Walk"):
        TaskRLHF(Walk, SMALL, agent=own).train()
    of_class = TaskRLHF(Walk, SMALL, agent=PPO)
    assert of_class.config.envs == 2
    trained = PPO("MlpPolicy", Walk(), n_steps=64, batch_size=32, n_epochs=1, device="cpu", seed=0)
    found = TaskRLHF(Walk, SMALL, agent=trained).train()
    assert found.agent.algorithm.num_timesteps == found._learner.env.steps >= 900  # type: ignore[union-attr]
    assert found.evaluate(episodes=2)["mean_return"] >= 1


def test_what_a_replay_buffer_remembers_is_paid_anew() -> None:
    from stable_baselines3 import DQN, SAC

    tiny = {"buffer_size": 600, "learning_starts": 10, "device": "cpu", "seed": 0}
    for kind, pushed in ((DQN, False), (SAC, True)):
        algorithm = kind("MlpPolicy", Walk(pushed), batch_size=8, train_freq=64, **tiny)
        agent = TaskRLHF(
            lambda p=pushed: Walk(p), SMALL, reward=per_step(2 + (not pushed)), agent=algorithm
        )
        agent.train(steps=800)
        memory, env = algorithm.replay_buffer, agent._learner.env  # type: ignore[union-attr]
        before = memory.rewards[:40].copy()
        taken = agent._fresh[-1]
        agent.reward.guess(taken.features, 8)
        agent._learner.rewarded()
        paid = agent.reward.rewards(taken.features, taken.ended).numpy()
        now = memory.rewards[:40, 0]
        assert not np.allclose(now, before[:, 0], atol=1e-3)
        held = memory.pos if not memory.full else memory.buffer_size
        np.testing.assert_allclose(memory.rewards[held - 40 : held, 0], paid[-40:], atol=1e-4)
        assert env.repays  # type: ignore[union-attr]


def test_any_environment_makes_rlhf_the_loop_on_tasks() -> None:
    given = (
        "CartPole-v1",
        gym.make("CartPole-v1"),
        gym.make_vec("CartPole-v1", num_envs=3),
        gym.wrappers.TimeLimit(Walk(), 40),
        Walk,
        lambda: gym.wrappers.FlattenObservation(Walk()),
        "FrozenLake-v1",
        gym.wrappers.TransformReward(Walk(), lambda r: r),
    )
    for env in given:
        agent = RLHF(env, config=SMALL)
        assert isinstance(agent, TaskRLHF)
        assert agent.env.num_envs == 2
    agent = RLHF(Walk(), trader=Teacher(tie=0.5), config=SMALL).train()
    assert agent.train(rankings=5, steps=2_600).history[-1]["questions"] == 5
    assert agent.steps >= 2_500
    with pytest.warns(UserWarning, match="nothing left to do: 5 rankings"):
        agent.train(rankings=5, steps=2_600)


def judge(shown: Fragments) -> Any:
    """The longer, the better."""
    return 1 + (shown.lengths[..., None] < shown.lengths[:, None, :]).sum(-1)


def test_a_function_may_rank() -> None:
    agent = RLHF(Walk, trader=judge, config=SMALL).train()
    assert agent.asked is not None
    assert torch.equal(agent.ranks, judge(agent.asked))
    assert agent.evaluate(rankings=50)["accuracy"] > 0.5
    with pytest.raises(ConfigError, match=r"ranks of 2 questions are .*shape \(2, 5\)"):
        RLHF(Walk, trader=lambda shown: [1, 2], config=SMALL).train()


def test_the_tasks_own_reward_may_pay_too() -> None:
    config = TaskConfig(**{**vars(SMALL), "env_weight": 1.0})
    agent = RLHF(Walk, config=config).train()
    assert list(agent.agent.streams) == ["learned", "env"]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RLHF("NoSuchTask-v0"), r"no environment 'NoSuchTask-v0'.*Register it"),
        (lambda: RLHF(3), r"got a int as environment; expected a MarketEnv.*id or class"),
        (lambda: RLHF(Walk, trader="drawdown"), r"judges market episodes.*Teacher"),
        (lambda: RLHF(Walk, config=RLHFConfig()), r"TaskConfig\(questions"),
        (lambda: RLHF(Walk, out="runs/x"), r"no use for out \(a run directory"),
        (lambda: RLHF(Walk, trainer="me"), r"no argument trainer"),
        (lambda: RLHF(Walk, RewardModel()), r"RewardModel, which has no ready, guess.*MarketEnv"),
        (lambda: RLHF(Walk, agent="PPO"), r"agent is 'PPO'; expected .*Stable-Baselines3"),
        (lambda: RLHF(Walk, agent=lambda envs: None), r"function \(envs, steps, before\)"),
        (lambda: RLHF(dict), r"dict\(\) made a dict; expected a gymnasium.Env"),
        (
            lambda: RLHF(
                gym.wrappers.vector.NormalizeReward(SyncVectorEnv([Walk, Walk])), config=SMALL
            ),
            r"NormalizeReward resets .*SAME_STEP.*wrappers of single",
        ),
    ],
)
def test_what_cannot_be_plugged_in_says_what_can(make: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make()


def test_an_agent_that_trains_elsewhere_is_found_out() -> None:
    with pytest.raises(ConfigError, match=r"was to learn for .* and took none in its environment"):
        TaskRLHF(Walk, SMALL, agent=lambda envs, steps, before: lambda obs: obs).train()
    with pytest.raises(ConfigError, match=r"function returned a NoneType; expected a function"):
        TaskRLHF(Walk, SMALL, agent=lambda envs, steps, before: None).train()


def test_rewards_that_are_not_finite_are_named() -> None:
    class Broken(Walk):
        def step(self, action: Any) -> Any:
            obs, _, *rest = super().step(action)
            return obs, float("nan"), *rest

    with pytest.raises(ConfigError, match=r"Broken gave a reward that is not finite at step 0"):
        TaskRLHF(Broken, SMALL)


@pytest.mark.slow
def test_fifty_rankings_teach_an_agent_of_stable_baselines() -> None:
    """S >= 0.9, between random actions and the best return."""
    network = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))
    agent = PPO("MlpPolicy", "CartPole-v1", device="cpu", seed=0)
    config = TaskConfig(questions=50, steps=60_000)
    loop = RLHF(gym.make("CartPole-v1"), network, agent=agent, config=config).train()
    assert len(loop.ranks) == 50
    assert (loop.evaluate()["mean_return"] - 22) / (500 - 22) >= 0.9


@pytest.mark.slow
def test_fifty_rankings_teach_continuous_actions_to_sac() -> None:
    """S >= 0.9, between random torques (-1,230) and what is reached on the true reward (-150)."""
    from stable_baselines3 import SAC

    network = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
    agent = SAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, device="cpu", seed=1)
    config = TaskConfig(questions=50, steps=10_000, seed=1)
    loop = RLHF("Pendulum-v1", network, agent=agent, config=config).train()
    assert len(loop.ranks) == 50
    assert (loop.evaluate(episodes=32)["mean_return"] + 1_230) / (1_230 - 150) >= 0.9


def test_vector_environments_of_ones_own_are_used_as_they_are() -> None:
    envs = SyncVectorEnv([Walk] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    wrapped = gym.vector.VectorWrapper(envs)
    assert RLHF(wrapped, config=SMALL).env.vector is wrapped
    with pytest.raises(ConfigError, match=r"made for 4 environments, but .* has 2"):
        RLHF(wrapped, config=SMALL, agent=_of_four())


def _of_four() -> Any:
    from stable_baselines3.common.vec_env import DummyVecEnv

    return PPO("MlpPolicy", DummyVecEnv([Walk] * 4), n_steps=16, device="cpu")
