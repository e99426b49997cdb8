"""A trained policy as one more strategy: run it through the environment, read off its targets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tradinghf.config import CostModel, Fill
from tradinghf.errors import StrategyError
from tradinghf.evaluation.engines import Floats
from tradinghf.market.data import MarketData
from tradinghf.strategies import changes

if TYPE_CHECKING:
    from tradinghf.evaluation.backtest import ActingPolicy


def policy_orders(
    policy: ActingPolicy, market: MarketData, *, costs: CostModel, fill: Fill, cash: float
) -> Floats:
    """[T, A] target weights of a deterministic policy over the whole market; NaN is no order.

    Each asset gets its own account inside one `MarketEnv` (A environments), since a policy sees
    one asset; the targets are then divided by A, so that together they use the equity once. With
    one asset the backtest repeats the environment's episode exactly.

    Raises:
        StrategyError: the market is shorter than the policy's lookback.

    """
    import torch

    from tradinghf.simulation.env import MarketEnv

    config = policy.config
    start = config.lookback - 1
    if market.bars - start < 3:
        raise StrategyError(
            f"The policy looks back {config.lookback} bars; "
            f"{market.name} has {market.bars}. Give it a longer window."
        )
    horizon = market.bars - 1 - start
    env = MarketEnv(
        market,
        num_envs=market.assets,
        config=replace(config, horizon=horizon, fill=fill, cash=cash, dtype="float64"),
        costs=costs,
        scaler=getattr(policy, "scaler", None),
    )
    here = {
        "start": torch.full((market.assets,), start),
        "asset": torch.arange(market.assets),
    }
    obs, _ = env.reset(options=here)
    levels = torch.tensor(config.levels, dtype=torch.float64)
    weights = np.full((market.bars, market.assets), np.nan)
    with torch.inference_mode():
        for bar in range(start, start + horizon):
            actions = torch.as_tensor(policy.act(obs, deterministic=True))
            picked = levels[actions.long()] if config.actions == "discrete" else actions
            weights[bar] = picked.reshape(market.assets).to(torch.float64).cpu().numpy()
            obs, *_ = env.step(actions)
    # The environment's last bar decides nothing; neither does the backtest's.
    return (weights if config.rebalance else changes(weights)) / market.assets
