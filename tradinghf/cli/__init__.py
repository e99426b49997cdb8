"""The command line: parse, call, print. Heavy modules load inside the command that needs them."""

from __future__ import annotations

from tradinghf.cli.app import main

__all__ = ["main"]
