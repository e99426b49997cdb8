"""Other people's tools take our environments, reports and runs as they are."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest
import quantstats
import torch
import vectorbt as vbt
from gymnasium.wrappers import NormalizeReward, RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import tradinghf.simulation
from tradinghf import MarketData, backtest
from tradinghf.errors import MissingExtraError
from tradinghf.learning.runs import RunDirectory
from tradinghf.learning.runs._mlflow import MLflowLogger
from tradinghf.market import synthetic

ENV_ID = next(iter(tradinghf.simulation._ENV_IDS))
MARKET = synthetic(0, 400, 2)
OPTIONS: dict[str, Any] = {"market": MARKET, "horizon": 16}


def rising_market() -> MarketData:
    """Up 1 % each bar: the best policy is to be long."""
    close = 100 * 1.01 ** np.arange(200.0)
    frame = pd.DataFrame(
        {"open": close, "high": close, "low": close, "close": close, "volume": 1.0},
        index=pd.date_range("2020-01-01", periods=200),
    )
    return MarketData.from_frame(frame, symbol="UP")


def test_stable_baselines3_saves_loads_and_evaluates(tmp_path: Path) -> None:
    env = Monitor(gymnasium.make(ENV_ID, **OPTIONS))
    agent = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
    agent.learn(64)
    agent.save(tmp_path / "agent")
    again = PPO.load(tmp_path / "agent", env=env, device="cpu")
    mean, _ = evaluate_policy(again, env, n_eval_episodes=2)
    assert np.isfinite(mean)


def test_wrappers_of_gymnasium_see_whole_episodes() -> None:
    single = NormalizeReward(RecordEpisodeStatistics(gymnasium.make(ENV_ID, **OPTIONS)))
    single.reset(seed=0)
    info: dict[str, Any] = {}
    for _ in range(16):
        *_, truncated, info = single.step(4)
    assert truncated
    assert info["episode"]["l"] == 16
    many = RecordVectorStatistics(gymnasium.make_vec(ENV_ID, num_envs=3, **OPTIONS))
    many.reset(seed=0)
    for _ in range(16):
        *_, info = many.step(np.full(3, 4))
    assert info["episode"]["l"].tolist() == [16, 16, 16]
    np.testing.assert_allclose(info["episode"]["r"], np.log(info["equity"]), rtol=1e-4, atol=1e-5)


def test_a_loop_in_the_style_of_cleanrl_learns_to_be_long() -> None:
    """One file, no wrapper: policy gradient with a baseline on the native vector environment."""
    task = {"market": rising_market(), "horizon": 8, "autoreset": "same_step"}
    envs = gymnasium.make_vec(ENV_ID, num_envs=64, **task)
    torch.manual_seed(0)
    size = envs.single_observation_space.shape[0]
    policy = nn.Sequential(nn.Linear(size, 16), nn.Tanh(), nn.Linear(16, 5))
    optimiser = torch.optim.Adam(policy.parameters(), lr=2e-2)
    obs, _ = envs.reset(seed=1)
    earned = []
    for _ in range(25):
        logs, rewards = [], []
        for _ in range(8):
            choice = torch.distributions.Categorical(logits=policy(torch.from_numpy(obs)))
            action = choice.sample()
            obs, reward, terminated, truncated, _ = envs.step(action.numpy())
            logs.append(choice.log_prob(action))
            rewards.append(torch.from_numpy(reward).float())
        assert truncated.all()
        assert not terminated.any()
        gain = torch.stack(rewards)
        to_go = gain.flip(0).cumsum(0).flip(0)
        loss = -(torch.stack(logs) * (to_go - to_go.mean(1, keepdim=True)) / gain.std()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        earned.append(float(gain.sum(0).mean()))
    assert earned[0] < 0.03
    assert earned[-1] > 0.06, "8 bars of 1 %, less one bar's wait and costs, are about 0.077"


@pytest.mark.extra("torchrl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own parts
def test_torchrl_wraps_and_collects_unmodified() -> None:
    envs = importlib.import_module("torchrl.envs")
    collectors = importlib.import_module("torchrl.collectors")
    env = envs.GymEnv(ENV_ID, device="cpu", **OPTIONS)
    envs.utils.check_env_specs(env, seed=0)
    # Named Collector since torchrl 0.11.
    kind = getattr(collectors, "Collector", None) or collectors.SyncDataCollector
    collector = kind(env, None, frames_per_batch=48, total_frames=96)
    frames = 0
    for batch in collector:
        frames += batch.numel()
        done = batch["next", "truncated"].flatten()
        assert done.nonzero().flatten().tolist() == [15, 31, 47]
        assert batch["next", "reward"].isfinite().all()
    collector.shutdown()
    assert frames == 96


@pytest.mark.extra("torchrl")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_native_environment_of_torchrl(root: Path) -> None:
    """Specs, ends of episodes and rewards of four kinds of task: the case of `make interop`."""
    path = root / "scripts" / "interop" / "cases.py"
    spec = importlib.util.spec_from_file_location("interop_cases", path)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    cases.torchrl_native()


def test_without_torchrl_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tradinghf.simulation._tensordict", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tradinghf\[interop\]'"):
        tradinghf.simulation.torchrl_env(tradinghf.MarketEnv(MARKET))


def test_pandas_in_and_out() -> None:
    frame = MARKET.to_frame()
    assert isinstance(frame.columns, pd.MultiIndex)
    again = MarketData.from_frame(frame)
    assert again.sha256 == MARKET.sha256
    close = frame.xs("close", axis=1, level=1)
    weights = (close > close.rolling(20).mean()).astype(float) / 2
    report = backtest(weights, again)
    for series in (report.equity, report.returns, report.drawdown):
        assert series.index.equals(MARKET.index)
    assert report.positions.columns.tolist() == list(MARKET.symbols)
    assert (report.equity / report.equity.shift()).sub(1).iloc[1:].to_numpy() == pytest.approx(
        report.returns.iloc[1:].to_numpy()
    )


def test_vectorbt_portfolio_out() -> None:
    report = backtest("sma_cross", MARKET, fast=5, slow=20)
    assert isinstance(report.portfolio, vbt.Portfolio)
    np.testing.assert_allclose(report.portfolio.value().to_numpy(), report.equity.to_numpy())
    assert report.portfolio.orders.count() == len(report.orders)


def test_quantstats_takes_the_returns() -> None:
    report = backtest("sma_cross", rising_market().between(None, "2020-06"), fast=2, slow=5)
    returns = report.returns.tz_localize(None)
    assert quantstats.stats.comp(returns) == pytest.approx(
        report.metrics["total_return_pct"] / 100, rel=1e-9
    )
    assert quantstats.stats.max_drawdown(returns) == pytest.approx(
        -report.metrics["max_drawdown_pct"] / 100, abs=1e-9
    )


ROWS = [{"step": 64.0, "reward/pnl": 0.25}, {"step": 128.0, "reward/pnl": 0.5}]


def test_tensorboard_reads_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    for row in ROWS:
        run.log(row)
    assert run._events is not None
    run._events.flush()  # as it does every two minutes, and at the end of the process
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    read = [(event.step, event.value) for event in events.Scalars("reward/pnl")]
    assert read == [(64, 0.25), (128, 0.5)]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == ROWS


class RecordingClient:
    """What the logger calls of MLflow, written down."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def set_tracking_uri(self, uri: str) -> None:
        self.calls.append(("uri", uri))

    def set_experiment(self, name: str) -> None:
        self.calls.append(("experiment", name))

    def start_run(self, run_name: str | None = None) -> None:
        self.calls.append(("start", run_name))

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        self.calls.append(("metrics", values, step))

    def end_run(self) -> None:
        self.calls.append(("end",))


