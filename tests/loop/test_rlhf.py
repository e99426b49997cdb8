"""The loop end to end, small: it learns, it resumes exactly, it says no where it must."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import CheckpointError, ConfigError, FeedbackError
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig, RewardConfig, RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.runs import RunDirectory
from tradinghf.learning.runs._checkpoints import pack
from tradinghf.loop import (
    RLHF,
    Actor,
    Experiment,
    Split,
    collect,
    constant_actor,
    distinct_columns,
    episode_batch,
    long_enough,
    pool_actors,
    run_experiment,
    split_market,
    strategy_actor,
)
from tradinghf.loop._collect import best_network
from tradinghf.loop._training import Training
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, random_windows

ENV = EnvConfig(horizon=16, lookback=2)
SMALL = RLHFConfig(
    rankings=12,
    rounds=3,
    steps=6 * 16 * 32,
    windows=10,
    checkpoint_seconds=0.0,
    ppo=PPOConfig(hidden=(16,), minibatches=2, epochs=2),
)
MARKET = synthetic(seed=3, bars=400, assets=4)
UNSEEN = synthetic(seed=4, bars=400, assets=4)


def loop(tmp_path=None, **changes):
    store = None if tmp_path is None else Store(tmp_path / "store")
    return RLHF(
        MarketEnv(MARKET, num_envs=32, config=ENV),
        RewardModel(RewardConfig(learned=0.0)),
        trader="drawdown",
        store=store,
        test_market=UNSEEN,
        config=SMALL,
        out=tmp_path,
        **changes,
    )


def weights(agent):
    return torch.cat([p.flatten() for p in agent.agent.network.parameters()])


def test_five_lines_train_and_evaluate():
    agent = loop()
    before = weights(agent).clone()
    agent.train()
    found = agent.evaluate(rankings=8, windows=32)
    assert not torch.equal(weights(agent), before)
    assert len(agent.rankings) == 12
    assert {"accuracy", "precision", "recall", "f1", "mean_return", "win_rate"} <= set(found)
    assert found["unseen_market"]
    assert found["accuracy"] > 0.8
    assert found["windows"] == 32
    assert 1 <= found["independent_windows"] <= 32


def test_the_loop_asks_about_its_own_policy_from_the_second_round_on():
    agent = loop().train()
    sources = [agent.episodes[e].source for r in agent.rankings for e in r.episodes]
    assert any(source.startswith("policy:") for source in sources)
    first = [agent.episodes[e].source for r in agent.rankings[:4] for e in r.episodes]
    assert not any(source.startswith("policy:") for source in first)
    for ranking in agent.rankings:
        assert len({agent.episodes[e].window for e in ranking.episodes}) == 1


class KilledError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_killed_loop_continues_bit_identically(tmp_path, stop_at):
    whole = loop(tmp_path / "whole").train()

    def kill(phase, done, total, metrics):
        if phase == "train" and done >= (stop_at + 1) * 16 * 32:
            raise KilledError

    cut = loop(tmp_path / "cut", progress=kill)
    with pytest.raises(KilledError):
        cut.train()
    again = loop(tmp_path / "cut")
    assert again.resume()
    again.train()
    assert torch.equal(weights(again), weights(whole))
    assert [r.ranks for r in again.rankings] == [r.ranks for r in whole.rankings]
    rows = [
        json.loads(row) for row in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["step"] for row in rows] == [512.0 * k for k in range(1, 7)]


def optimiser_of(state):
    """Adam's moments as named tensors."""
    tensors = {}
    pack(state["optimiser"], tensors)
    return tensors


