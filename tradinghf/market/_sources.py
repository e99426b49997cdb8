"""`load_market`: bars by name, from registered sources, files, and the drop-in folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from tradinghf.errors import MarketDataError, said_once, unknown_name
from tradinghf.market import (  # noqa: F401  (they register their sources)
    _real_samples,
    _rolled_files,
    _samples,
    _vendors,
)
from tradinghf.market._beside import options_beside
from tradinghf.market._data import MarketData
from tradinghf.market._files import FILE, SUFFIXES, market_name
from tradinghf.market._source_registry import SOURCES
from tradinghf.market._treatments import FILE_OPTIONS, parted, treated, with_zone
from tradinghf.resources import resource_dir


def load_market(spec: str | Path, **options: Any) -> MarketData:
    """Load validated bars.

    Args:
        spec: a source ("sp500"), with options ("synthetic:seed=3,bars=4096,regime=jumps",
            "yfinance:SPY,start=2010-01-01", "ccxt:binance:BTC/USDT:1d"); a path to a bar
            file, with options ("bars.csv:zone=Europe/Berlin"); or the name of a file in
            the drop-in folder `data/` without its suffix. Options of all of them: exchange=,
            every=, currency= and rates=, see `tradinghf.market._treatments.treated`.
        options: the same options as keywords; they win over those in the spec. For files see
            `tradinghf.market._files.load_file`.

    Raises:
        MarketDataError: unknown name or option, or bars that break a rule; the message names
            what and the next step.
        MissingExtraError: the source needs a package that is not installed.

    """
    if not isinstance(spec, str | os.PathLike):
        raise MarketDataError(
            f"load_market got {spec!r:.60}, a {type(spec).__name__}; expected a name such as "
            "'sp500', or the path of a bar file."
        )
    text = os.fspath(spec)
    if text and (found := file_and_options(text)) is not None:
        path, given = found
        own, after = parted({**given, **options})
        return treated(FILE([str(path)], with_zone(own, after)), after, own.get("zone"))
    name, _, rest = text.partition(":")
    if name not in SOURCES:
        known = [*SOURCES, *(market_name(p) for p in drop_in_files())]
        raise MarketDataError(
            f"{unknown_name('market', text, known)} Or give a path to a bar file."
        )
    arguments, given = _parts(rest)
    own, after = parted({**given, **options})
    return treated(SOURCES[name](arguments, own), after)


MarketLike = MarketData | pd.DataFrame | Mapping[str, pd.DataFrame] | str | Path
"""What every function that trades a market takes for it, see `as_market`."""


def as_market(given: MarketLike) -> MarketData:
    """The market that a caller means.

    Args:
        given: a market; a DataFrame or {symbol: DataFrame}, as for `MarketData.from_frame` and
            `from_frames`; or a name or path, as for `load_market`.

    Raises:
        MarketDataError: something else came, or bars that break a rule.

    """
    if isinstance(given, MarketData):
        return given
    if isinstance(given, pd.DataFrame):
        return MarketData.from_frame(given)
    if isinstance(given, str | Path):
        return load_market(given)
    if isinstance(given, Mapping) and all(isinstance(f, pd.DataFrame) for f in given.values()):
        return MarketData.from_frames(given)
    raise MarketDataError(
        f"The market is a {type(given).__name__}; expected a MarketData, a DataFrame with columns "
        "open, high, low and close, {symbol: DataFrame}, or a name such as 'sp500'."
    )


def _parts(text: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and options of "A,B,option=value"."""
    tokens = [token.strip() for token in text.split(",") if token.strip()]
    arguments = [token for token in tokens if "=" not in token]
    options = (token.partition("=") for token in tokens if "=" in token)
    said = ((name, value) for name, _, value in options)
    return arguments, said_once(said, f"the options {text[:60]!r}", MarketDataError)


def file_and_options(text: str) -> tuple[Path, dict[str, str]] | None:
    """Path and options of "FILE" or "FILE:option=value,..."; None where no file is meant."""
    named, colon, rest = text.rpartition(":")
    arguments, options = _parts(rest)
    if colon and options and not arguments and (path := _as_file(named)) is not None:
        return path, {**options_beside(path), **options}
    path = _as_file(text)
    return None if path is None else (path, options_beside(path))


def names_files(spec: str) -> bool:
    """Whether a source with options names files of this machine: whoever may not read them must
    not give it.
    """
    name, _, rest = spec.partition(":")
    arguments, options = _parts(rest)
    reads = name in SOURCES and SOURCES[name].files and bool(arguments)
    return reads or not FILE_OPTIONS.isdisjoint(map(str.strip, options))


def drawn_again(spec: str) -> bool:
    """Whether unseen bars of a market are another draw of it, instead of its last part.

    Synthetic markets without a seed of their own are drawn; so their test bars cannot be sealed.
    """
    name, _, options = spec.partition(":")
    return name == "synthetic" and "seed=" not in options


def drop_in_files() -> list[Path]:
    """Users' bar files: in $TRADINGHF_DATA, ./data, ./runs/uploads, and the bundled folder.

    The variable may name several folders, as PATH does.
    """
    named = os.environ.get("TRADINGHF_DATA", "").split(os.pathsep)
    uploaded = Path("runs", "uploads")
    candidates = [
        *(Path(folder) for folder in named if folder),
        Path("data"),
        uploaded,
        resource_dir("data"),
    ]
    folders = dict.fromkeys(folder.resolve() for folder in candidates if folder.is_dir())
    return [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _as_file(text: str) -> Path | None:
    path = Path(text)
    if path.suffix.lower() in SUFFIXES and (path.exists() or "/" in text or "\\" in text):
        return path
    if text.partition(":")[0] in SOURCES:
        return None
    if path.is_file():
        return path
    # A folder that happens to lie here does not hide a file of that name.
    by_name = [p for p in drop_in_files() if text in (market_name(p), p.name)]
    if by_name:
        return by_name[0]
    return path if path.is_dir() or path.suffix.lower() in SUFFIXES else None