def test_mlflow_gets_each_training_row_once() -> None:
    client = RecordingClient()
    with MLflowLogger("desk", run="first", client=client) as log:
        log("collect", 1, 1, {})
        for row in ROWS:
            log("train", int(row["step"]), 128, row)
        log("baseline pnl", 64, 128, {"step": 64.0, "loss/policy": float("nan")})
    assert client.calls == [
        ("experiment", "desk"),
        ("start", "first"),
        ("metrics", {"reward/pnl": 0.25}, 64),
        ("metrics", {"reward/pnl": 0.5}, 128),
        ("metrics", {}, 64),
        ("end",),
    ]


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("default")  # of its own tables
def test_mlflow_itself_keeps_the_rows(tmp_path: Path) -> None:
    mlflow = importlib.import_module("mlflow")
    place = f"sqlite:///{tmp_path}/mlflow.db"
    with MLflowLogger("desk", tracking_uri=place) as log:
        for row in ROWS:
            log("train", int(row["step"]), 128, row)
    found = mlflow.MlflowClient(place)
    (run,) = found.search_runs([found.get_experiment_by_name("desk").experiment_id])
    history = found.get_metric_history(run.info.run_id, "reward/pnl")
    assert [(m.step, m.value) for m in history] == [(64, 0.25), (128, 0.5)]


def test_without_mlflow_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"tradinghf\[mlflow\]"):
        MLflowLogger("desk")


def test_the_table_of_their_suites_is_what_was_run(root: Path) -> None:
    path = root / "scripts" / "interop" / "suites.py"
    spec = importlib.util.spec_from_file_location("interop_suites", path)
    assert spec is not None
    assert spec.loader is not None
    suites = importlib.util.module_from_spec(spec)
    sys.modules["interop_suites"] = suites
    spec.loader.exec_module(suites)
    found = json.loads((root / "benchmarks" / "results" / "suites.json").read_text())
    assert suites.table(found) in (root / "docs" / "interop.md").read_text()
    for key, row in found.items():
        failed = {suites._function(name).rpartition(".")[2] for name in row["failed"]}
        assert failed <= set(suites.SUITES[key].why), "a failure on ours alone needs a reason"
        assert row["passed"] > 10
