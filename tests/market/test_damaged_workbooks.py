"""Workbooks from outside: damaged, lying or without end, each gets a sentence."""

from __future__ import annotations

import random
import re
import zipfile
from pathlib import Path

import pytest
from drills.market_fuzz import NAMES, bars, damaged

from tradinghf.errors import MarketDataError
from tradinghf.market import load_file

openpyxl = pytest.importorskip("openpyxl")
SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 9))
LAUGHS = f"<!DOCTYPE l [<!ENTITY a0 'aaaaaaaaaa'>{ENTITIES}]>"
OUTSIDE = "<!DOCTYPE l [<!ENTITY a8 SYSTEM 'file:///etc/hostname'>]>"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a good workbook is zipped from."""
    book = openpyxl.Workbook()
    book.active.append(NAMES)
    for row in bars(random.Random(1)):
        book.active.append([row[0], *map(float, row[1:])])
    path = tmp_path_factory.mktemp("book") / "b.xlsx"
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        (r"<worksheet(.*?)<v>", rf"{LAUGHS}<worksheet\1<v>&a8;", "not a readable Excel"),
        (r"<worksheet(.*?)<v>", rf"{OUTSIDE}<worksheet\1<v>&a8;", "not a readable Excel"),
        (r'r="A2"', 'r="ZZZZ99999999999"', "not a readable Excel"),
        (r"</sheetData>.*", "", "not a readable Excel"),
        (r".*", "", "not a readable Excel"),
        (
            r"</sheetData>",
            "".join(f'<row r="{i}"><c r="XFD{i}"><v>1</v></c></row>' for i in range(10, 40))
            + "</sheetData>",
            "cells are read",
        ),
    ],
)
def test_a_sheet_that_is_none_is_refused(
    tmp_path: Path,
    parts: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    find: str,
    put: str,
    said: str,
) -> None:
    monkeypatch.setattr("tradinghf.market._excel._MOST_CELLS", 2**18)
    changed = re.sub(find, put, parts[SHEET].decode(), count=1, flags=re.DOTALL)
    path = written(tmp_path / "b.xlsx", parts | {SHEET: changed.encode()})
    with pytest.raises(MarketDataError, match=said) as refused:
        load_file(path)
    assert "\n" not in str(refused.value)


def test_what_a_sheet_says_of_its_size_costs_nothing(
    tmp_path: Path, parts: dict[str, bytes]
) -> None:
    far = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:XFD1048576"', parts[SHEET])
    assert far != parts[SHEET]
    same = load_file(written(tmp_path / "b.xlsx", parts))
    assert load_file(written(tmp_path / "far.xlsx", parts | {SHEET: far})).bars == same.bars == 8


def test_damage_anywhere_is_a_sentence(tmp_path: Path, parts: dict[str, bytes]) -> None:
    rng = random.Random(5)
    whole = written(tmp_path / "b.xlsx", parts).read_bytes()
    refused = 0
    for case in range(60):
        name = rng.choice(sorted(parts))
        path = written(tmp_path / "c.xlsx", parts | {name: damaged(rng, parts[name])})
        if case % 3 == 0:
            path.write_bytes(damaged(rng, whole))
        try:
            load_file(path)
        except MarketDataError:
            refused += 1
    assert refused > 20
