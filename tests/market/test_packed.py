"""Encodings, archives and workbooks of bars."""

from __future__ import annotations

import gzip
import io
import sys
import warnings
import zipfile
from pathlib import Path

import openpyxl
import pytest
from support.dialects import languages, vendors
from support.dialects.layouts import PLAIN
from support.dialects.writing import BARS, BIG, DAYS, VOLUMES, assert_bars, german, write

from tradinghf import load_market
from tradinghf.errors import MarketDataError, MissingExtraError

GERMAN, _, _ = languages.FILES["german excel"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GERMAN.encode(),
        GERMAN.encode("utf-16"),
        GERMAN.encode("utf-16-le"),
        GERMAN.encode("utf-16-be"),
        GERMAN.encode("utf-32"),
        GERMAN.encode("cp1252"),
        GERMAN.replace("\n", "\r\n").encode(),
    ],
)
def test_encodings(tmp_path: Path, content: bytes) -> None:
    assert_bars(load_market(write(tmp_path, content)), DAYS, BIG)


@pytest.mark.parametrize(("name", "encoding"), [("chinese", "gb18030"), ("japanese", "cp932")])
def test_old_encodings_are_taken_when_they_spell_columns(
    tmp_path: Path, name: str, encoding: str
) -> None:
    text, times, bars = languages.FILES[name]
    assert_bars(load_market(write(tmp_path, text.encode(encoding))), times, bars)


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_csv", ".csv"), text)
    return out.getvalue()


def test_packed_files(tmp_path: Path) -> None:
    text, times, bars = vendors.FILES["binance us"]
    for name, content in (
        ("bars.csv.gz", gzip.compress(text.encode())),
        ("bars.zip", zipped(BTCUSDT_csv=text)),
    ):
        market = load_market(write(tmp_path, content, name))
        assert_bars(market, times, bars)
        assert (market.name, market.symbols) == ("bars", ("bars",))
    refused = {
        "two.zip": (zipped(a_csv=text, b_csv=text), r"2 bar files \(a\.csv, b\.csv\)"),
        "none.zip": (zipped(readme="x"), "0 bar files"),
        "cut.csv.gz": (gzip.compress(text.encode())[:-20], "cannot be unpacked"),
        "no.zip": (b"PK\x03\x04 nothing", "cannot be unpacked"),
    }
    for name, (content, message) in refused.items():
        with pytest.raises(MarketDataError, match=message):
            load_market(write(tmp_path, content, name))


def test_archives_that_grow_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradinghf.market._files.MAX_CSV_BYTES", 1000)
    for name, content in (
        ("a.csv.gz", gzip.compress(b"0" * 100_000)),
        ("a.zip", zipped(a_csv="0" * 100_000)),
    ):
        with pytest.raises(MarketDataError, match="when unpacked"):
            load_market(write(tmp_path, content, name))


def test_workbooks_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"tradinghf\[excel\]"):
        load_market(write(tmp_path, zipped(sheet="x"), "bars.xlsx"))


def test_workbooks(tmp_path: Path) -> None:
    path = tmp_path / "bars.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["My bars"])
    book.active.append(["Datum", "Eröffnung", "Hoch", "Tief", "Schluss"])
    for day, bar in zip(DAYS, BARS, strict=True):
        book.active.append([day, *map(float, bar)])
    book.save(path)
    assert_bars(load_market(path), DAYS, BARS)
    book.create_sheet("Other").append(["x"])
    book.save(path)
    with pytest.raises(MarketDataError, match=r"2 sheets hold something.*sheet='Sheet'"):
        load_market(path)
    assert_bars(load_market(path, sheet="Sheet"), DAYS, BARS)


def test_archives_and_workbooks_as_people_pack_them(tmp_path: Path) -> None:
    text = "\n".join(PLAIN)
    extra = zipped(**{"__MACOSX/._a_csv": "junk", "a_csv": text})
    assert_bars(load_market(write(tmp_path, extra, "mac.zip")), DAYS, BARS)
    with pytest.raises(MarketDataError, match=r"2 bar files \(a\.csv, b\.csv\)"):
        load_market(write(tmp_path, zipped(a_csv=text, b_csv=text), "two.zip"))
    book = openpyxl.Workbook()
    names = ["Datum", "Eröffnung", "Tageshoch", "Tagestief", "Schlusskurs", "Volumen"]
    for row in (["Kursverlauf DAX"], [], names):
        book.active.append(row)
    for day, bar, volume in zip(DAYS, BIG, VOLUMES, strict=True):
        book.active.append([f"{day:%d.%m.%Y}", *map(german, bar), volume])
    book.active.append(["Summe", None, None, None, None, sum(VOLUMES)])
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        book.save(content)
    assert_bars(load_market(write(tmp_path, content.getvalue(), "dax.xlsx")), DAYS, BIG)
