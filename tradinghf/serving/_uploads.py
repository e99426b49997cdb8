"""Bars that people upload: checked before they are kept, found by name, never by path."""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from tradinghf._json import parse_json
from tradinghf.durable import sync_folder, write_atomic
from tradinghf.errors import MarketDataError, TradingHFError, WriteError, unknown_name
from tradinghf.market import (
    SOURCES,
    MarketData,
    catalogue,
    column_names,
    compare_versions,
    drawn_again,
    load_market,
    market_name,
    names_files,
    options_file,
    traces,
)
from tradinghf.serving._upload_files import (
    KEPT,
    MAX_UPLOAD_BYTES,
    TAKEN,
    check_unpacked,
    opened,
)

_MOST_REQUEST = MAX_UPLOAD_BYTES + 2**20  # the file and the form around it
UPLOAD_ROUTE = "/_stcore/upload_file"
MOST_FILES = 20
_MOST_SESSIONS = 1000
_TRAINED = (0.7, 0.8)  # as `tradinghf.loop.split_market` cuts real bars
_UNSAFE = re.compile(r"[^a-z0-9_-]+")
_keeping = threading.Lock()  # of two people who keep a set of one name, the first does
_OPTIONS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:=,./^-]*")


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
        digits = length.isascii() and length.isdecimal() and len(length) < 10
        fits = digits and int(length) <= _MOST_REQUEST
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
        found = sorted(p for p in self.folder.glob("*") if p.suffix in KEPT)
        return {market_name(path): path for path in found if not path.name.startswith(".")}

    def offered(self) -> list[str]:
        """Names of markets to choose from, each once: the uploaded ones first."""
        known = (entry.name for entry in catalogue() if entry.available)
        return list(dict.fromkeys([*self.names(), *known]))

    def add(
        self, name: str, data: bytes, *, replace: bool = False, **options: str
    ) -> tuple[str, MarketData]:
        """Check a file and keep it.

        Args:
            name: the file's name as the browser gives it; only letters, digits, "-" and "_" of
                its stem are used.
            data: its content.
            replace: the file takes the place of the set of that name, as a longer one of the same
                assets; without options it is read as that one was.
            options: how to read it, as in `load_market`; kept beside it, so that its name is
                enough later.

        Returns:
            the set's name, and the bars.

        Raises:
            MarketDataError: another kind of file, too large, a taken name, bad bars, or, to
                replace, bars of something else; nothing is kept then, and nothing replaced.

        """
        given = Path(name.replace("\\", "/")).name
        stem, suffix = self._checked(given, data)
        known = self.names().get(stem)
        if known is not None and not replace:
            raise MarketDataError(
                f"There is a set named {stem!r} already. Replace it, or rename the file."
            )
        if known is not None and not options:
            options = _options_of(known)
        with self._read(given, stem, suffix, data, options) as (draft, market):
            if known is not None:
                check_continues(self.load(stem), market)
            with _keeping:
                if self.names().get(stem) != known:
                    raise MarketDataError(
                        f"Somebody changed the set {stem!r} meanwhile. Look again."
                    )
                self._keep(draft, self.folder / f"{stem}{draft.suffix}", options)
        return stem, market

    def _keep(self, draft: Path, kept: Path, options: dict[str, str]) -> None:
        """Give a draft its name; the old set goes when the new one is there, not before.

        Raises:
            WriteError: the disk refused; the bars are what they were.

        """
        beside = options_file(kept)
        said = json.dumps(options).encode()
        if options or beside.is_file():  # also one that a set of that name left behind
            write_atomic(beside, said)
        try:
            os.replace(draft, kept)
            sync_folder(self.folder)
        except OSError as error:
            raise WriteError(kept, error) from error
        if not options:
            beside.unlink(missing_ok=True)
        others = (self.folder / f"{market_name(kept)}{suffix}" for suffix in KEPT)
        for other in others:
            if other != kept and other.is_file():
                _remove(other)

    def look(self, name: str, data: bytes, **options: str) -> MarketData:
        """The bars of a file as `add` would keep them, or its error; nothing is kept."""
        given = Path(name.replace("\\", "/")).name
        with self._read(given, *self._checked(given, data), data, options) as (_, market):
            return market

    def columns(self, name: str, data: bytes) -> list[str]:
        """Names of a file's columns, for somebody to say which is what.

        Raises:
            MarketDataError: another kind of file, too large, or no table.

        """
        given = Path(name.replace("\\", "/")).name
        with self._drafted(given, self._checked(given, data)[1], data) as draft:
            return column_names(draft)

    @contextmanager
    def _read(
        self, given: str, stem: str, suffix: str, data: bytes, options: dict[str, str]
    ) -> Iterator[tuple[Path, MarketData]]:
        """A draft of the file in the folder, and its bars."""
        with self._drafted(given, suffix, data) as draft:
            yield draft, load_market(draft, **{"symbol": stem, **options})

    @contextmanager
    def _drafted(self, given: str, suffix: str, data: bytes) -> Iterator[Path]:
        """A draft of the file in the folder; what is left of it goes at the end."""
        sent = draft = self.folder / f".{secrets.token_hex(8)}{suffix}"
        try:
            write_atomic(sent, data)
            draft = opened(sent)
            check_unpacked(draft)
            yield draft
        except MarketDataError as error:
            # The message names the file it read; people know it by another name.
            said = str(error).replace(str(draft), given).replace(str(sent), given)
            raise MarketDataError(said) from error
        finally:
            draft.unlink(missing_ok=True)
            sent.unlink(missing_ok=True)

    def _checked(self, given: str, data: bytes) -> tuple[str, str]:
        """Name and suffix under which a file may be kept.

        Raises:
            MarketDataError: another kind of file, too large, or a name of the catalogue.

        """
        plain = market_name(Path(given))
        stem = _plain(plain)
        if Path(given).suffix.lower() not in TAKEN or not stem:
            raise MarketDataError(f"Expected a file with a name, ending in {', '.join(TAKEN)}.")
        if len(data) > MAX_UPLOAD_BYTES:
            raise MarketDataError(f"The file has {len(data) / 2**20:.0f} MB; at most 20 are taken.")
        if stem not in self.names():
            self._check_free(stem)
        return stem, given[len(plain) :].lower()

    def _check_free(self, name: str) -> None:
        if name in self.names() or name in {entry.name for entry in catalogue()}:
            raise MarketDataError(f"There is a set named {name!r} already. Choose another name.")

    def rename(self, name: str, new: str) -> str:
        """Give a set another name; trials and seals know it by its bars and stay.

        Returns:
            the new name, in small letters, digits, "-" and "_".

        Raises:
            MarketDataError: no such set, or the new name is empty or taken.

        """
        path = self.path(name)
        plain = _plain(new)
        if not plain:
            raise MarketDataError(f"The new name is {new[:60]!r}; expected letters or digits.")
        if plain == name:
            return name
        self._check_free(plain)
        # Without this the asset would get the new name with the file, and be another one.
        options = {"symbol": name} | _options_of(path)
        moved = path.with_name(plain + path.name.removeprefix(market_name(path)))
        write_atomic(options_file(moved), json.dumps(options).encode())
        path.rename(moved)
        options_file(path).unlink(missing_ok=True)
        return plain

    def delete(self, name: str) -> None:
        """Remove a set; questions that were recorded from it stay.

        Raises:
            MarketDataError: no such set.

        """
        _remove(self.path(name))

    def path(self, name: str) -> Path:
        """The file of a set.

        Raises:
            MarketDataError: no such set.

        """
        known = self.names()
        if name not in known:
            raise MarketDataError(unknown_name("uploaded set", name[:60], known))
        return known[name]

    def load(self, name: str) -> MarketData:
        """The bars of a name that `spec` takes.

        Raises:
            MarketDataError: there is no such name, or its bars cannot be read; no path is told.

        """
        spec = self.spec(name)
        path = self.names().get(name)
        try:
            return load_market(spec if path is None else path)
        except MarketDataError as error:
            raise MarketDataError(str(error).replace(f"{self.folder}/", "")) from error

    def unseen_from(self, name: str) -> list[str]:
        """The first days that a training by default leaves for choosing, and for judging.

        Empty where the bars cannot be read, or are drawn again for every training.
        """
        path = self.names().get(name)
        stamp = path.stat().st_mtime if path else 0.0
        return list(_cuts(self.folder.parent, name, stamp))

    def spec(self, name: str) -> str:
        """What to give to commands for a name typed or chosen on a page: the same name.

        A name is an uploaded set, a set of the catalogue, or a source with options
        ("synthetic:seed=3"). Paths are refused, also as options or contracts: they would let people
        read the server's files.
        Jobs look uploaded sets up in this folder, and so does a terminal beside the runs.

        Raises:
            MarketDataError: none of those.

        """
        uploaded = self.names()
        known = {entry.name for entry in catalogue()}
        if name in uploaded or name in known:
            return name
        source, _, options = name.partition(":")
        if names_files(name):
            raise MarketDataError(
                f"{name[:60]!r} names files of the server, which a page does not read. Use it with "
                "--data in a terminal, or upload the bars."
            )
        if source in SOURCES and _OPTIONS.fullmatch(options) and ".." not in options:
            return name
        raise MarketDataError(unknown_name("data set", name[:60], [*uploaded, *sorted(known)]))


