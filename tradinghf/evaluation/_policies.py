"""Trained policies in backtests: load one, and run it through the environment for its targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tradinghf.config import CostModel, EnvConfig, Fill, Randomisation
from tradinghf.errors import StrategyError
from tradinghf.market import Floats, MarketData
from tradinghf.strategies import Strategy, load_strategy, target_changes

WEIGHTS = "policy.safetensors"


@runtime_checkable
class ActingPolicy(Protocol):
    """What `backtest` needs of a trained policy; `Policy` has it."""

    config: EnvConfig

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """[N] actions for [N, D] observations."""


def load_tradable(name: str, folder: Path | None = None) -> Strategy | ActingPolicy:
    """The policy or strategy of that name: a saved policy, a run directory with one, or a rule.

    Args:
        name: FILE.safetensors, a run directory, or what `load_strategy` takes.
        folder: where strategies are looked up.

    Raises:
        CheckpointError: the policy file is missing or damaged.
        StrategyError: there is no such strategy.

    """
    path = Path(name)
    if path.suffix == ".safetensors" or (path / WEIGHTS).is_file():
        from tradinghf.learning.policy import Policy

        return Policy.load(path / WEIGHTS if path.is_dir() else path)
    return load_strategy(name, folder)


def seen_share(x: object, market: MarketData) -> float:
    """Share of some bars that a policy was trained or chosen on; 0 of what says nothing of it."""
    told = getattr(x, "seen_share", None)
    return float(told(market)) if callable(told) else 0.0


def policy_orders(
    policy: ActingPolicy, market: MarketData, *, costs: CostModel, fill: Fill, cash: float
) -> Floats:
    """[T, A] target weights of a deterministic policy over the whole market; NaN is no order.

    A policy that sees one asset gets one account per asset inside one `MarketEnv`; its targets
    are then divided by A, so that together they use the equity once. With one asset the backtest
    repeats the environment's episode exactly. A portfolio policy gets one account.

    Raises:
        StrategyError: the market is shorter than the policy's lookback.

    """
    import torch

    from tradinghf.simulation import MarketEnv

    config = policy.config
    start = config.lookback - 1
    horizon = market.bars - 1 - start
    if horizon < 2:
        raise StrategyError(
            f"The policy looks back {config.lookback} bars; "
            f"{market.name} has {market.bars}. Give it a longer window."
        )
    envs = 1 if config.portfolio else market.assets
    env = MarketEnv(
        market,
        num_envs=envs,
        config=replace(
            config,
            horizon=horizon,
            review=config.review or config.horizon,
            fill=fill,
            cash=cash,
            dtype="float64",
            autoreset="disabled",
            randomise=Randomisation(),
        ),
        costs=costs,
        scaler=getattr(policy, "scaler", None),
    )
    assets = torch.zeros(1, dtype=torch.long) if config.portfolio else torch.arange(envs)
    obs, _ = env.reset(seed=0, options={"start": torch.full((envs,), start), "asset": assets})
    weights = np.full((market.bars, market.assets), np.nan)
    with torch.inference_mode():
        for bar in range(start, start + horizon):
            actions = policy.act(env.dense(obs), deterministic=True)
            wanted = env.orders(actions) if config.portfolio else env.targets(actions)
            weights[bar] = wanted.reshape(-1).cpu().numpy()
            obs, *_ = env.step(actions)
        if env.base_targets is not None:  # what its base decides at the last close counts too
            wanted = env.targets(policy.act(env.dense(obs), deterministic=True))
            weights[start + horizon] = wanted.reshape(-1).cpu().numpy()
    if env.base_targets is not None:
        weights[:start] = target_changes(env.base_targets[..., 0])[:start]
    # The environment's last bar decides nothing; neither does the backtest's.
    if config.portfolio:
        return weights
    return (weights if config.rebalance else target_changes(weights)) / market.assets
