"""Options that lie beside a bar file."""

from __future__ import annotations

from pathlib import Path

from tradinghf._json import parse_json
from tradinghf.errors import MarketDataError


def options_file(path: Path) -> Path:
    """The file beside a bar file that holds options for it, if there is one."""
    return path.parent / f"{path.name}.options.json"


def options_beside(path: Path) -> dict[str, str]:
    """What that file holds; nothing where there is none.

    Raises:
        MarketDataError: it is no set of options.

    """
    beside = options_file(path)
    try:
        found = parse_json(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise MarketDataError(
            f'{beside}: not a set of options ({error}). Write {{"dayfirst": "true"}}, or delete it.'
        ) from error
