"""Write the table of data/README.md from data/catalogue.toml."""

from __future__ import annotations

from pathlib import Path

from tradinghf.durable import write_atomic
from tradinghf.errors import MarketDataError
from tradinghf.market._catalogue import packaged_catalogue
from tradinghf.resources import resource_dir

BEGIN, END = "<!-- catalogue: begin -->", "<!-- catalogue: end -->"


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
