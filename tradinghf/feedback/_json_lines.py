"""Files of JSON lines from outside: every line is checked, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tradinghf._json import parse_json
from tradinghf.errors import FeedbackError, TradingHFError

_MAX_LINE = 2**22
"""Longest line that is read [bytes]."""
_Parsed = TypeVar("_Parsed")


def read_json_lines(
    path: Path | str, parse: Callable[[int, Any], _Parsed], expected: str
) -> Iterator[_Parsed]:
    """What `parse` makes of (number, value) of each line.

    Args:
        path: the file.
        parse: raises what Python raises when a value is not as expected.
        expected: what a line should be, for the message.

    Raises:
        FeedbackError: a line that is too long, no JSON, or not as expected; the message names it.

    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), b""), 1):
            place = f"{Path(path).name}, line {number}"
            try:
                if len(line) > _MAX_LINE:
                    raise ValueError(f"longer than {_MAX_LINE} bytes")
                yield parse(number, parse_json(line))
            except TradingHFError as error:
                raise FeedbackError(f"{place}: {error}") from error
            except (
                ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
            ) as error:  # fmt: skip
                raise FeedbackError(
                    f"{place}: {type(error).__name__}: {error}. Expected {expected}."
                ) from error
