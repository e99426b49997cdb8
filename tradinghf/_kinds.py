"""Of what kind a setting has to be, read from the annotations of its class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def wrong_kind(kind: type, name: str, value: object) -> str | None:
    """What was expected of a field instead of the value that came; None where it is of its kind.

    Args:
        kind: a dataclass.
        name: of the field.
        value: what came.

    """
    wanted = _hints(kind).get(name)
    return None if wanted is None or _fits(wanted, value) else _words(wanted)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    try:
        return get_type_hints(kind) if is_dataclass(kind) else {}
    except NameError:  # a name that only type checkers import
        return {}


def _fits(wanted: Any, value: object) -> bool:
    """Whether a value is of a kind; kinds that are not simple are not judged."""
    if wanted in _WORDS:
        return _is(wanted, value)
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        return parts[-1:] != (...,) or all(_fits(parts[0], each) for each in value)
    if wanted is NoneType:
        return value is None
    if origin is Callable:
        return callable(value)
    # Settings within settings may come as a dict of theirs, as files hold them.
    nested = isinstance(wanted, type) and is_dataclass(wanted)
    return not nested or isinstance(value, (wanted, Mapping))


def _is(wanted: type, value: object) -> bool:
    truth = isinstance(value, bool) or type(value).__name__ == "bool"
    if wanted is bool:
        return truth
    if wanted is int:
        return isinstance(value, Integral) and not truth
    if wanted is float:
        return isinstance(value, Real) and not truth and not math.isnan(value)
    return isinstance(value, wanted)


def _words(wanted: Any) -> str:
    """A kind in words."""
    if wanted in _WORDS:
        return _WORDS[wanted]
    origin, parts = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is tuple:
        each = {int: "whole numbers", float: "numbers", str: "texts"}.get(parts[0], "values")
        return f"a tuple of {each}"
    if origin is Callable:
        return "a function"
    return "None" if wanted is NoneType else f"{getattr(wanted, '__name__', wanted)}(...)"
