"""Benchmarks run, describe what they ran on, and refuse to time a wrong answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tradinghf import bench
from tradinghf.bench import _core as core
from tradinghf.bench import _environment as environment
from tradinghf.bench._ceilings import bytes_per_step, copy_rate, flops_per_step, gemm_rate
from tradinghf.cli import main
from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import TradingHFError
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv


@pytest.mark.parametrize("name", list(bench.BENCHMARKS))
def test_each_benchmark_writes_what_it_measured_and_on_what(name: str, tmp_path: Path) -> None:
    target = tmp_path / "out" / f"{name}.json"
    assert main(["bench", name, "--quick", "--json", str(target)]) == 0
    found = json.loads(target.read_text())
    assert found["benchmark"] == name
    assert found["quick"] is True
    assert found["device"]["cores"] >= 1
    assert {"python", "torch", "tradinghf"} <= set(found["versions"])
    assert found["results"]
    for row in found["results"]:
        assert 0 < row["value"] <= row["best"]
        assert row["unit"].endswith(("/s", "/min"))
    assert len({row["case"] for row in found["results"]}) == len(found["results"])


def test_list_and_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["bench"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("env", "backtest", "ppo"))
    assert main(["bench", "bakctest"]) == 2
    assert "'backtest'" in capsys.readouterr().err


def test_rate_counts_every_repeat_but_not_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 14.0, 20.0, 21.0])
    cpu = iter([0.0, 1.0, 1.0, 3.0, 3.0, 3.5])
    monkeypatch.setattr(core.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(core.time, "process_time", lambda: next(cpu, 0.0))
    calls: list[int] = []
    row = core.timed(lambda: calls.append(1), 8.0, "things/s", repeats=3)
    assert len(calls) == 4
    about = {"unit": "things/s", "repeats": 3, "per_cpu_second": 16.0}
    assert row == {"value": 4.0, "best": 8.0} | about
    slow = iter([0.0, 9.0, 9.0, 18.0])
    monkeypatch.setattr(core.time, "perf_counter", lambda: next(slow))
    assert core.timed(lambda: None, 9.0, "things/s", repeats=7)["repeats"] == 2


def test_ceilings_count_what_a_step_takes() -> None:
    market = synthetic(bars=200, assets=2)
    traffic = []
    for lookback in (4, 8):
        task = EnvConfig(horizon=16, lookback=lookback)
        env = MarketEnv(market, num_envs=3, config=task)
        traffic.append(bytes_per_step(env, torch.zeros(3, dtype=torch.int64)))
    features = len(EnvConfig().features)
    assert traffic[1] - traffic[0] == 4 * features * 4 * 2, "four bars, read and written"
    config = PPOConfig(hidden=(8,), epochs=3)
    agent = PPO(MarketEnv(market, num_envs=2), {"env": Stream(env_reward)}, config)
    inputs = 8 * features + 4
    actor, critic = inputs * 8 + 8 * 5, inputs * 8 + 8 * 1
    update = 2 * (actor + critic) + 8 * 5 + 8 * 1
    assert flops_per_step(agent) == 2 * (actor + critic + 3 * update)
    assert gemm_rate() > 1e6
    assert copy_rate() > 1e6


def test_engines_that_disagree_are_not_timed() -> None:
    market = synthetic(bars=200, assets=2)
    one, other = (MarketEnv(market, num_envs=4) for _ in range(2))
    actions = torch.full((3, 4), 4)
    environment._same_steps(one, other, actions)
    dear = MarketEnv(market, num_envs=4, costs=CostModel(fee_bps=50))
    with pytest.raises(TradingHFError, match="not timed"):
        environment._same_steps(one, dear, actions)


def test_a_wrong_answer_is_not_timed() -> None:
    core.agree("case", [1.0, 2.0], [1.0, 2.0], 1e-9)
    with pytest.raises(TradingHFError, match="not timed"):
        core.agree("case", [1.0, 2.0], [1.0, 2.1], 1e-9)
    with pytest.raises(TradingHFError, match="not timed"):
        core.agree("case", [1.0, float("nan")], [1.0, 2.0], 1e-9)


def test_commit_names_this_checkout() -> None:
    root = Path(bench.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    found = core.commit()
    assert found is not None
    assert len(found.rstrip("+")) == 12
