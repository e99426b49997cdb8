"""Bars that people upload: checked before they are kept, found by name, never by path."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market import SOURCES, MarketData, catalogue, load_market

_SUFFIXES = (".csv", ".parquet")
MAX_UPLOAD_BYTES = 20 * 2**20
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_OPTIONS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:=,./^-]*")


class Uploads:
    """The uploaded sets of one folder.

    Args:
        folder: `RUNS/uploads`.

    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute() / "uploads"

    def names(self) -> dict[str, Path]:
        """Names of the sets and their files."""
        found = sorted(p for p in self.folder.glob("*") if p.suffix in _SUFFIXES)
        return {path.stem: path for path in found if not path.name.startswith(".")}

    def add(self, name: str, data: bytes) -> tuple[str, MarketData]:
        """Check a file and keep it.

        Args:
            name: the file's name as the browser gives it; only letters, digits, "-" and "_" of
                its stem are used.
            data: its content.

        Returns:
            the set's name, and the bars.

        Raises:
            MarketDataError: another kind of file, too large, a taken name, or bad bars; nothing
                is kept then.

        """
        given = Path(name.replace("\\", "/")).name
        stem, suffix = _UNSAFE.sub("-", Path(given).stem.lower()).strip("-"), Path(given).suffix
        if suffix.lower() not in _SUFFIXES or not stem:
            raise MarketDataError("Expected a .csv or .parquet file with a name.")
        if len(data) > MAX_UPLOAD_BYTES:
            raise MarketDataError(f"The file has {len(data) / 2**20:.0f} MB; at most 20 are taken.")
        stem = stem[:60]
        if stem in self.names() or stem in {entry.name for entry in catalogue()}:
            raise MarketDataError(f"There is a set named {stem!r} already. Rename the file.")
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{secrets.token_hex(8)}{suffix.lower()}"
        try:
            draft.write_bytes(data)
            try:
                market = load_market(draft)
            except MarketDataError as error:
                # The message names the file it read; people know it by another name.
                raise MarketDataError(str(error).replace(str(draft), given)) from error
            draft.rename(self.folder / f"{stem}{suffix.lower()}")
        finally:
            draft.unlink(missing_ok=True)
        return stem, market

    def spec(self, name: str) -> str:
        """What to give to `load_market` for a name typed or chosen on a page.

        A name is an uploaded set, a set of the catalogue, or a source with options
        ("synthetic:seed=3"). Paths are refused: they would let people read the server's files.

        Raises:
            MarketDataError: none of those.

        """
        uploaded = self.names()
        if name in uploaded:
            return str(uploaded[name])
        known = {entry.name for entry in catalogue()}
        if name in known:
            return name
        source, _, options = name.partition(":")
        if source in SOURCES and _OPTIONS.fullmatch(options) and ".." not in options:
            return name
        raise MarketDataError(unknown_name("data set", name[:60], [*uploaded, *sorted(known)]))
