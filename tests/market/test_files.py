"""Bar files: a malformed one gets an error that names row, column and fix."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.markets import markets

from tradinghf import MarketData, load_market
from tradinghf.errors import MarketDataError, WriteError
from tradinghf.market import _files as files
from tradinghf.market import _parquet as parquet
from tradinghf.market import check_market_file, load_file, save_market
from tradinghf.market._bar_rules import MAX_PER_RULE

GOOD = """Date,Open,High,Low,Close,Volume
2020-01-02,10,12,9,11,100
2020-01-03,11,13,10,12,200
2020-01-06,12,14,11,13,300
2020-01-07,13,15,12,14,400
"""


def write(folder: Path, text: str | bytes, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_good_csv(tmp_path: Path) -> None:
    market = load_market(write(tmp_path, GOOD))
    assert (market.name, market.symbols, market.bars) == ("bars", ("bars",), 4)
    assert market.close[:, 0].tolist() == [11, 12, 13, 14]
    assert check_market_file(tmp_path / "bars.csv") == []


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", " , "),
        GOOD + "\n\n,,,,,\n",
        GOOD.rstrip("\n"),
        GOOD.replace("2020-01-02", '"2020-01-02"'),
        GOOD.replace("11,100", "1.1e1,1e2"),
    ],
)
def test_harmless_variants_load_the_same(tmp_path: Path, text: str) -> None:
    expected = load_market(write(tmp_path, GOOD)).sha256
    assert load_market(write(tmp_path, text)).sha256 == expected


ROW_3 = "2020-01-03,11,13,10,12,200"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2020-01-03,11,13,10,,200", r"row 3 \(2020-01-03\), column 'close': empty.*Drop the row"),
        ("2020-01-03,11,13,10,nan,200", r"row 3 .*'close': empty; expected a number"),
        ("2020-01-03,11,inf,10,12,200", r"row 3 .*'high': inf; expected a finite number"),
        ("2020-01-03,11,1e400,10,12,200", r"row 3 .*'high': inf; expected a finite number"),
        ("2020-01-03,-11,13,10,12,200", r"row 3 .*'open': -11; expected more than 0.*ratio"),
        ("2020-01-03,11,13,0,12,200", r"row 3 .*'low': 0; expected more than 0"),
        ("2020-01-03,11,13,1e-320,12,200", r"row 3 .*'low'.*expected between 1e-15"),
        ("2020-01-03,11,9,10,12,200", r"row 3 .*'high': 9; expected at least low = 10.*Swap"),
        ("2020-01-03,11,13,10,14,200", r"row 3 .*'close': 14; expected between low = 10 and high"),
        ("2020-01-03,9,13,10,12,200", r"row 3 .*'open': 9; expected between.*widen"),
        ("2020-01-03,11,13,10,12,-1", r"row 3 .*'volume': -1; expected 0 or more"),
        ("2020-01-03,11,13,10,n/a,200", r"row 3 .*'close': 'n/a' is not a number"),
        ('2020-01-03,11,13,10,"1,200",200', r"row 3, .*'1,200' may be 1200 .thousands"),
        ("2020-01-03,11,13,10,0x10,200", r"row 3 .*'close': '0x10' is not a number"),
        ("2020-01-03,11,13,10,1_2,200", r"row 3 .*'close': '1_2' is not a number"),
        ("2020-01-03,11,13,10,١٢,200", r"row 3 .*'close': '١٢' is not a number"),
        ("2020-01-02,11,13,10,12,200", r"row 3 .*'timestamp': the time occurs twice"),
        ("2019-01-03,11,13,10,12,200", r"row 3 .*before that of the row above.*Sort"),
        ("2020-01-03T10:00Z,11,13,10,12,200", r"row 3 .*time zone and others do not"),
        ("03/01/2020,11,13,10,12,200", r"row 3, .*'03/01/2020' is not a readable.*date_format"),
        (",11,13,10,12,200", r"row 3, column 'timestamp': '' is not a readable time"),
        ("2020-01-03,11,13,10,12", r"row 3: 5 cells; the header has 6"),
        ("2020-01-03,11,13,10,12,200,9", r"row 3: 7 cells; the header has 6"),
        ('2020-01-03,11,13,10,"12,200', r"line \d+: broken CSV"),
        ("2020-01-03,11,13,10,1\0,200", r"row 3 .*'close'.* is not a number|broken CSV"),
    ],
)
def test_bad_row_is_named_with_its_column_and_fix(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace(ROW_3, row))
    with pytest.raises(MarketDataError, match=message) as caught:
        load_market(path)
    assert str(caught.value).startswith(str(path))
    assert any(finding.severity == "error" for finding in check_market_file(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "holds no text"),
        (b"Date,Open,High,Low,Close\n", "there are no rows"),
        (GOOD.splitlines(keepends=True)[0].encode() + b"2020-01-02,1,1,1,1,1\n", "one bar"),
        (GOOD.encode("utf-16")[:-1], "is not UTF-16.*CSV UTF-8"),
        (GOOD.encode().replace(b"200", b"2\xe90"), "line 3: byte 0xe9 is not UTF-8"),
        (b"PK\x03\x04 rest", "an Excel workbook"),
        (b"PAR1 rest", "a Parquet file"),
        (b"a,b\n1,2\n", "missing columns 'timestamp', 'open'.*found 'a', 'b'"),
        (GOOD.replace("Open", "Close").encode(), "two columns are 'close'"),
        (GOOD.replace("Date", "When").encode(), "missing column 'timestamp'"),
        (("x" * 200_000 + "\n").encode(), "broken CSV|missing columns"),
        ((",".join("abcdefghijklmnop") + "\n1\n").encode(), r"'l', \.\.\."),
        (b"<html><body>404</body></html>\n", "this is a web page, no table of bars"),
        (b'[{"open": 1}]', "this is JSON, no table of bars"),
        (b"\xd0\xcf\x11\xe0" + b"\x00" * 99, "an old Excel workbook"),
        (b"\x00" * 100, "holds no text"),
    ],
)
def test_bad_documents(tmp_path: Path, text: bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(MarketDataError, match=message):
        load_market(path)
    (finding,) = check_market_file(path)
    assert finding.severity == "error"


def test_check_reports_every_problem_at_once(tmp_path: Path) -> None:
    lines = GOOD.splitlines()
    lines[1] = "2020-01-02,nope,12,9,11,100"
    lines[2] = "2020-01-03,11,13,10,99,-5"
    lines[3] = "2020-01-03,12,14,11,,300"
    lines[4] = "1"
    found = check_market_file(write(tmp_path, "\n".join(lines)))
    got = {(finding.place.split()[1], finding.column, finding.rule) for finding in found}
    assert got == {
        ("2", "open", "not_a_number"),
        ("3", "volume", "negative_volume"),
        ("4", "close", "missing"),
        ("4", "timestamp", "duplicate_time"),
        ("5", "", "ragged_row"),
    }
    with pytest.raises(MarketDataError, match=r"4 more problems; see all.*tradinghf data check"):
        load_market(tmp_path / "bars.csv")


def test_a_close_outside_is_found_when_the_volume_is_fine(tmp_path: Path) -> None:
    found = check_market_file(write(tmp_path, GOOD.replace("10,12,200", "10,99,200")))
    assert [(f.rule, f.column) for f in found] == [("close_outside_range", "close")]


def test_many_problems_are_counted_not_listed(tmp_path: Path) -> None:
    body = "".join(f"2020-01-01T{i // 60:02}:{i % 60:02},1,1,1,-1,1\n" for i in range(600))
    found = check_market_file(write(tmp_path, "time,open,high,low,close,volume\n" + body))
    assert len(found) == MAX_PER_RULE + 1
    assert found[-1].place.startswith(f"{600 - MAX_PER_RULE} more rows, the last row 601")


def test_quoted_line_breaks_count_as_one_row(tmp_path: Path) -> None:
    lines = GOOD.replace("Volume", "Volume,Note").splitlines()
    lines[1:] = [line + ",x" for line in lines[1:]]
    lines[1] = lines[1][:-1] + '"two\nlines"'
    lines[2] = lines[2].replace("12,200", "0,200")
    found = check_market_file(write(tmp_path, "\n".join(lines)))
    assert [(f.place, f.column) for f in found if f.severity == "error"] == [
        ("row 3 (2020-01-03)", "close")
    ]


def test_options_of_files(tmp_path: Path) -> None:
    path = write(tmp_path, "Date,Open,High,Low,Close\n1/2/2020,1,2,1,1\n1/3/2020,1,2,1,2\n")
    market = load_market(path, date_format="%m/%d/%Y", symbol="XYZ", bars_per_year=100)
    assert (market.symbols, market.bars_per_year) == (("XYZ",), 100)
    assert str(market.timestamps[1])[:10] == "2020-01-03"
    for bad in ("%Q", "%"):
        with pytest.raises(MarketDataError, match="strftime"):
            load_market(path, date_format=bad)
    with pytest.raises(MarketDataError, match=r"Unknown option 'simbol'\. Did you mean 'symbol'"):
        load_market(path, simbol="X")
    with pytest.raises(MarketDataError, match="expected a number"):
        load_market(path, bars_per_year="many")


def test_inner_join_keeps_row_numbers(tmp_path: Path) -> None:
    rows = ["A,2020-01-01", "A,2020-01-02", "A,2020-01-03", "B,2020-01-02", "B,2020-01-03"]
    text = "symbol,date,open,high,low,close\n" + "".join(f"{row},1,1,1,1\n" for row in rows)
    path = write(tmp_path, text)
    assert load_market(path, join="inner").bars == 2
    with pytest.raises(MarketDataError, match="'B' lacks 1 of 3 times"):
        load_market(path)
    write(tmp_path, text + "B,soon,1,1,1,1\n")
    with pytest.raises(MarketDataError, match=r"row 7 \(B\), .*'soon' is not a readable time"):
        load_market(path, join="inner")


def test_paths_that_are_no_bar_files(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, message in (
        ("none.csv", "does not exist"),
        ("folder.csv", "is a folder"),
        ("bars.doc", "expected a file ending in .csv"),
    ):
        path = tmp_path / name
        if name.endswith("doc"):
            path.touch()
        with pytest.raises(MarketDataError, match=message):
            load_file(path)
        assert len(check_market_file(path)) == 1


def test_huge_files_are_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, GOOD)
    save_market(load_market(path), tmp_path / "bars.parquet")
    monkeypatch.setattr(files, "MAX_CSV_BYTES", 20)
    monkeypatch.setattr(parquet, "MAX_PARQUET_BYTES", 20)
    for name, fix in (("bars.csv", "convert it to Parquet"), ("bars.parquet", "split it")):
        with pytest.raises(MarketDataError, match=f"MiB are read at once.*{fix}"):
            load_market(tmp_path / name)


def test_a_parquet_file_that_repeats_without_end_is_refused_before_it_is_decoded(
    tmp_path: Path,
) -> None:
    names = ("timestamp", "open", "high", "low", "close", "volume")
    one = pa.table({name: pa.repeat(1.0, 1_000_000) for name in names})
    path = tmp_path / "bomb.parquet"
    with pq.ParquetWriter(path, one.schema, compression="zstd") as writer:
        for _ in range(12):
            writer.write_table(one)
    assert path.stat().st_size < 2**20
    with pytest.raises(MarketDataError, match=r"unpack to 549 MiB of numbers"):
        load_file(path)


def test_parquet_variants(tmp_path: Path) -> None:
    frame = load_market(write(tmp_path, GOOD)).to_frame()
    expected = MarketData.from_frame(frame, symbol="p").sha256
    path = tmp_path / "p.parquet"
    for variant in (
        frame,
        frame.rename_axis(None),
        frame.reset_index(),
        frame.tz_localize(None).reset_index(),
        frame.reset_index().convert_dtypes(),
        frame.reset_index().set_index("timestamp", drop=False).rename_axis(None),
    ):
        variant.to_parquet(path)
        assert load_market(path).sha256 == expected
    frame.iloc[2, 3] = np.nan
    frame.to_parquet(path)
    with pytest.raises(MarketDataError, match=r"p\.parquet: row 2 \(2020-01-06\), column 'close'"):
        load_market(path)


@pytest.mark.parametrize("kind", ["garbage", "cut", "nested", "text", "empty", "hostile"])
def test_bad_parquet(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.parquet"
    frame = load_market(write(tmp_path, GOOD)).to_frame().reset_index()
    if kind == "nested":
        frame["close"] = [[1.0], [2.0], [3.0], [4.0]]
    elif kind == "text":
        frame["close"] = list("abcd")
    elif kind == "empty":
        frame = frame.iloc[:0]
    table = pa.Table.from_pandas(frame)
    if kind == "hostile":
        table = table.replace_schema_metadata({b"pandas": b"{not json"}).drop_columns(["close"])
    pq.write_table(table, path)
    if kind in ("garbage", "cut"):
        data = path.read_bytes()
        path.write_bytes(b"garbage" * 20 if kind == "garbage" else data[: len(data) // 2])
    with pytest.raises(MarketDataError, match=r"p\.parquet: "):
        load_market(path)
    assert check_market_file(path)[0].severity == "error"


@given(market=markets())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_files_round_trip_bit_for_bit(
    market: MarketData, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for name in ("m.csv", "m.tsv", "m.parquet"):
        save_market(market, folder / name)
        assert load_market(folder / name).sha256 == market.sha256, name
    assert sorted(p.name for p in folder.iterdir()) == ["m.csv", "m.parquet", "m.tsv"]


def test_save_refuses_other_suffixes_and_places(tmp_path: Path) -> None:
    market = load_market(write(tmp_path, GOOD))
    with pytest.raises(MarketDataError, match="expected a path ending in"):
        save_market(market, tmp_path / "m.xlsx")
    (tmp_path / "m.csv").write_text("no folder")
    with pytest.raises(WriteError, match="Cannot write"):
        save_market(market, tmp_path / "m.csv" / "inside.csv")


CELLS = (
    *["", "nan", "inf", "-1", "0", "1e400", "-1e400", "x", "1,5", '"', "é", "\0", "1e-320"],
    *["9" * 400, "2020-13-01", "99999-01-01", "=1+1", "NULL", "true", "1_0", "٣", "\u202e1"],
)


def mangle(text: str, rng: np.random.Generator) -> bytes:
    """One to four random damages: cells, rows, bytes, separators, cuts, duplicates, shuffles."""
    for _ in range(rng.integers(1, 5)):
        lines = text.split("\n")
        row = int(rng.integers(0, len(lines)))
        cells = lines[row].split(",")
        cell = int(rng.integers(0, len(cells)))
        kind = rng.integers(0, 10)
        if kind <= 3:
            cells[cell] = CELLS[rng.integers(0, len(CELLS))]
            lines[row] = ",".join(cells)
        elif kind == 4:
            lines[row] = ",".join(cells[:cell] + cells[cell + 1 :])
        elif kind == 5:
            lines.insert(row, lines[int(rng.integers(0, len(lines)))])
        elif kind == 6:
            rng.shuffle(lines)
        elif kind == 7:
            del lines[row]
        elif kind == 8:
            lines = lines[: row + 1]
        else:
            lines[row] = lines[row].replace(",", str(rng.choice([";", "\t", ",,", " ", '","'])))
        text = "\n".join(lines)
    data = bytearray(text.encode())
    if rng.random() < 0.2 and data:
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
    return bytes(data)


def load_error(path: Path) -> str:
    """Text of our error, or "" when the file loads; any other exception fails the test."""
    try:
        load_market(path)
    except MarketDataError as error:
        return str(error)
    return ""


def test_fuzzed_csv_loads_or_raises_our_error(tmp_path: Path) -> None:
    """400 damaged files: a valid market, or our error; `data check` agrees and never raises."""
    loaded = 0
    for case in range(400):
        path = write(tmp_path, mangle(GOOD, np.random.default_rng((7, case))))
        findings = [f for f in check_market_file(path) if f.severity == "error"]
        error = load_error(path)
        assert bool(error) == bool(findings), path.read_bytes()
        assert not error or (error.startswith(str(path)) and len(error) < 1500)
        loaded += not error
    assert 20 < loaded < 380


def test_fuzzed_parquet_loads_or_raises_our_error(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    save_market(load_market(write(tmp_path, GOOD)), path)
    good, refused = path.read_bytes(), 0
    for case in range(100):
        rng = np.random.default_rng((8, case))
        data = bytearray(good)
        for at in rng.integers(0, len(data), rng.integers(1, 20)):
            data[at] = rng.integers(0, 256)
        end = rng.integers(1, len(data) + 1) if case % 3 == 0 else len(data)
        path.write_bytes(bytes(data[: int(end)]))
        check_market_file(path)
        error = load_error(path)
        assert not error or error.startswith(str(path))
        refused += bool(error)
    assert refused > 30


def test_gzip_is_not_taken_for_csv(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"packed with gzip.*\.gz"):
        load_market(write(tmp_path, gzip.compress(GOOD.encode())))


@given(
    st.binary(max_size=200)
    | st.text('0123456789.,;:\t\n -/"TZ€$%DateOpenHighLowClose').map(str.encode)
)
@settings(max_examples=200, deadline=None)
@example(b";")
@example(b";;;;\n;;;;")
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(MarketDataError):
        files.parse_csv(data, symbol="x")


@given(st.text(max_size=20), st.sampled_from(["Date", "Open", "Volume"]))
@settings(max_examples=100, deadline=None)
def test_any_text_in_a_cell(text: str, column: str) -> None:
    frame = pd.DataFrame(
        {"Date": ["2020-01-02", "2020-01-03"], "Open": ["1", "1"], "High": 1.0, "Low": 1.0,
         "Close": 1.0, "Volume": ["1", "1"]}
    )  # fmt: skip
    frame.loc[1, column] = text
    with contextlib.suppress(MarketDataError):
        MarketData.from_frame(frame)


def test_a_line_without_end_is_refused_at_once(tmp_path: Path) -> None:
    """It took minutes and gigabytes to look for a header in it."""
    for text in ("," * 2**21, "open" * 2**20):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(MarketDataError, match=r"line 1 has .* no table of bars"):
            load_market(tmp_path / "a.csv")
