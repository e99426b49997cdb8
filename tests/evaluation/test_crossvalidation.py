"""Cross-validation by folds, and sweeps on a cluster: nothing leaks, and nothing changes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import CostModel, load_market
from tradinghf.cli import main
from tradinghf.errors import ConfigError, StrategyError
from tradinghf.evaluation import _metrics as metrics
from tradinghf.evaluation import cross_validate_parameters as cross_validate
from tradinghf.evaluation import sweep
from tradinghf.evaluation._crossvalidation import combinatorial_splits
from tradinghf.executors import as_executor
from tradinghf.feedback.store import Store

GRID = {"fast": [3, 5, 8], "slow": [10, 20, 40]}
DATA = "synthetic:bars=300,assets=1"


def test_splits_equal_those_that_skfolio_documents() -> None:
    """12 bars, 3 folds, 2 tests: the examples in skfolio's CombinatorialPurgedCV."""
    purged = combinatorial_splits(12, folds=3, test_folds=2, purge=1)
    assert [train.tolist() for train, _ in purged] == [[9, 10, 11], [5, 6], [0, 1, 2]]
    held_off = combinatorial_splits(12, folds=3, test_folds=2, embargo=1)
    assert [train.tolist() for train, _ in held_off] == [[9, 10, 11], [5, 6, 7], [0, 1, 2, 3]]
    assert [tests for _, tests in purged] == [(0, 1), (0, 2), (1, 2)]


