"""Trained policies in backtests: load one, and run it through the environment for its targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tradinghf.config import CostModel, EnvConfig, Fill, Randomisation
from tradinghf.errors import StrategyError
from tradinghf.evaluation._order_tables import Orders
from tradinghf.evaluation._terms import Terms, as_terms
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


def terms_for(x: object, **given: Any) -> Terms:
    """The terms of what a caller gave; what is None is a policy's own, else the default.

    A policy trades by the rules, the margin and the exits of the task that it learned.

    Raises:
        ConfigError: settings of another kind.

    """
    chosen = {k: v for k, v in given.items() if v is not None}
    if isinstance(x, ActingPolicy):
        own = {name: getattr(x.config, name) for name in ("rules", "margin", "brackets")}
        chosen = own | chosen
    return as_terms(**chosen)


def policy_orders(
    policy: ActingPolicy,
    market: MarketData,
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    terms: Terms | None = None,
    anew: int | None = None,
) -> Floats | Orders:
    """[T, A] target weights of a deterministic policy over the whole market; NaN is no order.

    Of a policy whose actions name prices (`EnvConfig.orders`), its orders.

    A policy that sees one asset gets one account per asset inside one `MarketEnv`; its targets
    are then divided by A, so that together they use the equity once. With one asset the backtest
    repeats the environment's episode exactly. A portfolio policy gets one account. The accounts
    have the `terms` of the backtest, by default the policy's own; a base trades the bars before
    the first observation. `anew` is a bar from which on another account trades: an order with
    prices counts there even where it repeats the last one.

    Raises:
        StrategyError: the market is shorter than the policy's lookback.

    """
    from tradinghf.simulation import MarketEnv

    terms = terms_for(policy) if terms is None else terms
    config = replace(policy.config, rules=terms.rules, margin=terms.margin, brackets=terms.brackets)
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
        **{k: v for k, v in terms.events.items() if k != "member" or config.portfolio},
    )
    modulates = env.base_targets is not None and not config.portfolio
    how = {"exits": terms.closes_positions, "modulates": modulates}
    tables = _replayed(env, policy, start, anew, **how)
    weights = tables["size"]
    if "limit" in tables:
        return Orders(weights / market.assets, limit=tables["limit"], stop=tables["stop"])
    # The environment's last bar decides nothing; neither does the backtest's.
    if config.portfolio:
        return weights
    changes = modulates and not config.rebalance
    return (target_changes(weights) if changes else weights) / market.assets


def _replayed(
    env: Any, policy: ActingPolicy, start: int, anew: int | None, *, exits: bool, modulates: bool
) -> dict[str, Floats]:
    """What a policy asked for, as tables [T, A], in one episode per asset from bar `start`.

    Args:
        env: an account for each asset, or one for all.
        policy: who decides.
        start: the first bar of a decision.
        anew: see `policy_orders`.
        exits: whether positions may close without an order.
        modulates: whether actions modulate a base of single assets.

    """
    import torch

    config, market, envs = env.config, env.market, env.num_envs
    policy = policy.fresh() if hasattr(policy, "fresh") else policy
    assets = torch.zeros(1, dtype=torch.long) if config.portfolio else torch.arange(envs)
    obs, _ = env.reset(seed=0, options={"start": torch.full((envs,), start), "asset": assets})
    priced, based = config.orders != ("market",), env.base_targets is not None
    names = ("size", "limit", "stop") if priced else ("size",)
    tables = {name: np.full((market.bars, market.assets), np.nan) for name in names}
    standing = np.zeros(market.assets)
    with torch.inference_mode():
        for bar in range(start, start + config.horizon):
            actions = policy.act(env.dense(obs), deterministic=True)
            if priced:
                asked = env.priced_orders(actions)
                wanted = env.targets(actions) if bar == anew else asked.size
                for name in ("limit", "stop"):
                    tables[name][bar] = getattr(asked, name).reshape(-1).cpu().numpy()
            else:
                wanted = env.targets(actions) if modulates else env.orders(actions)
            row = wanted.reshape(-1).cpu().numpy()
            if exits and not priced:  # what an exit made of a target that nobody orders again
                row = row.copy()
                target = env.state.target.reshape(-1).cpu().numpy()
                gone = np.isnan(row) & (target != standing)
                row[gone] = target[gone]
                standing = np.where(np.isnan(row), standing, row)
            tables["size"][bar] = row
            obs, *_ = env.step(actions)
        if based:  # what its base decides at the last close counts too
            wanted = env.targets(policy.act(env.dense(obs), deterministic=True))
            tables["size"][start + config.horizon] = wanted.reshape(-1).cpu().numpy()
    if based:
        tables["size"][:start] = target_changes(env.base_targets[..., 0])[:start]
    return tables
