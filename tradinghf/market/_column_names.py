"""What vendors call their columns, in the languages their exports come in: one table."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# In order of preference: where a file has two of one row, the earlier is meant.
_ALIASES = {
    "timestamp": (
        *("timestamp", "datetime", "date_time", "date_heure", "datum_zeit", "fecha_hora", "日時"),
        *(
            "日期时间",
            "日期時間",
            "gmt_time",
            "local_time",
            "utc_time",
            "utc",
            "time_utc",
            "data_ora",
        ),
        *("data_hora", "datum_tijd"),
        *("date", "datum", "fecha", "data", "jour", "tag", "日期", "交易日期", "日付", "日付け"),
        *("дата", "날짜", "일자", "tarih", "dato", "dtyyyymmdd", "trading_day", "session"),
        *("time", "zeit", "uhrzeit", "hora", "heure", "ora", "tijd", "czas", "время"),
        *("时间", "時間", "時刻", "시간"),
        *("unix", "unix_time", "unix_timestamp", "unixtime", "epoch", "t", "ts", "trade_date"),
        *("open_time", "opentime", "time_open", "start_time", "start_at", "bar_time", "mts"),
        *("window_start", "datetime_utc", "date_utc", "timestamp_utc"),
    ),
    "open": (
        *("open", "open_price", "opening_price", "opening", "o", "eröffnung", "eroeffnung"),
        *("eröffnungskurs", "eröffn", "eröffnungspreis", "erster", "anfang", "kurs_eröffnung"),
        *("openen", "openingskoers", "koers_open", "ouverture", "ouv", "cours_d'ouverture"),
        *("premier", "apertura", "prezzo_di_apertura", "prezzo_apertura", "abertura"),
        *("preço_de_abertura", "preço_abertura", "precio_de_apertura", "precio_apertura"),
        *("otwarcie", "kurs_otwarcia", "откр", "открытие", "цена_открытия", "시가"),
        *("öppning", "öppningskurs", "öppen", "öppet", "åbning", "åpning", "åpningskurs", "açılış"),
        *("开盘", "开盘价", "開盤", "開盤價", "今开", "始値", "openprc", "open_prc"),
    ),
    "high": (
        *("high", "high_price", "highest", "h", "max", "maximum", "hoch", "höchst", "höchstkurs"),
        *("höchster", "tageshoch", "hoog", "hoogste", "hoogste_koers", "haut", "plus_haut"),
        *("+haut", "cours_le_plus_haut", "massimo", "prezzo_massimo", "máximo", "máxima", "máx"),
        *("preço_máximo", "precio_máximo", "najwyższy", "kurs_najwyższy", "макс", "максимум"),
        *("högst", "högsta", "högstakurs", "højest", "høyest", "høy", "høj", "yüksek"),
        *("고가", "最高", "最高价", "最高價", "高", "高値"),
    ),
    "low": (
        *("low", "low_price", "lowest", "l", "min", "minimum", "tief", "tiefst", "tiefstkurs"),
        *("tiefster", "tagestief", "laag", "laagste", "laagste_koers", "bas", "plus_bas"),
        *("+bas", "cours_le_plus_bas", "minimo", "prezzo_minimo", "mínimo", "mínima", "mín"),
        *("preço_mínimo", "precio_mínimo", "najniższy", "kurs_najniższy", "мин", "минимум"),
        *("lägst", "lägsta", "lägstakurs", "lavest", "lav", "düşük"),
        *("저가", "最低", "最低价", "最低價", "低", "安値"),
    ),
    "close": (
        *("close", "close_price", "closing_price", "close_last", "closing", "c", "last"),
        *("last_price", "last_traded_price", "price", "schluss", "schlusskurs", "schlusspreis"),
        *("zuletzt", "letzter", "slot", "slotkoers", "sluiting", "slotstand", "laatste"),
        *("clôture", "clot", "clôt", "dernier", "fermeture", "cours_de_clôture"),
        *("chiusura", "prezzo_di_chiusura", "prezzo_chiusura", "ultimo", "cierre", "último"),
        *("precio_de_cierre", "precio_cierre", "fechamento", "preço_de_fechamento"),
        *("preço_fechamento", "fecho", "zamknięcie", "kurs_zamknięcia", "цена", "закрытие"),
        *("stängning", "stängningskurs", "stängt", "senast", "senaste", "siste", "seneste"),
        *("slutkurs", "sluttkurs", "şimdi", "kapanış"),
        *("цена_закрытия", "종가", "收盘", "收盘价", "收盤", "收盤價", "終値"),
    ),
    "volume": (
        *("stück", "stücke", "stuecke", "number_of_shares", "no_of_shares", "成交股數"),
        *("volume", "vol", "v", "volumen", "volumes", "volumi", "volume_traded", "umsatz"),
        *("volumen_in_stk", "volumen_stück", "umsatz_in_stück", "omzet", "quantidade"),
        *("volumen_negociado", "wolumen", "объем", "объём", "거래량", "shares_traded"),
        *("成交量", "交易量", "出来高", "売買高", "total_volume", "volume_units"),
        *("volym", "antal", "hacim", "hac", "total_trade_quantity", "total_traded_quantity"),
        *("tickvol", "tick_vol", "tick_volume", "tickvolume", "up_down_volume"),
    ),
    "symbol": (
        *("symbol", "ticker", "asset", "instrument", "security", "pair", "kürzel", "symbole"),
        *("símbolo", "simbolo", "titre", "valor", "ts_code", "代码", "股票代码", "代號", "コード"),
        *("銘柄", "銘柄コード", "тикер"),
    ),
    "adj_close": (
        *("adj_close", "adjclose", "adjusted_close", "adj_close_price", "close_adjusted"),
        *("adjusted", "adj_schlusskurs", "adj_schluss", "bereinigter_schlusskurs"),
        *("cierre_ajustado", "chiusura_rettificata", "fechamento_ajustado"),
        *("clôture_ajustée", "调整后收盘价", "調整後終値", "复权收盘价"),
    ),
}
KNOWN_NAMES = tuple(_ALIASES)
_OF_DATE = (
    *("date", "datum", "fecha", "data", "jour", "tag", "日期", "交易日期", "日付", "日付け"),
    *("дата", "날짜", "일자", "tarih", "dato", "dtyyyymmdd", "trading_day"),
)
_OF_CLOCK = (
    *("time", "zeit", "uhrzeit", "hora", "heure", "ora", "tijd", "czas", "время"),
    *("时间", "時間", "時刻", "시간"),
)
_NUMBERED = re.compile(r"^\d+[a-z]?\.\s+")  # "1. open", as Alpha Vantage writes it
_UNIT = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])$")  # "Volume (BTC)", "Close [USD]"
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # "openPrice"
_JOINTS = re.compile(r"[\s._/\-:]+")
_CURRENCY_VOLUME = re.compile(r"volume_[a-z]{3,5}")


@cache
def plain_name(raw: str) -> str:
    """A column's name without case, accents, brackets, units, and with one kind of joint."""
    words = _HUMP.sub("_", raw.strip().strip("<>*\"'#"))
    text = unicodedata.normalize("NFKD", words.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c))
    return _JOINTS.sub("_", _UNIT.sub("", _NUMBERED.sub("", text))).strip("_")


_KNOWN = {
    plain_name(alias): (name, place)
    for name, aliases in _ALIASES.items()
    for place, alias in enumerate(aliases)
}
_DATES = {plain_name(name) for name in _OF_DATE}
_CLOCKS = {plain_name(name) for name in _OF_CLOCK}


def canonical_name(raw: object) -> str:
    """Our name of a vendor's column ("Schlusskurs" is "close"); others as plain text."""
    return ranked_name(raw)[0]


def ranked_name(raw: object) -> tuple[str, int]:
    """Our name of a vendor's column, and how far down its row of the table the alias stands."""
    name = plain_name(str(raw))
    if _CURRENCY_VOLUME.fullmatch(name):
        return "volume", 99  # "Volume USDT": after every plain name
    # "voluMe" has a hump and is no two words.
    return _KNOWN.get(name) or _KNOWN.get(plain_name(str(raw).lower()), (name, 0))


def is_date(raw: str) -> bool:
    """Whether a column of this name may hold the day alone, with the time of day in another."""
    return plain_name(raw) in _DATES


def is_clock(raw: str) -> bool:
    """Whether a column of this name may hold the time of day alone."""
    return plain_name(raw) in _CLOCKS
