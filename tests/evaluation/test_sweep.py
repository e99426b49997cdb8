"""Sweeps, walk-forward and the strategy check: equal to one at a time, and blind to the future."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import CostModel, MarketData, backtest, strategy
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.evaluation import _columns, check_strategy, sweep, walk_forward
from tradinghf.evaluation._walkforward import walk_forward_splits
from tradinghf.strategies import Floats, strategy_names

GRID = {"fast": [3, 5, 8], "slow": [10, 20, 40], "short": [False, True]}


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("assets", [1, 3])
def test_every_row_equals_its_own_backtest(assets: int, fill: str) -> None:
    market = make_market(300, assets=assets, seed=assets)
    models = [CostModel(), CostModel(fee_bps=20, fixed_fee=0.5, spread_bps=6)]
    found = sweep("sma_cross", market, GRID, costs=models, fill=fill)  # type: ignore[arg-type]
    assert found.trials == 36 == found.returns.shape[1]
    assert {"fast", "slow", "short", "fee_bps", "fixed_fee", "spread_bps"} <= set(found.table)
    assert "slippage_bps" not in found.table  # the same everywhere
    for row in range(0, 36, 5):
        report = backtest(
            "sma_cross",
            market,
            costs=found.costs[row],
            fill=fill,
            **found.params[row],  # type: ignore[arg-type]
        )
        np.testing.assert_allclose(found.returns[:, row], report.returns, atol=1e-12)
        mine = found.table.loc[row]
        for name in found.table.columns[list(found.table).index("total_return_pct") :]:
            assert mine[name] == pytest.approx(report.metrics[name], rel=1e-9), name


def test_a_wide_universe_holds_few_columns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    market = make_market(200, assets=4, seed=1)
    together = sweep("sma_cross", market, GRID)
    held: list[int] = []
    worth = _columns._worth

    def watched(shares: Floats, price: Floats) -> Floats:
        held.append(shares.size)
        return worth(shares, price)

    monkeypatch.setattr(_columns, "_worth", watched)
    monkeypatch.setattr(_columns, "_HELD_AT_ONCE", 200 * 4 * 5)
    apart = sweep("sma_cross", market, GRID)
    assert max(held) == 200 * 4 * 5  # of 18 columns
    np.testing.assert_array_equal(apart.returns, together.returns)
    pd.testing.assert_frame_equal(apart.table, together.table)


def test_best_verdict_and_overfitting_count_every_trial() -> None:
    market = make_market(500, seed=4)
    seen: list[tuple[int, int]] = []
    found = sweep(
        "sma_cross", market, GRID, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (18, 18)
    best = found.best()
    assert best.metrics["sharpe_annual"] == pytest.approx(found.table["sharpe_annual"].max())
    verdict = found.verdict()
    assert verdict.trials == 18
    assert "after 18 trials" in str(verdict)
    assert 0 <= (found.overfitting(blocks=8) or 0) <= 1
    figure = found.heatmap("fast", "slow")
    assert list(figure.data[0].x) == [3, 5, 8]
    with pytest.raises(StrategyError, match="Did you mean 'sharpe_annual'"):
        found.best("sharpe")


def test_table_survives_parquet(tmp_path: Path) -> None:
    found = sweep("vol_target", make_market(100), {"target_pct": [5.0, 10.0], "window": [10, 20]})
    again = pd.read_parquet(found.save(tmp_path / "runs" / "s.parquet"))
    pd.testing.assert_frame_equal(again, found.table)


@pytest.mark.parametrize(
    ("grid", "match"),
    [
        ({}, "no parameters"),
        ({"fast": []}, "no values for 'fast'"),
        ({"fats": [1]}, "Did you mean 'fast'"),
        ({"fast": ["x"]}, "whole number"),
    ],
)
def test_bad_grids_are_refused(grid: dict[str, list[object]], match: str) -> None:
    with pytest.raises(StrategyError, match=match):
        sweep("sma_cross", make_market(60), grid)


def test_a_ruined_column_stays_ruined() -> None:
    @strategy
    def reckless(market: MarketData, *, size: float = 1.0) -> Floats:
        """Short a fixed multiple.

        Args:
            size: sold short [fraction of equity].

        """
        return np.full(market.bars, -size)

    market = make_market(200, seed=3, sigma=0.03, drift=0.01)
    found = sweep(reckless, market, {"size": [0.1, 3.0]})
    assert found.table["total_return_pct"][1] == pytest.approx(-100)
    ruin = int(np.argmin(found.returns[:, 1]))
    assert (found.returns[ruin + 1 :, 1] == 0).all()
    assert np.isfinite(found.returns).all()


def test_splits_cover_the_future_once_and_never_overlap() -> None:
    found = walk_forward_splits(1000, train_bars=300, test_bars=100, purge=5)
    tests = np.concatenate([np.arange(t.start, t.stop) for _, t in found])
    np.testing.assert_array_equal(tests, np.arange(305, 1000))
    for train, test in found:
        assert train.stop == test.start - 5
        assert train.stop - train.start == 300
    grown = walk_forward_splits(1000, train_bars=300, test_bars=100, anchored=True)
    assert all(train.start == 0 for train, _ in grown)
    assert walk_forward_splits(602, train_bars=300, test_bars=301)[-1][1] == slice(300, 602)
    for bad in ({"train_bars": 999}, {"train_bars": 1}, {"purge": -1}, {"test_bars": 1}):
        with pytest.raises(ConfigError, match="walk-forward"):
            walk_forward_splits(1000, **{"train_bars": 300, "test_bars": 100, **bad})


def test_walk_forward_trades_each_window_with_its_own_choice() -> None:
    market = make_market(700, seed=6)
    grid = {"fast": [3, 8], "slow": [20, 40]}
    walked = walk_forward("sma_cross", market, grid, train_bars=250, test_bars=150, purge=3)
    assert walked.trials == 4
    assert list(walked.report.equity.index) == list(market.index[253:])
    # By hand: the winner of each training window, stitched.
    wanted = np.zeros(447)
    for number, row in walked.windows.iterrows():
        start = 253 + 150 * int(str(number))
        train = market.rows(start - 253, start - 3)
        scores = {}
        for fast in grid["fast"]:
            for slow in grid["slow"]:
                full = np.nan_to_num(_weights(market, fast, slow))
                table = pd.DataFrame(
                    full[start - 253 : start - 3], index=train.index, columns=["A0"]
                )
                scores[fast, slow] = backtest(lambda m, t=table: t, train).metrics["sharpe_annual"]
        best = max(scores, key=lambda k: scores[k] or -9)
        assert (row["fast"], row["slow"]) == best
        assert row["train_sharpe_annual"] == pytest.approx(scores[best])
        part = np.nan_to_num(_weights(market, *best))[start : start + 150, 0]
        wanted[start - 253 : start - 253 + len(part)] = part
    held = pd.DataFrame(walked.report.targets).ffill().fillna(0.0).to_numpy()[:, 0]
    np.testing.assert_array_equal(held, wanted)


def _weights(market: MarketData, fast: int, slow: int) -> Floats:
    from tradinghf.strategies import load_strategy

    return load_strategy("sma_cross")(market, fast=fast, slow=slow)


def test_walk_forward_is_blind_to_what_comes_after() -> None:
    market = make_market(600, seed=7)
    grid = {"lookback": [5, 20, 60], "every": [1, 5]}
    whole = walk_forward("momentum", market, grid, train_bars=200, test_bars=100)
    part = walk_forward("momentum", market.rows(0, 450), grid, train_bars=200, test_bars=100)
    np.testing.assert_array_equal(whole.report.targets[:250], part.report.targets)
    np.testing.assert_array_equal(whole.report.equity[:250], part.report.equity)


@pytest.mark.parametrize("name", strategy_names())
def test_shipped_strategies_have_no_errors(name: str) -> None:
    found = check_strategy(name, make_market(600, seed=8))
    assert [f for f in found if f.severity == "error"] == []


LEAKS = {
    "tomorrow": lambda m: np.roll(m.close[:, 0], -1) > m.close[:, 0],
    "whole mean": lambda m: m.close[:, 0] > m.close[:, 0].mean(),
    "whole max": lambda m: m.close[:, 0] > 0.8 * m.close.max(),
    "centred": lambda m: pd.Series(m.close[:, 0]).rolling(5, center=True).mean() > m.close[:, 0],
    "backfill": lambda m: pd.Series(m.close[:, 0]).rolling(9).mean().bfill() > m.close[:, 0],
    "last bar": lambda m: np.full(m.bars, m.close[-1, 0] > m.close[0, 0]),
    "future low": lambda m: pd.Series(m.low[::-1, 0]).rolling(5).min()[::-1] < m.close[:, 0],
    "length": lambda m: np.arange(m.bars) > m.bars / 2,
    "rank": lambda m: pd.Series(m.close[:, 0]).rank(pct=True) > 0.5,
    "next open": lambda m: np.append(m.open[1:, 0], 0) > m.close[:, 0],
}


@pytest.mark.parametrize("leak", LEAKS)
def test_planted_leaks_are_errors(leak: str) -> None:
    @strategy
    def planted(market: MarketData) -> Floats:
        """Use the future."""
        return np.asarray(LEAKS[leak](market), dtype=np.float64)

    kinds = [f.kind for f in check_strategy(planted, make_market(400, seed=9))]
    assert "look-ahead" in kinds


def test_other_doubts_are_named() -> None:
    market = make_market(300, assets=3, seed=10)
    free = CostModel(fee_bps=0, slippage_bps=0)
    found = check_strategy("sma_cross", market, costs=free, fill="close")
    kinds = {f.kind for f in found}
    assert {"no costs", "same-close fill", "survivorship not controlled"} <= kinds
    assert all(f.severity == "warning" for f in found)
    rng = np.random.default_rng(0)

    @strategy
    def restless(market: MarketData) -> Floats:
        """Draw anew on every call."""
        return rng.random(market.bars)

    @strategy
    def asleep(market: MarketData) -> Floats:
        """Do nothing."""
        return np.zeros(market.bars)

    @strategy
    def doomed(market: MarketData) -> Floats:
        """Short far too much."""
        return np.full(market.bars, -5.0)

    one = make_market(300, seed=11, sigma=0.03, drift=0.01)
    assert [f.kind for f in check_strategy(restless, one)] == ["not repeatable"]
    assert [f.kind for f in check_strategy(asleep, one)] == ["never trades"]
    assert "ruin" in [f.kind for f in check_strategy(doomed, one)]
    thin = MarketData(**{**_arrays(one), "volume": np.full((300, 1), 10.0)})
    assert "capacity" in [f.kind for f in check_strategy("buy_and_hold", thin)]
    walk = make_market(300, seed=12)
    assert "few trades" in [f.kind for f in check_strategy("sma_cross", walk)]


def _arrays(market: MarketData) -> dict[str, object]:
    names = ("open", "high", "low", "close", "volume", "timestamps", "symbols")
    return {name: getattr(market, name) for name in names}


def test_every_python_block_of_the_backtest_guide_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (root / "docs" / "backtest.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 12
    for block in blocks:
        exec(compile(block, "docs/backtest.md", "exec"), {"__name__": "guide"})
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert "sma_cross, walk-forward on sp500" in capsys.readouterr().out


def test_every_metric_is_defined_in_the_docs(root: Path) -> None:
    text = (root / "docs" / "metrics.md").read_text("utf-8")
    report = backtest("sma_cross", make_market(100), fast=3, slow=9)
    missing = [name for name in report.metrics if f"`{name}`" not in text]
    assert missing == []
