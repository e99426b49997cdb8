"""The command line: help, exit codes, suggestions, and what the commands print."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import urllib.request
from inspect import signature
from pathlib import Path

import pytest

from tradinghf.cli import _app as app
from tradinghf.cli import _options as options
from tradinghf.cli import _output as output
from tradinghf.cli import main
from tradinghf.errors import ConfigError
from tradinghf.evaluation import backtest
from tradinghf.market import load_market

LEAVES = [words for words, _ in app.command_paths(app.commands())]

MINE = '''
"""A file of one's own."""
from tradinghf import strategy

@strategy
def half(market, *, weight: float = 0.5):
    """Hold a fixed part.

    weight: the part [fraction of equity].
    """
    import numpy as np
    return np.full((market.bars, market.assets), weight)
'''


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder, with a wide page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_of_every_command_teaches_with_an_example_and_documents_every_option(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(capsys, *words)
    assert f"`tradinghf {' '.join(words)}" in text
    function = dict(app.command_paths(app.commands()))[words]
    about = function.__doc__ or ""
    for name in signature(function).parameters:
        assert f"\n        {name}: " in about, f"{words}: {name} is not documented"


def test_examples_in_help_name_real_commands() -> None:
    for words, function in app.command_paths(app.commands()):
        examples = [
            part.split("`")[0] for part in (function.__doc__ or "").split("`tradinghf ")[1:]
        ]
        assert examples, words
        for example in examples:
            assert app.resolve(app.commands(), example.split()) is not None, example


def test_every_command_writes_what_it_prints_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    without = [
        w for w, f in app.command_paths(app.commands()) if "json" not in signature(f).parameters
    ]
    assert without == [("dashboard",)]  # which prints no result
    Path("mine.py").write_text(MINE)
    bars = "synthetic:seed=3,bars=200"
    for words in (
        ["data", "show", bars],
        ["signal", "mine.py", "--data", bars],
        ["strategies", "list"],
    ):
        assert main(words) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert main([*words, "--json", "found.json"]) == 0
        assert " ".join(capsys.readouterr().out.split()) == text
        assert main([*words, "--json", "-"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found == json.loads(Path("found.json").read_text())
        assert " ".join(words).startswith(found["command"])
    rows = found["tables"][0]["rows"]
    assert "sma_cross" in [row["strategy"] for row in rows]


def test_a_check_that_fails_says_so_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.csv").write_text(
        "date,open,high,low,close\n2020-01-01,1,0.5,0.6,1\n2020-01-02,1,1,1,1\n"
    )
    assert main(["data", "check", "bad.csv", "--json", "-"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 2
    assert found["tables"][0]["rows"][0]["column"] == "high"


def test_a_reader_that_leaves_does_not_end_the_work() -> None:
    """As `| head -1` does: the command still writes its files and ends with its own code."""
    read, write = os.pipe()
    os.close(read)
    words = ["data", "show", "synthetic:seed=3,bars=200", "--json", "found.json"]
    with os.fdopen(write) as broken:
        done = subprocess.run(
            [sys.executable, "-m", "tradinghf", *words],
            stdout=broken,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(Path("found.json").read_text())["values"]["bars"] == 200


@pytest.mark.parametrize("args", [[], ["data"], ["--help"], ["data", "--help"]])
def test_asking_for_nothing_shows_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 0
    assert "usage: tradinghf" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tradinghf 0.")


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["bactest"], "'backtest'"),
        (["data", "shwo"], "'show'"),
        (["backtest", "sma_cros"], "'sma_cross'"),
        (["backtest", "sma_cross", "--data", "sp50"], "'sp500'"),
        (["backtest", "sma_cross", "--set", "fats=3"], "'fast'"),
        (["data", "show", "synthetic:regime=momentun"], "'momentum'"),
    ],
)
def test_unknown_names_suggest_close_matches(
    args: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert hint in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "args",
    [
        ["backtest", "sma_cross", "--fee-bps", "-101"],
        ["backtest", "sma_cross", "--set", "fast"],
        ["backtest", "sma_cross", "--cash", "0"],
        ["backtest", "missing.py"],
        ["backtest", "sma_cross", "--data", "missing.csv"],
        ["backtest", "sma_cross", "--start", "2031"],
        ["data", "show", "missing.parquet"],
        ["episodes", "list"],
        ["rank", "--trader", "drawdwn"],
        ["dashboard", "--address", "0.0.0.0"],
        ["backtest", "sma_cross", "--set", "fast=0"],
        ["backtest", "rsi_reversion", "--set", "enter=nan"],
        ["backtest", "sma_cross", "--start", "nan"],
        ["backtest", "sma_cross", "--data", ""],
        ["data", "show", "."],
        ["data", "show", "a\0b"],
        ["accounts", "list", "--store", "postgresql://x:y@[::1"],
        ["doctor", "--runs", "nope"],
        ["train", "--reward", "pnl", "--out", ""],
        ["check", "sma_cross", "--points", "99999999999"],
        ["train", "--reward", "pnl", "--envs", "40000000"],
        ["rlhf", "--trader", "drawdown", "--rankings", "99999999999"],
        ["episodes", "collect", "--windows", "99999999999"],
        ["sweep", "sma_cross", "--param", "fast=1:1000000000"],
        ["data", "show", "synthetic:bars=99999999999999"],
    ],
)
def test_bad_input_is_exit_code_2_without_a_traceback(
    args: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(args) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1, "one sentence or two, on one line"


@pytest.mark.parametrize("args", [["backtest"], ["backtest", "sma_cross", "--fee-bsp", "1"]])
def test_options_that_do_not_parse_are_exit_code_2(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    assert "--fee-bps" in capsys.readouterr().err or args == ["backtest"]


def test_data_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    Path("data").mkdir()
    Path("data/mine.csv").write_text("timestamp,open,high,low,close,volume\n")
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("sp500", "nasdaq", "synthetic", "mine"))
    assert main(["data", "show", "sp500", "--start", "2005", "--end", "2006", "--rows", "3"]) == 0
    out = capsys.readouterr().out
    assert "503" in out  # trading days of 2005 (252) and 2006 (251)
    assert "2006-12-29" in out
    assert "2006-12-26" not in out


def test_data_check_names_file_row_and_column(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["timestamp,open,high,low,close,volume", "2020-01-01,1,2,1,1.5,9"]
    good = [*rows, "2020-01-02,1.5,2,1,1.6,9", "2020-01-03,1.6,2,1,1.5,9"]
    Path("good.csv").write_text("\n".join(good))
    assert main(["data", "check", "good.csv"]) == 0
    assert "good.csv: usable" in capsys.readouterr().out
    Path("bad.csv").write_text("\n".join([*rows, "2020-01-02,1,2,1,-3,9", "2020-01-01,1,2,1,1,0"]))
    assert main(["data", "check", "bad.csv"]) == 2
    out = capsys.readouterr().out
    assert "bad.csv: not usable" in out
    assert "row 3" in out
    assert "row 4" in out
    assert "close" in out
    assert main(["data", "check", "sp500"]) == 0
    assert "sp500: usable" in capsys.readouterr().out


def test_backtest_of_a_file_prints_metrics_and_writes_the_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.py").write_text(MINE)
    command = ["backtest", "mine.py", "--data", "synthetic:bars=300,assets=2"]
    assert main([*command, "--set", "weight=0.25", "--report", "out/r.html"]) == 0
    out = capsys.readouterr().out
    assert "half on synthetic" in out
    assert "Verdict: Rehearsal on a synthetic market" in out
    headline = next(line for line in out.splitlines() if "deepest fall" in line)
    assert headline.split()[-2:] == ["0.0", "%"], "cash does not fall"
    assert "expected_shortfall_95_pct" not in out
    assert main([*command, "--all"]) == 0
    out = capsys.readouterr().out
    for name in backtest("mine.py", load_market(command[-1])).metrics:
        assert name in out
    assert "<html" in Path("out/r.html").read_text()[:200].lower()


def test_engines_agree_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for engine in ("vectorbt", "simulator"):
        args = ["backtest", "sma_cross", "--start", "2008", "--end", "2009", "--engine", engine]
        assert main([*args, "--fee-bps", "5"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert (
        main(["backtest", "sma_cross", "--start", "2008", "--end", "2009", "--fee-bps", "50"]) == 0
    )
    assert capsys.readouterr().out != printed[0]


def test_strategies_list_shows_parameters_of_bundled_and_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["strategies", "list"]) == 0
    out = capsys.readouterr().out
    assert "sma_cross" in out
    assert "fast=20" in out
    Path("own").mkdir()
    Path("own/half.py").write_text(MINE)
    assert main(["strategies", "list", "--strategies", "own"]) == 0
    out = capsys.readouterr().out
    assert "weight=0.5" in out
    assert "sma_cross" not in out


def test_doctor_passes_here_and_reports_a_broken_installation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor"]) == 0
    assert "PROBLEM" not in capsys.readouterr().out
    Path("store").mkdir()
    Path("store/feedback.db").write_text("not a database")
    assert main(["doctor"]) == 1
    assert "PROBLEM" in capsys.readouterr().out
    Path("store/feedback.db").unlink()
    monkeypatch.setattr("tradinghf.cli._system._PACKAGES", ("no-such-package",))
    assert main(["doctor"]) == 1
    assert "PROBLEM" in capsys.readouterr().out


def test_internal_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(app, "run", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["doctor"])


def test_debug_shows_the_traceback_of_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADINGHF_DEBUG", "1")
    with pytest.raises(ValueError, match="bactest"):
        main(["bactest"])


def heeds_interrupts() -> None:
    """A suite in the background inherits ignored interrupts, and so would the child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_interrupt_is_130(tmp_path: Path) -> None:
    code = (
        "import time, sys; from tradinghf import cli, market\n"
        "def wait(*_, **__):\n    print('waiting', flush=True); time.sleep(60)\n"
        "market.load_market = wait\nsys.exit(cli.main(['data', 'check', 'x']))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        preexec_fn=heeds_interrupts,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in error


def test_dashboard_serves_until_interrupted(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tradinghf", "dashboard", "--port", "0"],
        cwd=tmp_path,
        preexec_fn=heeds_interrupts,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        assert line.startswith("Dashboard: http://127.0.0.1:"), child.stderr
        keeping = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with keeping.open(line.split()[1], timeout=30) as page:
            assert page.status == 200
    finally:
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in error


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m tradinghf data list | head -c 1"
    shell = ["bash", "-c", f"set -o pipefail; {command}"]
    done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_help_loads_neither_torch_nor_vectorbt_nor_streamlit(python) -> None:
    code = (
        "import sys\nfrom tradinghf.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'vectorbt', 'streamlit', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (123456.7, "123,457"),
        (-5.8281, "-5.828"),
        (float("nan"), "nan"),
        ("a [red]b", "a [red]b"),
    ],
)
def test_numbers_for_people(value: object, text: str) -> None:
    assert output.number(value) == text


def test_cells_are_text_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["x"], [["[bold]a[/bold]"]], title="[red]t")
    out = capsys.readouterr().out
    assert "[bold]a[/bold]" in out
    assert "[red]t" in out


def test_settings() -> None:
    assert options.parse_settings(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(ConfigError, match="NAME=VALUE"):
            options.parse_settings((wrong,))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_disk_that_refuses_gets_a_sentence_from_any_command(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_args: object) -> int:
        raise OSError(number, os.strerror(number), "report.html")

    monkeypatch.setattr("tradinghf.cli._app.run", refuse)
    assert main(["data", "list"]) == 2
    assert capsys.readouterr().err == f"error: {os.strerror(number)}: report.html\n"
