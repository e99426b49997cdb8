"""The gate and its monitor on bars: who trades, on which windows, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tradinghf.config import CostModel, EnvConfig
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.evaluation import PROFIT, UTILITY, GateConfig, backtest
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward
from tradinghf.loop import (
    RLHF,
    Deployment,
    PairedTask,
    gate,
    load_contender,
    since_deployment,
    trader_utility,
    watch,
)
from tradinghf.loop._paired import differences
from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv
from tradinghf.strategies import Strategy, strategy

FREE = CostModel(fee_bps=0, slippage_bps=0)


def weekly(bars: int = 1200, assets: int = 2, seed: int = 0) -> MarketData:
    """Each asset rises by about 2 % in one ten-bar stretch and falls as much in the next."""
    rng = np.random.default_rng(seed)
    drift = np.where(np.arange(bars) // 10 % 2 == 0, 0.002, -0.002)[:, None]
    close = 100 * np.exp(np.cumsum(drift + 0.004 * rng.standard_normal((bars, assets)), axis=0))
    opening = np.vstack([close[:1], close[:-1]])
    return MarketData(
        open=opening,
        high=np.maximum(opening, close),
        low=np.minimum(opening, close),
        close=close,
        volume=np.ones_like(close),
        timestamps=np.datetime64("2015-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D"),
        symbols=tuple("ABCD"[:assets]),
    )


def _phase(market: MarketData) -> np.ndarray:
    """[T, 1] whether the next bar lies in a rising stretch, by the calendar alone."""
    day = (market.timestamps - np.datetime64("2015-01-01", "ns")) // np.timedelta64(1, "D")
    return ((day.astype(int) + 1) // 10 % 2 == 0)[:, None]


@strategy
def calendar(market: MarketData) -> np.ndarray:
    """Long in rising stretches."""
    return np.broadcast_to(np.where(_phase(market), 1.0, 0.0) / market.assets, market.close.shape)


@strategy
def contrary(market: MarketData) -> np.ndarray:
    """Long in falling stretches: the planted harm."""
    return np.broadcast_to(np.where(_phase(market), 0.0, 1.0) / market.assets, market.close.shape)


@strategy
def idle(market: MarketData) -> np.ndarray:
    """Never trades."""
    return np.zeros_like(market.close)


@strategy
def churn(market: MarketData) -> np.ndarray:
    """The calendar's positions, and a needless change of one percent every bar."""
    wobble = 0.01 * (np.arange(market.bars) % 2)[:, None]
    return np.clip(calendar(market) - wobble, 0, None)


HOLD = load_contender("buy_and_hold")


