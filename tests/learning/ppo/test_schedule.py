"""Schedules as functions, the KL that ends an iteration, callbacks, and what is logged of them."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=600, assets=2)


def agent_of(actions: str = "discrete", callbacks: Any = (), **settings: Any) -> PPO:
    task = EnvConfig(horizon=16, actions=actions)  # type: ignore[arg-type]
    env = MarketEnv(MARKET, num_envs=8, config=task)
    config = PPOConfig(hidden=(8,), minibatches=2, **settings)
    return PPO(env, {"env": Stream(env_reward)}, config, callbacks=callbacks)


def test_schedules_are_functions_of_the_share_that_is_left() -> None:
    agent = agent_of(
        learning_rate=lambda left: 1e-3 * left + 1e-4,
        clip=lambda left: 0.1 + 0.1 * left,
        entropy=lambda left: 0.01 if left > 0.5 else 0.0,
    )
    rows = agent.train(3)
    assert [row["learning_rate"] for row in rows] == pytest.approx([1.1e-3, 6e-4, 1e-4])
    assert [row["clip"] for row in rows] == pytest.approx([0.2, 0.15, 0.1])
    assert [row["entropy_weight"] for row in rows] == [0.01, 0.0, 0.0]
    plain = agent_of().train(3)
    assert [row["learning_rate"] for row in plain] == pytest.approx([1e-3, 5.5e-4, 1e-4])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": lambda left: float("nan")}, "learning_rate: the schedule gave nan"),
        ({"clip": lambda left: 0.0}, "clip: the schedule gave 0.0"),
        ({"entropy": lambda left: {}["x"]}, "entropy: the schedule failed at 1 of"),
        ({"learning_rate": "linear"}, "learning_rate is 'linear', a str; expected a number or a f"),
        ({"target_kl": 0.1, "graphs": "iteration"}, 'target_kl is 0.1.*"step" stops early'),
        ({"graphs": True}, "graphs is True"),
        ({"target_kl": 0.0}, "target_kl"),
    ],
)
def test_schedules_that_cannot_be_are_named(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        agent_of(**settings).train(1)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_no_further_pass_once_the_policy_is_far_enough(actions: str) -> None:
    """The compiled update and the plain one alike."""

    def steps_of(most: float | None) -> int:
        agent = agent_of(actions, target_kl=most, epochs=6, learning_rate=3e-3)
        agent.train(1)
        return int(agent.state()["optimiser"]["count"])

    assert steps_of(None) == 12
    assert steps_of(1e-12) == 2
    assert steps_of(1e6) == 12


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_the_norm_of_the_gradient_is_logged_before_it_is_scaled_down(actions: str) -> None:
    norms = [
        agent_of(actions, epochs=1, max_gradient_norm=most).train(1)[0]["gradient_norm"]
        for most in (1e-4, 100.0)
    ]
    assert min(norms) > 1e-2
    assert norms[0] == pytest.approx(norms[1], rel=0.2)


def test_callbacks_see_every_iteration_and_may_end_the_training() -> None:
    seen: list[tuple[int, float]] = []

    def note(agent: PPO, metrics: dict[str, float]) -> None:
        seen.append((agent.iteration, metrics["step"]))

    def enough(agent: PPO, metrics: dict[str, float]) -> bool:
        return agent.iteration < 2

    agent = agent_of(callbacks=[note, enough])
    assert len(agent.train(5)) == 2
    assert seen == [(1, 128.0), (2, 256.0)]
    assert agent.stopped
    assert agent.train(5) == []


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("streams", "options", "said"),
    [
        ({"env": env_reward}, {}, "streams is .*expected at least one reward stream by name"),
        ([Stream(env_reward)], {}, "streams is "),
        ({}, {}, "streams is {}"),
        (None, {"steps": -4}, "steps is -4; expected a whole number of at least 1"),
        (None, {"callbacks": [1]}, "callbacks holds 1; expected functions"),
        (None, {"config": {"hidden": (0,)}}, "hidden is .0,.; expected widths of at least 1"),
    ],
)
def test_what_ppo_cannot_be_given_is_named(streams: Any, options: Any, said: str) -> None:
    env = MarketEnv(MARKET, num_envs=4, config=EnvConfig(horizon=16))
    streams = {"env": Stream(env_reward)} if streams is None else streams
    with pytest.raises(ConfigError, match=said):
        PPO(env, streams, **options)


def test_ppo_says_which_environments_numbers_and_names_it_takes() -> None:
    stream = {"env": Stream(env_reward)}
    with pytest.raises(ConfigError, match=r"TimeLimit as environment; expected a vector"):
        PPO(gymnasium.make("CartPole-v1"), stream)  # type: ignore[arg-type]
    agent = agent_of()
    with pytest.raises(ConfigError, match=r"iterations is 1\.5"):
        agent.train(1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Unknown reward stream .evn.\. Did you mean .env."):
        agent.weigh("evn", 1.0)
