"""The notebooks run in fresh kernels and print what is committed; 01 also runs in test_env_gym."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda p: p.stem)
def test_notebook_runs_and_prints_what_is_committed(path: Path, python) -> None:
    done = python(str(ROOT / "scripts" / "notebooks.py"), "--check", path.name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_output_and_a_failing_cell_are_noticed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import notebooks

    cells = [nbformat.v4.new_code_cell("print('one', 1.25)")]
    path = tmp_path / "x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert notebooks.run(path, check=False) == ""
    other = path.read_text().replace("1.25", "9.75")
    path.write_text(other)
    assert notebooks.run(path, check=True) == "", "numbers may differ"
    path.write_text(other.replace("one 9.75", "two 9.75"))
    assert "committed is 'two #'" in notebooks.run(path, check=True)
    path.write_text(other.replace("print('one', 9.75)", "raise ValueError('broken')"))
    with pytest.raises(Exception, match="broken"):
        notebooks.run(path, check=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_outputs_are_whole_and_small(path: Path) -> None:
    text = path.read_text()
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert any(cell["outputs"] for cell in code)
    assert "Traceback" not in text
    assert len(text) < 200_000
    links = re.findall(r"\]\((\.\./[^)]+)\)", text)
    assert all((path.parent / link).exists() for link in links), links