def task(market: MarketData | None = None, **changes: object) -> PairedTask:
    market = market or weekly()
    return replace(PairedTask(market, 100, 20, FREE), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("assets", [1, 2])
def test_a_planted_better_rule_is_deployed_and_a_harmful_one_is_not(assets: int) -> None:
    windows = task(weekly(assets=assets))
    good = gate(windows, {"calendar": calendar}, HOLD).decision
    assert (good.answer, good.chosen, good.windows) == ("deploy", "calendar", 54)
    assert gate(windows, {"contrary": contrary}, HOLD).decision.answer == "keep"
    both = gate(windows, {"contrary": contrary, "calendar": calendar}, HOLD).decision
    assert both.passed == ("calendar",)
    first = gate(windows, {"contrary": contrary, "calendar": calendar}, HOLD, ordered=True)
    assert first.decision.answer != "deploy"  # the first in the order failed


def test_differences_are_those_of_backtests_over_the_same_windows() -> None:
    windows = task(costs=CostModel())
    found = differences(windows, {"calendar": calendar}, HOLD)[PROFIT][0]
    results = [backtest(x, windows.market, costs=CostModel()) for x in (calendar, "buy_and_hold")]
    points = 100 + 20 * np.arange(55)
    own, other = (r.equity.to_numpy()[points] for r in results)
    np.testing.assert_allclose(found, own[1:] / own[:-1] - other[1:] / other[:-1], rtol=1e-9)


def test_one_asset_alone_and_together_agree() -> None:
    """The environment's account and a backtest's give the same windows."""
    market = weekly(assets=1)
    alone = differences(task(market), {"calendar": calendar}, HOLD)[PROFIT][0]
    results = [backtest(x, market, costs=FREE) for x in (calendar, "buy_and_hold")]
    points = 100 + 20 * np.arange(55)
    own, other = (r.equity.to_numpy()[points] for r in results)
    np.testing.assert_allclose(alone, own[1:] / own[:-1] - other[1:] / other[:-1], rtol=1e-6)


def test_costs_count() -> None:
    dear = CostModel(fee_bps=50, slippage_bps=0)
    free, paid = (
        differences(task(costs=c), {"churn": churn}, calendar)[PROFIT].mean() for c in (FREE, dear)
    )
    assert paid < free - 0.0005


def test_utility_is_measured_beside_profit() -> None:
    utility, answers = trader_utility("drawdown")
    assert answers == []
    found = differences(task(utility=utility), {"idle": idle}, contrary)
    assert found[UTILITY].mean() > found[PROFIT].mean() > 0


def test_later_bars_do_not_change_earlier_windows() -> None:
    market = weekly()
    rules = {"calendar": calendar}
    early = differences(task(market.rows(0, 700)), rules, HOLD)[PROFIT]
    late = differences(task(market), rules, HOLD)[PROFIT]
    np.testing.assert_allclose(early, late[:, : early.shape[1]], rtol=1e-9)


def test_the_monitor_stays_with_what_is_good_and_goes_back_from_what_became_bad(
    tmp_path: Path,
) -> None:
    market = weekly(2400)
    past = market.rows(0, 1200)
    record = gate(task(past), {"calendar": calendar}, HOLD).deployment("buy_and_hold", data="x")
    record.save(tmp_path / "deployment.json")
    record = Deployment.load(tmp_path)
    assert record.deployed == "calendar"
    early = watch(record, since_deployment(record, past), calendar, HOLD)
    assert (early.verdict, early.windows) == ("early", 0)
    since = since_deployment(record, market)
    assert since.first == 1199
    good = watch(record, since, calendar, HOLD)
    assert (good.verdict, good.windows) == ("stay", 60)
    # The rule's calendar is wrong from now on.
    bad = watch(record, since, contrary, HOLD)
    assert bad.verdict == "back"
    assert bad.alarm is not None
    assert bad.alarm < 40
    assert bad.evidence >= bad.needed == 20


def test_the_monitor_needs_the_bar_that_the_decision_rests_on(tmp_path: Path) -> None:
    record = gate(task(), {"calendar": calendar}, HOLD).deployment("buy_and_hold", data="x")
    with pytest.raises(ConfigError, match="no bar at"):
        since_deployment(record, weekly(600))
    (tmp_path / "deployment.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no readable decision"):
        Deployment.load(tmp_path)


def test_too_few_bars_for_a_window_are_refused() -> None:
    with pytest.raises(ConfigError, match="shorter windows"):
        gate(task(weekly(110)), {"calendar": calendar}, HOLD)
    with pytest.raises(ConfigError, match="at least one candidate"):
        gate(task(), {}, HOLD)


SMALL = EnvConfig(horizon=24, lookback=2, features=("log_return",), levels=(0.0, 1.0))


def trained(test: MarketData, *, looks: list[int], **options: object) -> RLHF:
    """A small loop with a synthetic trader."""
    env = MarketEnv(synthetic(0, 400, 2), num_envs=16, config=SMALL)
    config = RLHFConfig(
        rankings=8, rounds=1, steps=2000, windows=8, ppo=PPOConfig(minibatches=4, hidden=(8,))
    )
    options = {"trader": "drawdown", "look": lambda: looks.append(1), **options}
    return RLHF(env, test_market=test, config=config, **options)  # type: ignore[arg-type]


def test_a_safe_loop_ends_with_the_baseline_unless_the_gate_opens() -> None:
    looks: list[int] = []
    agent = trained(synthetic(9, 900, 2), looks=looks, safe=True, baseline="sma_cross")
    agent.train()
    assert agent.judged is not None
    assert agent.judged.decision.answer in ("keep", "unclear")
    assert isinstance(agent.deployed, Strategy)
    assert agent.deployed.name == "sma_cross"
    assert {m.measure for m in agent.judged.decision.measured} == {PROFIT, UTILITY}
    agent.evaluate()
    assert looks == [1]  # one opening of the test bars, whatever looks at them


def test_a_loop_that_trades_better_than_a_harmful_baseline_is_let_through() -> None:
    looks: list[int] = []
    market = weekly(1500)
    agent = trained(market, looks=looks, baseline=contrary)
    agent.train()
    assert agent.judged is None
    # Whatever it learned, an allowance of the whole account makes it harmless.
    agent.gate(GateConfig(margin=0.9, utility_margin=9.0))
    assert agent.judged is not None
    assert agent.judged.decision.answer == "deploy"
    assert agent.deployed in agent.training.policies(agent.policy).values() or agent.deployed
    assert agent.trained is agent.deployed


def test_without_bars_that_nothing_has_seen_the_gate_says_so() -> None:
    agent = trained(synthetic(9, 900, 2), looks=[])
    agent.test_market = None
    with pytest.raises(ConfigError, match="test_market"):
        agent.gate()


def test_a_policy_of_one_asset_and_one_of_a_portfolio_are_not_paired() -> None:
    from tradinghf.learning.policy import Policy

    def policy(portfolio: bool) -> Policy:
        config = replace(SMALL, portfolio=portfolio, actions="continuous")
        env = MarketEnv(weekly(300), num_envs=4, config=config)
        agent = PPO(env, {"pnl": Stream(env_reward)}, config=PPOConfig(minibatches=2, hidden=(4,)))
        assert agent.network is not None
        return Policy(agent.network, config, env.scaler)

    one, many = policy(False), policy(True)
    with pytest.raises(ConfigError, match="one kind"):
        gate(task(), {"one": one, "many": many}, HOLD)
    for each in (one, many):
        found = differences(task(utility=SyntheticTrader("profit").utilities), {"x": each}, HOLD)
        np.testing.assert_allclose(found[PROFIT], found[UTILITY], rtol=1e-9)
        assert np.isfinite(found[PROFIT]).all()


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    record = gate(task(), {"calendar": calendar}, HOLD).deployment("buy_and_hold", data="x")
    record.save(tmp_path / "new" / "d.json")
    found = json.loads((tmp_path / "new" / "d.json").read_text())
    assert found["text"].startswith("Deploy calendar")
    assert found["decision"]["windows"] == 54
