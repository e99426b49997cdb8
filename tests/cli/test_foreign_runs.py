"""Run directories that somebody else wrote, or that were damaged: a sentence, not a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradinghf.cli import main

GOOD = '{"experiment": {"data": "synthetic:bars=300", "costs": {}, "env": {"fill": "close"}}}'
BAD = ["", "[]", "7", "null", "{}", "[", "[" * 100_000, '{"experiment": 7}', '{"experiment": {}}']


@pytest.mark.parametrize("content", [*BAD, '{"experiment": {"data": 7, "costs": 3, "env": []}}'])
def test_a_report_of_settings_that_are_none_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "result.json").write_text("{}")
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("content", ["[]", "7", '{"seconds": []}', '{"rankings": {}}'])
def test_a_report_of_results_that_are_none_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(GOOD)
    (tmp_path / "result.json").write_text(content)
    assert main(["report", str(tmp_path), "--store", str(tmp_path / "store")]) == 2
    assert "result.json" in capsys.readouterr().err


@pytest.mark.parametrize("content", [*BAD, '{"values": 7}', '{"values": [{"name": 1}]}'])
def test_a_reward_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "reward.json").write_text(content)
    assert main(["reward", "show", str(tmp_path)]) == 2
