"""Lists the market data there is: the packaged catalogue, drop-in files, plug-in sources."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tradinghf.errors import MarketDataError
from tradinghf.market._files import market_name
from tradinghf.market._source_registry import SOURCES
from tradinghf.market._sources import drop_in_files
from tradinghf.resources import resource_dir


@dataclass(frozen=True)
class Entry:
    """One set of bars that `load_market` can load.

    Attributes:
        name: what to give to `load_market`.
        title: what it is, in one line.
        kind: "sample" (in an installed package), "generated", "download", "file" or "plug-in".
        source: where the bars come from: package and file, or a sentence.
        licence: of the data, as far as it is known.
        units: of prices and volume.
        span: first and last day, or a sentence.
        bars: T; 0 where it depends on options.
        sha256: `MarketData.sha256` of the default options; "" where it depends on the day.
        notes: oddities that a user should know.
        package: the package it needs, if that is optional.
        available: whether it can be loaded here (network aside).

    """

    name: str
    title: str
    kind: str
    source: str = ""
    licence: str = "yours"
    units: str = ""
    span: str = ""
    bars: int = 0
    sha256: str = ""
    notes: str = ""
    package: str = ""
    available: bool = True


def catalogue() -> list[Entry]:
    """Everything `load_market` knows by name: packaged sets, drop-in files, plug-in sources.

    Raises:
        MarketDataError: the packaged catalogue is damaged.

    """
    packaged = packaged_catalogue()
    files = [
        Entry(market_name(path), f"{path.stat().st_size / 1e6:.1f} MB", "file", source=str(path))
        for path in drop_in_files()
    ]
    known = {entry.name for entry in packaged}
    plugged = [
        Entry(name, SOURCES[name].help, "plug-in", licence="see its author")
        for name in SOURCES
        if name not in known
    ]
    return [*packaged, *files, *plugged]


def packaged_catalogue(path: Path | None = None) -> list[Entry]:
    """The sets of `data/catalogue.toml`.

    Raises:
        MarketDataError: the file is missing or damaged.

    """
    path = path or resource_dir("data") / "catalogue.toml"
    try:
        listed = tomllib.loads(path.read_text(encoding="utf-8"))["set"]
        entries = [Entry(**fields) for fields in listed]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise MarketDataError(
            f"{path}: the catalogue is damaged ({error}). Reinstall tradinghf."
        ) from error
    return [
        entry if _installed(entry.package) else Entry(**{**vars(entry), "available": False})
        for entry in entries
    ]


def _installed(package: str) -> bool:
    return not package or importlib.util.find_spec(package) is not None
