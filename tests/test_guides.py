"""The guides are true: each page's Python runs from top to bottom, as a reader would paste it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("interop.md",)


def python_of(page: str) -> str:
    """The Python blocks of a page, in their order."""
    text = (ROOT / "docs" / page).read_text()
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_runs(page: str, python) -> None:
    done = python("-c", python_of(page))
    assert done.returncode == 0, done.stderr
