"""Options that several commands share: their types, and how help shows their defaults."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from tyro.conf import arg

from tradinghf.durable import check_writable
from tradinghf.errors import ConfigError, said_once

if TYPE_CHECKING:
    import pandas as pd

    from tradinghf.market import MarketData

Start = Annotated[str | None, arg(help_behavior_hint="(default: the first bar)")]
End = Annotated[str | None, arg(help_behavior_hint="(default: the last bar)")]
SplitDay = Annotated[str | None, arg(help_behavior_hint="(default: by share of the bars)")]
# Every path of a command says whether it is read or written. What is written is tried before the
# command begins, and the drill of a full disk finds it here.
READ, WRITTEN = "read", "written"
_none = arg(help_behavior_hint="(default: none)")
StrategyFolder = Annotated[Path | None, READ, arg(help_behavior_hint="(default: the bundled one)")]
InputFile = Annotated[Path | None, READ, _none]
InputPath = Annotated[Path, READ]
OutputFile = Annotated[Path | None, WRITTEN, _none]
OutputPath = Annotated[Path, WRITTEN]
StrategyNames = Annotated[
    tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all bundled ones)")
]
StoreName = Annotated[str, arg(metavar="FOLDER|URL")]
TrialStore = Annotated[
    str | None, arg(metavar="FOLDER|URL", help_behavior_hint="(default: ./store, if there is one)")
]
SpreadOver = Annotated[str, arg(metavar="local|processes[:N]|ray[:ADDRESS]")]
OpenSealed = Annotated[
    str | None, arg(metavar="REASON", help_behavior_hint="(default: sealed bars are left out)")
]
Anchor = Annotated[str | None, arg(metavar="HEAD", help_behavior_hint="(default: none)")]
RiskFree = Annotated[str, arg(metavar="RATE|FILE")]
OwnMetrics = Annotated[
    tuple[str, ...], arg(metavar="FILE.py:FUNCTION ...", help_behavior_hint="(default: none)")
]
Settings = Annotated[
    tuple[str, ...],
    arg(name="set", metavar="NAME=VALUE ...", help_behavior_hint="(default: the strategy's own)"),
]


def path_use(function: Callable[..., object]) -> dict[str, str]:
    """READ or WRITTEN of each parameter that is a path; "" where its type does not say."""
    found = {}
    for name, kind in get_type_hints(function, include_extras=True).items():
        inner = next((a for a in get_args(kind) if hasattr(a, "__metadata__")), kind)  # of several
        marks = getattr(inner, "__metadata__", ())
        bare = inner.__origin__ if marks else inner
        if Path in (bare, *get_args(bare)):
            found[name] = next((mark for mark in marks if mark in (READ, WRITTEN)), "")
    return found


def tries_outputs(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command, which first tries whether its files can be written.

    Not after an hour of work. Raises `WriteError`, and makes nothing.
    """
    outputs = [name for name, use in path_use(function).items() if use == WRITTEN]

    @wraps(function)
    def command(*args: Any, **options: Any) -> int | None:
        given = signature(function).bind(*args, **options)
        given.apply_defaults()
        for name in outputs:
            if given.arguments[name] is not None:
                check_writable(given.arguments[name])
        return function(*args, **options)

    return command


def parse_settings(items: tuple[str, ...]) -> dict[str, str]:
    """{"fast": "10"} from ("fast=10",); the strategy converts the text.

    Raises:
        ConfigError: an item is not NAME=VALUE.

    """
    found = []
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise ConfigError(f"--set got {item!r}; expected NAME=VALUE, such as fast=10.")
        found.append((name, value))
    return said_once(found, "--set", ConfigError)


def risk_free_of(text: str) -> float | str:
    """A yearly rate, or the name of a file of them."""
    try:
        return float(text)
    except ValueError:
        return text


def event_tables(files: Mapping[str, Path | None], market: MarketData) -> dict[str, pd.DataFrame]:
    """{name: [T, A] table} of the files that are given: times in the first column, then symbols.

    Raises:
        ConfigError: a file cannot be read, lacks a symbol of the market, or names a time twice, or
            one that is no bar.

    """
    import pandas as pd

    from tradinghf.market import session_times

    found = {}
    for name, path in files.items():
        if path is None:
            continue
        try:
            read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
            table = read(path)
            table = (
                table
                if isinstance(table.index, pd.DatetimeIndex)
                else table.set_index(session_times(table.iloc[:, 0])).iloc[:, 1:]
            )
        except (OSError, ValueError, IndexError) as error:
            raise ConfigError(
                f"--{name} {path}: no table of times and symbols ({error}). Write a CSV with the "
                "dates in the first column and one column per symbol."
            ) from error
        missing = [symbol for symbol in market.symbols if symbol not in table.columns]
        if missing:
            raise ConfigError(f"--{name} {path}: no column for {missing[0]!r}.")
        table = table.set_axis(
            session_times(pd.DatetimeIndex(table.index)).tz_localize("UTC"), axis=0
        )
        if table.index.hasnans or table.index.has_duplicates:
            raise ConfigError(f"--{name} {path}: expected a time in every row, and none twice.")
        nothing = 1.0 if name == "split" else 0.0
        table = table[list(market.symbols)].sort_index().fillna(nothing)
        during = table[(table.index >= market.index[0]) & (table.index <= market.index[-1])]
        said = during.index[(during != nothing).any(axis=1)]
        if len(lost := said.difference(market.index)):
            raise ConfigError(
                f"--{name} {path}: {lost[0]} is no bar of {market.name}, so it would not happen. "
                "Write the time of the bar at which it does."
            )
        found[name] = table.reindex(market.index).fillna(nothing)
    return found


def command_line(command: str, function: Callable[..., None], values: Mapping[str, Any]) -> str:
    """The command that calls `function` with `values`, defaults left out; for reports.

    Whether it resumed is left out, and so are passwords of URLs.
    """
    from tradinghf.evaluation import store_without_password

    words = ["tradinghf", command]
    for name, parameter in signature(function).parameters.items():
        value, flag = values[name], name.replace("_", "-")
        if value == parameter.default or name == "resume":
            continue
        if is_dataclass(value):  # a group of options: those that differ
            usual = parameter.default
            differ = {k: v for k, v in vars(value).items() if v != getattr(usual, k)}
            words += [w for k, v in differ.items() for w in (f"--{k.replace('_', '-')}", str(v))]
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, tuple):
            words += [f"--{flag}", *map(str, value)]
        else:
            text = store_without_password(value) if name == "store" else str(value)
            words += [f"--{flag}", text]
    return shlex.join(words)
