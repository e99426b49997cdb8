"""The command line: parse, call, print. Heavy modules load inside the command that needs them."""

from __future__ import annotations

from tradinghf.cli._app import main
from tradinghf.cli._script import run_script

__all__ = [
    "main",
    "run_script",
]
