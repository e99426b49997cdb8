"""Layouts and times of day that belong to no vendor and no language."""

from __future__ import annotations

from datetime import datetime, timedelta

from support.dialects.writing import (
    BARS,
    DAYS,
    EPOCH,
    HALVES,
    HEAD,
    OHLCV,
    QUARTERS,
    SEMI,
    N,
    clock,
    iso,
    names,
    stamps,
    table,
)


def rows_of(header: str, times: list[str], row: str = OHLCV) -> list[str]:
    return table(header, times, row).splitlines()


PLAIN = rows_of(HEAD, iso())
MONTHS = [datetime(2020 + i // 12, 1 + i % 12, 1) for i in range(N)]
EXCEL = [(t - datetime(1899, 12, 30)) / timedelta(days=1) for t in QUARTERS]

# name -> (text, times expected, bars expected)
FILES: dict[str, tuple[str, list[datetime], list[tuple[float, ...]]]] = {
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
    "trailing separators": (
        table("Date;Open;High;Low;Close;Volume", iso(), SEMI + ";"),
        DAYS,
        BARS,
    ),
}
# name -> (text, times expected); all hold BARS and VOLUMES
PLAIN_FILES: dict[str, tuple[str, list[datetime]]] = {
    "humps": (names("startTime,openPrice,highPrice,lowPrice,closePrice,volume"), DAYS),
    "units": (names("Date,Open [USD],High [USD],Low [USD],Close [USD],Volume (BTC)"), DAYS),
    "units after": (names("Date,Open USD,High USD,Low USD,Close USD,Volume"), DAYS),
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
    "digits only": (clock(stamps(QUARTERS, "%Y%m%d%H%M")), QUARTERS),
    "digits and seconds": (clock(stamps(QUARTERS, "%Y%m%d%H%M%S")), QUARTERS),
    "days of excel": (clock([f"{day:.6f}" for day in EXCEL]), QUARTERS),
    "epochs with fractions": (clock([f"{t}.0" for t in EPOCH]), QUARTERS),
    "weekdays": (clock(stamps(DAYS, "%A, %B %d, %Y")), DAYS),
    "javascript": (clock(stamps(QUARTERS, "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)")), QUARTERS),
    "mail": (clock(stamps(QUARTERS, "%a, %d %b %Y %H:%M:%S GMT")), QUARTERS),
    "months": (clock(stamps(MONTHS, "%b %Y")), MONTHS),
}
