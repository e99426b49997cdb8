"""Hooks of `MarketEnv`: early ends, samplers of windows, costs as a function of fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.loop import RLHF
from tradinghf.market import features, synthetic
from tradinghf.simulation import BarFills, LabelledWindows, MarketEnv, Transition, Windows

MARKET = synthetic(seed=0, bars=400, assets=2)
TASK = EnvConfig(horizon=12)


def fallen(happened: Transition) -> Tensor:
    return happened.drawdown > 0.01


def walk(env: MarketEnv, steps: int, seed: int = 0) -> Iterator[tuple[Any, ...]]:
    """What `steps` random steps returned."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield env.step(torch.randint(5, (env.num_envs,), generator=generator))


# ---------------------------------------------------------------------- early ends


@pytest.mark.parametrize("engine", ["fused", "tensor"])
def test_an_episode_ends_where_the_account_says_so_and_the_next_begins(engine: Any) -> None:
    env = MarketEnv(MARKET, num_envs=6, config=TASK, termination=fallen, engine=engine)
    _, info = env.reset(seed=1)
    start, steps = info["start"].clone(), torch.zeros(6, dtype=torch.long)
    early = 0
    for obs, _, terminated, truncated, told in walk(env, 60):
        steps += 1
        over = terminated | truncated
        assert not bool((terminated & truncated).any())
        assert torch.equal(truncated, (steps == 12) & ~terminated)
        assert torch.equal(told["start"], start)
        if bool(over.any()):
            assert torch.equal(told["_final_obs"], over)
            assert not torch.equal(told["final_obs"][over], obs[over])
            begun = env.state
            assert torch.equal(begun.bar[over], begun.start[over])
            start, steps = begun.start.clone(), torch.where(over, 0, steps)
        early += int(terminated.sum())
    assert early > 5


def test_what_is_open_at_an_early_end_counts_as_realised() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=TASK, termination=fallen, reward="sparse_pnl")
    env.reset(seed=1)
    paid, seen = torch.zeros(8), 0
    for _ in range(40):
        _, reward, terminated, truncated, info = env.step([4] * 8)
        paid += reward
        over = terminated | truncated
        torch.testing.assert_close(paid[over], (info["equity"] - 1)[over], atol=1e-5, rtol=1e-4)
        paid, seen = paid.masked_fill(over, 0.0), seen + int(terminated.sum())
    assert seen > 5


def test_early_ends_in_every_way_to_reset() -> None:
    calls = {"termination": fallen, "market": MARKET, "horizon": 12}
    single = gymnasium.make("tradinghf/Market-v0", **calls)
    single.reset(seed=3)
    lengths = []
    for _ in range(12):
        over, steps = False, 0
        while not over:
            *_, terminated, truncated, _ = single.step(4)
            over, steps = terminated or truncated, steps + 1
        lengths.append((steps, terminated))
        single.reset()
    assert any(terminated and steps < 12 for steps, terminated in lengths)
    vector = gymnasium.make_vec("tradinghf/Market-v0", num_envs=1, **calls)
    vector.reset(seed=3)
    found = []
    for _ in range(12):
        steps = 0
        while True:
            _, _, terminated, truncated, _ = vector.step(np.array([4]))
            steps += 1
            if terminated[0] or truncated[0]:
                found.append((steps, bool(terminated[0])))
                vector.step(np.array([4]))  # the reset
                break
    assert found == lengths
    waits = MarketEnv(
        MARKET, num_envs=4, config=EnvConfig(horizon=12, autoreset="disabled"), termination=fallen
    )
    waits.reset(seed=1)
    *_, last = walk(waits, 12)
    assert bool((last[2] ^ last[3]).all())
    assert bool(last[2].any())
    mask = last[2]
    waits.reset(options={"reset_mask": mask})
    (again,) = walk(waits, 1)
    assert torch.equal((again[2] | again[3])[~mask], torch.ones(int((~mask).sum())).bool())
    assert not bool(again[3][mask].any())


def test_ppo_trains_where_episodes_end_early_and_rankings_want_whole_ones() -> None:
    env = MarketEnv(MARKET, num_envs=8, config=TASK, termination=fallen)
    agent = PPO(env, {"env": Stream(env_reward)}, PPOConfig(hidden=(8,), minibatches=2))
    assert not agent.whole_episodes
    assert agent.train(2)[-1]["bad_gradients"] == 0
    with pytest.raises(ConfigError, match="ranks episodes of one length"):
        RLHF(env, trader="drawdown")


# ---------------------------------------------------------------------- windows


def test_labels_and_weights_decide_where_episodes_start() -> None:
    labels = np.zeros((400, 2), np.int64)
    labels[100:130, 1], labels[300:] = 1, -1
    sampler = LabelledWindows(labels)
    env = MarketEnv(MARKET, num_envs=2000, config=TASK, sampler=sampler, seed=5)
    _, info = env.reset()
    drawn = labels[info["start"].numpy(), info["asset"].numpy()]
    share = Counter(drawn.tolist())
    assert set(share) == {0, 1}
    assert share[1] / 2000 == pytest.approx(0.5, abs=0.04)  # two strata, alike
    rare = info["start"][info["asset"] == 1]
    assert len(set(rare[(rare >= 100) & (rare < 130)].tolist())) == 30
    sampler.weights = {0: 0.0, 1: 3.0}
    _, info = env.reset()
    assert bool(((info["start"] >= 100) & (info["start"] < 130) & (info["asset"] == 1)).all())
    again = env.like(num_envs=3)
    one, other = again.reset(seed=9)[1]["start"], env.reset(seed=9)[1]["start"][:3]
    assert torch.equal(one, other)


