"""`tradinghf episodes import-trades`: what it stores, reports and refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.fills import CASH, random_account, write_generic

from tradinghf.cli import main
from tradinghf.feedback.store import Store
from tradinghf.market import save_market


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A file of fills, with one row of another asset, and the file of its bars."""
    monkeypatch.chdir(tmp_path)
    account = random_account(12)
    bars = tmp_path / "bars.csv"
    save_market(account.market, bars)
    other = account.rows()[0] | {"symbol": "OTHER", "cash": None, "position_after": None}
    fills = write_generic(tmp_path / "fills.csv", [*account.rows(), other])
    return str(fills), str(bars)


def test_fills_become_demonstrations_and_blind_questions(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    fills, bars = files
    command = ["episodes", "import-trades", fills, "--data", bars, "--trader", "ann"]
    command += ["--horizon", "16", "--report", "report.csv", "--strategies", "sma_cross"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "do not have 'OTHER'" in said
    with Store("store") as store:
        own = [n for n, source in store.sources().items() if source == "own:ann"]
        rankings, queries = store.rankings(), store.queries()
    assert own
    assert {r.rater for r in rankings} == {"own:ann"}
    assert all(r.episodes[0] in own for r in rankings)
    assert queries
    assert all(len(set(q.episodes) & set(own)) == 1 for q in queries)
    report = pd.read_csv("report.csv")
    rows = report.dropna(subset="row")
    assert sorted(set(rows["row"])) == list(range(2, len(pd.read_csv(fills)) + 2))
    assert set(rows["became"]) <= {"episode", "account"}
    assert main(command) == 0
    assert " 0 new comparisons" in capsys.readouterr().out


def test_check_stores_nothing(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    fills, bars = files
    options = ["--data", bars, "--check", "--cash", str(CASH)]
    assert main(["episodes", "import-trades", fills, *options]) == 0
    assert "Nothing was stored" in capsys.readouterr().out
    assert not Path("store").exists()


@pytest.mark.parametrize(
    "option",
    [("--splits", "SYN0=2000-02-01"), ("--holdings", "SYN0"), ("--names", "=SYN0")],
)
def test_options_that_are_written_wrongly_say_how(
    option: tuple[str, str], files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    fills, bars = files
    assert main(["episodes", "import-trades", fills, "--data", bars, *option]) == 2
    said = capsys.readouterr().err
    assert option[0] in said
    assert "expected for example" in said
