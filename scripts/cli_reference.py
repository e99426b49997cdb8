"""Write docs/cli.md from the commands' own help; --check only says whether it is up to date."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

# Before tyro looks at the terminal: the same text everywhere.
os.environ.update(COLUMNS="96", NO_COLOR="1", PYTHON_TYRO_UTF8_BOXES="False")

from tradinghf.cli.app import commands, flat, main

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
INTRO = """# Commands

Written by `make docs` from the commands' own `--help`; edit the docstrings in `tradinghf/cli/`.

Exit codes: 0 done, 1 internal error or a check that failed, 2 bad input (one sentence says what was
expected), 130 interrupted. `TRADINGHF_DEBUG=1` shows the traceback of any error.
"""


def help_text(*words: str) -> str:
    """What `tradinghf WORDS --help` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def reference() -> str:
    """The whole page."""
    parts = [INTRO, "```text\n" + help_text() + "\n```\n"]
    for words, _ in flat(commands()):
        parts.append(f"## tradinghf {' '.join(words)}\n\n```text\n{help_text(*words)}\n```\n")
    return "\n".join(parts)


def run(check: bool) -> int:
    """Write the page, or compare it; returns the exit code."""
    text = reference()
    if not check:
        TARGET.write_text(text)
        return 0
    if TARGET.is_file() and TARGET.read_text() == text:
        return 0
    sys.stderr.write("docs/cli.md is out of date: run `make docs`.\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(run("--check" in sys.argv[1:]))
