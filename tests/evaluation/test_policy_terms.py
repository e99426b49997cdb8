"""A policy keeps to the exits, margin and order rules that it was trained with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import tyro

from tradinghf.cli import main
from tradinghf.cli._terms import TermOptions
from tradinghf.config import Brackets, CostModel, EnvConfig, Margin, Overlay, TradingRules
from tradinghf.evaluation import backtest, signal
from tradinghf.learning.policy import Policy
from tradinghf.market import MarketData, save_market, synthetic
from tradinghf.simulation import MarketEnv
from tradinghf.strategies import load_strategy

CASH = 100_000.0


class _Moody:
    """Holds on to a target for a while; which, an odd function of what it sees decides."""

    name = "moody"

    def __init__(self, env: MarketEnv) -> None:
        self.config, self.scaler = env.config, env.scaler

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        assets = 3 if self.config.portfolio else 1
        turns = torch.stack([obs[:, k] + 0.5 * obs[:, -1 - k] for k in range(assets)], 1)
        if self.config.actions == "continuous":
            return torch.round(2 * torch.tanh(turns)) / 2
        chosen = (torch.round(turns).long() % 5).clamp(0, 4)
        return chosen if self.config.portfolio else chosen[:, 0]


def _task(seed: int) -> tuple[MarketData, EnvConfig, CostModel]:
    """A market, and a task with terms of every kind."""
    rng = np.random.default_rng(seed)

    def pick(*values: float) -> float:
        return float(rng.choice(values))

    portfolio = seed % 3 == 2
    market = synthetic(seed=seed, bars=160, assets=3 if portfolio else 1)
    leverage = pick(1, 1, 2)
    config = EnvConfig(
        horizon=120,
        actions="continuous" if rng.random() < 0.4 else "discrete",
        rebalance=bool(seed % 2),
        fill="close" if seed % 6 == 4 else "next_open",
        portfolio=portfolio,
        rules=TradingRules(
            side=str(rng.choice(["both", "both", "long"])),
            lot=pick(0, 0, 3),
            participation=pick(0, 0, 2e-4),
        ),
        margin=Margin(leverage, pick(0, 0.3) if leverage > 1 else 0.0),
        brackets=Brackets(pick(0.01, 0.02), pick(0, 0.03), pick(0, 0.02)),
        dtype="float64",
        autoreset="disabled",
    )
    return market, config, CostModel(fee_bps=pick(0, 5), slippage_bps=pick(0, 3))


def _episode(env: MarketEnv, policy: Any) -> np.ndarray:
    """[L] equity of one episode from the first bar that has an observation [fraction]."""
    first = torch.tensor([env.config.lookback - 1])
    obs, _ = env.reset(seed=0, options={"start": first, "asset": torch.tensor([0])})
    equity = []
    for _ in range(env.config.horizon):
        obs, *_, info = env.step(policy.act(env.dense(obs)))
        equity.append(float(info["equity"][0]))
    return np.array(equity)


@pytest.mark.parametrize("seed", range(24))
def test_a_backtest_is_the_account_of_the_task(seed: int) -> None:
    market, config, costs = _task(seed)
    config = replace(config, horizon=market.bars - config.lookback)
    policy = _Moody(env := MarketEnv(market, config=config, costs=costs))
    equity = _episode(env, policy)
    report = backtest(policy, market, costs=costs, fill=config.fill, record=False)
    found = report.equity.to_numpy()[config.lookback :] / CASH
    # What fills at a close is paid there in a backtest, and in the bar that follows in a task.
    same = np.isnan(report.targets[config.lookback :]).all(1) | (config.fill == "next_open")
    assert same.sum() > 20
    np.testing.assert_allclose(found[same], equity[same], rtol=1e-9)
    assert report.terms.brackets == config.brackets
    assert len(report.orders) > 10


def test_the_exits_of_a_policy_can_be_left_out_by_name() -> None:
    market, config, costs = _task(4)
    policy = _Moody(MarketEnv(market, config=config, costs=costs))
    own = backtest(policy, market, costs=costs, record=False)
    without = backtest(policy, market, costs=costs, brackets=Brackets(), record=False)
    assert own.terms.brackets == config.brackets
    assert not without.terms.brackets.any
    assert own.equity.iloc[-1] != without.equity.iloc[-1]


def test_a_signal_after_a_stop_says_what_the_policy_orders_again() -> None:
    """It asks for the same target after every exit: the env enters again, so that is an order."""

    class Always(_Moody):
        def act(self, obs: Any, deterministic: bool = True) -> Any:
            return torch.full((len(obs),), 4)

    market = synthetic(seed=1, bars=200, assets=1)
    config = EnvConfig(brackets=Brackets(stop_loss=0.01))
    policy = Always(MarketEnv(market, config=config))
    report = backtest(policy, market, record=False)
    ordered = np.isfinite(report.targets[:, 0])
    stopped = report.orders.query("side == 'sell'")["bar"].to_numpy()
    stopped = stopped[stopped > 30]  # its features are warm
    assert len(stopped) > 3
    for bar in stopped[:3]:
        assert ordered[bar]  # the close after the stop
        found = signal(policy, market.rows(0, int(bar) + 1))
        assert bool(found["order"][0])
        assert found["weight"][0] == 1.0


def test_a_base_with_exits_is_traded_as_the_base_is() -> None:
    """The first move is what the base does: its target stands after a stop, until it changes."""
    market = synthetic(seed=5, bars=300, assets=1)
    config = EnvConfig(overlay=Overlay(("sma_cross:fast=3,slow=9",)), brackets=Brackets(0.01))

    class First(_Moody):
        def act(self, obs: Any, deterministic: bool = True) -> Any:
            return torch.zeros(len(obs), dtype=torch.long)

    policy = First(MarketEnv(market, config=config))
    found = backtest(policy, market, record=False)
    base = load_strategy("sma_cross")
    plain = backtest(base, market, fast=3, slow=9, brackets=config.brackets, record=False)
    np.testing.assert_allclose(found.equity, plain.equity, rtol=1e-12)
    assert len(found.orders) > 20


def test_options_change_only_what_they_name() -> None:
    own = EnvConfig(brackets=Brackets(0.05, 0.1), margin=Margin(2.0, 0.2))
    given = TermOptions(stop_loss=0.02, maintenance=0.3, side="long")
    task = given.given_to(own)
    assert task.brackets == Brackets(0.02, 0.1)
    assert task.margin == Margin(2.0, 0.3)
    assert task.rules == TradingRules(side="long")
    assert given.options_for(SimpleNamespace(config=own))["brackets"] == task.brackets
    assert given.options_for(None) == given.options


def test_zero_switches_off_what_a_policy_has() -> None:
    rules = TradingRules(side="long", lot=10.0, participation=0.1, max_size=50.0)
    own = EnvConfig(brackets=Brackets(0.05, 0.1, 0.02), margin=Margin(2.0, 0.2), rules=rules)
    line = "--stop-loss 0 --trailing-stop 0 --leverage 1 --side both --lot 0"
    task = tyro.cli(TermOptions, args=line.split(" ")).given_to(own)
    assert task.brackets == Brackets(0.0, 0.1, 0.0)
    assert task.margin == Margin(1.0, 0.2)
    assert task.rules == TradingRules(participation=0.1, max_size=50.0)


@pytest.mark.slow
def test_train_takes_exits_margin_and_rules_and_the_policy_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_market(synthetic(seed=3, bars=1200, assets=1), "bars.csv")
    line = "train --reward pnl --task short --base none --steps 1024 --envs 16 --out runs/z"
    more = "--data bars.csv --stop-loss 0.05 --leverage 2 --side long"
    assert main(["--quiet", *line.split(), *more.split()]) == 0
    kept = Policy.load("runs/z/policy.safetensors").config
    assert kept.brackets == Brackets(stop_loss=0.05)
    assert (kept.margin.leverage, kept.rules.side) == (2.0, "long")
    settings = json.loads(Path("runs/z/config.json").read_text())
    assert settings["experiment"]["env"]["brackets"]["stop_loss"] == 0.05
    assert "--stop-loss 0.05" in settings["command"]
    gated = json.loads(Path("runs/z/deployment.json").read_text())
    assert gated["terms"]["brackets"]["stop_loss"] == 0.05
    words = ["backtest", "runs/z", "--data", "bars.csv", "--json", "r.json"]
    assert main(["--quiet", *words]) == 0
    kept_terms = json.loads(Path("r.json").read_text())["terms"]
    assert kept_terms["brackets"]["stop_loss"] == 0.05
    walk = "walkforward --train-policy --train-bars 400 --test-bars 200 --steps 512 --envs 8"
    more = "--data bars.csv --stop-loss 0.03 --json w.json"
    assert main(["--quiet", *walk.split(), *more.split()]) == 0
    assert json.loads(Path("w.json").read_text())["terms"]["brackets"]["stop_loss"] == 0.03
