"""Seals and trials on the command line and in the dashboard, as data grow and change."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pandas as pd
import pytest
from support.evaluation import make_market
from support.versions import rescaled, with_close

from tradinghf import MarketData, load_market
from tradinghf.cli import main
from tradinghf.feedback.store import Store
from tradinghf.market import save_market

MARKET = make_market(400, seed=11)
DAY = f"{MARKET.index[300]:%Y-%m-%d}"
BASE = ["backtest", "sma_cross", "--store", "bank", "--data"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with bars.csv, 390 bars of which the last 90 are sealed and one trial was made."""
    monkeypatch.chdir(tmp_path)
    save_market(MARKET.rows(0, 390), "bars.csv")
    assert main(["seal", "bars.csv", "--start", DAY, "--store", "bank"]) == 0
    assert main([*BASE, "bars.csv"]) == 0


def versions() -> dict[str, MarketData]:
    """Files of the same bars."""
    return {
        "bars.csv": MARKET,
        "renamed.csv": MARKET,
        "converted.parquet": MARKET,
        "later_start.csv": MARKET.rows(30, 400),
        "shorter.csv": MARKET.rows(0, 350),
        "restated.csv": with_close(MARKET, 40),
        "dividend.csv": rescaled(MARKET, 395, 0.985),
    }


@pytest.mark.parametrize("name", versions())
def test_seals_and_counts_stay(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    save_market(versions()[name], name)
    capsys.readouterr()
    assert main([*BASE, name]) == 0
    out = capsys.readouterr().out
    assert f"Bars from {DAY} on are sealed and left out" in out
    counted = 2 if name == "later_start.csv" else 1  # another window is another trial
    assert f"so far: {counted}, counted in bank" in out
    changed = {"restated.csv": 40, "dividend.csv": 0}.get(name)
    assert ("has changed" in out) == (changed is not None)
    if changed is not None:
        assert f"the first on {MARKET.index[changed]:%Y-%m-%d}" in out
    assert main([*BASE, name, "--start", DAY]) == 2
    assert "sealed" in capsys.readouterr().err
    assert main(["seal", name, "--store", "bank"]) == 0
    assert f"sealed from {DAY} on; never opened" in capsys.readouterr().out


def test_sweeps_and_walks_count_on_grown_bars_as_on_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = ["--param", "fast=3,5", "--param", "slow=10,20", "--store", "bank", "--data"]
    walk = ["--train-bars", "100", "--test-bars", "50"]
    save_market(MARKET, "grown.parquet")
    for name in ("bars.csv", "grown.parquet"):
        assert main(["sweep", "sma_cross", *grid, name]) == 0
        assert "so far: 5, counted" in capsys.readouterr().out
    for name in ("bars.csv", "grown.parquet"):
        assert main(["walkforward", "sma_cross", *grid, name, *walk]) == 0
        assert "so far: 6, counted" in capsys.readouterr().out
    for name in ("bars.csv", "grown.parquet"):
        folds = ["--folds", "4", "--report", "folds.html"]
        assert main(["walkforward", "sma_cross", *grid, name, *folds]) == 0
        out = capsys.readouterr().out
        assert "Report: folds.html" in out
        assert "so far: 6, counted" in out, "the combinations of the sweep"


def test_the_page_of_folds_shows_every_split_and_history(
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ["walkforward", "sma_cross", "--param", "fast=3,5", "--param", "slow=10,20"]
    args += ["--data", "bars.csv", "--folds", "5", "--report", "folds.html", "--out", "s.parquet"]
    assert main(args) == 0
    out = " ".join(capsys.readouterr().out.split())
    page = Path("folds.html").read_text()
    splits = pd.read_parquet("s.parquet")
    assert len(splits) == 10
    assert "All 10 splits" in page
    for tests in splits["test"]:
        assert f'<th scope="row" class="text">{tests}</th>' in page
    headline = page.partition('class="headline">')[2].partition("<")[0]
    assert "4 out-of-sample histories" in headline
    assert headline in out, "the page says what the command line says"
    assert "http:" not in page.replace("http://www.w3.org", "")


def test_a_reason_to_open_needs_words(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "--reward", "pnl", "--data", "bars.csv", "--store", "bank"]
    for command in ([*BASE, "bars.csv"], train, ["rlhf", "--data", "bars.csv"]):
        for empty in ("", "  "):
            assert main([*command, "--open-sealed", empty]) == 2
            said = "--open-sealed is empty" if not empty else "is empty; expected words for the log"
            assert said in capsys.readouterr().err
    with Store("bank") as store:
        assert store.trials(kind="opening") == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["record", "open_sealed", "cash"])
def test_what_is_no_parameter_of_the_rule_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*BASE, "bars.csv", "--set", f"{name}=x"]) == 2
    assert f"'{name}', which is no parameter of sma_cross" in capsys.readouterr().err


