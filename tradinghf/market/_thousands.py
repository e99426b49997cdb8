"""Rows whose thousands were written without quotes: "04/09/2023,$1,570.78,75,052"."""

from __future__ import annotations

import re
from collections.abc import Sequence

_HEAD = re.compile(r"\s*[+-]?[$€£¥]?[1-9]\d{0,2}")
_MIDDLE, _TAIL = re.compile(r"\d{3}"), re.compile(r"\d{3}(\.\d+)?\s*")


def rejoined(row: Sequence[str], width: int) -> list[str] | None:
    """The `width` cells of a row, if joining its thousands gives that many in one way; else None.

    A cell is joined to the one before where that one ends 1 to 3 digits and this one is 3 digits.
    Only when every such place is needed is there no other reading.
    """
    cells: list[str] = []
    opened = False  # the last cell may go on
    for cell in row:
        if opened and _TAIL.fullmatch(cell):
            cells[-1] = f"{cells[-1]},{cell.strip()}"
            opened = _MIDDLE.fullmatch(cell) is not None
        else:
            cells.append(cell)
            opened = _HEAD.fullmatch(cell) is not None
    return cells if len(cells) == width else None
