"""Studies outside the command line: trials are counted, sealed bars left out, nothing printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradinghf import load_market
from tradinghf.errors import ConfigError
from tradinghf.evaluation import RunStudy, open_study
from tradinghf.feedback.store import Store

DATA = "synthetic:bars=300,assets=1,seed=2"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _seal(bar: int) -> str:
    """Seal the bars from `bar` on in ./bank; returns the first sealed day."""
    market = load_market(DATA)
    day = str(market.index[bar].date())
    with Store("bank") as store:
        store.count_trial("seal", day, market.sha256)
    return day


def test_a_window_before_the_seal_needs_no_opening() -> None:
    _seal(200)
    market = load_market(DATA)
    before = str(market.index[150].date())
    with open_study(DATA, end=before, store="bank", open_sealed="why", purpose="x") as study:
        assert study.market.bars == 151
        assert study.store is not None
        assert study.store.trials(market.sha256, kind="opening") == 0


def test_what_happens_to_sealed_bars_is_told_to_the_caller_and_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    day, told = _seal(200), []
    with open_study(DATA, store="bank", purpose="x", notify=told.append) as study:
        assert study.market.bars == 200
        assert study.count_trials("backtest", "mine", [{"fast": 5}, {"fast": 9}]) == 2
        assert study.count_trials("backtest", "mine", [{"fast": 5}]) == 2, "counted before"
    options = {"store": "bank", "open_sealed": "the final look", "notify": told.append}
    with open_study(DATA, purpose="x", **options) as study:
        assert study.market.bars == 300
    assert RunStudy(DATA, "bank", notify=told.append).last_day() < day
    assert [text.split(";")[0] for text in told] == [
        f"Bars from {day} on are sealed and left out",
        f"Opening 1 of the bars from {day} on: logged.",
        f"Bars from {day} on are sealed and left out",
    ]
    assert capsys.readouterr().out == ""


def test_without_a_store_nothing_is_counted_and_nothing_can_be_opened() -> None:
    with open_study(DATA, purpose="x") as study:
        assert study.count_trials("backtest", "mine", [{}]) == 1
        assert "no store here" in study.trials_text()
    with (
        pytest.raises(ConfigError, match="needs a store"),
        open_study(DATA, open_sealed="why", purpose="x"),
    ):
        pass
    assert not Path("store").exists()
