"""`python -m tradinghf` is the `tradinghf` command."""

from __future__ import annotations

from tradinghf.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
