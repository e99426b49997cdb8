"""Parameters chosen by taste: all variants on the same windows, equal to one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import CostModel, RewardModel, load_market
from tradinghf.cli import main
from tradinghf.cli._objective import read_objective
from tradinghf.episodes import EpisodeBatch
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.evaluation import Taste, cross_validate_parameters, search, sweep, walk_forward
from tradinghf.feedback import SyntheticTrader
from tradinghf.feedback.store import Store
from tradinghf.loop import PairedTask, ask, gate
from tradinghf.simulation import MarketEnv
from tradinghf.strategies import load_strategy

GRID = {"fast": [3, 5, 8], "slow": [10, 20, 40]}


def calm(batch: EpisodeBatch) -> np.ndarray:
    """A taste that sees equity, positions, turnover and costs."""
    held, traded = np.abs(batch.position).mean(-1), batch.turnover.sum(-1)
    return -batch.drawdown.max(-1) - 0.01 * held - 0.02 * traded - batch.costs.sum(-1)


@pytest.mark.parametrize("fill", ["next_open", "close"])
def test_a_rows_taste_is_what_the_gate_measures_on_the_same_windows(fill: str) -> None:
    market = make_market(400, seed=3)
    costs = CostModel(fee_bps=10, slippage_bps=5, fixed_fee=1.0)
    taste = Taste(calm, window=20)
    found = sweep("sma_cross", market, GRID, costs=costs, fill=fill, objective=taste)  # type: ignore[arg-type]
    starts = taste.starts(market.bars)
    assert found.tastes is not None
    assert found.tastes.shape == (len(starts), 9)
    rules = {
        str(row): replace(load_strategy("sma_cross"), name=str(row), function=_bound(row, found))
        for row in range(9)
    }
    rules = {name: replace(rule, parameters=(), requires="") for name, rule in rules.items()}
    # The gate cuts windows without overlap; every fourth of ours are these.
    apart = np.arange(len(starts) - 1, -1, -4)[::-1]
    task = PairedTask(market, int(starts[apart[0]]), 20, costs, fill, calm)  # type: ignore[arg-type]
    judged = gate(task, rules, load_strategy("buy_and_hold"))
    mine = found.tastes[apart]
    for row in range(1, 9):
        want = judged.differences["utility"][row] - judged.differences["utility"][0]
        np.testing.assert_allclose(mine[:, row] - mine[:, 0], want[: len(apart)], atol=1e-9)


def _bound(row: int, found: object) -> object:
    params = found.params[row]  # type: ignore[attr-defined]
    return lambda market: load_strategy("sma_cross")(market, **params)


def test_the_best_row_is_the_one_that_the_taste_likes() -> None:
    market = make_market(400, seed=5)
    found = sweep("sma_cross", market, GRID, objective=calm)
    assert found.metric == "taste"
    best = found.best()
    row = int(found.table["taste"].argmax())
    assert best.params == {**best.params, **found.params[row]}
    # By the Sharpe ratio another row may win, and the table still has it.
    assert found.best("sharpe_annual").metrics["sharpe_annual"] == pytest.approx(
        found.table["sharpe_annual"].max()
    )


def test_profit_counts_beside_the_taste_where_it_has_a_weight() -> None:
    market = make_market(400, seed=6)
    flat = Taste(lambda batch: np.zeros(len(batch)), window=20, profit=0.5)
    found = sweep("sma_cross", market, GRID, objective=flat)
    assert found.metric == "taste_and_profit"
    assert (found.table["taste"] == 0).all()
    starts = flat.starts(market.bars)
    wealth = np.cumprod(1 + found.returns, axis=0)
    gains = (wealth[starts + 20] / wealth[starts] - 1).mean(axis=0)
    assert np.argsort(gains).tolist() == np.argsort(found.table["taste_and_profit"]).tolist()


def _idle(batch: EpisodeBatch) -> np.ndarray:
    """A taste that minds every bar in the market."""
    return -np.abs(batch.position).mean(-1)


def test_a_taste_that_keeps_profit_leaves_out_what_loses_it() -> None:
    market = make_market(400, seed=3)
    keeping = Taste(_idle, window=20, keep=0.001)
    grid = {"fast": [5, 20, 40], "slow": [50, 60, 90], "short": [False, True]}
    found = sweep("sma_cross", market, grid, objective=keeping)
    starts = keeping.starts(market.bars)

    def profit(returns: np.ndarray) -> np.ndarray:
        wealth = np.cumprod(1 + returns, axis=0)
        return (wealth[starts + 20] / wealth[starts] - 1).mean(axis=0)  # type: ignore[no-any-return]

    assert found.own is not None
    assert found.own.shape == (400, 1)
    own = sweep("sma_cross", market, {"fast": [20]}).returns  # its default
    np.testing.assert_array_equal(found.own, own)
    kept = found.table["taste_keeping_profit"].notna().to_numpy()
    assert 1 < kept.sum() < 18
    lost = profit(found.returns) - profit(own)
    assert (lost[kept] >= -0.001).all()  # and by a standard error, so that not all of these are
    assert kept.sum() <= (lost >= -0.001).sum()
    loose = sweep("sma_cross", market, grid, objective=replace(keeping, keep=1.0))
    assert loose.table["taste_keeping_profit"].equals(found.table["taste"])
    liked = found.table["taste"].where(kept)
    assert found.best_row() == int(liked.argmax())
    assert found.best_row() != int(found.table["taste"].argmax())


def test_where_nothing_keeps_its_profit_the_strategy_stays_as_it_is() -> None:
    market = make_market(500, seed=6)
    keeping, idle = Taste(_idle, window=20, keep=0.0), {"weight": [0.0, 0.1]}
    rising = replace(
        market,
        **{n: getattr(market, n) * np.exp(0.01 * np.arange(500))[:, None] for n in
           ("open", "high", "low", "close")},
    )  # fmt: skip
    with pytest.raises(StrategyError, match="keeps the profit that buy_and_hold makes"):
        sweep("buy_and_hold", rising, idle, objective=keeping).best_row()
    walked = walk_forward(
        "buy_and_hold", rising, idle, objective=keeping, train_bars=200, test_bars=100
    )
    assert (walked.windows["weight"] == 1.0).all()
    plain = replace(keeping, keep=None)
    walked = walk_forward(
        "buy_and_hold", rising, idle, objective=plain, train_bars=200, test_bars=100
    )
    assert (walked.windows["weight"] == 0.0).all()
    crossed = cross_validate_parameters(
        "buy_and_hold", rising, idle, folds=5, test_folds=2, objective=keeping
    )
    assert (crossed.splits["weight"] == 1.0).all()
    with pytest.raises(ConfigError, match=r"Taste\.keep is -1"):
        Taste(_idle, keep=-1)


@pytest.mark.extra("optuna")
def test_search_proposes_by_taste_and_finds_the_best_of_the_grid() -> None:
    market = make_market(300, seed=7)
    grid = {"fast": list(range(2, 10)), "slow": list(range(10, 40, 3))}
    whole = sweep("sma_cross", market, grid, objective=calm)
    found = search("sma_cross", market, grid, limit=40, objective=calm, seed=1)
    assert found.trials == 40
    assert found.tastes is not None
    assert found.tastes.shape[1] == 40
    worst = whole.table["taste"].quantile(0.9)
    assert found.table["taste"].max() >= worst


def test_walk_forward_chooses_on_the_past_and_says_the_taste_out_of_sample() -> None:
    market = make_market(700, seed=8)
    taste = Taste(calm, window=20)
    cut = {"train_bars": 200, "test_bars": 50}
    found = walk_forward("sma_cross", market, GRID, objective=taste, **cut)
    first = found.windows.iloc[0]
    past = sweep("sma_cross", market.rows(0, 200), GRID, objective=taste)
    assert first["train_taste"] <= past.table["taste"].max() + 0.05
    assert {"train_taste", "test_total_return_pct"} <= set(found.windows)
    assert found.out_of_sample is not None
    assert found.taste_gain is not None
    chosen, default = found.out_of_sample["taste"]
    gain, low, high = found.taste_gain
    assert gain == pytest.approx(chosen - default)
    assert low <= gain <= high
    # The future does not change what was chosen.
    factor = np.ones((700, 1))
    factor[300:] = np.linspace(1, 3, 400)[:, None]
    names = ("open", "high", "low", "close")
    other = replace(market, **{name: getattr(market, name) * factor for name in names})
    again = walk_forward("sma_cross", other, GRID, objective=taste, **cut)
    assert again.windows.iloc[0]["train_taste"] == first["train_taste"]


def test_cross_validation_by_taste_uses_windows_within_training_bars() -> None:
    market = make_market(600, seed=9)
    found = cross_validate_parameters(
        "sma_cross", market, GRID, folds=6, test_folds=2, objective=Taste(calm, window=20)
    )
    assert "train_taste" in found.splits
    with pytest.raises(ConfigError, match="no window of 150 bars"):
        cross_validate_parameters(
            "sma_cross", market, GRID, folds=6, test_folds=5, objective=Taste(calm, window=150)
        )


def test_windows_that_do_not_fit_and_other_objectives_are_refused() -> None:
    market = make_market(50, seed=1)
    with pytest.raises(ConfigError, match="50 bars are too few for a window of 64 bars"):
        sweep("sma_cross", market, GRID, objective=calm)
    with pytest.raises(ConfigError, match="has not been fitted"):
        sweep("sma_cross", market, GRID, objective=RewardModel())
    with pytest.raises(ConfigError, match="expected a fitted reward model"):
        sweep("sma_cross", market, GRID, objective=3)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory whose store holds twelve rankings."""
    env = MarketEnv(load_market("synthetic:seed=1,bars=600,assets=2"), num_envs=1)
    questions = ask(env, (), count=12, windows=12, size=4, uniform=0.0, seed=0)
    trader = SyntheticTrader("drawdown")
    run = tmp_path_factory.mktemp("ranked") / "run"
    with Store(run / "store") as store:
        store.add_episodes(e for q in questions for e in q.episodes)
        store.add_queries(q.query for q in questions)
        for q in questions:
            store.submit(trader.rank(q.episodes, q.query.id))
    return run