def test_a_round_that_games_a_misread_reward_is_undone(monkeypatch):
    """The model learns every ranking upside down: it pays for losses, and foresees nothing."""
    fit, mark = RewardModel.fit, Training.mark
    marked = []

    def remembered(self):
        mark(self)
        marked.append(copy.deepcopy(self.agent.state()))

    def upside_down(self, rankings, episodes):
        turned = [
            dataclasses.replace(r, ranks=tuple(max(r.ranks) + 1 - k for k in r.ranks))
            for r in rankings
        ]
        return fit(self, turned, episodes)

    config = dataclasses.replace(
        SMALL,
        rounds=2,
        rankings=20,
        uniform=0.6,
        early=0.1,
        pnl_weight=0.0,
        steps=50 * 16 * 128,
        ppo=PPOConfig(hidden=(16,), minibatches=4, epochs=4),
    )

    def run():
        # Losing on purpose is easily learned where every trade is dear.
        env = MarketEnv(MARKET, num_envs=128, config=ENV, costs=CostModel(fee_bps=30))
        agent = RLHF(env, RewardModel(RewardConfig(learned=0.0)), trader="profit", config=config)
        return agent.train()

    sane = run()
    assert not [h for h in sane.history if "gaming" in h]
    assert sane.agent.iteration == 50
    monkeypatch.setattr(RewardModel, "fit", upside_down)
    monkeypatch.setattr(Training, "mark", remembered)
    undone, unforeseen = "The round's training was undone", "foresaw only"
    with pytest.warns(UserWarning, match=undone), pytest.warns(UserWarning, match=unforeseen):
        misled = run()
    found = next(h for h in misled.history if "gaming" in h)
    assert found["stopped"]
    assert found["round"] == 1
    assert misled.agent.iteration < 50, "training on this reward has stopped"
    kept = misled.training.candidates[-1].state_dict()
    assert all(torch.equal(v, kept[k]) for k, v in misled.agent.network.state_dict().items())
    assert len(misled.training.candidates) == 4, "no candidate of the undone round is left"
    moments = optimiser_of(misled.agent.state())
    before = optimiser_of(marked[1])
    assert moments.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in moments.items())
    assert bool(before[next(iter(before))].any())


def one_round(out=None, steps=SMALL.steps, trader="drawdown"):
    """A loop that asks once and learns at a constant rate; it answers for itself."""
    ppo = dataclasses.replace(
        SMALL.ppo, learning_rate=1e-3, final_learning_rate=1e-3, entropy=0.01, final_entropy=0.01
    )
    return RLHF(
        MarketEnv(MARKET, num_envs=32, config=ENV),
        RewardModel(RewardConfig(learned=0.0)),
        trader=trader,
        store=None if out is None else Store(out / "store"),
        config=dataclasses.replace(SMALL, rounds=1, steps=steps, ppo=ppo),
        out=out,
    )


def test_more_steps_go_on_as_one_longer_training(tmp_path):
    longer = 9 * 16 * 32
    whole = one_round(steps=longer).train()
    parts = one_round(tmp_path).train()
    assert parts.training.steps == SMALL.steps
    with pytest.warns(UserWarning, match="nothing left to do"):
        parts.train()
    assert parts.training.steps == SMALL.steps
    resumed = one_round(tmp_path)
    assert resumed.resume()
    for agent in (parts.train(steps=longer), resumed.train(steps=longer)):
        assert agent.training.steps == longer
        assert torch.equal(weights(agent), weights(whole))
        assert len(agent.rankings) == 12


