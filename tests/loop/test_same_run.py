"""A run goes on with what it started with, or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.ppo import sparse_pnl
from tradinghf.learning.runs import RunDirectory
from tradinghf.loop import _same_run
from tradinghf.loop._baselines import baseline_training
from tradinghf.market import MarketData, load_market
from tradinghf.simulation import MarketEnv

SMALL = RLHFConfig(steps=256, ppo=PPOConfig(hidden=(8,)))


def bars(seed: int = 1) -> MarketData:
    return load_market(f"synthetic:seed={seed},bars=300,assets=1")


def env(market: MarketData | None = None, **changes: Any) -> MarketEnv:
    given: dict[str, Any] = {"num_envs": 8, "config": EnvConfig(horizon=16), **changes}
    return MarketEnv(market or bars(), **given)


def edited(market: MarketData) -> MarketData:
    """The same bars but for one close, moved to the middle of its bar."""
    close = market.close.copy()
    close[150] = (market.high[150] + market.low[150]) / 2
    return dataclasses.replace(market, close=close)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with one checkpoint."""
    path = tmp_path_factory.mktemp("run")
    training, _ = baseline_training(env(), "pnl", sparse_pnl, SMALL, run=RunDirectory(path))
    training.train_to(1, 2)
    training.checkpoint()
    return path


def go_on(path: Path, other: MarketEnv, config: RLHFConfig = SMALL) -> bool:
    training, _ = baseline_training(other, "pnl", sparse_pnl, config, run=RunDirectory(path))
    return training.resume()


def test_the_same_run_goes_on_also_with_a_larger_budget(stopped: Path) -> None:
    assert go_on(stopped, env())
    assert go_on(stopped, env(), dataclasses.replace(SMALL, steps=100_000))


@pytest.mark.parametrize(
    ("other", "config", "named"),
    [
        (lambda: env(bars(2)), SMALL, "bars was '.*' and is '.*' now"),
        (lambda: env(edited(bars())), SMALL, "bars was"),
        (lambda: env(), dataclasses.replace(SMALL, seed=5), "seed was 0 and is 5 now"),
        (lambda: env(costs=CostModel(fee_bps=9.0)), SMALL, "costs.fee_bps was .* and is 9.0 now"),
        (lambda: env(num_envs=16), SMALL, "environments was 8 and is 16 now"),
        (lambda: env(config=EnvConfig(horizon=16, lookback=9)), SMALL, "environment.lookback"),
        (
            lambda: env(),
            dataclasses.replace(SMALL, ppo=PPOConfig(hidden=(8,), learning_rate=1e-5)),
            "learner.learning_rate",
        ),
    ],
)
def test_other_bars_settings_and_seeds_are_refused_by_name(
    stopped: Path, other: Any, config: RLHFConfig, named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        go_on(stopped, other(), config)


def test_another_version_is_refused(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_same_run, "code_version", lambda: "99.0")
    with pytest.raises(CheckpointError, match=r"version was .* and is '99.0' now"):
        go_on(stopped, env())


def test_another_trader_is_refused_and_a_larger_budget_is_not(tmp_path: Path) -> None:
    then = {
        "experiment": {"trader": "drawdown", "loop": {"steps": 10, "seed": 0}},
        "data_sha256": {"train": "a" * 64},
    }
    (tmp_path / "config.json").write_text(json.dumps(then))
    more = json.loads(json.dumps(then))
    more["experiment"]["loop"]["steps"] = 20
    _same_run.check_settings(tmp_path, more)
    more["experiment"]["trader"] = "calmar"
    with pytest.raises(CheckpointError, match="trader was 'drawdown' and is 'calmar' now"):
        _same_run.check_settings(tmp_path, more)
    more = json.loads(json.dumps(then))
    more["data_sha256"]["train"] = "b" * 64
    with pytest.raises(CheckpointError, match=r"data_sha256\.train"):
        _same_run.check_settings(tmp_path, more)


def test_a_base_whose_file_changed_is_another_run(tmp_path: Path) -> None:
    """The policy would go on modulating a strategy that it never learned with."""
    file = tmp_path / "mine.py"
    source = "from tradinghf import strategy\n\n@strategy\ndef rule(bars):\n    'Mine.'\n"
    source += "    return (bars.close > bars.open).astype(float)\n"
    file.write_text(source)

    def task() -> MarketEnv:
        return env(base=f"{file}:rule")

    run = RunDirectory(tmp_path / "run")
    training, _ = baseline_training(task(), "pnl", sparse_pnl, SMALL, run=run)
    training.train_to(1, 2)
    training.checkpoint()
    assert go_on(run.path, task())
    file.write_text(source.replace(">", "<"))
    with pytest.raises(CheckpointError, match=r"base\..*mine\.py:rule was '.*' and is '.*' now"):
        go_on(run.path, task())
    file.write_text(source)
    assert go_on(run.path, task())


def test_a_refused_resume_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    then = {"experiment": {"seed": 0}, "data_sha256": {"train": "a" * 64}}
    _same_run.record_settings(run, then, resume=False)
    other = {**then, "experiment": {"seed": 5}}
    with pytest.raises(CheckpointError, match="seed was 0 and is 5 now"):
        _same_run.record_settings(run, other, resume=True)
    assert json.loads((tmp_path / "config.json").read_text()) == then
    _same_run.record_settings(run, other, resume=False)
    assert json.loads((tmp_path / "config.json").read_text()) == other


def test_absurd_sizes_are_refused_with_what_they_would_take() -> None:
    for ask in (
        lambda: env(num_envs=4_000_000_000),
        lambda: load_market("synthetic:bars=99999999999999"),
        lambda: load_market("synthetic:bars=1000000000"),
    ):
        with pytest.raises(ConfigError, match=r"would take about [\d,.]+ GiB of memory"):
            ask()


def test_a_batch_larger_than_the_memory_is_refused_before_it_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = env()
    monkeypatch.setattr("tradinghf.errors.os.sysconf", lambda _: 100)  # a machine of 10,000 bytes
    with pytest.raises(ConfigError, match=r"8 environments would take .* of memory"):
        baseline_training(here, "pnl", sparse_pnl, SMALL)
