"""Demonstrations: compared with what others do in their windows, and copied by a first policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.fills import CASH, random_account, write_generic

from tradinghf.config import Allocation, CostModel, EnvConfig
from tradinghf.episodes import Episode
from tradinghf.errors import ConfigError
from tradinghf.feedback import OWN_SOURCE, own_trades
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.reward import RewardModel
from tradinghf.loop import (
    RLHF,
    collect,
    compare_demonstrations,
    constant_actor,
    strategy_actor,
)
from tradinghf.loop._copied_books import held_by_hand, pieces, scores_of
from tradinghf.loop._demonstrations import copy_demonstrations, located
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv, random_windows

TASK = EnvConfig(lookback=2, horizon=24, levels=(0.0, 1.0), features=("momentum_20", "log_return"))


def demonstrations(
    market: MarketData, rule: str, count: int, seed: int, **params: float
) -> list[Episode]:
    """What a rule traded, as if a person had."""
    windows = random_windows(market, replace(TASK, lookback=30), count, seed)
    rows = collect(market, [strategy_actor(rule, market, **params)], windows, config=TASK)
    return [replace(row[0], source=f"{OWN_SOURCE}ann") for row in rows]


def test_a_policy_begins_as_the_trader_trades() -> None:
    market = synthetic(seed=3, bars=1500, assets=2)
    own = demonstrations(market, "momentum", 60, 1, lookback=20, every=1)
    env = MarketEnv(market, num_envs=2, config=TASK)
    torch.manual_seed(0)
    network = ActorCritic(env.obs_dim, 2, 1, (32,), discrete=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert copy_demonstrations(network, env, [], passes=50, seed=0) is None
    assert copy_demonstrations(network, env, own, passes=0, seed=0) is None
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())
    found = copy_demonstrations(network, env, own, passes=100, seed=0)
    assert found is not None
    assert found.windows == 60
    assert found.decisions == 60 * 24
    assert found.commonest < 0.8
    assert found.agreement > 0.93
    critics = {n: v for n, v in network.state_dict().items() if n.startswith("critic")}
    assert all(torch.equal(before[n], v) for n, v in critics.items())


def test_a_policy_with_a_memory_copies_what_only_the_time_since_the_window_began_tells() -> None:
    """In the market at every fourth bar, in windows of two lengths."""
    market = synthetic(seed=3, bars=1500, assets=2)
    own = demonstrations(market, "momentum", 40, 1, lookback=20, every=1)
    own += [cut(e, 15) for e in own[::4]]
    own = [replace(e, position=np.where(np.arange(e.bars) % 4 == 3, 1.0, 0.0)) for e in own]
    env = MarketEnv(market, num_envs=2, config=TASK)
    found = {}
    for recurrent in (False, True):
        torch.manual_seed(0)
        network = ActorCritic(env.obs_dim, 2, 1, (16,), discrete=True, recurrent=recurrent)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        copied = copy_demonstrations(network, env, own, passes=120, seed=0)
        assert copied is not None
        assert copied.decisions == sum(e.bars for e in own)
        found[recurrent] = copied.agreement
        same = {n for n, v in network.state_dict().items() if torch.equal(before[n], v)}
        assert same == {n for n in before if n.startswith(("critic", "log_std"))}
    assert found[True] > 0.97
    assert found[False] < 0.9


def cut(episode: Episode, bars: int) -> Episode:
    """Its first bars."""
    of_bars = {"position", "turnover", "costs", "price"}
    found = {n: getattr(episode, n)[:bars] for n in of_bars}
    ends = {"open", "high", "low", "close", "volume", "timestamps", "equity"}
    return replace(episode, **found, **{n: getattr(episode, n)[: bars + 1] for n in ends})


@pytest.mark.parametrize("head", ["gaussian", "beta"])
def test_a_policy_of_any_position_begins_as_the_trader_trades(head: str) -> None:
    market = synthetic(seed=3, bars=1500, assets=2)
    own = demonstrations(market, "momentum", 60, 1, lookback=20, every=1)
    task = replace(TASK, actions="continuous")
    env = MarketEnv(market, num_envs=2, config=task)
    torch.manual_seed(0)
    network = ActorCritic(env.obs_dim, 1, 1, (32,), discrete=False, head=head)
    found = copy_demonstrations(network, env, own, passes=400, seed=0)
    assert found is not None
    assert found.agreement > found.commonest + 0.2


@pytest.mark.parametrize("kind", ["levels", "any number", "softmax", "perceptron"])
def test_a_portfolio_begins_as_the_trader_trades_its_assets(kind: str) -> None:
    market = synthetic(seed=3, bars=1500, assets=3)
    # Nobody has seen the trader trade the third asset.
    own = [e for e in demonstrations(market, "momentum", 90, 1, lookback=20, every=1)
           if e.symbol != market.symbols[2]]  # fmt: skip
    task = replace(TASK, portfolio=True, horizon=16)
    if kind != "levels":
        rules = Allocation(mapping="softmax" if kind == "softmax" else "scaled")
        task = replace(task, actions="continuous", allocation=rules)
        own = [halved(e) for e in own]  # two assets of which each may be half the account
    env = MarketEnv(market, num_envs=2, config=task)
    ppo = PPOConfig(hidden=(32,), network="mlp" if kind == "perceptron" else "auto")
    agent = RLHF(env, trader="drawdown", config=RLHFConfig(ppo=ppo)).agent
    found = copy_demonstrations(agent.network, env, own, passes=600, seed=0)
    assert found is not None
    inside = held_by_hand(located(own, market, 2), market)
    assert found.decisions == np.isfinite(inside).sum()
    assert found.agreement > max(found.commonest + 0.1, 0.75)  # on windows held out


def halved(episode: Episode) -> Episode:
    return replace(episode, position=episode.position / 2)


def test_scores_lead_to_what_was_held() -> None:
    market = synthetic(seed=3, bars=60, assets=4)
    for mapping, sign in (("scaled", -1.0), ("softmax", 1.0)):
        task = EnvConfig(
            lookback=1,
            horizon=8,
            portfolio=True,
            actions="continuous",
            allocation=Allocation(mapping=mapping),  # type: ignore[arg-type]
            features=("log_return",),
        )
        held = np.array([[0.3, 0.2 * sign, np.nan, 0.1]])
        scores = scores_of(held, np.ones((1, 4), dtype=bool), task)
        assert scores[0, 2] == 0.0
        env = MarketEnv(market, num_envs=1, config=task)
        weights = env.targets(torch.as_tensor(scores))[0].numpy()
        if mapping == "softmax":  # a score of 0 holds as much as a share of cash
            weights = weights / (1 - weights[2])
        np.testing.assert_allclose(weights[[0, 1, 3]], held[0, [0, 1, 3]], rtol=0.25)


def test_pieces_hold_known_bars_once_and_no_more_than_a_window() -> None:
    known = np.zeros(30, dtype=bool)
    known[[2, 3, 4, 5, 6, 10, 20, 21]] = True
    assert pieces(known, 3) == [slice(2, 5), slice(5, 7), slice(20, 22)]
    assert pieces(~known, 100)[-1] == slice(22, 30)
    assert pieces(known[:0], 3) == []


def test_levels_of_a_portfolio_need_shared_weights() -> None:
    market = synthetic(seed=3, bars=600, assets=2)
    own = demonstrations(market, "momentum", 5, 1, lookback=20, every=1)
    env = MarketEnv(market, num_envs=2, config=replace(TASK, portfolio=True))
    network = ActorCritic(env.obs_dim, 2, 1, (8,), discrete=True)
    with pytest.raises(ConfigError, match="weights are shared by the assets"):
        copy_demonstrations(network, env, own, passes=5, seed=0)


def test_demonstrations_are_found_in_a_slice_of_their_bars_only() -> None:
    market = synthetic(seed=3, bars=600, assets=2)
    own = demonstrations(market, "sma_cross", 12, 1)
    part = market.rows(200, 600)
    actor = constant_actor(part, 0.0)
    options = {"config": TASK, "costs": CostModel(), "rater": "ann"}
    others, rankings = compare_demonstrations(own, part, actor, **options)
    inside = [e for e in own if e.start >= 201]
    assert 0 < len(inside) < len(own)
    traded = {e.window for e in inside if np.ptp(e.equity) > 0}
    assert {e.window for e in others} == traded
    assert {r.rater for r in rankings} == {"own:ann"}
    assert all(r.ranks == (1, 2) and r.episodes[0] in {e.id for e in own} for r in rankings)
    assert compare_demonstrations(own, synthetic(seed=4, bars=600), actor, **options) == ([], [])


def test_the_reward_model_follows_demonstrations() -> None:
    """Somebody who always leaves losing markets is found to mind drawdown."""
    market = synthetic(seed=5, bars=3000, assets=4)
    windows = random_windows(market, replace(TASK, lookback=30), 80, 2)
    hold = constant_actor(market, 1.0)
    rows = collect(market, [hold, constant_actor(market, 0.5)], windows, config=TASK)
    calm = [replace(r[1], source=f"{OWN_SOURCE}ann") for r in rows]
    others, rankings = compare_demonstrations(
        calm, market, hold, config=TASK, costs=CostModel(), rater="ann"
    )
    model = RewardModel().fit(rankings[:40], {e.id: e for e in (*calm, *others)})
    scores = model.member_scores([*calm[40:], *others[40:]]).mean(0).reshape(2, -1)
    assert float((scores[0] > scores[1]).double().mean()) > 0.9


def test_training_starts_from_the_store_s_own_trades(tmp_path: Path) -> None:
    account = random_account(4, assets=1)
    path = write_generic(tmp_path / "fills.csv", account.rows())
    own = own_trades(path, account.market, horizon=16, trader="ann", cash=CASH).episodes
    task = replace(TASK, horizon=16, levels=(0.0, 0.5, 1.0))
    hold = constant_actor(account.market, 1.0)
    others, rankings = compare_demonstrations(
        own, account.market, hold, config=task, costs=CostModel(), rater="ann"
    )
    with Store(tmp_path / "store") as store:
        store.add_episodes([*own, *others])
        for ranking in rankings:
            store.submit(ranking)
        settings = RLHFConfig(rounds=1, steps=64, ppo=PPOConfig(hidden=(8,)), seed=0)
        copied = {}
        for imitate, network in ((0, "mlp"), (20, "mlp"), (20, "gru")):
            ppo = replace(settings.ppo, network=network, minibatches=2)
            env = MarketEnv(account.market, num_envs=4, config=task)
            agent = RLHF(env, store=store, config=replace(settings, imitate=imitate, ppo=ppo))
            agent.train()
            copied[imitate, network] = [h["copied"] for h in agent.history if "copied" in h]
    assert copied[0, "mlp"] == []
    for network in ("mlp", "gru"):
        assert copied[20, network][0]["windows"] == len([e for e in own if e.start >= 1])
