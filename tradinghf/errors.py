"""The errors that this package raises on purpose.

Each error names the thing, what was expected, what came, and the next step::

    TradingHFError (ValueError)
    ├── ConfigError        a setting outside its range
    │   └── UnexpectedOptionError  an option that does not exist (also TypeError)
    ├── MarketDataError    bars that cannot be trusted
    ├── StrategyError      a strategy that is unknown or returns nonsense
    ├── EpisodeError       a recorded episode that is malformed or altered
    ├── FeedbackError      a ranking, rating or query that cannot be stored or learned from
    ├── StoreError         a feedback store that cannot be opened, migrated or trusted
    ├── CheckpointError    a run directory that cannot be resumed
    ├── WriteError         a file that could not be written (also OSError)
    └── MissingExtraError  an optional dependency that is not installed

    MarketDataWarning (UserWarning)   a past that changed, or a seal that was opened
    Stopped (KeyboardInterrupt)   a signal asked the process to end
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, wraps
from inspect import Parameter, signature
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

from tradinghf._kinds import wrong_kind

_V = TypeVar("_V")


class TradingHFError(ValueError):
    """Base of every error raised on purpose; the command line prints it without a traceback."""


class ConfigError(TradingHFError):
    """A setting is outside its documented range."""


class UnexpectedOptionError(ConfigError, TypeError):
    """An option that does not exist; a TypeError too, as an unexpected keyword argument is.

    TorchRL offers `frameskip` to every environment and goes on without it after such an error.
    """


class MarketDataError(TradingHFError):
    """Bars failed validation, or a data source could not deliver them."""


class MarketDataWarning(UserWarning):
    """What a script or notebook should know about its bars: a changed past, opened seals."""


class StrategyError(TradingHFError):
    """A strategy is unknown, has bad parameters, or returned malformed weights."""


class EpisodeError(TradingHFError):
    """A recorded episode is malformed, altered, or missing."""


class FeedbackError(TradingHFError):
    """Feedback is malformed, contradicts its query, or is too little to learn from."""


class StoreError(TradingHFError):
    """A feedback store cannot be opened, migrated, written or trusted."""


class CheckpointError(TradingHFError):
    """A run directory or a saved model is damaged or belongs to another run."""


class WriteError(TradingHFError, OSError):
    """A file could not be written; what was there before is whole.

    Attributes:
        errno, strerror, filename: the operating system's, as of any OSError.

    """

    def __init__(self, path: os.PathLike[str] | str, cause: OSError) -> None:
        reason = cause.strerror or str(cause)
        self._said = (
            f"Cannot write {os.fspath(path)}: {reason}. What was there before is whole. Free some "
            "space, or name a place that you may write to, and repeat what you did."
        )
        super().__init__(self._said)
        self.errno, self.strerror, self.filename = cause.errno, reason, os.fspath(path)

    def __str__(self) -> str:
        return self._said


class MissingExtraError(TradingHFError):
    """An optional dependency is needed for this call."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'tradinghf[{extra}]'"
        )


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Not a `TradingHFError`: nothing may take it for a fault of a file or a setting, and go on.

    Attributes:
        code: exit code by convention, 128 + the signal's number.

    """

    def __init__(self, number: int, text: str = "") -> None:
        named = f"Stopped by {signal.Signals(number).name}." if number else "Stopped."
        super().__init__(text or f"{named} Checkpoints are kept; continue with --resume.")
        self.code = 128 + number


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Sentence for an unknown name, with the closest known ones."""
    options = sorted(known)
    close = get_close_matches(name, options, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"Unknown {kind} {name!r}. {hint}Known: {', '.join(options) or 'none'}."


def check_setting(ok: bool, what: str, value: object, expected: str) -> None:
    """Raise `ConfigError` unless `ok`."""
    if not ok:
        raise ConfigError(f"{what} is {value!r}; expected {expected}.")


def check_choices(owner: object) -> None:
    """Each field of a config whose type is a Literal has one of its values."""
    kind: Any = type(owner)
    for name, allowed in _choices(kind).items():
        value, setting = getattr(owner, name), f"{kind.__name__}.{name}"
        check_setting(value in allowed, setting, value, " or ".join(allowed))


@cache
def _choices(kind: type) -> dict[str, tuple[str, ...]]:
    kinds = get_type_hints(kind)
    return {name: get_args(kinds[name]) for name in kinds if get_origin(kinds[name]) is Literal}


def check_range(owner: object, names: str, low: float, high: float = math.inf) -> None:
    """Each named field of a config is a finite number in [low, high]."""
    for name in names.split():
        value = getattr(owner, name)
        limits = f"a number >= {low:g}" if high == math.inf else f"a number in [{low:g}, {high:g}]"
        ok = isinstance(value, (int, float)) and math.isfinite(value) and low <= value <= high
        check_setting(ok, f"{type(owner).__name__}.{name}", value, limits)


class NamedOptions:
    """A class whose keyword arguments are checked by name before anything else happens.

    Of settings (dataclasses) their kinds are checked as well.

    Python's own message names the wrong one only. This one suggests close names, and says whose
    option it is if it belongs to another class: settings are spread over several of them.

    Raises:
        UnexpectedOptionError: an option does not exist.
        ConfigError: a setting is of another kind than its annotation says.

    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let every settings class take NumPy's numbers, and check the kinds of all."""
        super().__init_subclass__(**options)
        check = cls.__dict__.get("__post_init__")
        if check is not None:

            @wraps(check)
            def check_plain(self: Any) -> None:
                NamedOptions.__post_init__(self)
                check(self)

            setattr(cls, "__post_init__", check_plain)  # noqa: B010 (mypy takes no assignment)

    def __post_init__(self) -> None:
        """Make NumPy's numbers plain ones, as those of a sweep are, and check each kind."""
        kind: Any = type(self)
        for name, value in vars(self).items():
            if hasattr(value, "dtype") or isinstance(value, tuple | list):
                value = _plain_number(value)
                object.__setattr__(self, name, value)
            if expected := wrong_kind(kind, name, value):
                came = f"{value!r:.60}, a {type(value).__name__}"
                raise ConfigError(f"{kind.__name__}.{name} is {came}; expected {expected}.")

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """A blank instance."""
        kind: Any = cls
        known = _options_of(kind)
        for name in options:
            if name not in known:
                raise UnexpectedOptionError(_unknown_option(cls, name, known))
        return super().__new__(cls)


def _plain_number(value: Any) -> Any:
    """A NumPy scalar or array as Python's numbers, a list as a tuple; else as it is."""
    if type(value) in (tuple, list):
        return tuple(map(_plain_number, value))
    return value.tolist() if hasattr(value, "dtype") and hasattr(value, "tolist") else value


@cache
def _options_of(kind: type) -> frozenset[str]:
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return frozenset(p.name for p in signature(kind).parameters.values() if p.kind in named)


def _unknown_option(kind: type, name: str, known: frozenset[str]) -> str:
    others = sorted(
        other.__name__
        for other in _descendants(NamedOptions)
        if other is not kind and name in _options_of(other)
    )
    hint = f"{name!r} is an option of {' and '.join(others)}. " if others else ""
    sentence = unknown_name(f"option of {kind.__name__}", name, known)
    return f"{hint}{sentence} (unexpected keyword argument {name!r})"


def _descendants(kind: type) -> set[type]:
    own: set[type] = set(kind.__subclasses__())
    return own.union(*(_descendants(each) for each in own)) if own else own


def check_memory(needed: float, what: str) -> None:
    """Raise `ConfigError` where something would not fit into this machine's memory.

    Args:
        needed: an estimate [bytes].
        what: takes it, for the message.

    """
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > have:
        raise ConfigError(
            f"{what} would take about {needed / 2**30:,.1f} GiB of memory; this machine has "
            f"{have / 2**30:,.1f} GiB. Ask for less."
        )


def said_once(
    pairs: Iterable[tuple[str, _V]], what: str, error: type[TradingHFError]
) -> dict[str, _V]:
    """{name: value} of what a user wrote; of a name with two values neither is meant for sure.

    Args:
        pairs: (name, value).
        what: was written, for the message.
        error: to raise.

    Raises:
        TradingHFError: `error`, a name is there twice.

    """
    found: dict[str, _V] = {}
    for name, value in pairs:
        if name in found:
            raise error(f"{what}: {name[:60]!r} is there twice; expected it once.")
        found[name] = value
    return found
