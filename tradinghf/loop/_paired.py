"""Results of several contenders over the same windows of time, as a gate compares them.

Everybody trades one account through all the bars, as after a deployment; the account's path is
then cut into windows. So no window starts from flat, and positions cost what holding them costs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.config import CostModel, EnvConfig, Fill, Randomisation
from tradinghf.episodes import EpisodeBatch, Floats
from tradinghf.errors import ConfigError
from tradinghf.evaluation import PROFIT, UTILITY, BacktestResult, backtest, load_tradable, trade
from tradinghf.learning.policy import Policy
from tradinghf.loop._collect import Actor, EpisodeScore, batch_of, run_actor, strategy_actor
from tradinghf.market import MarketData
from tradinghf.simulation import MarketEnv, Windows
from tradinghf.strategies import Strategy

Contender = Policy | Strategy
_SETTLE = 64  # bars that accounts trade before the first window, so that none starts from flat


@dataclasses.dataclass(frozen=True)
class PairedTask:
    """Windows of a market, and how everybody trades them.

    Attributes:
        market: all bars; those before `first` warm up indicators and accounts.
        first: the bar at which the first window starts.
        window: L bars of a window.
        costs: of trading.
        fill: when orders of rules fill; policies keep to their own task's.
        utility: what the trader feels about [B] episodes of L bars; None: profit alone counts.
        terms: rules, margin and brackets of the accounts of rules, by name, as for `backtest`;
            policies keep their own.

    """

    market: MarketData
    first: int
    window: int
    costs: CostModel = dataclasses.field(default_factory=CostModel)
    fill: Fill = "next_open"
    utility: EpisodeScore | None = None
    terms: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def windows(self) -> int:
        """N: whole windows from `first` to the last bar."""
        return max((self.market.bars - 1 - self.first) // self.window, 0)


def load_contender(name: str, folder: Path | None = None) -> Contender:
    """A policy file, a run's policy, or a strategy; see `load_tradable`."""
    found = load_tradable(name, folder)
    if not isinstance(found, Policy | Strategy):
        raise ConfigError(f"{name} is a {type(found).__name__}; expected a policy or a strategy.")
    return found


def differences(
    task: PairedTask, candidates: Mapping[str, Contender], baseline: Contender
) -> dict[str, Floats]:
    """Measure ("profit", "utility") -> [C, N] mean over assets, candidates less the baseline.

    A policy of one asset trades every asset alone, and so does then everybody else; rules and
    policies of portfolios trade one account.

    Raises:
        ConfigError: not one window fits.

    """
    everybody = [*candidates.values(), baseline]
    policies = [x for x in everybody if isinstance(x, Policy)]
    begin = max([0, task.first - _SETTLE, *(p.config.lookback - 1 for p in policies)])
    task = dataclasses.replace(task, first=max(task.first, begin))
    if task.windows < 1:
        raise ConfigError(
            f"{task.market.name} has {task.market.bars - task.first} bars to compare on; a window "
            f"needs {task.window + 1}. Use more bars, or shorter windows."
        )
    portfolios = [p.config.portfolio for p in policies]
    alone = not all(portfolios) or (not policies and task.market.assets == 1)
    if alone and any(portfolios):
        raise ConfigError(
            "A policy that trades one asset and one that trades a portfolio cannot be paired. "
            "Compare policies of one kind."
        )
    account = _trade_alone if alone else _trade_together
    results = [_results(account(task, x, begin), task, begin) for x in everybody]
    measures = results[0]
    return {m: np.stack([r[m] - results[-1][m] for r in results[:-1]]) for m in measures}


