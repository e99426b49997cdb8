"""What a policy became, in words: how it trades, and when it departs from its base."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from tradinghf.config import EnvConfig
from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import ConfigError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.policy import Policy
from tradinghf.learning.ppo import sparse_pnl
from tradinghf.loop import baseline_training, portrait
from tradinghf.loop._character import character
from tradinghf.loop._departures import _condition, departures
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=3, bars=800, assets=2)
TASK = EnvConfig(horizon=40, lookback=1, features=("momentum_20", "volatility_20", "drawdown_60"))


def batch(position: np.ndarray, close: np.ndarray) -> EpisodeBatch:
    """Episodes that hold these positions at no cost."""
    moves = close[:, 1:] / close[:, :-1] - 1
    equity = np.concatenate([np.ones((len(close), 1)), np.cumprod(1 + position * moves, 1)], axis=1)
    turnover = np.abs(np.diff(position, axis=1, prepend=0.0))
    return EpisodeBatch(close, position, equity, turnover, 0 * position)


def path(episodes: int = 40, bars: int = 60) -> np.ndarray:
    steps = 0.01 * np.random.default_rng(0).standard_normal((episodes, bars + 1))
    return np.exp(np.cumsum(steps, axis=1))


def test_who_never_trades_and_who_holds() -> None:
    close = path()
    flat = character(batch(np.zeros((40, 60)), close))
    assert flat["text"] == "It never trades: it stays in cash."
    held = character(batch(np.ones((40, 60)), close))
    assert "always in the market" in held["text"]
    assert "buys and holds" in held["text"]
    assert held["size"] == 1.0


def test_who_buys_after_falls_and_holds_six_bars() -> None:
    close, position = path(), np.zeros((40, 60))
    for row in range(40):
        bar = 6
        while bar < 54:
            if close[row, bar] < close[row, bar - 5] * 0.98:
                position[row, bar : bar + 6] = 0.5
                bar += 8
            bar += 1
    told = character(batch(position, close))
    assert told["entered_after"] < -0.02
    assert told["bars_held"] == pytest.approx(6, abs=0.5)
    assert "enters after falls of" in told["text"]
    assert "only long" in told["text"]
    assert "50 %" in told["text"]


class Careful(Policy):
    """Goes flat while the account is 2 % or more below its highest equity."""

    def act(
        self, obs: torch.Tensor, deterministic: bool = True, uniform: torch.Tensor | None = None
    ) -> torch.Tensor:
        return torch.where(obs[:, -1] >= 0.02, 2, 0)


def overlay(kind: type[Policy] = Policy) -> tuple[Policy, MarketEnv]:
    env = MarketEnv(MARKET, num_envs=4, config=TASK, base="buy_and_hold")
    config = RLHFConfig(steps=400, ppo=PPOConfig(hidden=(8,)))
    training, _ = baseline_training(env, "pnl", sparse_pnl, config)
    return kind(training.network, env.config, env.scaler, "overlay"), env


def test_departures_find_the_rule_of_a_policy() -> None:
    policy, env = overlay(Careful)
    found = departures(policy, env, MARKET)
    assert found["moves"] == {"goes flat": found["departs"]}
    assert "the account's drawdown is above 2.0 %" in found["when"]
    assert found["share_then"] == 1.0
    assert found["share_else"] == 0.0
    assert found["fidelity"] == 1.0 > found["by_default"]
    assert "It departs from buy_and_hold in" in found["text"]


def test_windows_of_one_place_leave_the_condition_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on few unseen bars, where no window is left to check a condition on."""
    policy, env = overlay(Careful)
    every = np.ones(6, dtype=bool)
    seen = (np.array([0, -1, 0, -1, -1, -1]), np.zeros((6, 6)), every, every)
    monkeypatch.setattr("tradinghf.loop._departures._observe", lambda *_: seen)
    found = departures(policy, env, MARKET)
    assert found["when"] is None
    assert found["checked"] == ""
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["text"].startswith("It departs from buy_and_hold in 33 % of bars: ")
    # Nor is there a share where neither wants a position in any bar.
    flat = (*seen[:2], ~every, every)
    monkeypatch.setattr("tradinghf.loop._departures._observe", lambda *_: flat)
    assert departures(policy, env, MARKET)["departs"] == 0.0


def test_who_does_what_the_base_does_says_so() -> None:
    policy, env = overlay()
    told = portrait(policy, env, MARKET)
    assert told["departures"]["departs"] == 0
    assert "It does what buy_and_hold does." in told["text"]
    plain = MarketEnv(MARKET, num_envs=2, config=TASK)
    training, _ = baseline_training(plain, "pnl", sparse_pnl, RLHFConfig(steps=80))
    nothing = Policy(training.network, plain.config, plain.scaler)
    assert portrait(nothing, plain, MARKET)["departures"] is None
    with pytest.raises(ConfigError, match="modulates no strategy"):
        departures(nothing, plain, MARKET)


@pytest.mark.parametrize(
    ("fall", "below"),
    [(0.0, "the account is at its peak"), (0.02, "the account is below its peak")],
)
def test_a_threshold_of_nothing_is_said_in_words(fall: float, below: str) -> None:
    """Not "the account's drawdown is at most 0.0 %"."""
    facts = np.zeros((200, 6))
    facts[100:, 4] = 0.02
    departs = facts[:, 4] == fall
    tree = DecisionTreeClassifier(max_depth=1, random_state=0)
    facts[100:, 4] = 0.0006  # so that half of it is shown as nothing
    found = _condition(tree.fit(facts, departs), facts, departs)
    assert found["when"] == below


def test_a_condition_that_tells_nothing_is_not_said() -> None:
    """Not "in 100 % of such bars, against 100 % of the others"."""
    facts = np.zeros((200, 6))
    facts[100:, 3] = 0.1
    departs = np.ones(200, bool)
    departs[100] = False
    tree = DecisionTreeClassifier(max_depth=1, random_state=0).fit(facts, departs)
    assert tree.get_n_leaves() == 2
    assert _condition(tree, facts, departs)["when"] is None
