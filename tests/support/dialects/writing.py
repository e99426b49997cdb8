"""Bar files as text: the same bars, times and volumes in any writing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from tradinghf.market import MarketData

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
HEAD = "Date,Open,High,Low,Close,Volume"
HALVES = [t + timedelta(hours=12) for t in LATER]
YEAR = [datetime(2022, 1, 5) + timedelta(days=12 * i) for i in range(N)]


def newest_first(text: str) -> str:
    head, *rows = text.splitlines()
    return "\n".join([head, *reversed(rows)]) + "\n"


def iso(pattern: str = "%Y-%m-%d") -> list[str]:
    return stamps(DAYS, pattern)


def names(joined: str) -> str:
    return table(joined, iso(), SEMI if ";" in joined else OHLCV, comma if ";" in joined else point)


def clock(written: list[str]) -> str:
    return table(HEAD, [f'"{text}"' for text in written], OHLCV)


def write(folder: Path, content: str | bytes, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_bars(market: MarketData, times: list[datetime], bars: list[tuple[float, ...]]) -> None:
    got = np.stack([getattr(market, f)[:, 0] for f in ("open", "high", "low", "close")], axis=1)
    np.testing.assert_array_equal(got, np.array(bars))
    assert market.index.tz_localize(None).tolist() == [pd.Timestamp(time) for time in times]
