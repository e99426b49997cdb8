"""The rules that every bar must keep: one list for files, frames and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Mask = NDArray[np.bool_]

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume")
# Vendors round prices and adjust them by a factor, which moves a close past the high by an ulp.
SLACK = 1e-9
_MIN_PRICE, _MAX_PRICE, _MAX_VOLUME = 1e-15, 1e15, 1e24


@dataclass(frozen=True)
class Finding:
    """One problem of one set of bars.

    Attributes:
        place: where ("row 17 (2020-01-24)").
        column: the column, or "" when it concerns the whole row or file.
        problem: what is wrong, with the value found and the one expected.
        fix: the next step.
        severity: an "error" makes the data unusable; a "warning" deserves a look.
        rule: short stable name of the rule ("high_below_low").

    """

    place: str
    column: str
    problem: str
    fix: str
    severity: Literal["error", "warning"] = "error"
    rule: str = "format"

    def __str__(self) -> str:
        column = f"column {self.column!r}" if self.column else ""
        where = ", ".join(part for part in (self.place, column) if part)
        what = f"{where}: {self.problem}." if where else f"{self.problem}."
        return f"{what} {self.fix}." if self.fix else what


MAX_PER_RULE = 100  # findings of one rule; one more counts the rest


@dataclass(frozen=True)
class Violation:
    """One rule broken by the bars where `mask` is set.

    Attributes:
        rule, column, fix: as in `Finding`.
        mask: same shape as the bars.
        expected: what the value should have been.

    """

    rule: str
    column: str
    mask: _Mask
    expected: Callable[[tuple[int, ...]], str]
    fix: str


_FIX_MISSING = "Drop the row, or repeat the previous close with volume 0"
_FIX_RANGE = "Correct the bar at its source, or widen high and low to contain open and close"
_FIX_PRICE = (
    "Correct or drop the row; of a spread, a future that fell below 0, or a series back-adjusted "
    "by subtraction, use a ratio-adjusted one, or load it with offset=, the collateral of a unit "
    "beyond its price (FILE:offset=100)"
)


def _cell_rules(column: str, value: Floats) -> Iterator[Violation]:
    def rule(name: str, mask: _Mask, expected: str, fix: str) -> Violation:
        return Violation(name, column, mask, lambda _: expected, fix)

    missing, infinite = np.isnan(value), np.isinf(value)
    yield rule("missing", missing, "a number", _FIX_MISSING)
    yield rule("infinite", infinite, "a finite number", "The number overflows: correct it")
    if column == "volume":
        yield rule("negative_volume", value < 0, "0 or more", "Use 0 where volume is unknown")
        large = (value > _MAX_VOLUME) & ~infinite
        yield rule("huge_volume", large, f"at most {_MAX_VOLUME:g}", "Check the units")
    else:
        yield rule("price_not_positive", value <= 0, "more than 0", _FIX_PRICE)
        odd = ((value > _MAX_PRICE) | ((value > 0) & (value < _MIN_PRICE))) & ~infinite
        span = f"between {_MIN_PRICE:g} and {_MAX_PRICE:g}"
        yield rule("price_out_of_range", odd, span, "Check the decimal point and the units")


def violations(bars: Mapping[str, Floats]) -> Iterator[Violation]:
    """Every rule that some bar breaks, cell rules first.

    Args:
        bars: open, high, low, close, volume; arrays of one shape, any number of axes.

    Yields:
        Violations with at least one bar. A bar with an unusable cell is not judged further.

    """
    unusable = np.zeros(bars["close"].shape, dtype=bool)
    for column in FIELDS:
        for found in _cell_rules(column, bars[column]):
            if found.mask.any():
                unusable |= found.mask
                yield found
    high, low = bars["high"], bars["low"]
    crossed = (high < low * (1 - SLACK)) & ~unusable
    if crossed.any():
        expected: Callable[[tuple[int, ...]], str] = lambda at: f"at least low = {low[at]:.12g}"  # noqa: E731
        yield Violation("high_below_low", "high", crossed, expected, "Swap or correct the two")
    unusable |= crossed
    for column in ("open", "close"):
        value = bars[column]
        outside = ((value > high * (1 + SLACK)) | (value < low * (1 - SLACK))) & ~unusable
        if outside.any():
            yield Violation(
                f"{column}_outside_range",
                column,
                outside,
                lambda at: f"between low = {low[at]:.12g} and high = {high[at]:.12g}",
                _FIX_RANGE,
            )
