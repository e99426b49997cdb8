"""What traders value, in sentences: every page and command says it with these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

PROFIT = "profit"
USUAL = "the usual difference between episodes"
"""The yardstick where the rankings do not settle what profit is worth."""
_MATTERS = 0.5  # probability below which nothing is said of an aspect but its name

_WITHHELD = "how sure that is cannot be said, for no such term foresees your answers well"

Row = Mapping[str, Any]


def value_sentence(row: Row) -> str:
    """One finding about what is valued, in words that follow its numbers.

    Args:
        row: `name`, `says` (one unit in words), `yardstick`, `probability` that it matters, and
            `weight`, `low`, `high`: worth of one unit with its 95 % interval [% of the yardstick];
            the ends are None where held-out answers do not bear the terms out.

    """
    if row["name"] == PROFIT and row["yardstick"] == PROFIT:
        return "1 % of profit is the yardstick."
    if row["name"] != PROFIT and not matters(row):
        return unclear_sentence([row])
    weight = float(row["weight"])
    says = row["says"][0].upper() + row["says"][1:]
    amount = f"{_number(weight)} % of {row['yardstick']}"
    verbs = ("costs", "seems to cost") if weight < 0 else ("is worth", "seems to be worth")
    if row["name"] == PROFIT:
        says = f"The rankings do not settle what profit is worth to you: {row['says']}"
    if row["low"] is None:
        return f"{says} {verbs[1]} you about {amount}; {_WITHHELD}."
    low, high = float(row["low"]), float(row["high"])
    if low > 0 or high < 0:
        ends = " to ".join(_number(end) for end in sorted((low, high), key=abs))
        return f"{says} {verbs[0]} you as much as {amount} (95 % sure: {ends} %)."
    open_ = f"anything from {_end(low)} to {_end(high)} is possible (95 % sure)"
    if weight == 0:
        return f"{says} may cost you something or be worth something: {open_}."
    one_sided = "perhaps nothing" if 0 in (low, high) else "even the sign is not sure"
    return f"{says} {verbs[1]} you {amount}, but {one_sided}: {open_}."


def matters(row: Row) -> bool:
    """Whether an aspect more likely matters than not."""
    return float(row.get("probability", 1.0)) >= _MATTERS


def unclear_sentence(rows: Sequence[Row]) -> str:
    """Of which aspects nothing can be said; empty where there are none."""
    names = ", ".join(str(row["name"]).replace("_", " ") for row in rows if not matters(row))
    return f"No clear sign that these matter beyond profit: {names}." if names else ""


def worth_axis(rows: Sequence[Row]) -> str:
    """What a chart of the weights shows along its axis."""
    yardstick = next((row["yardstick"] for row in rows if "yardstick" in row), PROFIT)
    return f"worth of one unit [% of {yardstick}]"


def _end(value: float) -> str:
    if value == 0:
        return "nothing"
    return f"{'a cost' if value < 0 else 'a worth'} of {_number(value)} %"


def _number(value: float) -> str:
    """Two significant digits of the size, never in powers of ten; the sign is in the words."""
    size = abs(value)
    if size == 0 or not math.isfinite(size):
        return "0"
    digits = 1 - math.floor(math.log10(float(f"{size:.1e}")))
    return f"{round(size, digits):,.{max(digits, 0)}f}"
