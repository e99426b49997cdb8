"""What spreadsheets and sites of other languages write."""

from __future__ import annotations

from datetime import datetime

from support.dialects.writing import (
    BARS,
    BIG,
    DAYS,
    HALVES,
    HEAD,
    LATER,
    OHLCV,
    SEMI,
    YEAR,
    clock,
    comma,
    french,
    german,
    iso,
    names,
    newest_first,
    point,
    stamps,
    swiss,
    table,
)

ITALIAN = "gen feb mar apr mag giu lug ago set ott nov dic"
DUTCH = "jan feb mrt apr mei jun jul aug sep okt nov dec"
BRAZIL = "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"

# name -> (text, times expected, bars expected)
FILES: dict[str, tuple[str, list[datetime], list[tuple[float, ...]]]] = {
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
    "indian": (
        table("Date,OPEN,HIGH,LOW,CLOSE,VOLUME", iso("%d-%b-%Y"), OHLCV),
        DAYS,
        BARS,
    ),
}
# name -> (text, times expected); all hold BARS and VOLUMES
PLAIN_FILES: dict[str, tuple[str, list[datetime]]] = {
    "dutch": (names("Datum;Openen;Hoogste;Laagste;Slot;Volume"), DAYS),
    "italian": (names("Data;Prezzo di apertura;Massimo;Minimo;Prezzo di chiusura;Volumi"), DAYS),
    "portuguese": (names("Data;Abertura;Máxima;Mínima;Fecho;Quantidade"), DAYS),
    "polish": (names("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"), DAYS),
    "russian": (names("Дата;Откр.;Макс.;Мин.;Цена;Объём"), DAYS),
    "korean": (names("날짜,시가,고가,저가,종가,거래량"), DAYS),
    "taiwan": (
        table(HEAD, [f"{t.year - 1911}/{t:%m/%d}" for t in DAYS], OHLCV),
        DAYS,
    ),
    "chinese half days": (clock([f"{t:%Y/%m/%d} 下午 {t:%I:%M}" for t in HALVES]), HALVES),
    "german clock": (clock(stamps(LATER, "%d.%m.%Y %H.%M Uhr")), LATER),
    "french clock": (clock(stamps(LATER, "%d/%m/%Y %Hh%M")), LATER),
    "german weekdays": (clock([f"Mi., {t:%d.%m.%Y}" for t in DAYS]), DAYS),
    "italian months": (
        clock([f"{t.day} {ITALIAN.split()[t.month - 1]} {t.year}" for t in YEAR]),
        YEAR,
    ),
    "dutch months": (clock([f"{t.day} {DUTCH.split()[t.month - 1]} {t.year}" for t in YEAR]), YEAR),
    "brazilian months": (
        clock([f"{t.day} de {BRAZIL.split()[t.month - 1]} de {t.year}" for t in YEAR]),
        YEAR,
    ),
}
