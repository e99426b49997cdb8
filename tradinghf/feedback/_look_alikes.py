"""Names that look the same: one person must not pass for another, nor for two.

What is not seen, how a character is put together, case, and the commonest letters of other
alphabets that look like Latin ones are left out of a name's look. Source: Unicode UTS #39, of whose
table of confusable characters this is the part that a person's name is likely to meet.
"""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0100-\U000e01ef]"
)
"""Printable by the tables, and yet nothing to see."""
_LATIN = str.maketrans(
    "авекмнорстухіјѕԁԛԝһӏүɡıαβεικμνορτυχϲϳոսօհց",
    "abekmhopctyxijsdqwhlygiabeikmvoptuxcjnuohg",
)


def look_of(name: str) -> str:
    """A name as the eye reads it: equal for two that look the same."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)).casefold()
    return " ".join(plain.translate(_LATIN).split())


def name_problem(name: str) -> str:
    """Why a name may not be a new one, whatever others there are; empty where it may."""
    if name != name.strip():
        return "has space around it"
    if _INVISIBLE.search(name):
        return "holds a character that nobody sees"
    if (plain := unicodedata.normalize("NFKC", name)) != name:
        return f"is an unusual spelling of {plain!r}"
    return ""
