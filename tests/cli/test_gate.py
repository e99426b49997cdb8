"""`tradinghf gate` and `monitor`: answers as exit codes, on rules and on runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf.cli import main

RULES = '''
import numpy as np
from tradinghf import strategy

def rising(market):
    days = (market.timestamps - np.datetime64("2015-01-01", "ns")) // np.timedelta64(1, "D")
    return ((days.astype(int) + 1) // 10 % 2 == 0)[:, None]

@strategy
def calendar(market):
    """Long in rising stretches."""
    return np.where(rising(market), 1.0, 0.0)

@strategy
def contrary(market):
    """Long in falling stretches."""
    return np.where(rising(market), 0.0, 1.0)
'''
SMALL = ["--data", "synthetic:bars=400,assets=2", "--steps", "4000", "--envs", "16"]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules, and bars that rise for ten days and fall for ten: some years, and the next ones."""
    monkeypatch.chdir(tmp_path)
    Path("rules.py").write_text(RULES)
    rng = np.random.default_rng(0)
    drift = np.where(np.arange(2400) // 10 % 2 == 0, 0.002, -0.002)
    close = 100 * np.exp(np.cumsum(drift + 0.004 * rng.standard_normal(2400)))
    bars = pd.DataFrame({"Date": pd.date_range("2015-01-01", periods=2400), "Close": close})
    bars["Open"] = bars["Close"].shift(1).fillna(100.0)
    bars["High"], bars["Low"] = (bars[["Open", "Close"]].agg(f, axis=1) for f in ("max", "min"))
    bars["Volume"] = 1000.0
    bars.iloc[:1200].to_csv("past.csv", index=False)
    bars.to_csv("all.csv", index=False)


def ask(*words: str) -> int:
    return main(["gate", "--data", "past.csv", *words])


def test_answers_are_exit_codes_and_the_monitor_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ask("--candidate", "rules.py:calendar", "--out", "d.json") == 0
    out = capsys.readouterr().out
    assert "Deploy rules.py:calendar" in out
    assert "59 windows of past" in out
    assert ask("--candidate", "rules.py:contrary") == 3
    assert "Keep buy_and_hold" in capsys.readouterr().out
    assert ask("--candidate", "rules.py:calendar", "--window", "100") == 4
    assert "16 are the fewest" in capsys.readouterr().out
    assert main(["monitor", "d.json"]) == 0
    assert "not one whole window" in capsys.readouterr().out
    assert main(["monitor", "d.json", "--data", "all.csv"]) == 0
    assert "Stay with rules.py:calendar" in capsys.readouterr().out
    # From now on the file holds the opposite rule.
    Path("rules.py").write_text(RULES.replace("1.0, 0.0)", "0.0, 1.0)", 1))
    assert main(["monitor", "d.json", "--data", "all.csv", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "back"
    assert found["windows"] == 60


def test_a_store_counts_the_questions_and_says_what_the_chances_add_up_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):  # the same question is one
        ask("--candidate", "rules.py:calendar", "--store", "s")
    assert "add" not in capsys.readouterr().out
    ask("--candidate", "rules.py:calendar", "--store", "s", "--margin", "0.01")
    assert "2 such questions" in (out := capsys.readouterr().out)
    assert "at most 10 %" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one or more different names"),
        (["--candidate", "sma_cross", "sma_cross"], "the same twice"),
        (["--candidate", "sma_cros"], "'sma_cross'"),
        (["--candidate", "sma_cross", "--harm", "0.7"], "harm"),
        (["--candidate", "sma_cross", "--window", "5000"], "shorter windows"),
        (["--candidate", "sma_cross", "--trader", "drawdwn"], "'drawdown'"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(*words) == 2
    assert said in capsys.readouterr().err


def test_a_run_ends_with_the_baseline_and_its_signal_is_the_baselines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--reward", "pnl", *SMALL, "--out", "run"]) == 0
    assert "keep buy_and_hold" in capsys.readouterr().out
    record = json.loads(Path("run/deployment.json").read_text())
    assert record["answer"] == "unclear"
    assert record["deployed"] == "buy_and_hold"
    assert Path("run/policy.safetensors").is_file()
    assert main(["signal", "run", "--data", "past.csv"]) == 0
    out = capsys.readouterr().out
    assert "Not enough evidence, so keep buy_and_hold" in out
    assert "buy_and_hold on past" in out
    assert main(["train", "--reward", "pnl", *SMALL, "--out", "free", "--no-safe"]) == 0
    assert not Path("free/deployment.json").exists()


def test_a_run_is_gated_on_its_own_test_bars_by_its_own_rankings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["--rankings", "6", "--rounds", "1", "--no-baselines", "--test-episodes", "8"]
    cut = ["--train-end", "2016-06", "--test-start", "2017"]
    small = ["--data", "all.csv", "--steps", "4000", "--envs", "16", "--task", "short"]
    assert main(["rlhf", *small, *few, *cut, "--out", "run"]) == 0
    record = json.loads(Path("run/deployment.json").read_text())
    assert record["trader"] == "run"
    assert len(record["answers"]) > 0
    assert set(record["margin"]) == {"profit", "utility"}
    assert main(["gate", "--candidate", "run"]) in (0, 3, 4)
    out = capsys.readouterr().out
    assert "from 2017-" in out
    assert "utility" in out
    assert main(["gate", "--candidate", "run", "--start", "2016"]) == 2
    assert "trained or chosen on" in capsys.readouterr().err