@pytest.mark.parametrize(
    "optuna", [0, pytest.param(4, marks=pytest.mark.extra("optuna"))], ids=["grid", "optuna"]
)
def test_the_command_line_sweeps_by_taste(
    optuna: int, ranked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = "synthetic:seed=1,bars=600,assets=1"
    values = ["--param", "fast=5:20:5", "--param", "slow=30:90:30", "--data", data]
    part = ["--optuna", str(optuna), "--seed", "3"] if optuna else []
    wish = ["--objective", f"learned+pnl:{ranked}", "--out", "found.csv"]
    assert main(["sweep", "sma_cross", *values, *part, *wish]) == 0
    found = pd.read_csv("found.csv")
    assert len(found) == (optuna or 12)
    assert {"taste", "taste_and_profit"} <= set(found.columns)
    assert found["taste"].nunique() > 1


def test_a_runs_rankings_are_an_objective(ranked: Path, tmp_path: Path) -> None:
    market, run = load_market("synthetic:seed=1,bars=600,assets=2"), ranked
    taste, metric = read_objective(f"learned:{run}", "sharpe_annual")
    assert taste is not None
    assert (metric, taste.window) == ("taste", 64)
    both, metric = read_objective(f"learned+pnl:{run}", "sharpe_annual")
    assert both is not None
    assert metric == "taste_and_profit"
    assert both.profit > 0
    found = sweep("sma_cross", market, {"slow": [30, 60, 90]}, objective=taste)
    assert found.table["taste"].nunique() == 3
    for text, match in [
        ("sharpe", "expected learned:RUN"),
        ("learned:", "expected learned:RUN"),
        (f"learned:{tmp_path}/no", "there is no run directory"),
    ]:
        with pytest.raises(ConfigError, match=match):
            read_objective(text, "sharpe_annual")
    with pytest.raises(ConfigError, match="give one"):
        read_objective(f"learned:{run}", "calmar")