def _results(path: EpisodeBatch, task: PairedTask, begin: int) -> dict[str, Floats]:
    """Measure -> [N] mean over the accounts of `path`, which starts at bar `begin`."""
    length, count = task.window, task.windows
    starts = task.first - begin + length * np.arange(count)
    points = starts[:, None] + np.arange(length + 1)  # [N, L+1]

    def cut(values: Floats, rows: Any) -> Floats:
        return values[:, rows].reshape(-1, rows.shape[1])

    equity = cut(path.equity, points)
    base = np.maximum(equity[:, :1], 1e-12)
    steps = points[:, :-1]
    batch = EpisodeBatch(
        close=cut(path.close, points),
        position=cut(path.position, steps),
        equity=np.maximum(equity / base, 1e-6),
        turnover=cut(path.turnover, steps),
        costs=cut(path.costs, steps) / base,
        **_book(path, steps, base),
    )
    found = {PROFIT: batch.net_return}
    if task.utility is not None:
        found[UTILITY] = np.asarray(task.utility(batch), dtype=np.float64)
    return {name: values.reshape(-1, count).mean(axis=0) for name, values in found.items()}


def _book(path: EpisodeBatch, steps: Any, base: Floats) -> dict[str, Floats]:
    """[N, L, A] weights and gains of a portfolio's assets in windows; nothing of one asset."""
    if path.weights is None or path.gains is None:
        return {}
    weights, gains = (
        x[:, steps].reshape(-1, steps.shape[1], x.shape[2]) for x in (path.weights, path.gains)
    )
    return {"weights": weights, "gains": gains / base[..., None]}


def _trade_alone(task: PairedTask, x: Contender, begin: int) -> EpisodeBatch:
    """[A, ...] paths of one account per asset, from bar `begin` on."""
    market = task.market
    of_rules = EnvConfig(lookback=1, fill=task.fill, **task.terms)
    config = x.config if isinstance(x, Policy) else of_rules
    env = MarketEnv(
        market,
        num_envs=market.assets,
        config=dataclasses.replace(
            config,
            horizon=market.bars - 1 - begin,
            review=config.review or config.horizon,
            randomise=Randomisation(),
            autoreset="disabled",
            dtype="float64",
        ),
        costs=task.costs,
        scaler=x.scaler if isinstance(x, Policy) else None,
    )
    actor = Actor(x.name, policy=x) if isinstance(x, Policy) else strategy_actor(x, market)
    windows = Windows(np.arange(market.assets), np.full(market.assets, begin))
    return batch_of(run_actor(env, actor, windows, seed=0))


def _trade_together(task: PairedTask, x: Contender, begin: int) -> EpisodeBatch:
    """[1, ...] path of one account with all assets; its close is the mean of the assets' paths."""
    done: BacktestResult
    if isinstance(x, Policy):
        fill = x.config.fill
        part = task.market.rows(max(begin - x.config.lookback + 1, 0), task.market.bars)
        done = trade(x, part, costs=task.costs, fill=fill, engine="simulator")
    else:
        how: dict[str, Any] = {"costs": task.costs, "fill": task.fill, "record": False}
        done = backtest(x, task.market, **how, **task.terms)
    return _path(done, task.market.bars - begin)


def _path(done: BacktestResult, bars: int) -> EpisodeBatch:
    """The last `bars` bars of a backtest as one episode."""
    part, last = done.market, slice(done.market.bars - bars, None)
    index = (part.close / part.close[last][0]).mean(axis=1)
    paid = np.zeros(part.bars)
    np.add.at(paid, done.orders["bar"], done.orders["fee"] + done.orders["slippage"])
    equity = done.account.equity[last]
    whole = done.positions.to_numpy()
    arrays = {
        "close": index[last],
        "position": whole.sum(axis=1)[last][1:],
        "equity": equity / equity[0],
        "turnover": done.turnover.to_numpy()[last][1:],
        "costs": paid[last][1:] / equity[0],
        "weights": whole[last][1:],
        "gains": done.contributions.to_numpy()[last][1:] / equity[0],
    }
    return EpisodeBatch(**{name: np.asarray(array)[None] for name, array in arrays.items()})