def test_a_regime_by_a_feature_and_a_function_of_ones_own() -> None:
    volatility = features(MARKET, ("volatility_20",))[..., 0]
    regime = np.digitize(volatility, np.quantile(volatility, [1 / 3, 2 / 3]))
    env = MarketEnv(MARKET, num_envs=300, config=TASK, sampler=LabelledWindows(regime))
    _, info = env.reset(seed=0)
    count = np.bincount(regime[info["start"].numpy(), info["asset"].numpy()])
    assert count == pytest.approx([100, 100, 100], abs=30)

    def latest(windows: Windows, unit: Tensor) -> Tensor:
        return torch.as_tensor(np.flatnonzero(windows.start == windows.start.max()))[
            (unit * 2).long()
        ]

    single = gymnasium.make("tradinghf/Market-v0", market=MARKET, horizon=12, sampler=latest)
    assert {single.reset(seed=s)[1]["start"] for s in range(5)} == {400 - 13}
    assert single.reset()[1]["start"] == 400 - 13


# ---------------------------------------------------------------------- costs of fills


def test_a_cost_of_fills_is_paid_from_cash_and_told_as_costs() -> None:
    def squared(fills: BarFills) -> Tensor:
        return 1e-6 * fills.notional**2 / 1e3

    plain = MarketEnv(MARKET, num_envs=3, config=TASK, costs=CostModel(0.0, 0.0, 0.0))
    dear = MarketEnv(
        MARKET, num_envs=3, config=TASK, costs=CostModel(0.0, 0.0, 0.0), fill_cost=squared
    )
    for env in (plain, dear):
        env.reset(seed=2)
    _, _, _, _, before = plain.step([4, 2, 3])
    _, _, _, _, after = dear.step([4, 2, 3])
    asked = 1e-9 * (before["turnover"] * 1e5) ** 2 / 1e5
    torch.testing.assert_close(before["equity"] - after["equity"], asked, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(after["costs"], asked, atol=1e-6, rtol=1e-3)
    assert after["costs"][1] == 0


def test_fill_costs_add_up_in_what_is_realised() -> None:
    env = MarketEnv(
        MARKET,
        num_envs=16,
        config=TASK,
        reward="sparse_pnl",
        fill_cost=lambda f: 0.001 * f.notional,
    )
    env.reset(seed=2)
    total = torch.zeros(16)
    for *_, info in walk(env, 12):
        total += info["realised_pnl"]
    torch.testing.assert_close(total, info["equity"] - 1, atol=1e-5, rtol=1e-4)
    book = MarketEnv(
        MARKET,
        num_envs=4,
        config=EnvConfig(horizon=12, portfolio=True, actions="continuous"),
        fill_cost=lambda f: 0.01 * f.notional,
    )
    book.reset(seed=0)
    *_, info = book.step(torch.full((4, 2), 0.5))
    assert bool((info["costs"] > 0.009).all())


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ({"termination": 0.2}, "termination is 0.2; expected a function"),
        ({"termination": lambda t: t.drawdown}, r"float32 \[4\]; expected a bool tensor"),
        ({"termination": lambda t: True}, "returned True; expected a bool tensor"),
        ({"sampler": [1, 2]}, r"sampler is \[1, 2\]; expected a function"),
        ({"sampler": lambda w, u: u}, "expected 4 whole numbers from 0 to"),
        ({"sampler": lambda w, u: (u * 0).long() + len(w)}, "whole numbers from 0 to"),
        ({"sampler": LabelledWindows(np.zeros((50, 2), int))}, "labels are .50, 2., but"),
        ({"sampler": LabelledWindows(np.zeros(400, int), {3: 1.0})}, "weights are"),
        ({"fill_cost": 1.0}, "fill_cost is 1.0; expected a function of BarFills"),
        ({"fill_cost": lambda f: f.notional.sum()}, r"fill_cost=...\) returned float32 \[\]"),
        ({"fill_cost": lambda f: f.notional / 0}, "not finite"),
        ({"fill_cost": lambda f: f.notional, "engine": "fused"}, "engine='fused' steps on"),
    ],
)
def test_hooks_that_cannot_be_are_named(hooks: dict[str, Any], said: str) -> None:
    def two_steps() -> None:
        env = MarketEnv(MARKET, num_envs=4, config=TASK, **hooks)
        env.reset(seed=0)
        list(walk(env, 2))

    with pytest.raises(ConfigError, match=said):
        two_steps()


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(ConfigError, match=r"labels are float64 \[3\]"):
        LabelledWindows([0.5, 1.0, 2.0])
