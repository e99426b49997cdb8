"""Numbers as people write them: decimal commas, thousands, currencies, 12.3K; nothing is guessed.

Cells are judged by their shape: digits 1 to 9 become "1". A column of a million prices has a few
hundred shapes, so all of them are looked at, and each cell is read once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from tradinghf.errors import MarketDataError

Decimal = Literal[".", ","]
_WORDS = {"point": ".", "comma": ","}
_NAMES = {mark: word for word, mark in _WORDS.items()}
_ONES = str.maketrans("23456789", "11111111")
_SPACES = "\u00a0\u202f\u2009 "
_MARKS = "'\u2019"
_CURRENCY = (
    r"(?:(?:US|HK|NT|CA|AU|[RACS])?\$|[$€£¥₹₽₩₿元円]|USD|EUR|GBP|CHF|JPY|CNY|CAD|AUD|HKD|INR|BRL|SEK"
    r"|NOK|DKK|PLN|Rs\.?|Kč|kr|zł)"
)
_EXPONENTS = dict.fromkeys(("k", "tsd"), 3)
_EXPONENTS |= dict.fromkeys(("m", "mm", "mn", "mio"), 6)
_EXPONENTS |= dict.fromkeys(("b", "bn", "mrd"), 9)
_EXPONENTS |= {"t": 12, "万": 4, "萬": 4, "亿": 8, "億": 8}
_SUFFIX = "|".join(sorted(_EXPONENTS, key=len, reverse=True))
_DROPPED = {
    mark: str.maketrans(mark, ".", ("," if mark == "." else ".") + _SPACES + _MARKS + "$€£¥")
    for mark in (".", ",")
}
_SIMPLE = re.compile(rf"[0-9.,eE+\-$€£¥{_SPACES}{_MARKS}\0]*")
_WORDS_IN = re.compile(r"[^\W\d_]+\.?")  # "1,5 Mio." has no decimal point
_PLAIN = re.compile(r"[0-9.eE+\-\n ]*")


def _number(decimal: str) -> re.Pattern[str]:
    """Pattern of one number: groups sign, digits with their thousands, fraction, exponent."""
    groups = re.escape("," if decimal == "." else ".") + _SPACES + _MARKS
    grouped = rf"\d{{1,3}}(?:(?P<group>[{groups}])(?:\d{{2,3}}(?P=group))*\d{{3}})?|\d+|(?=\S\d)"
    return re.compile(
        rf"\s*(?P<sign>[+-]?)\s*{_CURRENCY}?\s*(?P<whole>{grouped})"
        rf"(?P<part>{re.escape(decimal)}\d*)?(?P<power>[eE][+-]?\d+)?"
        rf"\s*{_CURRENCY}?\s*(?P<suffix>(?i:{_SUFFIX})?)\.?\s*"
    )


_NUMBERS = {".": _number("."), ",": _number(",")}


def decimal_mark(
    columns: Mapping[str, Sequence[str]],
    rows: Sequence[int],
    *,
    doubtful: bool,
    given: str | None,
    what: str,
) -> Decimal:
    """The decimal mark of a file, from every cell of its number columns.

    Args:
        columns: name -> [n] texts.
        rows: [n] numbers of the rows, as people see them.
        doubtful: whether a lone "1.234" may be a thousand, as in files separated by semicolons.
        given: the mark that the user chose, if any: "." or "point", "," or "comma".
        what: the file, for messages.

    Raises:
        MarketDataError: cells contradict each other, or every one can be read both ways.

    """
    given = _WORDS.get(given or "", given)
    if given not in (None, ".", ","):
        raise MarketDataError(f"{what}: decimal is {given!r}; expected point or comma.")
    first: dict[str, tuple[str, str]] = {}  # what a shape speaks for -> (column, shape)
    plain = [name for name, values in columns.items() if _all_plain(values)]
    plain = plain if not doubtful and given != "," else []
    for name, values in columns.items():
        if name in plain:
            continue
        for shape in _shapes(values):
            first.setdefault(_speaks_for(shape), (name, shape))

    def seen(mark: str) -> str:
        name, shape = first[mark]
        i = next(i for i, v in enumerate(columns[name]) if v.translate(_ONES).strip() == shape)
        return f"row {rows[i]}, column {name!r}: {columns[name][i].strip()!r}"

    if given:
        other = "," if given == "." else "."
        if other in first:
            raise MarketDataError(
                f"{what}: {seen(other)} cannot have a decimal {_NAMES[given]}. "
                f"Load with decimal={_NAMES[other]}, or correct the cell."
            )
        return "." if given == "." else ","
    if "." in first and "," in first:
        raise MarketDataError(
            f"{what}: {seen('.')} has a decimal point, but {seen(',')} has a decimal comma. "
            "Write all numbers in one way."
        )
    if "either" in first and "." not in first and "," not in first:
        if any(_speaks_for(shape) == "." for name in plain for shape in _shapes(columns[name])):
            return "."
        cell = seen("either").rpartition(": ")[2].strip("'")
        digits = re.sub(r"\D", "", cell)
        fraction = re.sub(r"[.,]", ".", re.sub(r"[^\d.,]", "", cell))
        mark = "." if "." in cell else ","
        raise MarketDataError(
            f"{what}: {seen('either')} may be {digits} (thousands) or {fraction} (decimals), and "
            f"no other cell decides. Choose: decimal={_NAMES['.' if mark == ',' else ',']} reads "
            f"{digits}, decimal={_NAMES[mark]} reads {fraction}."
        )
    return "," if "," in first else "."


def _all_plain(values: Sequence[str]) -> bool:
    return _PLAIN.fullmatch("\n".join(values)) is not None


def _shapes(values: Sequence[str]) -> list[str]:
    """Different shapes, in order of appearance."""
    cells = dict.fromkeys("\0".join(values).translate(_ONES).split("\0"))
    return list(dict.fromkeys(cell.strip() for cell in cells))


def _speaks_for(shape: str) -> str:
    """The decimal mark that a number of this shape must have: ".", ",", "either" or "" (any)."""
    shape = _WORDS_IN.sub("", shape)
    point, comma = shape.count("."), shape.count(",")
    if not any(c in "01" for c in shape) or (not point and not comma):
        return ""
    if point and comma:
        last = "." if shape.rfind(".") > shape.rfind(",") else ","
        return last if shape.count(last) == 1 else ""
    if point + comma > 1:
        return "," if point else "."
    mark = "." if point else ","
    before, _, after = shape.partition(mark)
    whole = before.lstrip(" $€£¥+-")
    part = after[: len(after) - len(after.lstrip("01"))]
    thousands = len(part) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0")
    return "either" if thousands else mark


def number_texts(values: Sequence[str], decimal: Decimal, *, suffixes: bool) -> list[str]:
    """Texts that `float` reads, where the cells are numbers; others stay as they are.

    Args:
        values: [n] texts.
        decimal: the file's decimal mark.
        suffixes: read 12.3K as 12300, as volumes are written; a price so rounded is no price.

    """
    if decimal == "." and _all_plain(values):
        return list(values)
    return _alike_cells(values, decimal) or list(_plain_cells(values, decimal, suffixes))


def _alike_cells(values: Sequence[str], decimal: Decimal) -> list[str] | None:
    """The same at once for a column whose every shape is a number without words; else None."""
    joined = "\0".join(values)
    if not _SIMPLE.fullmatch(joined):
        return None
    pattern = _NUMBERS[decimal]
    for shape in set(joined.translate(_ONES).split("\0")):
        found = pattern.fullmatch(shape)
        if shape and (found is None or found["suffix"]):
            return None
    cells = joined.translate(_DROPPED[decimal]).split("\0")
    return cells if len(cells) == len(values) else None


def _plain_cells(values: Sequence[str], decimal: Decimal, suffixes: bool) -> Iterator[str]:
    pattern = _NUMBERS[decimal]
    for value in values:
        found = pattern.fullmatch(value)
        if found is None or not (value.isascii() or _no_foreign_digit(value)):
            yield value
            continue
        sign, whole, group, part, power, suffix = found.group(
            "sign", "whole", "group", "part", "power", "suffix"
        )
        if suffix and (not suffixes or power):
            yield value
            continue
        if group:
            whole = whole.replace(group, "")
        end = f"e{_EXPONENTS[suffix.lower()]}" if suffix else power or ""
        yield f"{sign}{whole}{'.' + part[1:] if part else ''}{end}"


def _no_foreign_digit(value: str) -> bool:
    return all(c.isascii() or not c.isdigit() for c in value)
