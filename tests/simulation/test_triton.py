"""The plain task's Triton kernels, in the interpreter, against the tensor step: bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.engines import crashing, walk
from support.triton_interpreter import interpreted

from tradinghf.config import CostModel, EnvConfig, Randomisation, TradingRules
from tradinghf.errors import ConfigError, MissingExtraError
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKETS = {"calm": synthetic(0, 120, 3), "crashing": crashing(120, 3)}
COUNT = 131  # not a whole number of blocks
COSTS = {
    "free": CostModel(fee_bps=0.0, slippage_bps=0.0),
    "usual": CostModel(),
    "dear": CostModel(fee_bps=81.2, slippage_bps=90.0, spread_bps=3.0, fixed_fee=5.0),
    "per share": CostModel(per_share_fee=0.01, fixed_fee=5.0),
    "holding": CostModel(borrow_rate=0.5, margin_rate=0.3, cash_rate=0.2, funding_bps=-3.0),
}
RANDOM = Randomisation(fee_bps=(0, 30), slippage_bps=(0, 20))


@pytest.mark.extra("triton")
@pytest.mark.parametrize(
    ("costs", "settings", "reward", "market"),
    [
        ("free", {}, "log_equity", "calm"),
        ("usual", {"dtype": "float64", "lookback": 17}, "differential_sharpe", "crashing"),
        ("dear", {"rules": TradingRules(side="long"), "fill": "close"}, "sparse_pnl", "crashing"),
        ("per share", {"rules": TradingRules(side="short"), "review": 3}, "log_equity", "crashing"),
        ("holding", {"observation": "index", "dtype": "float64"}, "log_equity", "crashing"),
        ("holding", {"observation": "dict", "randomise": RANDOM}, "log_equity", "calm"),
    ],
)
def test_the_kernel_equals_the_tensor_step(
    costs: str, settings: dict[str, Any], reward: str, market: str
) -> None:
    config = EnvConfig(**{"horizon": 6, "lookback": 5} | settings)
    options: dict[str, Any] = {"num_envs": COUNT, "config": config, "costs": COSTS[costs]}
    with interpreted():
        envs = [
            MarketEnv(MARKETS[market], engine=engine, reward=reward, **options)
            for engine in ("tensor", "triton")
        ]
        walk(envs, 8, 0)  # beyond the end of an episode


@pytest.mark.extra("triton")
def test_levels_unchanged_targets_and_masked_resets_are_carried_out_alike() -> None:
    config, mask = EnvConfig(horizon=5, lookback=4, rebalance=False), np.arange(COUNT) % 3 == 0
    rng, told = np.random.default_rng(0), []
    with interpreted():
        for engine in ("tensor", "triton"):
            rng = np.random.default_rng(0)
            env = MarketEnv(MARKETS["calm"], num_envs=COUNT, config=config, engine=engine)
            env.reset(seed=1)
            rows = []
            for step in range(7):
                rows.append(env.step(torch.as_tensor(rng.integers(0, 3, COUNT))))
                if step == 2:
                    env.reset(options={"reset_mask": mask})
            told.append(rows)
    for row, other in zip(*told, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(row[:4], other[:4], strict=True))


def test_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradinghf._triton.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tradinghf\[gpu\]"):
        MarketEnv(MARKETS["calm"], engine="triton")
    monkeypatch.setattr("tradinghf._triton.find_spec", lambda name: name)
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        MarketEnv(MARKETS["calm"], engine="triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for options in (
        {"fill_cost": lambda fills: fills.volume},
        {"costs": CostModel(min_fee=1.0)},
        {"costs": CostModel(maker_fee_bps=0.5)},
    ):
        with pytest.raises(ConfigError, match=r"engine='triton' knows .*engine='auto'"):
            MarketEnv(MARKETS["calm"], engine="triton", **options)
