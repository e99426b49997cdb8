"""The guides are true: each page's Python runs from top to bottom, its commands run as typed."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from tradinghf.cli import main

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(?P<covered><!-- covered by[^\n]*\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
LONGEST_EXAMPLE = 20


def blocks(page: str, kind: str) -> list[str]:
    """The fenced blocks of a page that are not run elsewhere."""
    found = BLOCK.finditer((ROOT / "docs" / page).read_text())
    return [m["text"] for m in found if m["kind"] == kind and not m["covered"]]


@pytest.mark.parametrize("page", ["interop.md", "extending.md"])
def test_python_of_a_page_runs(page: str, python) -> None:
    done = python("-c", "\n".join(blocks(page, "python")))
    assert done.returncode == 0, done.stderr


def test_every_way_of_extending_is_shown_in_less_than_20_lines() -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(sections) == 14
    for section in sections:
        title = section.splitlines()[0]
        code = re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        assert len(code) == 1, title
        lines = [line for line in code[0].splitlines() if line.strip()]
        assert len(lines) < LONGEST_EXAMPLE, f"{title}: {len(lines)} lines"


@pytest.mark.slow
def test_commands_of_the_quick_start_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in blocks("quickstart.md", "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "S" in json.loads((tmp_path / "runs" / "quick" / "result.json").read_text())


@pytest.mark.slow
def test_a_newcomer_gets_from_a_backtest_to_a_trained_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps of scripts/newcomer.py, in one process: they would import torch eight times."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.chdir(tmp_path)
    import newcomer

    def here(command: list[str], cwd: Path, bin_folder: Path) -> float:
        monkeypatch.chdir(cwd)
        if command[0] == "python":
            runpy.run_path(str(cwd / command[1]))
        else:
            assert main(command[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
        return 1.0

    monkeypatch.setattr(newcomer, "timed", here)
    times = newcomer.walk(tmp_path, clone=False, short=True)
    assert list(times) == [name for name, _ in newcomer.steps(False)]
    home = tmp_path / "home"
    assert (home / "runs" / "mine" / "policy.safetensors").is_file()
    assert "<html" in (home / "runs" / "mine" / "report.html").read_text()[:200]


def test_the_site_builds_without_a_warning_and_asks_no_other_host(tmp_path: Path, python) -> None:
    command = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    done = python(*command, cwd=ROOT, NO_MKDOCS_2_WARNING="1")
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "api/index.html", "cli/index.html", "methods/index.html"):
        text = (tmp_path / page).read_text()
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)', text)
        assert not loaded, f"{page} loads {loaded}"
    notebook = (tmp_path / "notebooks" / "02_your_strategy" / "index.html").read_text()
    assert "data:image/png;base64," in notebook
    assert 'href="../../backtest/"' in notebook, "links of notebooks lead to pages of the site"
    assert 'href="../contributing/"' in (tmp_path / "readme" / "index.html").read_text()
