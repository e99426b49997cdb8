"""Results that nobody can have, files read on the way, and signals from too little history."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market

from tradinghf import MarketData, backtest, strategy
from tradinghf.evaluation import judge, signal
from tradinghf.evaluation._sources import reading

MARKET = make_market(400, 1, 3)


def test_a_backtest_with_the_answers_says_so_and_does_not_pass(tmp_path: Path) -> None:
    moves = MARKET.open[2:, 0] > MARKET.open[1:-1, 0]
    answers = tmp_path / "answers.csv"
    pd.Series(np.append(moves, [0, 0]).astype(float)).to_csv(answers, index=False)

    @strategy
    def oracle(market: MarketData) -> np.ndarray:
        """Read what comes next from a file."""
        return pd.read_csv(answers).to_numpy()[: market.bars, 0]

    report = backtest(oracle, MARKET, record=False)
    verdict = judge(report, report.buy_and_hold())
    assert verdict.passed is False
    assert verdict.headline.startswith("Too good to be true")
    assert "perfect foresight" in verdict.reasons[0]
    assert any(str(answers) in remark for remark in report.remarks)


def test_what_is_written_on_the_way_is_no_source(tmp_path: Path) -> None:
    @strategy
    def keeps_notes(market: MarketData) -> np.ndarray:
        """Write what it sees."""
        (tmp_path / "notes.txt").write_text(str(market.bars))
        with tempfile.TemporaryFile() as draft:
            draft.write(b"x")
        return np.ones(market.bars)

    assert not backtest(keeps_notes, MARKET, record=False).remarks


def test_plain_rules_raise_no_doubt() -> None:
    for name in ("sma_cross", "momentum", "rsi_reversion", "buy_and_hold"):
        report = backtest(name, MARKET, record=False)
        assert not judge(report, report.buy_and_hold()).doubt
        assert not report.remarks


@pytest.mark.parametrize(
    ("bars", "params", "said"),
    [
        (40, {"fast": 10, "slow": 60}, "Not one order in 40 bars"),
        (60, {"fast": 10, "slow": 60}, "Without the first of the 60 bars"),
        (61, {"fast": 10, "slow": 60}, ""),
    ],
)
def test_a_signal_from_too_few_bars_is_flagged(bars: int, params: dict, said: str) -> None:
    rising = np.linspace(100.0, 130.0, bars)[:, None]
    days = pd.bdate_range("2020-01-01", periods=bars)
    market = MarketData(
        *(rising, rising, rising, rising), np.ones((bars, 1)), days.to_numpy(), ("X",)
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        signal("sma_cross", market, **params)
    texts = [str(w.message) for w in caught]
    assert any(said in text for text in texts) if said else not texts


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="files in memory are Linux's")
def test_a_file_in_memory_is_named_and_a_device_is_not() -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".csv") as file:
        names = (file.name, "/dev/null")
        _, seen = reading(lambda: [Path(name).read_bytes() for name in names])
    assert seen == [file.name]