@pytest.mark.parametrize("bars", [57, 100])
@pytest.mark.parametrize(("folds", "test_folds"), [(2, 1), (5, 2), (6, 3)])
@pytest.mark.parametrize(("purge", "embargo"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_no_training_bar_lies_near_a_test(
    bars: int, folds: int, test_folds: int, purge: int, embargo: int
) -> None:
    """Against the definition, bar by bar."""
    size = bars // folds
    fold = [min(t // size, folds - 1) for t in range(bars)]
    splits = combinatorial_splits(
        bars, folds=folds, test_folds=test_folds, purge=purge, embargo=embargo
    )
    assert [tests for _, tests in splits] == list(combinations(range(folds), test_folds))
    for train, tests in splits:
        test = {t for t in range(bars) if fold[t] in tests}
        wanted = [
            t
            for t in range(bars)
            if t not in test
            and not any(t + k in test for k in range(1, purge + 1))
            and not any(t - k in test for k in range(1, purge + embargo + 1))
        ]
        assert train.tolist() == wanted


@pytest.mark.parametrize(
    "cut",
    [
        {"folds": 1, "test_folds": 1},
        {"folds": 4, "test_folds": 4},
        {"folds": 4, "test_folds": 0},
        {"folds": 40, "test_folds": 2},
        {"folds": 4, "test_folds": 2, "purge": -1},
        {"folds": 4, "test_folds": 2, "purge": 5, "embargo": 4},
        {"folds": 30, "test_folds": 15},
    ],
)
def test_folds_that_do_not_fit_are_refused(cut: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="cross-validation"):
        combinatorial_splits(40 if cut["folds"] < 30 else 70, **cut)  # type: ignore[arg-type]


def test_histories_join_test_bars_of_what_training_chose() -> None:
    market = make_market(400, seed=5)
    found = cross_validate("sma_cross", market, GRID, folds=5, test_folds=2, purge=4, embargo=3)
    swept = sweep("sma_cross", market, GRID)
    cuts = combinatorial_splits(400, folds=5, test_folds=2, purge=4, embargo=3)
    assert len(found.splits) == comb(5, 2)
    assert found.paths.shape == (400, comb(4, 1))
    chosen = []
    for (train, tests), row in zip(cuts, found.splits.to_dict("records"), strict=True):
        ratios = [metrics.sharpe(column, 252) for column in swept.returns[train].T]
        best = int(np.argmax([-np.inf if r is None else r for r in ratios]))
        assert row["train_sharpe_annual"] == pytest.approx(ratios[best])
        assert {n: row[n] for n in GRID} == {n: swept.params[best][n] for n in GRID}
        assert row["test"] == ", ".join(str(k + 1) for k in tests)
        chosen.append((tests, best))
    for k in range(5):
        bars = slice(80 * k, 80 * (k + 1))
        wanted = [best for tests, best in chosen if k in tests]
        np.testing.assert_array_equal(found.paths[bars], swept.returns[bars][:, wanted])
    assert 0 <= found.losing_share <= 1
    assert found.trials == 9


def test_the_choice_of_a_split_does_not_depend_on_its_test_bars() -> None:
    """Changing the returns of a fold and its purged neighbours leaves its splits' choice alone."""
    market = make_market(400, seed=6)
    splits = combinatorial_splits(400, folds=4, test_folds=1, purge=0, embargo=60)
    base = cross_validate("sma_cross", market, GRID, folds=4, test_folds=1, embargo=60).splits
    factor = np.ones(400)
    factor[100:200] = np.exp(np.random.default_rng(0).normal(0, 0.03, 100).cumsum())
    factor[200:] = factor[199]
    changed = type(market)(
        **{
            name: getattr(market, name) * factor[:, None]
            for name in ("open", "high", "low", "close")
        },
        volume=market.volume,
        timestamps=market.timestamps,
        symbols=market.symbols,
        bars_per_year=252.0,
        name="walk",
    )
    other = cross_validate("sma_cross", changed, GRID, folds=4, test_folds=1, embargo=60).splits
    train, tests = splits[1]
    assert tests == (1,)
    assert train.tolist() == [*range(100), *range(260, 400)]
    # The slowest average reaches 40 bars back, the order fills one later: the embargo covers both.
    assert other["train_sharpe_annual"][1] == pytest.approx(base["train_sharpe_annual"][1])
    assert other["test_sharpe_annual"][1] != pytest.approx(base["test_sharpe_annual"][1])


def test_folds_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["walkforward", "sma_cross", "--param", "fast=2:20:6", "--param", "slow=10,20"]
    args += ["--data", DATA]
    assert main([*args, "--embargo", "5"]) == 2
    assert "only --folds has" in capsys.readouterr().err
    args += ["--folds", "5", "--embargo", "5", "--purge", "2"]
    assert main([*args, "--store", "bank", "--out", "splits.parquet"]) == 0
    shown = capsys.readouterr().out
    assert "10 splits" in shown
    assert "4 out-of-sample histories" in shown
    assert len(pd.read_parquet("splits.parquet")) == 10
    with Store("bank") as bank:
        # fast 2, 8 with slow 10; 2, 8, 14 with slow 20; 20 is nowhere below.
        assert bank.trials(load_market(DATA).sha256) == 5
    with pytest.raises(StrategyError, match="Did you mean 'sharpe_annual'"):
        cross_validate("sma_cross", make_market(100), GRID, metric="sharp_annual")


# Executors


def test_chunks_may_run_anywhere_and_come_back_in_any_order() -> None:
    market = make_market(120, seed=1)
    grid = {"fast": list(range(2, 30)), "slow": list(range(30, 40))}

    def backwards(work, setting, tasks):
        return [(k, work(setting, tasks[k])) for k in reversed(range(len(tasks)))]

    costs = [CostModel(), CostModel(fee_bps=5)]
    here = sweep("sma_cross", market, grid, costs=costs)
    there = sweep("sma_cross", market, grid, costs=costs, executor=backwards)
    pd.testing.assert_frame_equal(here.table, there.table)
    np.testing.assert_array_equal(here.returns, there.returns)
    with pytest.raises(ConfigError, match='"local", "processes"'):
        as_executor("dask")


@pytest.mark.extra("ray")
def test_a_sweep_on_ray_equals_the_one_here(tmp_path: Path) -> None:
    """In a process of its own: Ray starts several, and warns in ways that fail tests."""
    rule = tmp_path / "mine.py"
    rule.write_text(
        textwrap.dedent('''
            import numpy as np
            from tradinghf import strategy

            def above(close, past):
                return np.where(close > past, 1.0, 0.0)

            @strategy
            def mine(market, *, bars: int = 5):
                """Hold what rose.

                Args:
                    bars: look back [bars].
                """
                close = market.close
                return above(close, np.vstack([close[:bars], close[:-bars]]))
        ''')
    )
    script = textwrap.dedent(f"""
        import numpy as np
        from tradinghf import load_market
        from tradinghf.evaluation import sweep

        market, grid = load_market("{DATA}"), {{"bars": range(1, 200)}}
        for name in (r"{rule}", "sma_cross"):
            grid = grid if name != "sma_cross" else {{"fast": [2, 5], "slow": [10, 20]}}
            here, there = (sweep(name, market, grid, executor=e) for e in ("local", "ray"))
            assert here.table.equals(there.table)
            assert np.array_equal(here.returns, there.returns)
        print("equal")
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.strip().endswith("equal"), done.stderr[-2000:]


def test_without_ray_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    args = ["sweep", "sma_cross", "--param", "fast=2,4", "--data", DATA, "--executor", "ray:local"]
    assert main(args) == 2
    assert "tradinghf[cluster]" in capsys.readouterr().err
    assert main([*args, "--optuna", "5"]) == 2
    assert "--optuna" in capsys.readouterr().err
