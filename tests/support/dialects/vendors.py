"""What data vendors, brokers and exchanges write."""

from __future__ import annotations

from datetime import datetime, timedelta

from support.dialects.writing import (
    BARS,
    BIG,
    DAYS,
    EPOCH,
    LATER,
    OHLCV,
    QUARTERS,
    SEMI,
    VOLUMES,
    clock,
    comma,
    dollars,
    iso,
    names,
    newest_first,
    point,
    stamps,
    table,
)

KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore\n"
)
CLOSES = [t + timedelta(minutes=15) for t in QUARTERS]


def klines(unit: str) -> str:
    lines = []
    for t, (o, h, lo, c), v in zip(EPOCH, BARS, VOLUMES, strict=True):
        end = f"{t + 899}{'9' * len(unit)}"
        lines.append(f"{t}{unit},{o},{h},{lo},{c},{v},{end},1,2,3,4,0")
    return "\n".join(lines) + "\n"


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
}
# name -> (text, times expected); all hold BARS and VOLUMES
PLAIN_FILES: dict[str, tuple[str, list[datetime]]] = {
    "bloomberg": (names("Date,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME"), DAYS),
    "quantmod": (names("Date,A.B.Open,A.B.High,A.B.Low,A.B.Close,A.B.Volume"), DAYS),
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
    "ib": (clock(stamps(QUARTERS, "%Y%m%d-%H:%M:%S")), QUARTERS),
    "dukascopy in UTC": (clock(stamps(LATER, "%d.%m.%Y %H:%M:%S.000 UTC")), LATER),
}
