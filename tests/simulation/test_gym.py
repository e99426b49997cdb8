"""Gymnasium and Stable-Baselines3 take every registered environment, without a warning."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import plotly.graph_objects as go
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from stable_baselines3.common.vec_env import DummyVecEnv

from tradinghf.config import Brackets, CostModel, EnvConfig, Margin
from tradinghf.errors import ConfigError
from tradinghf.market import synthetic
from tradinghf.simulation import _ENV_IDS
from tradinghf.simulation._gym import TradingEnv, TradingVectorEnv

MARKET = synthetic(0, 300, 3)


@pytest.mark.parametrize("env_id", sorted(_ENV_IDS))
def test_gymnasium_check_env(env_id: str) -> None:
    """REFERENCE §7: three popular trading environments fail this one."""
    check_env(gymnasium.make(env_id).unwrapped)


@pytest.mark.parametrize("env_id", sorted(_ENV_IDS))
def test_stable_baselines3_check_env(env_id: str) -> None:
    check_env_for_sb3(gymnasium.make(env_id))


def test_gymnasium_check_env_with_dict_observations() -> None:
    options = {"market": MARKET, "observation": "dict", "reward": "sparse_pnl"}
    check_env(gymnasium.make("tradinghf/Market-v0", **options).unwrapped)


@pytest.mark.parametrize("env_id", sorted(_ENV_IDS))
def test_ppo_of_stable_baselines3_trains_unmodified(env_id: str) -> None:
    vec = DummyVecEnv([lambda: gymnasium.make(env_id, horizon=16)] * 2)
    agent = PPO("MlpPolicy", vec, n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    before = [p.clone() for p in agent.policy.parameters()]
    agent.learn(64)
    assert any((a != b).any() for a, b in zip(before, agent.policy.parameters(), strict=True))


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_native_and_synchronous_vector_environments_are_the_same(mode: str) -> None:
    """Environment i of the native one is the single environment that has the i-th seed."""
    options: dict[str, Any] = {"num_envs": 3, "market": MARKET, "horizon": 10}
    native = gymnasium.make_vec("tradinghf/Market-v0", autoreset=mode, **options)
    kwargs = {"autoreset_mode": gymnasium.vector.AutoresetMode[mode.upper()]}
    sync = gymnasium.make_vec(
        "tradinghf/Market-v0", vectorization_mode="sync", vector_kwargs=kwargs, **options
    )
    assert native.metadata["autoreset_mode"] == sync.metadata["autoreset_mode"]
    a, _ = native.reset(seed=[4, 5, 6])
    b, _ = sync.reset(seed=4)  # Gymnasium gives copy i the seed 4 + i
    np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(0)
    for _ in range(25):
        actions = rng.integers(0, 5, 3)
        one, two = native.step(actions), sync.step(actions)
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_allclose(one[1], two[1], rtol=1e-6)
        np.testing.assert_array_equal(one[3], two[3])
        if one[3].any() and mode == "same_step":
            final = np.stack(list(two[4]["final_obs"]))
            np.testing.assert_array_equal(one[4]["final_obs"], final)
            for name in ("equity", "bar", "position"):
                last = [part["final_info"][name] for part in (one[4], two[4])]
                np.testing.assert_allclose(*last, rtol=1e-12)
            assert one[4]["_final_info"].all()
        elif "equity" in one[4]:
            np.testing.assert_allclose(one[4]["equity"], two[4]["equity"], rtol=1e-12)
    native.close()
    sync.close()


def test_observations_own_their_memory() -> None:
    """REFERENCE §7: aliased observations."""
    env = TradingEnv(MARKET, horizon=10)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second, *_ = env.step(4)
    second += 1
    third, *_ = env.step(4)
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(second, third)


def test_importing_changes_nothing_in_the_host_process() -> None:
    """REFERENCE §7, gym-trading-env: importing it turned every warning into an exception."""
    code = (
        "import warnings, sys; before = list(warnings.filters); import numpy as np\n"
        "state = np.random.get_state()[1].tolist(); errors = np.geterr()\n"
        "import tradinghf.simulation; assert 'torch' not in sys.modules\n"
        "mine = [f for f in warnings.filters if f not in before and f[0] == 'error']\n"
        "assert not mine, mine\n"
        "assert np.geterr() == errors and np.random.get_state()[1].tolist() == state\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_tradinghf_after_gymnasium_registers_the_ids() -> None:
    code = "import gymnasium, tradinghf; print('tradinghf/Market-v0' in gymnasium.registry)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


def test_rendering_shows_candles_fills_position_and_equity() -> None:
    env = TradingEnv(MARKET, horizon=20, render_mode="plotly")
    env.reset(seed=1)
    for action in (4, 4, 0, 2):
        env.step(action)
    figure = env.render()
    assert isinstance(figure, go.Figure)
    named = {trace.name: trace for trace in figure.data}
    assert set(named) == {"price", "buy", "sell", "position", "equity"}
    assert len(named["price"].open) == len(named["equity"].y) == 5
    assert len(named["buy"].x) == 2  # in, and back from the short
    assert len(named["sell"].x) == 1
    text = TradingEnv(MARKET, horizon=20, render_mode="ansi")
    text.reset(seed=1)
    text.step(4)
    assert "position +1.0" in str(text.render())


def test_unknown_options_suggest_the_right_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'horizon'"):
        TradingEnv(MARKET, horizn=20)
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
        TradingEnv(MARKET, frameskip=1)  # how TorchRL finds out
    with pytest.raises(ConfigError, match="render mode"):
        TradingEnv(MARKET, render_mode="rgb")
    env = TradingEnv(MARKET, fee_bps=7.0, horizon=30, config={"lookback": 3})
    assert env.env.costs.fee_bps == 7.0
    assert env.env.config.horizon == 30
    assert env.env.config.lookback == 3


def test_the_notebook_runs_and_shows_its_results(root: Path) -> None:
    notebook = json.loads((root / "notebooks" / "01_env_in_ten_lines.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    scope: dict[str, Any] = {}
    for cell in cells:
        shown = "".join("".join(o.get("text", "")) for o in cell["outputs"])
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec("".join(cell["source"]), scope)
        assert printed.getvalue().split()[:8] == shown.split()[:8]
    assert bool(scope["total"].isfinite().all())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"observation": "dict", "brackets": Brackets(stop_loss=0.01), "dtype": "float64"},
        {"observation": "index", "randomise": {"fee_bps": (1.0, 9.0), "slippage_bps": (0.0, 5.0)}},
        {"windows": "sequential"},
    ],
)
def test_episodes_drawn_ahead_are_those_drawn_one_by_one(options: dict[str, Any]) -> None:
    """Also where a seed, a chosen start or a saved state comes between, and beyond one draw."""
    quick = TradingEnv(MARKET, horizon=3, **options)
    usual = TradingEnv(MARKET, horizon=3, engine="tensor", **options)
    asked = [{"seed": 3}, *[{}] * 70, {"options": {"start": np.array([80])}}, {}, {"seed": 5}, {}]
    for at, how in enumerate(asked):
        (obs, info), (other, facts) = (env.reset(**how) for env in (quick, usual))
        assert info == facts, at
        for name in obs if isinstance(obs, dict) else [slice(None)]:
            np.testing.assert_array_equal(obs[name], other[name])
        for _ in range(2):
            assert quick.step(1)[1:] == usual.step(1)[1:], at
        if at % 20 == 10:
            quick.env.state, usual.env.state = quick.env.state, usual.env.state


@pytest.mark.parametrize("seed", [-1, 2**70, 1.5, "7", [1, 2]], ids=str)
def test_seeds_that_do_not_fit_are_refused_by_name(seed: Any) -> None:
    for env in (TradingEnv(MARKET, horizon=12), TradingVectorEnv(MARKET, num_envs=3, horizon=12)):
        with pytest.raises(ConfigError, match=r"reset.*seed.*expected"):
            env.reset(seed=seed)
        with pytest.raises(ConfigError, match="options is 3"):
            env.reset(options=3)  # type: ignore[arg-type]
    env.reset(seed=np.array([1, 2, 3]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"actions": "continuous", "margin": Margin(leverage=2.0), "reward": "drawdown_penalised"},
        {
            "observation": "dict",
            "brackets": Brackets(stop_loss=0.01),
            "reward": "differential_sharpe",
        },
        {"observation": "index", "dtype": "float64", "rebalance": True, "fixed_fee": 3.0},
    ],
)
def test_one_environment_steps_in_numpy_as_it_does_in_tensors(options: dict[str, Any]) -> None:
    """Through three episodes, with the state read and put back between two steps."""
    quick = TradingEnv(MARKET, horizon=9, **options)
    usual = TradingEnv(MARKET, horizon=9, engine="tensor", **options)
    rng = np.random.default_rng(0)
    for episode in range(3):
        starts = [env.reset(seed=episode) for env in (quick, usual)]
        assert starts[0][1] == starts[1][1]
        saved = quick.env.state
        for step in range(9):
            action: Any = int(rng.integers(5))
            if options.get("actions"):
                action = rng.uniform(-1.5, 1.5, 1).astype(np.float32)
            (obs, *rest), (other, *too) = (env.step(action) for env in (quick, usual))
            assert rest == too, step
            for name in obs if isinstance(obs, dict) else [slice(None)]:
                np.testing.assert_array_equal(obs[name], other[name])
        with pytest.raises(gymnasium.error.ResetNeeded):
            quick.step(action)
        quick.env.state = saved
        quick.step(action)
    assert quick._single is not None
    assert usual._single is None
    with pytest.raises(IndexError if not options.get("actions") else ConfigError):
        quick.step(7 if not options.get("actions") else np.zeros(2, np.float32))


def test_copies_go_on_as_the_original() -> None:
    one = gymnasium.make("tradinghf/Market-v0", market=MARKET, horizon=16)
    many = gymnasium.make_vec("tradinghf/Market-v0", 2, market=MARKET, horizon=16)
    for env, action in ((one, 4), (many, np.array([4, 0]))):
        env.reset(seed=1)  # type: ignore[attr-defined]
        env.step(action)  # type: ignore[attr-defined]
        twin = copy.deepcopy(env)
        for _ in range(15):
            mine, its = (each.step(action) for each in (env, twin))  # type: ignore[attr-defined]
            np.testing.assert_array_equal(mine[1], its[1])
        for mine, its in zip(env.reset(), twin.reset(), strict=True):  # type: ignore[attr-defined]
            if not isinstance(mine, dict):
                np.testing.assert_array_equal(mine, its)


def test_a_specification_says_what_json_cannot_hold() -> None:
    one = gymnasium.make("tradinghf/Market-v0", market=MARKET, horizon=16)
    many = gymnasium.make_vec("tradinghf/Market-v0", 2, market=MARKET, horizon=16)
    for spec in (one.spec, many.spec):
        assert spec is not None
        with pytest.raises(ConfigError, match=r"market, a MarketData in memory.*Give what has a"):
            spec.to_json()
    again = gymnasium.make(one.spec)  # type: ignore[arg-type]
    assert again.reset(seed=1)[1]["bar"] >= 0
    costs = {"costs": CostModel(fee_bps=3), "config": EnvConfig(horizon=16)}
    named = gymnasium.make("tradinghf/Market-v0", market="synthetic:bars=300", **costs)
    same = gymnasium.envs.registration.EnvSpec.from_json(named.spec.to_json())  # type: ignore[union-attr]
    np.testing.assert_array_equal(gymnasium.make(same).reset(seed=4)[0], named.reset(seed=4)[0])