def test_train_makes_the_store_that_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    data = "synthetic:bars=1000,assets=1,seed=5"
    args = ["train", "--reward", "pnl", "--data", data, "--steps", "1000", "--envs", "8"]
    args += ["--task", "daily", "--out", "runs/p", "--store", "store"]
    assert main(args) == 0
    assert "logged in store." in capsys.readouterr().out
    assert not Path("runs/p/store").exists()
    with Store("store") as store:
        assert store.trials(load_market(data).sha256, kind="training") == 1


def test_raters_do_not_see_sealed_bars(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["episodes", "collect", "--store", "bank", "--windows", "6", "--horizon", "32"]
    save_market(MARKET, "grown.csv")
    assert main([*args, "--data", "grown.csv"]) == 0
    assert "sealed and left out" in capsys.readouterr().out
    with Store("bank") as store:
        found = store.episodes()
        assert found
        assert max(str(e.timestamps[-1])[:10] for e in found) < DAY


@pytest.fixture
def job(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of a finished backtest of the dashboard, on bars that have grown and changed."""
    save_market(with_close(MARKET, 40), "restated.csv")
    monkeypatch.setenv("TRADINGHF_STORE", str(tmp_path / "bank"))
    monkeypatch.setenv("TRADINGHF_RUNS", str(tmp_path / "runs"))
    request = {
        "strategy": "sma_cross",
        "policy": "",
        "params": {},
        "data": "restated.csv",
        "start": None,
        "end": None,
        "costs": {"fee_bps": 1.0, "slippage_bps": 1.0},
        "fill": "next_open",
        "engine": "vectorbt",
        "store": "bank",
    }
    Path("request.json").write_text(json.dumps(request))
    worker = runpy.run_path(str(root / "dashboard" / "workers" / "backtest.py"))
    worker["main"]("request.json", "runs/backtest-1")
    return tmp_path / "runs" / "backtest-1"


def test_jobs_of_the_dashboard_obey_the_seal_and_count(job: Path) -> None:
    found = json.loads((job / "backtest.json").read_text())
    assert found["metrics"]["bars"] == 300
    assert found["trials"] == 1, "the backtest of the command line, again"
    changed, sealed = found["notes"]
    assert f"the first on {MARKET.index[40]:%Y-%m-%d}" in changed
    assert f"Bars from {DAY} on are sealed" in sealed
    curves = pd.read_parquet(job / "curves.parquet")
    assert str(curves.index[-1])[:10] < DAY


def test_the_dashboard_shows_no_result_that_reaches_into_sealed_bars(job: Path) -> None:
    from streamlit.testing.v1 import AppTest

    from tradinghf.resources import resource_dir
    from tradinghf.serving._dashboard import _open_dashboard

    _open_dashboard.cache_clear()

    def shown() -> str:
        page = str(resource_dir("dashboard") / "views" / "backtest.py")
        app = AppTest.from_file(page, default_timeout=60).run()
        assert not app.exception
        return "\n".join(str(part.value) for part in (*app.text, *app.warning))

    before = shown()
    assert "are sealed and left out" in before
    assert "the past of restated has changed" in before.lower()
    assert "sealed since" not in before
    earlier = f"{MARKET.index[250]:%Y-%m-%d}"
    assert main(["seal", "bars.csv", "--start", earlier, "--store", "bank"]) == 0
    after = shown()
    assert f"bars that were sealed since, from {earlier} on" in after
    assert "left out" not in after
    _open_dashboard.cache_clear()
