"""Exports that are no bars, or say too little: one precise sentence each; what is odd is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.dialects.layouts import PLAIN
from support.dialects.writing import (
    BARS,
    DAYS,
    EPOCH,
    HEAD,
    OHLCV,
    QUARTERS,
    SEMI,
    comma,
    iso,
    point,
    stamps,
    table,
    write,
)

from tradinghf import load_market
from tradinghf.errors import MarketDataError
from tradinghf.market import market_warnings

DASHED = stamps(QUARTERS, "%Y-%m-%d %H:%M")

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "two digits of the year": (
        table("", stamps(DAYS, "%d/%m/%y"), "FR0000120073;" + SEMI, comma),
        r"row 1: the year of '01/03/23' has two digits",
    ),
    "coinbase without header": (
        table("", [str(t) for t in EPOCH], "{t},{l},{h},{o},{c},{v}"),
        "there is no header, and the first row .* is not time, open, high, low, close",
    ),
    "days of six digits": (
        table("<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>", stamps(DAYS, "%d%m%y;000000"),
              SEMI),
        "'010323 000000' is not a readable time",
    ),
    "two closes": (
        table("Date,Open,High,Low,Close,Close,Volume", iso(), "{t},{o},{h},{l},{c},1.5,{v}"),
        "two columns are 'close'",
    ),
    "whole thousands": (
        table(HEAD, iso(), OHLCV, lambda x: f'"{round(x * 125):,}"'),
        r"row 2, column 'open': '12,500' may be 12500 \(thousands\) or 12.500 \(decimals\)",
    ),
    "percent": (table(HEAD, iso(), OHLCV, lambda x: f"{x:.2f}%"), "'100.00%' is not a number"),
    "parentheses": (table(HEAD, iso(), OHLCV, lambda x: f"({x:.2f})"), "is not a number"),
    "thirty-seconds": (table(HEAD, iso(), OHLCV, lambda x: f"{int(x)}'16"), "is not a number"),
    "high and low swapped": (
        table("Date,Open,Low,High,Close,Volume", iso(), OHLCV), "row 2 .*column 'high'",
    ),
    "heikin-ashi": (
        table("Date,HA Open,HA High,HA Low,HA Close", iso(), OHLCV[:-4]),
        "Heikin-Ashi candles, averages at which nobody traded",
    ),
    "ten times the close": (
        table(HEAD, iso(), OHLCV).replace(point(BARS[9][3]), point(10 * BARS[9][3]), 1),
        "row 11 .*column 'close': .* expected between low",
    ),
    "dates change": (
        "\n".join([*PLAIN[:15], *(f"{d:%d/%m/%Y},{line.partition(',')[2]}"
                   for d, line in zip(DAYS[14:], PLAIN[15:], strict=True))]),
        "row 16, column 'timestamp': '15/03/2023' is not a readable time",
    ),
    "zones change": (
        table(HEAD, [t if i < 15 else f"{t}+02:00" for i, t in enumerate(DASHED)], OHLCV),
        "row 17 .*some times carry a time zone and others do not",
    ),
    "several zones": (
        table("Time,TZ,Open,High,Low,Close", DASHED, "{t},Europe/Rome,{o},{h},{l},{c}").replace(
            "Rome", "Oslo", 1),
        "column 'TZ' names several time zones .'Europe/Oslo', 'Europe/Rome'.",
    ),
    "an abbreviated zone": (
        table("Time (EET),Open,High,Low,Close", DASHED, OHLCV[:-4]),
        "the times are in 'EET', which is no name of a time zone. Name it, for example zone=",
    ),
    "the exchange's time": (
        table("Date,Time (Exchange),Open,High,Low,Close", stamps(QUARTERS, "%Y-%m-%d,%H:%M"),
              OHLCV[:-4]),
        "the times are in 'Exchange'",
    ),
    "a count at the end": (table(HEAD, iso(), OHLCV) + "30\n", "row 32: 1 cells; the header has 6"),
    "cut off": ("\n".join(PLAIN)[:-8], "row 31: 5 cells; the header has 6"),
    "no data": ("No data\n", "missing columns"),
    "a web page": ("<!DOCTYPE html><html><body>Slow down</body></html>", "this is a web page"),
    "JSON": ('[{"time":1,"open":2,"high":3,"low":1,"close":2}]', "this is JSON"),
    "nothing": ("", "the file is empty"),
    "a header alone": (HEAD + "\n", "there are no rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_clear_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(MarketDataError, match=message):
        load_market(write(tmp_path, content))


def test_a_zone_that_the_user_names_stands_for_the_files(tmp_path: Path) -> None:
    path = write(tmp_path, REFUSED["an abbreviated zone"][0])
    market = load_market(path, zone="Europe/Helsinki")
    assert market.index[0].hour == 22


@pytest.mark.parametrize(
    ("first", "factor", "said"),
    [(14, 0.25, "4:1 split"), (14, 0.01, "moves by -99"), (24, 1000, "moves by +99")],
)
def test_prices_in_another_unit_are_a_finding(
    tmp_path: Path, first: int, factor: float, said: str
) -> None:
    bars = [tuple(factor * x for x in bar) if i >= first else bar for i, bar in enumerate(BARS)]
    path = write(tmp_path, table(HEAD, iso(), OHLCV, lambda x: f"{x:.4f}", bars))
    found = "\n".join(str(finding) for finding in market_warnings(load_market(path)))
    assert said in found


def test_days_to_come_are_a_finding(tmp_path: Path) -> None:
    path = write(tmp_path, table(HEAD, iso("2093-%m-%d"), OHLCV))
    (found,) = [f for f in market_warnings(load_market(path)) if f.rule == "future"]
    assert found.problem == "30 bars lie in the future"
