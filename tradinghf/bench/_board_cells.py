"""What `tradinghf bench board` trades: rules, tuned rules, trained policies, and ensembles.

Everything is made from the first 70 % of the bars. The rest is sealed: each contender trades it
once, after costs, and nothing is fitted to it or chosen on it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tradinghf.bench._own_bench import GRIDS
from tradinghf.errors import check_setting

if TYPE_CHECKING:
    from tradinghf.config import CostModel
    from tradinghf.evaluation import Report
    from tradinghf.learning.policy import Policy
    from tradinghf.market import Floats, MarketData

Cell = tuple[str, int | None]
"""Bars, and the seed of what is trained; None: the rules."""
TRAINED = 0.7
_CHOSEN_FROM = 0.55  # of the bars; from here to TRAINED one of a training's policies is chosen
WARM = 256  # bars before the sealed ones, for the slowest average and the ensemble's first choice
_FEWEST = 2 * WARM  # bars before the sealed ones: the slowest average, and as many to learn from
QUARTER = 63  # bars between two choices of an ensemble, and behind each
_YEAR = 252  # bars that a turbulence is compared with
_CALM = 0.99  # share of the training bars that are less turbulent than its limit
_HIDDEN, _RATE = (32, 32), 3e-3


@dataclass(frozen=True)
class BoardBench:
    """Settings of the leaderboard.

    Attributes:
        data: bars; each has a table of its own.
        seeds: of everything that is trained.
        steps: environment steps of each training.
        rankings: of five, answered by `trader`, for RLHF.
        trader: hidden taste.
        envs: environments of our trainings; Stable-Baselines3 has eight.
        fee_bps, slippage_bps: costs of every fill [basis points].

    """

    data: tuple[str, ...] = ("sp500", "goog", "eurusd_1h")
    seeds: int = 10
    steps: int = 40_960
    rankings: int = 25
    trader: str = "drawdown"
    envs: int = 64
    fee_bps: float = 5.0
    slippage_bps: float = 5.0

    def __post_init__(self) -> None:
        check_setting(len(self.data) > 0, "data", self.data, "at least one")
        check_setting(self.seeds >= 0, "seeds", self.seeds, "0 or more")
        check_setting(self.steps >= 1, "steps", self.steps, "at least 1")

    def cells(self) -> list[Cell]:
        """All rules of every data set, then everything trained, seed by seed."""
        seeds: list[int | None] = [None, *range(self.seeds)]
        return [(data, seed) for data in self.data for seed in seeds]

    @property
    def costs(self) -> CostModel:
        """What every contender pays."""
        from tradinghf.config import CostModel

        return CostModel(fee_bps=self.fee_bps, slippage_bps=self.slippage_bps)


def first_sealed(market: MarketData) -> int:
    """Number of the first sealed bar."""
    return int(TRAINED * market.bars)


def too_short(data: str) -> str | None:
    """Why bars are too few for a table; None where they are enough.

    Args:
        data: what `load_market` takes.

    """
    from tradinghf.market import load_market

    market = load_market(data)
    before = first_sealed(market)
    if before >= _FEWEST:
        return None
    short = f"{before:,} of its {market.bars:,} bars come before the sealed ones"
    return f"{short}, {_FEWEST} are needed"


def measure_cell(bench: BoardBench, cell: Cell) -> dict[str, Any]:
    """What the contenders of a cell earned in the sealed bars.

    Returns:
        JSON-ready: data, seed, processor seconds, and for each contender its `returns` per sealed
        bar and its `turnover` a year.

    """
    from tradinghf.evaluation import decisions
    from tradinghf.market import load_market

    began = time.process_time()
    data, seed = cell
    market = load_market(data)
    cut = first_sealed(market)
    contenders: dict[str, Any]
    if seed is None:
        contenders, ensemble = _rules(bench, market.rows(0, cut)), "ensemble of rules"
    else:
        contenders, ensemble = _agents(bench, market, seed), "ensemble of agents"
    tail = market.rows(cut - WARM, market.bars)
    reports = {name: _traded(x, tail, bench.costs) for name, x in contenders.items()}
    if len(reports) > 1:
        how: dict[str, Any] = {"costs": bench.costs, "fill": "next_open", "cash": 1e5}
        asked = [decisions(x, tail, **how).orders.size for x in contenders.values()]
        earned = np.stack([r.returns.to_numpy() for r in reports.values()], axis=1)
        weights = quarterly_choice(np.stack(asked), earned, turbulent(market, cut)[cut - WARM :])
        table = pd.DataFrame(weights, tail.index, list(tail.symbols))
        reports[ensemble] = _traded(table, tail, bench.costs)
    found = {name: _row(report) for name, report in reports.items()}
    spent = round(time.process_time() - began, 1)
    return {"data": data, "seed": seed, "cpu_seconds": spent, "contenders": found}


def _traded(x: Any, tail: MarketData, costs: CostModel) -> Report:
    from tradinghf.evaluation import backtest

    return backtest(x, tail, costs=costs, record=False)


def _row(report: Report) -> dict[str, Any]:
    market = report.market
    returns = report.returns.to_numpy()[WARM:]
    traded = float(report.turnover.to_numpy()[WARM:].sum())
    turnover = traded * market.bars_per_year / max(len(returns), 1)
    return {"returns": returns.round(9).tolist(), "turnover": turnover}


def _rules(bench: BoardBench, known: MarketData) -> dict[str, Any]:
    """Shipped strategies as they are, and with the parameters of the best Sharpe ratio so far."""
    from tradinghf.evaluation import sweep
    from tradinghf.strategies import load_strategy, strategy_names

    found: dict[str, Any] = {}
    for name in strategy_names():
        rule = found[name] = load_strategy(name)
        if name != "buy_and_hold":
            swept = sweep(rule, known, GRIDS[name], costs=bench.costs, record=False)
            found[f"{name}, tuned"] = rule.with_defaults(**swept.params[swept.best_row()])
    return found


def _agents(bench: BoardBench, market: MarketData, seed: int) -> dict[str, Any]:
    """PPO on PnL, RLHF, and PPO of Stable-Baselines3 where it is installed."""
    from tradinghf.feedback import SyntheticTrader
    from tradinghf.learning.config import PPOConfig, RLHFConfig
    from tradinghf.learning.ppo import sparse_pnl
    from tradinghf.loop import RLHF, TASKS, train_baseline
    from tradinghf.simulation import MarketEnv

    chosen_from = int(_CHOSEN_FROM * market.bars)
    known = market.rows(0, chosen_from)
    choose = market.rows(chosen_from, first_sealed(market))
    ppo = PPOConfig(hidden=_HIDDEN, learning_rate=_RATE)
    loop = RLHFConfig(rankings=bench.rankings, rounds=2, steps=bench.steps, seed=seed, ppo=ppo)

    def env() -> MarketEnv:
        task = TASKS["daily"]
        return MarketEnv(known, num_envs=bench.envs, config=task, costs=bench.costs, seed=seed)

    found: dict[str, Any] = {
        "PPO on PnL": train_baseline(env(), "pnl", sparse_pnl, loop, validation=choose)
    }
    trader = SyntheticTrader(bench.trader, seed=seed)
    agent = RLHF(env(), trader=trader, validation_market=choose, config=loop)
    agent.train()
    found["RLHF"] = agent.policy
    if find_spec("stable_baselines3") is not None:
        found["PPO of Stable-Baselines3"] = _stable_baselines(bench, known, found["RLHF"], seed)
    return found


class _Predicts:
    """A model of Stable-Baselines3 as a policy that `backtest` takes."""

    def __init__(self, model: Any, like: Policy) -> None:
        self.model, self.config, self.scaler = model, like.config, like.scaler
        self.name = "stable_baselines3_ppo"

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        """[N] actions for [N, D] observations."""
        return self.model.predict(np.asarray(obs), deterministic=deterministic)[0]


def _stable_baselines(bench: BoardBench, known: MarketData, like: Policy, seed: int) -> _Predicts:
    """Its PPO with its own settings, on as many steps of the same task."""
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    def env() -> Any:
        return gymnasium.make(
            "tradinghf/Market-v0",
            market=known,
            config=like.config,
            costs=bench.costs,
            scaler=like.scaler,
        )

    model = PPO("MlpPolicy", DummyVecEnv([env] * 8), n_steps=512, seed=seed, device="cpu")
    model.learn(bench.steps)
    return _Predicts(model, like)


def turbulent(market: MarketData, cut: int) -> Floats:
    """[T] whether a bar is more turbulent than 99 % of the bars before `cut`; 0 or 1.

    Turbulence is the squared Mahalanobis distance of a bar's returns from those of the 252 bars
    before it, as in FinRL's ensemble. Source: Kritzman and Li 2010, "Skulls, financial turbulence,
    and risk management"; Yang, Liu, Zhong and Walid 2020, "Deep reinforcement learning for
    automated stock trading: an ensemble strategy".

    Args:
        market: the bars.
        cut: the limit is taken from the bars before this one.

    """
    returns = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    distance = np.zeros(market.bars)
    for bar in range(_YEAR, market.bars):
        past = returns[bar - _YEAR : bar]
        spread = np.atleast_2d(np.cov(past, rowvar=False))
        away = returns[bar] - past.mean(axis=0)
        distance[bar] = away @ np.linalg.pinv(spread) @ away
    limit = np.quantile(distance[_YEAR:cut], _CALM) if cut > _YEAR else np.inf
    return (distance > limit).astype(float)


def quarterly_choice(asked: Floats, earned: Floats, stormy: Floats) -> Floats:
    """[T, A] orders of whichever of K was best in the last quarter, flat in turbulent bars.

    Args:
        asked: [K, T, A] target weights of each; NaN is no order.
        earned: [T, K] their returns, known at the close of each bar.
        stormy: [T] 1 where the bar is turbulent.

    """
    from tradinghf.strategies import held_targets, target_changes

    held = np.stack([held_targets(each) for each in asked])
    weights = np.zeros_like(held[0])
    best = 0
    for bar in range(len(weights)):
        if bar >= QUARTER and (bar - WARM) % QUARTER == 0:
            past = earned[bar - QUARTER + 1 : bar + 1]
            spread = past.std(axis=0)
            ratio = np.where(spread > 0, past.mean(axis=0) / np.where(spread > 0, spread, 1), 0.0)
            best = int(np.argmax(ratio))
        weights[bar] = 0.0 if stormy[bar] else held[best, bar]
    return target_changes(weights)


def columns_of(cells: list[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Contender -> its row of every seed; rules have one."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        for name, row in cell["contenders"].items():
            found.setdefault(name, []).append(row)
    return found
