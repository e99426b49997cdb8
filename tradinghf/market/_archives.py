"""Bytes of bar files, packed or not, and their text in whatever encoding they came."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tradinghf.errors import MarketDataError
from tradinghf.market._column_names import canonical_name

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
EXCEL_SUFFIXES = (".xlsx",)
PACKED_SUFFIXES = (".gz", ".zip")
# Encodings that spreadsheets still write; taken only when they spell names of columns.
_OLD = ("cp1252", "gb18030", "cp932", "big5", "cp949")
_NAMES = {"timestamp", "open", "high", "low", "close", "volume", "adj_close"}
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def unpacked(path: Path, limit: int) -> tuple[bytes, str]:
    """(content, suffix) of a file, taken out of .gz or .zip if it is packed.

    Args:
        path: the file.
        limit: most bytes that are unpacked.

    Raises:
        MarketDataError: the archive is damaged, larger, or does not hold one bar file.

    """
    suffix = path.suffix.lower()
    if suffix not in PACKED_SUFFIXES:
        return path.read_bytes(), suffix
    try:
        if suffix == ".gz":
            with gzip.open(path) as file:
                return _limited(file, limit, path), Path(path.stem).suffix.lower() or ".csv"
        with zipfile.ZipFile(path) as archive:
            name = _only_member(archive, path)
            with archive.open(name) as member:
                return _limited(member, limit, path), PurePosixPath(name).suffix.lower()
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        # An encrypted member, or one packed in an unknown way, raises RuntimeError.
        raise MarketDataError(
            f"{path}: cannot be unpacked ({error}). Download it again, or unpack it first."
        ) from error


def _limited(file: object, limit: int, path: Path) -> bytes:
    data: bytes = file.read(limit + 1)  # type: ignore[attr-defined]
    if len(data) > limit:
        raise MarketDataError(
            f"{path}: more than {limit / 2**20:,.0f} MiB when unpacked; that is the most that is "
            "read at once. Split it by asset or by year."
        )
    return data


def _only_member(archive: zipfile.ZipFile, path: Path) -> str:
    names = [
        info.filename
        for info in archive.infolist()
        if not info.is_dir()
        and not info.filename.startswith("__MACOSX/")
        and PurePosixPath(info.filename).suffix.lower() in (*TEXT_SUFFIXES, *EXCEL_SUFFIXES)
    ]
    if len(names) != 1:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise MarketDataError(
            f"{path}: holds {len(names)} bar files{f' ({listed})' if names else ''}; expected one. "
            "Unpack it and load the one you want."
        )
    return names[0]


def decoded(data: bytes, what: str) -> str:
    """Text of a CSV file: UTF-8, UTF-16 or UTF-32; an older encoding if it spells known columns.

    Raises:
        MarketDataError: it is no text, or in an encoding that nothing tells.

    """
    kinds = {
        b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
        b"PK\x03\x04": "an Excel workbook or zip archive",
        b"PAR1": "a Parquet file",
    }
    for magic, kind in kinds.items():
        if data.startswith(magic):
            raise MarketDataError(f"{what}: this is {kind}, not CSV. Rename it, or export as CSV.")
    start = data.lstrip(b"\xef\xbb\xbf \r\n\t")[:2000].lower()
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"{", b"[{", b"[[")):
        kind = "JSON" if start[:1] in b"{[" else "a web page"
        raise MarketDataError(f"{what}: this is {kind}, no table of bars. Export it as CSV.")
    if data.startswith(b"\x1f\x8b"):
        raise MarketDataError(f"{what}: this is packed with gzip. Let its name end in .gz.")
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    encoding = encoding or _wide(data) or "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and (text := _old_text(data)) is not None:
            return text
        line = data.count(b"\n", 0, error.start) + 1
        raise MarketDataError(
            f"{what}: line {line}: byte 0x{data[error.start]:02x} is not "
            f"{encoding.removesuffix('-sig').upper()}. Save the file as 'CSV UTF-8'."
        ) from error


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of a text in Latin letters is 0."""
    head = data[:200]
    if len(head) >= 20 and len(data) % 2 == 0:
        for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if not any(head[start::2]) and all(head[1 - start :: 2]):
                return name
    return None


def _old_text(data: bytes) -> str | None:
    """The text in the one old encoding that makes its first lines name the columns of a bar."""
    head = data[:4000].split(b"\n")[:20]
    for encoding in _OLD:
        for line in head:
            if line.isascii():
                continue
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError:
                continue
            for mark in ",;\t|":
                names = {cell: canonical_name(cell) for cell in text.split(mark)}
                # A damaged byte is a letter of some old encoding too, but of no known name.
                foreign = any(name in _NAMES for cell, name in names.items() if not cell.isascii())
                if foreign and _NAMES - {"volume", "adj_close"} <= set(names.values()):
                    try:
                        return data.decode(encoding)
                    except UnicodeDecodeError:
                        break
    return None
