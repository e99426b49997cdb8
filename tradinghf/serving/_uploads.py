"""Bars that people upload: checked before they are kept, found by name, never by path."""

from __future__ import annotations

import json
import re
import secrets
import threading
from pathlib import Path

from tradinghf.durable import atomic_path
from tradinghf.errors import MarketDataError, unknown_name
from tradinghf.market import (
    SOURCES,
    MarketData,
    catalogue,
    load_market,
    market_name,
    options_file,
)

# Nothing packed: what it grows to would have to fit the server's memory.
TAKEN = (".csv", ".tsv", ".txt", ".parquet")
MAX_UPLOAD_BYTES = 20 * 2**20
_MOST_REQUEST = MAX_UPLOAD_BYTES + 2**20  # the file and the form around it
UPLOAD_ROUTE = "/_stcore/upload_file"
MOST_FILES = 20
_MOST_NUMBERS = 6_000_000
_MOST_UNPACKED = 128 * 2**20
_MOST_SESSIONS = 1000
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_OPTIONS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:=,./^-]*")


def _check_unpacked(path: Path) -> None:
    """Refuse a Parquet file that is small only as long as it is packed.

    Raises:
        MarketDataError: too many numbers, or too much text, for the server's memory.

    """
    if path.suffix != ".parquet":
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = pq.read_metadata(path)
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        rows, columns = about.num_rows, about.num_columns
    except (pa.ArrowException, OSError, ValueError):
        return  # the reader of bars says what is wrong with it
    size = sum(group.total_byte_size for group in groups)
    if rows * columns > _MOST_NUMBERS or size > _MOST_UNPACKED:
        raise MarketDataError(
            f"The file unpacks to {rows:,} rows of {columns:,} columns ({size / 2**20:,.0f} MB); "
            f"at most {_MOST_NUMBERS:,} numbers are taken. Split it by asset or by year."
        )


class UploadSessions:
    """The browser sessions to which a page for admins showed an upload field, and their files.

    Streamlit keeps whatever any session sends to its upload route; here only these may, and only
    so many files.
    """

    def __init__(self) -> None:
        self._sent: dict[str, int] = {}
        self._lock = threading.Lock()

    def allow(self, session: str) -> None:
        """Let a session send files; the oldest of very many is forgotten."""
        with self._lock:
            self._sent.setdefault(session, 0)
            if len(self._sent) > _MOST_SESSIONS:
                del self._sent[next(iter(self._sent))]

    def take(self, path: str, length: str) -> bool:
        """Whether a file may be sent to this path now; counts it.

        Args:
            path: `/_stcore/upload_file/SESSION/FILE`.
            length: the header Content-Length; without it nothing is taken.

        """
        session = path.removeprefix(UPLOAD_ROUTE).strip("/").partition("/")[0]
        fits = (
            length.isascii()
            and length.isdecimal()
            and len(length) < 10
            and int(length) <= _MOST_REQUEST
        )
        with self._lock:
            if not fits or self._sent.get(session, MOST_FILES) >= MOST_FILES:
                return False
            self._sent[session] += 1
        return True


class Uploads:
    """The uploaded sets of one folder.

    Args:
        folder: `RUNS/uploads`.

    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute() / "uploads"

    def names(self) -> dict[str, Path]:
        """Names of the sets and their files."""
        found = sorted(p for p in self.folder.glob("*") if p.suffix in TAKEN)
        return {market_name(path): path for path in found if not path.name.startswith(".")}

    def offered(self) -> list[str]:
        """Names of markets to choose from, each once: the uploaded ones first."""
        known = (entry.name for entry in catalogue() if entry.available)
        return list(dict.fromkeys([*self.names(), *known]))

    def add(self, name: str, data: bytes, **options: str) -> tuple[str, MarketData]:
        """Check a file and keep it.

        Args:
            name: the file's name as the browser gives it; only letters, digits, "-" and "_" of
                its stem are used.
            data: its content.
            options: how to read it, as in `load_market`; kept beside it, so that its name is
                enough later.

        Returns:
            the set's name, and the bars.

        Raises:
            MarketDataError: another kind of file, too large, a taken name, or bad bars; nothing
                is kept then.

        """
        given = Path(name.replace("\\", "/")).name
        plain = market_name(Path(given))
        stem = _UNSAFE.sub("-", plain.lower()).strip("-")
        suffix = given[len(plain) :].lower()
        if Path(given).suffix.lower() not in TAKEN or not stem:
            raise MarketDataError(f"Expected a file with a name, ending in {', '.join(TAKEN)}.")
        if len(data) > MAX_UPLOAD_BYTES:
            raise MarketDataError(f"The file has {len(data) / 2**20:.0f} MB; at most 20 are taken.")
        stem = stem[:60]
        if stem in self.names() or stem in {entry.name for entry in catalogue()}:
            raise MarketDataError(f"There is a set named {stem!r} already. Rename the file.")
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{secrets.token_hex(8)}{suffix}"
        try:
            draft.write_bytes(data)
            try:
                _check_unpacked(draft)
                market = load_market(draft, **{"symbol": stem, **options})
            except MarketDataError as error:
                # The message names the file it read; people know it by another name.
                raise MarketDataError(str(error).replace(str(draft), given)) from error
            kept = self.folder / f"{stem}{suffix}"
            if options:
                with atomic_path(options_file(kept)) as beside:
                    beside.write_text(json.dumps(options), encoding="utf-8")
            draft.rename(kept)
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
