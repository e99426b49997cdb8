"""Further exports of vendors, brokers and exchanges: each loads as it is meant."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.dialects.writing import (
    BARS,
    BIG,
    DAYS,
    EPOCH,
    HEAD,
    LATER,
    OHLCV,
    QUARTERS,
    SEMI,
    assert_bars,
    comma,
    french,
    german,
    iso,
    newest_first,
    stamps,
    table,
    write,
)

from tradinghf import load_market

FIVE = timedelta(hours=5)


def grouped(value: float) -> str:
    return f"{value:,.2f}"


def spaced(value: float) -> str:
    return grouped(value).replace(",", " ").replace(".", ",")


def quoted(row: str) -> str:
    """Every cell in quotation marks."""
    return ",".join(f'"{cell}"' for cell in row.split(","))


MS = [f"{t}000" for t in EPOCH]
DASHED = stamps(QUARTERS, "%Y-%m-%d %H:%M")
YEN = [f"{t.year}年{t.month}月{t.day}日" for t in DAYS]

# name -> (content, times, bars, volume of one end)
EXPORTS: dict[str, tuple[str | bytes, list[datetime], list[tuple[float, ...]], float]] = {
    "boursorama": (
        table(
            "date\touv\thaut\tbas\tclot\tvol\tdevise\t",
            iso("%d/%m/%Y 00:00"),
            "{t}\t{o}\t{h}\t{l}\t{c}\t{v}\tEUR\t",
        ).encode("latin-1"),
        DAYS, BARS, 1000,
    ),
    "infobolsa": (
        table(
            "Fecha;Último;Apertura;Máximo;Mínimo;Volumen",
            iso("%d/%m/%Y"), "{t};{c};{o};{h};{l};{v}", german, BIG,
        ),
        DAYS, BIG, 1000,
    ),
    "tushare": (
        newest_first(
            table(
                "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount",
                iso("%Y%m%d"), "000001.SZ,{t},{o},{h},{l},{c},{c},0.1,0.2,{v},1.5",
            )
        ),
        DAYS, BARS, 1000,
    ),
    "akshare": (
        table(
            "日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率",
            iso(), "{t},000001,{o},{c},{h},{l},{v},1.0,1.0,0.2,0.1,0.5",
        ).encode("gb18030"),
        DAYS, BARS, 1000,
    ),
    "tongdaxin": (
        (
            "600000 浦发银行 日线 前复权\n"
            + table(
                "      日期\t    开盘\t    最高\t    最低\t    收盘\t    成交量\t    成交额",
                iso("%Y/%m/%d"), "{t}\t{o}\t{h}\t{l}\t{c}\t{v}\t1234.00",
            )
            + "#数据来源:通达信\n"
        ).encode("gbk"),
        DAYS, BARS, 1000,
    ),
    "hundreds of millions": (
        table("日期,开盘,最高,最低,收盘,成交量", iso(), "{t},{o},{h},{l},{c},1.2亿"),
        DAYS, BARS, 1.2e8,
    ),
    "japanese broker": (
        (
            "7203 東証プライム トヨタ自動車(株)\n"
            + table(
                '"日付","始値","高値","安値","終値","出来高","終値調整値"',
                iso(), quoted("{t},{o},{h},{l},{c},{v},{c}"),
            )
        ).encode("cp932"),
        DAYS, BARS, 1000,
    ),
    "yahoo japan": (
        newest_first(
            table("日付,始値,高値,安値,終値,出来高,調整後終値*", YEN, OHLCV + ",{c}")
        ),
        DAYS, BARS, 1000,
    ),
    "korea exchange": (
        newest_first(
            table(
                "일자,종가,대비,등락률,시가,고가,저가,거래량,거래대금",
                iso("%Y/%m/%d"), quoted("{t},{c},1,0.1,{o},{h},{l},{v},1"),
            )
        ).encode("cp949"),
        DAYS, BARS, 1000,
    ),
    "swedish": (
        table("Datum;Öppning;Högst;Lägst;Stängning;Volym", iso(), SEMI, spaced, BIG),
        DAYS, BIG, 1000,
    ),
    "danish": (
        table("Dato;Åbning;Højest;Lavest;Slutkurs;Volumen", iso("%d-%m-%Y"), SEMI, german, BIG),
        DAYS, BIG, 1000,
    ),
    "turkish": (
        newest_first(
            table(
                '"Tarih","Şimdi","Açılış","Yüksek","Düşük","Hac.","Fark %"',
                iso("%d.%m.%Y"), '"{t}","{c}","{o}","{h}","{l}","1,2M","%0,10"', german, BIG,
            )
        ),
        DAYS, BIG, 1_200_000,
    ),
    "nordic": (
        "sep=;\n"
        + newest_first(
            table(
                "Date;Bid;Ask;Opening price;High price;Low price;Closing price;Average price;"
                "Total volume;Turnover;Trades;",
                iso(), "{t};{c};{c};{o};{h};{l};{c};{c};{v};1;1;", comma,
            )
        ),
        DAYS, BARS, 1000,
    ),
    "nanoseconds": (
        table(
            "ticker,volume,open,close,high,low,window_start,transactions",
            [f"{t}000000000" for t in EPOCH], "AAPL,{v},{o},{c},{h},{l},{t},12",
        ),
        QUARTERS, BARS, 1000,
    ),
    "letters": (
        table("t,o,h,l,c,v,vw,n", MS, OHLCV + ",{c},12"), QUARTERS, BARS, 1000,
    ),
    "coinbase": (
        newest_first(
            table(
                "time,low,high,open,close,volume",
                [str(t) for t in EPOCH], "{t},{l},{h},{o},{c},{v}",
            )
        ),
        QUARTERS, BARS, 1000,
    ),
    "bitstamp": (
        newest_first(
            table(
                "unix_timestamp,datetime,open,high,low,close,volume",
                [f"{e},{t}:00" for e, t in zip(EPOCH, DASHED, strict=True)], OHLCV,
            )
        ),
        QUARTERS, BARS, 1000,
    ),
    "bybit": (
        table("startTime,openPrice,highPrice,lowPrice,closePrice,volume,turnover", MS,
              OHLCV + ",1.0"),
        QUARTERS, BARS, 1000,
    ),
    "okx": (
        newest_first(
            table("ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm", MS, OHLCV + ",1,1,1")
        ),
        QUARTERS, BARS, 1000,
    ),
    "oanda": (
        table(
            "time,volume,open,high,low,close,complete",
            stamps(QUARTERS, "%Y-%m-%dT%H:%M:%S.000000000Z"), "{t},{v},{o},{h},{l},{c},True",
        ),
        QUARTERS, BARS, 1000,
    ),
    "ctrader": (
        table("Date;Time;Open;High;Low;Close;Tick volume", stamps(LATER, "%d/%m/%Y;%H:%M:%S"),
              SEMI),
        LATER, BARS, 1000,
    ),
    "sierra chart": (
        table(
            "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume",
            stamps(QUARTERS, "%Y/%m/%d, %H:%M:%S.0"), "{t}, {o}, {h}, {l}, {c}, {v}, 3, 1, 2",
        ),
        QUARTERS, BARS, 1000,
    ),
    "multicharts": (
        table(
            "<Date>, <Time>, <Open>, <High>, <Low>, <Close>, <Volume>",
            stamps(LATER, "%m/%d/%Y, %H:%M:%S"), "{t}, {o}, {h}, {l}, {c}, {v}",
        ),
        LATER, BARS, 1000,
    ),
    "barchart": (
        newest_first(
            table(
                "Time,Open,High,Low,Last,Change,%Chg,Volume",
                iso("%m/%d/%Y"), '{t},{o},{h},{l},{c},0.12,"+0.10%",{v}',
            )
        )
        + '"Downloaded from Barchart.com as of 03-31-2023 09:41am CDT"\n',
        DAYS, BARS, 1000,
    ),
    "investing spanish": (
        newest_first(
            table(
                '"Fecha","Último","Apertura","Máximo","Mínimo","Vol.","% var."',
                iso("%d.%m.%Y"), '"{t}","{c}","{o}","{h}","{l}","1,2M","0,10%"', german, BIG,
            )
        ),
        DAYS, BIG, 1_200_000,
    ),
    "investing french": (
        newest_first(
            table(
                '"Date","Dernier","Ouv."," Plus Haut","Plus Bas","Vol.","Variation %"',
                iso("%d/%m/%Y"), '"{t}","{c}","{o}","{h}","{l}","1,20B","-0,10%"', german, BIG,
            )
        ),
        DAYS, BIG, 1.2e9,
    ),
    "india": (
        newest_first(
            table(
                '"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","vwap ",'
                '"52W H ","52W L ","VOLUME ","VALUE ","No of trades "',
                iso("%d-%b-%Y"),
                '"{t}","EQ","{o}","{h}","{l}","{o}","{c}","{c}","{c}","99,999.00","1.00","{v}",'
                '"1.0","12"',
                grouped, BIG,
            )
        ),
        DAYS, BIG, 1000,
    ),
    "quandl": (
        newest_first(
            table(
                "Date,Open,High,Low,Last,Close,Total Trade Quantity,Turnover (Lacs)",
                iso(), "{t},{o},{h},{l},1.00,{c},{v},1",
            )
        ),
        DAYS, BARS, 1000,
    ),
    "american halves": (
        newest_first(
            table("Date/Time,Open,High,Low,Close,Volume",
                  stamps(LATER, "%-m/%-d/%Y %-I:%M:%S %p"), OHLCV)
        ),
        LATER, BARS, 1000,
    ),
    "sheets": (
        table(HEAD, iso("%-m/%-d/%Y 16:00:00"), OHLCV),
        [t + timedelta(hours=16) for t in DAYS], BARS, 1000,
    ),
    "euros behind": (
        table("Datum;Eröffnung;Hoch;Tief;Schluss", iso("%d.%m.%Y"), SEMI[:-4],
              lambda x: f"{german(x)} €", BIG),
        DAYS, BIG, 0,
    ),
    "yen before": (table(HEAD, iso(), OHLCV, lambda x: f'"¥{grouped(x)}"', BIG), DAYS, BIG, 1000),
    "reais": (
        table("Data;Abertura;Máxima;Mínima;Último;Vol.", iso("%d/%m/%Y"),
              "{t};{o};{h};{l};{c};1,2M", lambda x: f"R$ {german(x)}", BIG),
        DAYS, BIG, 1_200_000,
    ),
    "french utf-16": (
        table("Date;Ouverture;Plus haut;Plus bas;Clôture;Volume", iso("%d/%m/%Y"), SEMI,
              french, BIG).encode("utf-16"),
        DAYS, BIG, 1000,
    ),
    "tabs and commas": (
        table(HEAD.replace(",", "\t"), iso(), OHLCV.replace(",", "\t"), comma),
        DAYS, BARS, 1000,
    ),
    "volume of dashes": (
        table('"Date","Price","Open","High","Low","Vol.","Change %"', stamps(DAYS, "%b %d, %Y"),
              '"{t}","{c}","{o}","{h}","{l}","-","0.10%"'),
        DAYS, BARS, 0,
    ),
    "zone in the header": (
        table("Time (America/New_York),Open,High,Low,Close,Volume", DASHED, OHLCV),
        [t + FIVE for t in QUARTERS], BARS, 1000,
    ),
    "offset in the header": (
        table("Time (UTC-05:00),Open,High,Low,Close,Volume", DASHED, OHLCV),
        [t + FIVE for t in QUARTERS], BARS, 1000,
    ),
    "UTC in the header": (
        table("Time (UTC),Open,High,Low,Close,Volume", DASHED, OHLCV), QUARTERS, BARS, 1000,
    ),
    "zone beside days": (
        table("Date (CET),Open,High,Low,Close,Volume", iso(), OHLCV), DAYS, BARS, 1000,
    ),
    "zone in a column": (
        table("Time,Timezone,Open,High,Low,Close,Volume", DASHED,
              "{t},America/New_York,{o},{h},{l},{c},{v}"),
        [t + FIVE for t in QUARTERS], BARS, 1000,
    ),
    "yfinance hours": (
        table("Datetime,Open,High,Low,Close,Adj Close,Volume",
              [f"{t}:00-05:00" for t in DASHED], "{t},{o},{h},{l},{c},{c},{v}"),
        [t + FIVE for t in QUARTERS], BARS, 1000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_load_as_they_are_meant(tmp_path: Path, name: str) -> None:
    content, times, bars, volume = EXPORTS[name]
    market = load_market(write(tmp_path, content))
    assert_bars(market, times, bars)
    assert market.volume[0, 0] == volume