def test_more_rankings_are_asked_for_and_trained_on():
    """A second `train(rankings=40)` did nothing, and said nothing."""
    agent = loop().train(rankings=6)
    assert (len(agent.rankings), agent.training.steps) == (6, SMALL.steps)
    with pytest.warns(UserWarning, match="learning rate and entropy decayed"):
        agent.train(rankings=10)
    assert (len(agent.rankings), agent.training.steps) == (10, SMALL.steps // 6 * 10)
    later = {agent.episodes[e].source for r in agent.rankings[6:] for e in r.episodes}
    assert any(source.startswith("policy:") for source in later)


def test_a_configuration_with_more_rankings_needs_steps_for_them(tmp_path):
    one_round(tmp_path).train()
    again = one_round(tmp_path)
    again.config = dataclasses.replace(again.config, rankings=24)
    assert again.resume()
    with pytest.raises(ConfigError, match=r"12 more rankings .* such as 6,144"):
        again.train()


def test_new_answers_in_the_store_are_learned_by_a_second_call(tmp_path):
    asking = loop(tmp_path)
    asking.ask(6, 0)
    agent = one_round(trader=None)
    agent.store = asking.store
    known = len(agent.train().rankings)
    with pytest.warns(UserWarning, match="nothing left to do"):
        agent.train()
    asking.ask(6, 1)
    agent.train()
    assert len(agent.rankings) > known
    assert agent.training.steps > SMALL.steps


def test_other_settings_belong_to_the_constructor():
    """`train(ppo=...)` changed the configuration, and not the agent that learns."""
    for other in ({"ppo": PPOConfig()}, {"seed": 1}, {"pnl_weight": 0}):
        with pytest.raises(ConfigError, match="RLHFConfig"):
            loop().train(**other)


def test_every_part_of_a_split_needs_room_for_an_episode():
    """73 bars passed, and the measurement failed after the training."""
    split = Split(MARKET, None, UNSEEN.rows(0, 18))
    assert long_enough(split, ENV) is split
    assert len(random_windows(split.test, ENV, 100, seed=0)) == 4
    for short in (
        Split(MARKET, None, UNSEEN.rows(0, 17)),
        Split(MARKET, UNSEEN.rows(0, 17), UNSEEN),
        Split(MARKET.rows(0, 17), None, UNSEEN),
    ):
        with pytest.raises(ConfigError, match="an episode needs 18"):
            long_enough(short, ENV)


def test_nobody_to_ask_is_an_error():
    agent = RLHF(MarketEnv(MARKET, num_envs=4, config=ENV), config=SMALL)
    with pytest.raises(FeedbackError, match="neither a trader nor a store"):
        agent.train()


def test_rankings_of_people_are_learned_from_and_cross_validated(tmp_path):
    asked = loop(tmp_path)
    asked.ask(6, 0)
    agent = RLHF(
        MarketEnv(MARKET, num_envs=32, config=ENV),
        RewardModel(RewardConfig(learned=0.0)),
        store=Store(tmp_path / "store"),
        config=dataclasses.replace(SMALL, rounds=1),
    ).train()
    purposes = [q.purpose for q in asked.store.queries()]
    assert purposes.count("learn") + purposes.count("test") == 6
    assert len(agent.rankings) == purposes.count("learn")
    held = purposes.count("test") or purposes.count("learn")
    assert agent.evaluate(windows=16)["held_out_rankings"] == held


def test_an_experiment_writes_what_it_promises(tmp_path):
    experiment = Experiment(
        data="synthetic:bars=400,assets=4", envs=32, env=ENV, loop=SMALL, test_episodes=64
    )
    outcome = run_experiment(experiment, tmp_path)
    written = json.loads((tmp_path / "result.json").read_text())
    promised = "S G utility_policy utility_random utility_pnl utility_true rankings bits env_steps"
    assert set(f"{promised} seconds".split()) <= set(written)
    assert written["rankings"] == 12
    assert written["bits"] == pytest.approx(12 * np.log2(120), abs=0.1)
    assert written["env_steps"] == 6 * 16 * 32
    own, chance, true = (written[f"utility_{n}"] for n in ("policy", "random", "true"))
    assert written["S"] == pytest.approx((own - chance) / (true - chance))
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["data_sha256"]["train"] == outcome.split.train.sha256
    policy = Policy.load(tmp_path / "policy.safetensors")
    env = MarketEnv(UNSEEN, num_envs=8, config=ENV, scaler=policy.scaler)
    obs, _ = env.reset(seed=0)
    assert torch.equal(policy.act(obs), outcome.agent.policy.act(obs))


def test_real_bars_are_cut_in_time_and_synthetic_ones_drawn_again():
    cut = split_market(Experiment(data="sp500", train_end="2012", test_start="2015"))
    assert cut.train.index[-1].year == 2012
    assert cut.validation is not None
    assert (cut.validation.index[0].year, cut.validation.index[-1].year) == (2013, 2014)
    assert cut.test.index[0].year == 2015
    drawn = split_market(Experiment(data="synthetic:bars=300,assets=2"))
    assert drawn.train.sha256 != drawn.test.sha256
    assert drawn.validation is None


def test_a_replayed_strategy_equals_its_backtest_window():
    """The same orders in an episode and open loop give the same equity to 1e-9."""
    from tradinghf.simulation import simulate

    config = EnvConfig(horizon=40, lookback=2, dtype="float64")
    actor = strategy_actor("sma_cross", MARKET, fast=3, slow=8)
    windows = random_windows(MARKET, config, 6, seed=0)
    episodes = [row[0] for row in collect(MARKET, [actor], windows, config=config)]
    for episode, asset in zip(episodes, windows.asset, strict=True):
        one = MARKET.select([MARKET.symbols[asset]]).rows(episode.start, episode.start + 41)
        target = actor.weights[episode.start : episode.start + 41, asset]
        order = np.where(np.r_[True, np.diff(target) != 0], target, np.nan)[:, None]
        run = simulate(one, order, costs=MarketEnv(MARKET, config=config).costs, fill="next_open")
        equity = np.asarray(run.equity).reshape(-1)
        np.testing.assert_allclose(episode.equity, equity / equity[0], rtol=1e-9)


def test_pools_are_diverse_and_windows_distinct():
    actors = pool_actors(MARKET, ENV, seed=0)
    assert len({actor.name for actor in actors}) == len(actors) >= 10
    windows = random_windows(MARKET, ENV, 500, seed=0)
    assert len(set(zip(windows.asset.tolist(), windows.start.tolist(), strict=True))) == 500
    rows = collect(MARKET, actors, random_windows(MARKET, ENV, 4, seed=1), config=ENV)
    assert all(len(distinct_columns(row)) >= 6 for row in rows)
    with pytest.raises(ConfigError, match="needs lookback"):
        random_windows(MARKET.rows(0, 17), ENV, 1, seed=0)


def test_an_actor_needs_a_mind():
    with pytest.raises(ConfigError, match="neither weights nor a policy"):
        collect(MARKET, [Actor("empty")], random_windows(MARKET, ENV, 1, 0), config=ENV)


def test_the_best_candidate_is_found_on_validation_bars():
    class Holds:
        def __init__(self, level):
            self.level = level

        def act(self, obs, deterministic=True, uniform=None):
            return torch.full((len(obs),), self.level)

    env = MarketEnv(UNSEEN, num_envs=64, config=ENV)
    best, scores = best_network(
        [Holds(0), Holds(2), Holds(4)], env, [(1.0, lambda b: -np.abs(b.position).mean(-1))], 0
    )
    assert best == 1
    assert scores[1] == 0.0
    # Who minds being in the market likes to stay out, at the price of what the market earned.
    rising = dataclasses.replace(
        UNSEEN,
        **{n: getattr(UNSEEN, n) * np.exp(0.01 * np.arange(UNSEEN.bars))[:, None] for n in
           ("open", "high", "low", "close")},
    )  # fmt: skip
    env = MarketEnv(rising, num_envs=64, config=ENV)
    held = [Holds(4), Holds(3), Holds(2)]
    idle = [(1.0, lambda b: -np.abs(b.position).mean(-1))]
    assert best_network(held, env, idle, 0, cautious=True)[0] == 2
    assert best_network(held, env, idle, 0, cautious=True, keep=0.0)[0] == 0
    assert best_network(held, env, idle, 0, cautious=True, keep=9.0)[0] == 2
    batch = episode_batch(env, constant_actor(UNSEEN, 0.5), seed=0)
    np.testing.assert_allclose(batch.position, 0.5, atol=0.1)


def test_damaged_checkpoints_are_quarantined_and_the_previous_is_used(tmp_path):
    run = RunDirectory(tmp_path, keep=5)
    state = {"a": torch.arange(3), "n": {1: torch.ones(2), "x": [1, 2.5, None, "s"]}}
    for step in (1, 2, 3):
        run.save(step, state | {"step": step})
    data = (tmp_path / "checkpoints" / "00000003" / "state.safetensors").read_bytes()
    broken = data[:-1] + bytes([data[-1] ^ 1])
    (tmp_path / "checkpoints" / "00000003" / "state.safetensors").write_bytes(broken)
    (tmp_path / "checkpoints" / "00000002" / "manifest.json").unlink()
    step, found = run.latest()
    assert (step, found["step"]) == (1, 1)
    assert torch.equal(found["n"][1], torch.ones(2))
    assert found["n"]["x"] == [1, 2.5, None, "s"]
    assert len(list((tmp_path / "quarantine").iterdir())) == 2
    assert RunDirectory(tmp_path / "new").latest() is None


def test_a_run_has_one_writer(tmp_path):
    second = RunDirectory(tmp_path).lock()
    with (
        RunDirectory(tmp_path).lock(),
        pytest.raises(CheckpointError, match="Another process"),
        second,
    ):
        pytest.fail("two writers hold one run")


def test_old_checkpoints_are_pruned(tmp_path):
    run = RunDirectory(tmp_path, keep=2)
    for step in range(5):
        run.save(step, {"x": step})
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["00000003", "00000004"]


@pytest.mark.parametrize(
    "task",
    [
        {"observation": "dict"},
        {"observation": "index", "portfolio": True, "actions": "continuous"},
        {"observation": "dict", "portfolio": True},
        {"observation": "index", "actions": "continuous", "base": "sma_cross"},
    ],
    ids=str,
)
def test_every_kind_of_observation_learns_and_is_evaluated(task: dict) -> None:
    base = task.pop("base", None)
    own = pd.DataFrame({"mine": np.linspace(-1, 1, MARKET.bars)}, index=MARKET.index)
    given = {"base": base} if base else {"own_features": own}
    config = dataclasses.replace(ENV, **task)
    env = MarketEnv(MARKET.rows(0, 250), num_envs=8, config=config, **given)
    agent = RLHF(
        env,
        RewardModel(RewardConfig(learned=0.0)),
        trader="drawdown",
        test_market=MARKET.rows(250, 400),
        config=dataclasses.replace(SMALL, rankings=3, rounds=1, steps=2 * 16 * 8, windows=4),
    ).train()
    found = agent.evaluate(rankings=3, windows=8)
    assert found["unseen_market"]
    assert 0.0 <= found["accuracy"] <= 1.0
