"""What a bar file leaves open is refused in one sentence, and options choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.dialects import languages
from support.dialects.layouts import PLAIN
from support.dialects.writing import (
    BARS,
    DAYS,
    EPOCH,
    HEAD,
    OHLCV,
    QUARTERS,
    SEMI,
    VOLUMES,
    N,
    assert_bars,
    clock,
    comma,
    iso,
    newest_first,
    point,
    stamps,
    table,
    write,
)

from tradinghf import load_market
from tradinghf.errors import MarketDataError
from tradinghf.market import check_market_file

SHORT = slice(0, 12)


def short(header: str, pattern: str, row: str, number=point, bars=BARS) -> str:  # type: ignore[no-untyped-def]
    return table(header, stamps(DAYS[SHORT], pattern), row, number, bars[SHORT], VOLUMES[SHORT])


AMBIGUOUS = short(HEAD, "%d/%m/%Y", OHLCV)
ANY_MARK = short(HEAD.replace(",", ";"), "%Y-%m-%d", SEMI, lambda x: f"{x / 50:.3f}")
MS = [f"{t}000" for t in EPOCH]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            AMBIGUOUS,
            r"row 2: '01/03/2023' has two readings.*1 March 2023 to 12 March 2023 "
            r"\(dayfirst=true\) or 3 January 2023 to 3 December 2023 \(dayfirst=false\)",
        ),
        (
            AMBIGUOUS.replace("03/03/2023", "13/03/2023").replace("05/03/2023", "03/14/2023"),
            r"row 4: '13/03/2023' has the day first, row 6: '03/14/2023' the month",
        ),
        (short(HEAD, "%d/%m/%y", OHLCV), r"row 2: the year of '01/03/23' has two digits"),
        (ANY_MARK, r"row 2, column 'open': '2\.000' may be 2000 \(thousands\) or 2\.000"),
        (
            short(HEAD.replace(",", ";"), "%Y-%m-%d", SEMI, comma).replace("100,00", "100.00", 1),
            r"row 2, column 'open': '100\.00' has a decimal point, but .* has a decimal comma",
        ),
        (
            table(HEAD, [str(t) for t in EPOCH[:9]] + MS[9:], OHLCV),
            r"row 11 .*in milliseconds, those of the rows before are in seconds",
        ),
        (
            table("", iso(), "{t},{h},{o},{l},{c},{v}"),
            r"no header, and the first row .* is not time, open, high, low, close.*columns=",
        ),
        (
            table("Date,Open,High,Low,Close,Adj Close", iso(), "{t},{o},{h},{l},{c},100000.00"),
            r"'adj_close': \d+\.?\d* times close in the newest row; expected about 1",
        ),
        (
            table("Date,Open,High,Low,Close,Adj Close", iso(), "{t},{o},{h},{l},{c},{c}").replace(
                f"{point(BARS[9][3])},{point(BARS[9][3])}",
                f"{point(BARS[9][3])},{point(BARS[9][3] * 0.98)}",
            ),
            r"row 11 .*'adj_close': 0\.98 times close, unlike the rows before and after",
        ),
        (
            table(HEAD, iso(), OHLCV).replace(point(BARS[9][3]), point(BARS[9][3] * 1.5), 1),
            r"row 11 .*'close': .*expected between low",
        ),
        (
            table(HEAD, iso(), OHLCV).replace("2023-03-09", "2023-03-08"),
            r"row 10 .*the time occurs twice",
        ),
        (table(HEAD, iso(), OHLCV, lambda x: f"{x / 1000:.2f}K"), "is not a number"),
        (clock([f"{t:%Y-%m-%d %H:%M} EST" for t in QUARTERS]), "'EST' is no name of one. Name it"),
        (clock(["1.67763E+12"] * N), "a spreadsheet rounded the times"),
        (
            table(
                "DateTime,BidOpen,BidHigh,BidLow,BidClose,AskOpen,AskHigh,AskLow,AskClose",
                iso(),
                "{t},{o},{h},{l},{c},{o},{h},{l},{c}",
            ),
            r"2 sets of prices .*'BidOpen' and 'AskOpen'.*columns='open=BidOpen;high=BidHigh",
        ),
        (table("Wann,A,B,C,D,E,F,G,H", iso(), OHLCV), "row 2: 6 cells; the header has 9|missing"),
        (table(HEAD, iso(), OHLCV, comma), "row 2: 10 cells.*export with semicolons"),
        ("\n".join([*PLAIN, "soon,1,2,1,2,9"]), "row 32, .*'soon' is not a readable time"),
        (table(HEAD, iso(), OHLCV, lambda x: f"{x:.2f}%"), "is not a number"),
    ],
)
def test_what_is_refused_is_refused_in_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(MarketDataError, match=message):
        load_market(path)
    assert any(f.severity == "error" for f in check_market_file(path))


def test_options_choose_between_readings(tmp_path: Path) -> None:
    path = write(tmp_path, AMBIGUOUS)
    assert load_market(path, dayfirst=True).index[1].day == 2
    assert load_market(path, dayfirst=False).index[1].month == 2
    path = write(tmp_path, ANY_MARK)
    assert load_market(path, decimal=".").open[0, 0] == 2
    assert load_market(path, decimal=",").open[0, 0] == 2000
    path = write(tmp_path, languages.FILES["french"][0])
    with pytest.raises(MarketDataError, match=r"row 14: '13/03/2023' has the day first.*=true"):
        load_market(path, dayfirst=False)
    with pytest.raises(MarketDataError, match="cannot have a decimal point"):
        load_market(path, decimal=".")
    with pytest.raises(MarketDataError, match="expected point or comma"):
        load_market(path, decimal="x")


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = table("when,first,top,bottom,final,Close", iso(), "{t},{o},{h},{l},{c},9")
    path = write(tmp_path, text)
    given = {"timestamp": "when", "open": "first", "high": "top", "low": "bottom", "close": "final"}
    assert_bars(load_market(path, columns=given), DAYS, BARS)
    assert_bars(load_market(path, columns="timestamp=1;open=2;high=top;low=4;close=5"), DAYS, BARS)
    path = write(tmp_path, table("", iso(), "x,{t},{l},{h},{o},{c}"))
    assert_bars(load_market(path, columns="timestamp=2;open=5;high=4;low=3;close=6"), DAYS, BARS)
    with pytest.raises(MarketDataError, match=r"'gone' for 'close'; the file has 'column 1'"):
        load_market(path, columns={"close": "gone"})
    with pytest.raises(MarketDataError, match="columns has 'price'; write it as"):
        load_market(path, columns="price=2")


def test_an_adjusted_close_is_offered_and_used_when_asked_for(tmp_path: Path) -> None:
    text = table("Date,Open,High,Low,Close,Adj Close", iso(), "{t},{o},{h},{l},{c},{i}")
    lines = text.splitlines()
    lines[1:] = [f"{line.rpartition(',')[0]},{bar[3] / 2:.6f}" for line, bar in
                 zip(lines[1:], BARS, strict=True)]  # fmt: skip
    path = write(tmp_path, "\n".join(lines))
    market = load_market(path)
    assert_bars(market, DAYS, BARS)
    assert "adj_close not used (load with adjust=true" in market.source
    adjusted = load_market(path, adjust=True)
    np.testing.assert_allclose(adjusted.close, market.close / 2, rtol=1e-6)
    assert "OHLC scaled by adj_close / close in 30 rows" in adjusted.source


def test_turned_files_keep_their_row_numbers(tmp_path: Path) -> None:
    text = newest_first(table(HEAD, iso(), OHLCV)).splitlines()
    text[4] = text[4].replace(",", ",-", 1)
    with pytest.raises(MarketDataError, match=r"row 5 \(2023-03-27\), column 'open': -"):
        load_market(write(tmp_path, "\n".join(text)))


def test_long_files_newest_first(tmp_path: Path) -> None:
    rows = [f"{day},{s},{o},{h},{lo},{c}" for day, (o, h, lo, c) in
            zip(iso(), BARS, strict=True) for s in "BA"]  # fmt: skip
    text = "date,symbol,open,high,low,close\n" + "\n".join(reversed(rows))
    market = load_market(write(tmp_path, text))
    assert (market.bars, set(market.symbols)) == (N, {"A", "B"})
    assert_bars(market.select(["A"]), DAYS, BARS)


def test_options_in_the_name_and_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, AMBIGUOUS)
    assert load_market(f"{path}:dayfirst=true").index[1].day == 2
    beside = write(tmp_path, '{"dayfirst": "false"}', "bars.csv.options.json")
    assert load_market(path).index[1].month == 2
    assert load_market(f"{path}:dayfirst=true").index[1].day == 2
    assert not [f for f in check_market_file(path, dayfirst="true") if f.severity == "error"]
    beside.write_text("[1]")
    with pytest.raises(MarketDataError, match="not a set of options"):
        load_market(path)
    path = write(tmp_path, ANY_MARK, "other.csv")
    assert load_market(f"{path}:decimal=comma").open[0, 0] == 2000


@pytest.mark.parametrize("name", ["open", "close", "volume"])
def test_names_are_known_in_any_case(name: str, tmp_path: Path) -> None:
    """A volume whose name was not known was none, without a word."""
    wanted = load_market(write(tmp_path, "\n".join(PLAIN)))
    for place in range(len(name)):
        odd = name[:place] + name[place].upper() + name[place + 1 :]
        head = PLAIN[0].lower().replace(name, odd)
        found = load_market(write(tmp_path, "\n".join([head, *PLAIN[1:]])))
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), odd
