"""What market data there is: the packaged catalogue, drop-in files, and plug-in sources."""

from __future__ import annotations

import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tradinghf.durable import write_atomic
from tradinghf.errors import MarketDataError
from tradinghf.market.plugins import SOURCES
from tradinghf.market.sources import drop_in_files
from tradinghf.resources import resource_dir

BEGIN, END = "<!-- catalogue: begin -->", "<!-- catalogue: end -->"


@dataclass(frozen=True)
class Entry:
    """One set of bars that `load_market` can load.

    Attributes:
        name: what to give to `load_market`.
        title: what it is, in one line.
        kind: "sample" (in an installed package), "generated", "download", "file" or "plug-in".
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
        Entry(path.stem, f"{path} ({path.stat().st_size / 1e6:.1f} MB)", "file")
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


def catalogue_table() -> str:
    """The packaged catalogue as a Markdown table."""
    lines = ["| name | what | span | units | licence | sha256 |", "|---|---|---|---|---|---|"]
    for entry in packaged_catalogue():
        span = f"{entry.span}, {entry.bars:,} bars" if entry.bars else entry.span
        digest = f"`{entry.sha256[:16]}`" if entry.sha256 else "differs by day"
        cells = (f"`{entry.name}`", entry.title, span, entry.units, entry.licence, digest)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def refresh_readme(path: Path) -> bool:
    """Put the table between the markers of a README; whether it changed.

    Raises:
        MarketDataError: the markers are missing.

    """
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise MarketDataError(f"{path}: no lines {BEGIN} and {END}. Put them where it belongs.")
    fresh = f"{head}{BEGIN}\n{catalogue_table()}\n{END}{tail}"
    if fresh != text:
        write_atomic(path, fresh.encode())
    return fresh != text


if __name__ == "__main__":
    refresh_readme(resource_dir("data") / "README.md")
