"""Text from outside, written so that neither a spreadsheet nor a terminal runs it.

Names of symbols, columns and files come from whoever made a file; a spreadsheet takes "=..." for a
formula, a terminal takes control characters for commands.

Source: OWASP, "CSV Injection" (https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas as pd

# Spreadsheets take the full-width forms (U+FF1D and so on) and U+2212 for the same signs.
_BEGINNINGS = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20\u2212")
# All but tab and line feed, and those that turn the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_Value = TypeVar("_Value")


def defused(value: _Value) -> _Value | str:
    """The value; text that begins like a formula with an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_BEGINNINGS):
        return "'" + value
    return value


def undefused(text: str) -> str:
    """Reverse of `defused`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_BEGINNINGS) else text


def printable(text: str) -> str:
    """The text for a terminal, with control characters written as escapes."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def defused_table(table: pd.DataFrame, how: Callable[[Any], Any] = defused) -> pd.DataFrame:
    """A table for people: every text in it made harmless by `how`, its column names too."""
    texts = table.select_dtypes(exclude=["number", "bool", "datetime", "datetimetz", "timedelta"])
    told = table.assign(**{name: table[name].map(how) for name in texts.columns})
    return told.rename(columns=how)
