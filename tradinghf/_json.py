r"""JSON from outside: what it says can be kept, counted with and printed, or it is refused.

Python's own reader takes half characters (`\ud800`), which no file or terminal can write, and
numbers of any length, which no float can hold; both would end in a traceback far from the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tradinghf.durable import write_atomic
from tradinghf.errors import CheckpointError

_MOST_DIGITS = 40
"""Of a whole number; the state of a random generator has 39."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def parse_json(
    document: str | bytes,
    *,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """What a JSON document says.

    Args:
        document: the text.
        object_pairs_hook: as for `json.loads`.

    Raises:
        ValueError: no JSON, half a character, or a number that overflows.
        RecursionError: nested too deeply.

    """
    text = document if isinstance(document, str) else _decoded(document)
    found = json.loads(
        text,
        object_pairs_hook=object_pairs_hook,
        parse_int=_whole,
        parse_float=_finite,
    )
    if _HALF.search(text):
        _require_characters(found)
    return found


def _decoded(document: bytes) -> str:
    """Text; Python's own reader lets halves of characters pass here."""
    return document.decode(json.detect_encoding(document))


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits; at most {_MOST_DIGITS} are read")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} overflows")
    return value


def _require_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"a text holds {half}, half a character") from error


def keep_settings(file: Path, settings: dict[str, Any]) -> None:
    """Keep what results of a folder were made with, or hold it against what it was.

    Raises:
        CheckpointError: the folder's results are of other settings.

    """
    now = json.dumps(settings, indent=1)
    if not file.is_file():
        write_atomic(file, now.encode())
    elif file.read_text() != now:
        raise CheckpointError(
            f"{file.parent} holds results of other settings (see {file}). Use another --out, or "
            "the same settings."
        )
