"""Bar files as vendors and spreadsheets write them: each loads, or says what to choose."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import load_market
from tradinghf.errors import MarketDataError, MissingExtraError
from tradinghf.market import MarketData, check_market_file

N = 30
START = datetime(2023, 3, 1)
DAYS = [START + timedelta(days=i) for i in range(N)]
QUARTERS = [START + timedelta(minutes=15 * i) for i in range(N)]
LATER = [time + timedelta(days=20) for time in QUARTERS]
EPOCH = [int((t - datetime(1970, 1, 1)).total_seconds()) for t in QUARTERS]


def prices(start: float = 100.0, digits: int = 2) -> list[tuple[float, float, float, float]]:
    """[N] open, high, low, close."""
    rng = np.random.default_rng(3)
    close = start * np.exp(np.cumsum(rng.normal(0, 0.01, N)))
    opened = np.concatenate([[start], close[:-1]])
    high = np.maximum(opened, close) * 1.003
    low = np.minimum(opened, close) * 0.997
    return [tuple(np.round(bar, digits)) for bar in zip(opened, high, low, close, strict=True)]


BARS = prices()
VOLUMES = [1000 + 37 * i for i in range(N)]


def point(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}"


def comma(value: float) -> str:
    return point(value).replace(".", ",")


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def french(value: float) -> str:
    return f"{value:,.2f}".replace(",", "\u202f").replace(".", ",")


def swiss(value: float) -> str:
    return f"{value:,.2f}".replace(",", "’")


def dollars(value: float) -> str:
    return f'"${value:,.2f}"'


def table(header: str, times: list[str], row: str, number=point, bars=BARS, volumes=VOLUMES) -> str:  # type: ignore[no-untyped-def]
    """Text of a file; `row` is a format of t, o, h, l, c, v, i."""
    lines = [header] if header else []
    for i, (t, bar, v) in enumerate(zip(times, bars, volumes, strict=True)):
        o, h, lo, c = (number(x) for x in bar)
        lines.append(row.format(t=t, o=o, h=h, l=lo, c=c, v=v, i=i))
    return "\n".join(lines) + "\n"


def stamps(times: list[datetime], pattern: str) -> list[str]:
    return [time.strftime(pattern) for time in times]


OHLCV = "{t},{o},{h},{l},{c},{v}"
SEMI = OHLCV.replace(",", ";")
BIG = prices(12500.0)
BIG_VOLUMES = [round(v * 10.0) / 10 for v in VOLUMES]
MS = [f"{t}000" for t in EPOCH]
KLINE = "{t}000,{o},{h},{l},{c},{v},%s,1,2,3,4,0"


def klines(unit: str) -> str:
    lines = []
    for t, (o, h, lo, c), v in zip(EPOCH, BARS, VOLUMES, strict=True):
        end = f"{t + 899}{'9' * len(unit)}"
        lines.append(f"{t}{unit},{o},{h},{lo},{c},{v},{end},1,2,3,4,0")
    return "\n".join(lines) + "\n"


KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
CLOSES = [t + timedelta(minutes=15) for t in QUARTERS]


def newest_first(text: str) -> str:
    head, *rows = text.splitlines()
    return "\n".join([head, *reversed(rows)]) + "\n"


def iso(pattern: str = "%Y-%m-%d") -> list[str]:
    return stamps(DAYS, pattern)


def in_zone() -> list[str]:
    return stamps(QUARTERS, "%Y%m%d %H:%M:%S America/New_York")


# name -> (text, times expected, bars expected)
FILES: dict[str, tuple[str, list[datetime], list[tuple[float, ...]]]] = {
    "yahoo": (
        table("Date,Open,High,Low,Close,Adj Close,Volume", iso(), "{t},{o},{h},{l},{c},{c},{v}"),
        DAYS,
        BARS,
    ),
    "stooq daily": (
        table("Date,Open,High,Low,Close,Volume", iso(), OHLCV),
        DAYS,
        BARS,
    ),
    "stooq bulk": (
        table(
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
            stamps(QUARTERS, "%Y%m%d,%H%M%S"),
            "SPY.US,15,{t},{o},{h},{l},{c},{v},0",
        ),
        QUARTERS,
        BARS,
    ),
    "binance ms": (klines("000"), CLOSES, BARS),
    "binance us": (klines("000000"), CLOSES, BARS),
    "binance header": (KLINE_HEADER + klines("000"), CLOSES, BARS),
    "binance header us": (KLINE_HEADER + klines("000000"), CLOSES, BARS),
    "metatrader 4": (table("", stamps(QUARTERS, "%Y.%m.%d,%H:%M"), OHLCV), QUARTERS, BARS),
    "metatrader 5": (
        table(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            stamps(QUARTERS, "%Y.%m.%d\t%H:%M:%S"),
            "{t}\t{o}\t{h}\t{l}\t{c}\t{v}\t0\t12",
        ),
        QUARTERS,
        BARS,
    ),
    "metatrader 5 yen": (
        table(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            stamps(QUARTERS, "%Y.%m.%d\t%H:%M:%S"),
            "{t}\t{o}\t{h}\t{l}\t{c}\t{v}\t0\t12",
            lambda x: point(x, 3),
        ),
        QUARTERS,
        BARS,
    ),
    "metatrader 5 daily": (
        table(
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            iso("%Y.%m.%d"),
            "{t}\t{o}\t{h}\t{l}\t{c}\t{v}\t0\t12",
        ),
        DAYS,
        BARS,
    ),
    "tradingview unix": (
        table(
            "time,open,high,low,close,Volume,Volume MA",
            [str(t) for t in EPOCH],
            "{t},{o},{h},{l},{c},{v},NaN",
        ),
        QUARTERS,
        BARS,
    ),
    "tradingview iso": (
        table("time,open,high,low,close,Volume", stamps(QUARTERS, "%Y-%m-%dT%H:%M:%SZ"), OHLCV),
        QUARTERS,
        BARS,
    ),
    "interactive brokers": (
        table(
            ",date,open,high,low,close,volume,average,barCount",
            stamps(QUARTERS, "%Y-%m-%d %H:%M:%S+00:00"),
            "{i},{t},{o},{h},{l},{c},{v},{o},12",
        ),
        QUARTERS,
        BARS,
    ),
    "interactive brokers historical": (
        table("Date,Open,High,Low,Close,Volume", stamps(QUARTERS, "%Y%m%d  %H:%M:%S"), OHLCV),
        QUARTERS,
        BARS,
    ),
    "alpha vantage": (
        newest_first(table("timestamp,open,high,low,close,volume", iso(), OHLCV)),
        DAYS,
        BARS,
    ),
    "alpha vantage adjusted": (
        newest_first(
            table(
                "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,"
                "split_coefficient",
                iso(),
                "{t},{o},{h},{l},{c},{c},{v},0.0000,1.0",
            )
        ),
        DAYS,
        BARS,
    ),
    "alpha vantage frame": (
        table("date,1. open,2. high,3. low,4. close,5. volume", iso(), OHLCV),
        DAYS,
        BARS,
    ),
    "kraken files": (
        table("", [str(t) for t in EPOCH], "{t},{o},{h},{l},{c},{v},12"),
        QUARTERS,
        BARS,
    ),
    "kraken interface": (
        table("", [str(t) for t in EPOCH], "{t},{o},{h},{l},{c},{c},{v},12"),
        QUARTERS,
        BARS,
    ),
    "coinmarketcap": (
        newest_first(
            table(
                "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;"
                "timestamp",
                stamps(DAYS, "%Y-%m-%dT"),
                '"{t}00:00:00.000Z";"{t}23:59:59.999Z";"{t}09:00:00.000Z";"{t}10:00:00.000Z";'
                '"2781";{o};{h};{l};{c};{v};19;"{t}23:59:59.999Z"',
            )
        ),
        [t + timedelta(days=1, milliseconds=-1) for t in DAYS],
        BARS,
    ),
    "cryptodatadownload": (
        "https://www.CryptoDataDownload.com\n"
        + newest_first(
            table(
                "unix,date,symbol,open,high,low,close,Volume BTC,Volume USD",
                stamps(DAYS, "%s,%Y-%m-%d 00:00:00"),
                "{t},BTC/USD,{o},{h},{l},{c},{v},1.5",
            )
        ),
        DAYS,
        BARS,
    ),
    "ninjatrader": (table("", stamps(QUARTERS, "%Y%m%d %H%M%S"), SEMI), QUARTERS, BARS),
    "dukascopy": (
        table("Gmt time,Open,High,Low,Close,Volume", stamps(LATER, "%d.%m.%Y %H:%M:%S.000"), OHLCV),
        LATER,
        BARS,
    ),
    "dukascopy local": (
        table(
            "Local time,Open,High,Low,Close,Volume",
            stamps([t + timedelta(hours=1) for t in LATER], "%d.%m.%Y %H:%M:%S.000 GMT+0100"),
            OHLCV,
        ),
        LATER,
        BARS,
    ),
    "german excel": (
        table("Datum;Eröffnung;Hoch;Tief;Schluss;Volumen", iso("%d.%m.%Y"), SEMI, german, BIG),
        DAYS,
        BIG,
    ),
    "decimal commas": (
        table("Date;Open;High;Low;Close;Volume", iso("%d.%m.%Y"), SEMI, comma, BIG),
        DAYS,
        BIG,
    ),
    "ariva": (
        newest_first(
            table(
                "Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen",
                iso(),
                "{t};{o};{h};{l};{c};{v};{v}",
                german,
                BIG,
            )
        ),
        DAYS,
        BIG,
    ),
    "investing": (
        newest_first(
            table(
                '"Date","Price","Open","High","Low","Vol.","Change %"',
                stamps(DAYS, "%b %d, %Y"),
                '"{t}","{c}","{o}","{h}","{l}","1.5K","0.10%"',
                lambda x: f"{x:,.2f}",
                BIG,
            )
        ),
        DAYS,
        BIG,
    ),
    "investing german": (
        newest_first(
            table(
                '"Datum","Zuletzt","Eröffn.","Hoch","Tief","Vol.","+/- %"',
                stamps(DAYS, "%d.%m.%Y"),
                '"{t}","{c}","{o}","{h}","{l}","1,5K","0,10%"',
                german,
                BIG,
            )
        ),
        DAYS,
        BIG,
    ),
    "french": (
        table(
            "Date;Ouverture;Plus Haut;Plus Bas;Clôture;Volume", iso("%d/%m/%Y"), SEMI, french, BIG
        ),
        DAYS,
        BIG,
    ),
    "french months": (
        table(
            "Date\tOuv.\tHaut\tBas\tDernier\tVol.",
            [f"{t.day} mars 2023" for t in DAYS],
            OHLCV.replace(",", "\t"),
            comma,
            BIG,
        ),
        DAYS,
        BIG,
    ),
    "spanish": (
        table("Fecha;Apertura;Máximo;Mínimo;Cierre;Volumen", iso("%d/%m/%Y"), SEMI, comma, BIG),
        DAYS,
        BIG,
    ),
    "chinese": (
        table("日期,开盘价,最高价,最低价,收盘价,成交量", iso("%Y年%m月%d日"), OHLCV, point, BIG),
        DAYS,
        BIG,
    ),
    "chinese investing": (
        newest_first(
            table(
                '"日期","收盘","开盘","高","低","交易量","涨跌幅"',
                iso(),
                '"{t}","{c}","{o}","{h}","{l}","1.5万","0.1%"',
            )
        ),
        DAYS,
        BARS,
    ),
    "japanese": (
        table("日付,始値,高値,安値,終値,出来高", iso("%Y/%m/%d"), OHLCV, point, BIG),
        DAYS,
        BIG,
    ),
    "swiss": (
        table("Datum;Eröffnung;Hoch;Tief;Schluss", iso("%d.%m.%Y"), SEMI[:-4], swiss, BIG),
        DAYS,
        BIG,
    ),
    "nasdaq": (
        newest_first(
            table(
                "Date,Close/Last,Volume,Open,High,Low",
                iso("%m/%d/%Y"),
                "{t},{c},{v},{o},{h},{l}",
                dollars,
                BIG,
            )
        ),
        DAYS,
        BIG,
    ),
    "nasdaq without quotes": (
        newest_first(
            table(
                "Date,Close/Last,Volume,Open,High,Low",
                iso("%m/%d/%Y"),
                "{t},{c},{v:,},{o},{h},{l}",
                lambda x: f"${x:,.2f}",
                BIG,
                [v * 1000 + 17 for v in VOLUMES],
            )
        ),
        DAYS,
        BIG,
    ),
    "excel sep line": (
        "sep=;\n" + table("Date;Open;High;Low;Close;Volume", iso(), SEMI),
        DAYS,
        BARS,
    ),
    "comments and footer": (
        "# exported by hand\n\n# close in USD\n"
        + table("Date,Open,High,Low,Close,Volume", iso(), OHLCV)
        + '# the end\n"Downloaded from Somewhere as of 03-31-2023"\n',
        DAYS,
        BARS,
    ),
    "american clock": (
        table(
            "Date,Time,Open,High,Low,Close,Volume",
            stamps(QUARTERS, "03/13/2023,%I:%M %p"),
            OHLCV,
        ),
        [t + timedelta(days=12) for t in QUARTERS],
        BARS,
    ),
    "clock without colon": (
        table(
            "Date,Time,Open,High,Low,Close,Vol",
            [t.strftime("%Y%m%d,") + t.strftime("%H%M").lstrip("0") for t in QUARTERS[4:]]
            and [t.strftime("%Y%m%d,") + str(int(t.strftime("%H%M"))) for t in QUARTERS],
            OHLCV,
        ),
        QUARTERS,
        BARS,
    ),
    "indian": (
        table("Date,OPEN,HIGH,LOW,CLOSE,VOLUME", iso("%d-%b-%Y"), OHLCV),
        DAYS,
        BARS,
    ),
    "trailing separators": (
        table("Date;Open;High;Low;Close;Volume", iso(), SEMI + ";"),
        DAYS,
        BARS,
    ),
}


def write(folder: Path, content: str | bytes, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_bars(market: MarketData, times: list[datetime], bars: list[tuple[float, ...]]) -> None:
    got = np.stack([getattr(market, f)[:, 0] for f in ("open", "high", "low", "close")], axis=1)
    np.testing.assert_array_equal(got, np.array(bars))
    assert market.index.tz_localize(None).tolist() == [pd.Timestamp(time) for time in times]


@pytest.mark.parametrize("name", FILES)
def test_dialects_load(tmp_path: Path, name: str) -> None:
    text, times, bars = FILES[name]
    path = write(tmp_path, text)
    assert_bars(load_market(path), times, bars)
    assert not [f for f in check_market_file(path) if f.severity == "error"]


def rows_of(header: str, times: list[str], row: str = OHLCV) -> list[str]:
    return table(header, times, row).splitlines()


HEAD = "Date,Open,High,Low,Close,Volume"
PLAIN = rows_of(HEAD, iso())
HALVES = [t + timedelta(hours=12) for t in LATER]
ITALIAN = "gen feb mar apr mag giu lug ago set ott nov dic"
DUTCH = "jan feb mrt apr mei jun jul aug sep okt nov dec"
BRAZIL = "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"
MONTHS = [datetime(2020 + i // 12, 1 + i % 12, 1) for i in range(N)]
YEAR = [datetime(2022, 1, 5) + timedelta(days=12 * i) for i in range(N)]
EXCEL = [(t - datetime(1899, 12, 30)) / timedelta(days=1) for t in QUARTERS]


def names(joined: str) -> str:
    return table(joined, iso(), SEMI if ";" in joined else OHLCV, comma if ";" in joined else point)


def clock(written: list[str]) -> str:
    return table(HEAD, [f'"{text}"' for text in written], OHLCV)


# name -> (text, times expected); all hold BARS
MORE: dict[str, tuple[str, list[datetime]]] = {
    "dutch": (names("Datum;Openen;Hoogste;Laagste;Slot;Volume"), DAYS),
    "italian": (names("Data;Prezzo di apertura;Massimo;Minimo;Prezzo di chiusura;Volumi"), DAYS),
    "portuguese": (names("Data;Abertura;Máxima;Mínima;Fecho;Quantidade"), DAYS),
    "polish": (names("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"), DAYS),
    "russian": (names("Дата;Откр.;Макс.;Мин.;Цена;Объём"), DAYS),
    "korean": (names("날짜,시가,고가,저가,종가,거래량"), DAYS),
    "bloomberg": (names("Date,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME"), DAYS),
    "quantmod": (names("Date,A.B.Open,A.B.High,A.B.Low,A.B.Close,A.B.Volume"), DAYS),
    "humps": (names("startTime,openPrice,highPrice,lowPrice,closePrice,volume"), DAYS),
    "units": (names("Date,Open [USD],High [USD],Low [USD],Close [USD],Volume (BTC)"), DAYS),
    "units after": (names("Date,Open USD,High USD,Low USD,Close USD,Volume"), DAYS),
    "metastock": (
        table(
            "<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
            stamps(QUARTERS, "%Y%m%d,%H%M%S"),
            "X," + OHLCV,
        ),
        QUARTERS,
    ),
    "pieces before money": (
        table("Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen", iso(), SEMI + ";1.234", comma),
        DAYS,
    ),
    "taiwan": (
        table(HEAD, [f"{t.year - 1911}/{t:%m/%d}" for t in DAYS], OHLCV),
        DAYS,
    ),
    "quotes after blanks": (
        table(HEAD, iso(), '"{t}", "{o}", "{h}", "{l}", "{c}", "{v}"'),
        DAYS,
    ),
    "blanks": (
        table("Date  Open High  Low Close Volume", iso(), "{t}  {o} {h}  {l} {c} {v}"),
        DAYS,
    ),
    "blank lines": ("\n\n".join(PLAIN).replace("\n2023-03-09", "\n,,,,,\n2023-03-09"), DAYS),
    "repeated header": ("\n".join([*PLAIN[:9], PLAIN[0], *PLAIN[9:]]), DAYS),
    "units below the header": ("\n".join([HEAD, ",USD,USD,USD,USD,shares", *PLAIN[1:]]), DAYS),
    "ruled": (
        table(
            "| Date | Open | High | Low | Close |\n|---|---|---|---|---|",
            iso(),
            "| {t} | {o} | {h} | {l} | {c} |",
        ),
        DAYS,
    ),
    "totals": (
        "\n".join([*PLAIN, "Total,,,,,46095", "Average,1,2,1,2,9", "", "High:,9,,,,"]),
        DAYS,
    ),
    "end mark": ("\n".join(PLAIN) + "\n\x1a", DAYS),
    "no prices on a day": ("\n".join([*PLAIN, "2023-03-31,N/A,N/A,N/A,N/A,N/A"]), DAYS),
    "dotted p.m.": (
        clock([f"{t:%m/%d/%Y} {t.hour - 12 or 12}:{t:%M} p.m." for t in HALVES]),
        HALVES,
    ),
    "iso of 12 hours": (clock(stamps(HALVES, "%Y-%m-%d %I:%M%p")), HALVES),
    "chinese half days": (clock([f"{t:%Y/%m/%d} 下午 {t:%I:%M}" for t in HALVES]), HALVES),
    "ib": (clock(stamps(QUARTERS, "%Y%m%d-%H:%M:%S")), QUARTERS),
    "digits only": (clock(stamps(QUARTERS, "%Y%m%d%H%M")), QUARTERS),
    "digits and seconds": (clock(stamps(QUARTERS, "%Y%m%d%H%M%S")), QUARTERS),
    "german clock": (clock(stamps(LATER, "%d.%m.%Y %H.%M Uhr")), LATER),
    "french clock": (clock(stamps(LATER, "%d/%m/%Y %Hh%M")), LATER),
    "days of excel": (clock([f"{day:.6f}" for day in EXCEL]), QUARTERS),
    "epochs with fractions": (clock([f"{t}.0" for t in EPOCH]), QUARTERS),
    "weekdays": (clock(stamps(DAYS, "%A, %B %d, %Y")), DAYS),
    "german weekdays": (clock([f"Mi., {t:%d.%m.%Y}" for t in DAYS]), DAYS),
    "javascript": (clock(stamps(QUARTERS, "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)")), QUARTERS),
    "mail": (clock(stamps(QUARTERS, "%a, %d %b %Y %H:%M:%S GMT")), QUARTERS),
    "dukascopy in UTC": (clock(stamps(LATER, "%d.%m.%Y %H:%M:%S.000 UTC")), LATER),
    "italian months": (
        clock([f"{t.day} {ITALIAN.split()[t.month - 1]} {t.year}" for t in YEAR]),
        YEAR,
    ),
    "dutch months": (clock([f"{t.day} {DUTCH.split()[t.month - 1]} {t.year}" for t in YEAR]), YEAR),
    "brazilian months": (
        clock([f"{t.day} de {BRAZIL.split()[t.month - 1]} de {t.year}" for t in YEAR]),
        YEAR,
    ),
    "months": (clock(stamps(MONTHS, "%b %Y")), MONTHS),
}


@pytest.mark.parametrize("name", MORE)
def test_further_dialects_load(tmp_path: Path, name: str) -> None:
    text, times = MORE[name]
    market = load_market(write(tmp_path, text))
    assert_bars(market, times, BARS)
    if name not in ("ruled", "units below the header"):
        assert market.volume[0, 0] == VOLUMES[0]


@pytest.mark.parametrize(
    ("name", "volume"),
    [("metatrader 5", 1000), ("kraken interface", 1000), ("kraken files", 1000),
     ("investing", 1500), ("investing german", 1500), ("chinese investing", 15_000),
     ("nasdaq without quotes", 1_000_017), ("cryptodatadownload", 1000), ("binance us", 1000)],
)  # fmt: skip
def test_volumes_of_dialects(tmp_path: Path, name: str, volume: float) -> None:
    assert load_market(write(tmp_path, FILES[name][0])).volume[0, 0] == volume


GERMAN, _, _ = FILES["german excel"]


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
    text, times, bars = FILES[name]
    assert_bars(load_market(write(tmp_path, text.encode(encoding))), times, bars)


def zipped(**members: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_csv", ".csv"), text)
    return out.getvalue()


def test_packed_files(tmp_path: Path) -> None:
    text, times, bars = FILES["binance us"]
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


def test_workbooks(tmp_path: Path) -> None:
    path = tmp_path / "bars.xlsx"
    try:
        import openpyxl
    except ImportError:
        write(tmp_path, zipped(sheet="x"), "bars.xlsx")
        with pytest.raises(MissingExtraError, match=r"tradinghf\[excel\]"):
            load_market(path)
        return
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


SHORT = slice(0, 12)


def short(header: str, pattern: str, row: str, number=point, bars=BARS) -> str:  # type: ignore[no-untyped-def]
    return table(header, stamps(DAYS[SHORT], pattern), row, number, bars[SHORT], VOLUMES[SHORT])


AMBIGUOUS = short(HEAD, "%d/%m/%Y", OHLCV)
ANY_MARK = short(HEAD.replace(",", ";"), "%Y-%m-%d", SEMI, lambda x: f"{x / 50:.3f}")


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
    path = write(tmp_path, FILES["french"][0])
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