@lru_cache(maxsize=32)
def _cuts(runs: Path, name: str, _stamp: float) -> tuple[str, ...]:
    try:
        market = Uploads(runs).load(name)
    except TradingHFError:
        return ()
    if drawn_again(name):
        return ()
    return tuple(f"{market.index[int(share * market.bars)]:%Y-%m-%d}" for share in _TRAINED)


def check_continues(known: MarketData, new: MarketData) -> None:
    """Refuse bars that are no later version of those that are known.

    Raises:
        MarketDataError: an asset is missing, is another one, or ends earlier than it did.

    """
    now = {trace.symbol: trace for trace in traces(new)}
    for old in traces(known):
        found = now.get(old.symbol)
        change = None if found is None else compare_versions(old, found)
        if change is None or change.resampled:
            raise MarketDataError(
                f"These are no later bars of {known.name}: they do not continue {old.symbol}. "
                "Upload them under another name."
            )
    if new.index[-1] < known.index[-1]:
        raise MarketDataError(
            f"The file ends on {new.index[-1]:%Y-%m-%d}, before the bars that it should replace "
            f"({known.index[-1]:%Y-%m-%d}). Delete the set first if that is meant."
        )


def _plain(name: str) -> str:
    """A name of which nothing is special to a shell, a URL or a path."""
    return _UNSAFE.sub("-", name.lower()).strip("-")[:60]


def _options_of(path: Path) -> dict[str, str]:
    """How a kept file is read."""
    beside = options_file(path)
    found = parse_json(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    return {str(name): str(value) for name, value in found.items()}


def _remove(path: Path) -> None:
    path.unlink()
    options_file(path).unlink(missing_ok=True)
