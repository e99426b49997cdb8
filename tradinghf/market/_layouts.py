"""Columns of files without a header, known by what their numbers can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import SLACK, Floats
from tradinghf.market._numbers import number_texts

_BINANCE = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
_SAMPLE = 2000
_FEWEST = 5  # a time and four prices


def names_of(cells: Sequence[Sequence[str]], what: str) -> tuple[str, ...]:
    """Names of the columns of a file without a header.

    Times come first (one column, or date and time of day), perhaps after a symbol; then open,
    high, low and close, which the bars have to agree with, and a volume.

    Raises:
        MarketDataError: the bars do not fit; the message asks for the names.

    """
    sample = [list(column[:_SAMPLE]) for column in cells]
    width = len(sample)
    if width == len(_BINANCE) and all(
        len(a.strip()) == len(b.strip()) >= 13 for a, b in zip(sample[0], sample[6], strict=True)
    ):
        names = list(_BINANCE)
    else:
        names = _by_kind(sample) if width >= _FEWEST and sample[0] else []
    prices = [i for i, name in enumerate(names) if name in ("open", "high", "low", "close")]
    if len(prices) != 4 or not _ordered([_floats(sample[i]) for i in prices]):
        shown = ", ".join(repr(column[0].strip()) for column in cells[:8] if column)
        raise MarketDataError(
            f"{what}: there is no header, and the first row ({shown}) is not time, open, high, "
            "low, close. Name the columns by their number, "
            "for example columns='timestamp=1;open=2;high=3;low=4;close=5'."
        )
    return tuple(names)


def _by_kind(sample: list[list[str]]) -> list[str]:
    first = [column[0].strip() if column else "" for column in sample]
    names = [""] * len(first)
    at = 0
    if first and not any(c.isdigit() for c in first[0][:1]):
        names[0], at = "symbol", 1
    names[at : at + 1] = ["date"]
    if ":" in first[at + 1] or (len(first[at]) == 8 and first[at + 1].isdigit()):
        names[at + 1] = "time"
        at += 1
    else:
        names[at] = "timestamp"
    fields = ["open", "high", "low", "close"]
    names[at + 1 : at + 5] = fields[: len(names) - at - 1]
    rest = range(at + 5, len(names))
    if rest:
        # Kraken's interface writes a mean price before the volume.
        low, high, next_to = (_floats(sample[i]) for i in (at + 3, at + 2, at + 5))
        inside = bool(((next_to >= low) & (next_to <= high) | (next_to == 0)).all())
        mean_price = len(rest) >= 3 and inside and bool((next_to > 0).any())
        names[rest[1] if mean_price else rest[0]] = "volume"
        if mean_price:
            names[rest[0]] = "vwap"
    return [name or f"column {i + 1}" for i, name in enumerate(names)]


def _floats(texts: Sequence[str]) -> Floats:
    out = np.full(len(texts), np.nan)
    plain = number_texts(texts, "," if _commas(texts) else ".", suffixes=False)
    for i, text in enumerate(plain):
        try:
            out[i] = float(text)
        except ValueError:
            continue
    return out


def _commas(texts: Sequence[str]) -> bool:
    return any("," in text for text in texts) and not any("." in text for text in texts)


def _ordered(prices: list[Floats]) -> bool:
    """Whether the columns keep low <= open, close <= high wherever all four can be read.

    A few bars may break the rule: they are reported as such, one by one.
    """
    first, high, low, last = prices
    known = np.isfinite(np.stack(prices)).all(axis=0)
    top, bottom = np.maximum(first, last), np.minimum(first, last)
    with np.errstate(invalid="ignore"):
        fits = (high >= top * (1 - SLACK)) & (low <= bottom * (1 + SLACK)) & (low <= high)
    return bool(known.any()) and float(fits[known].mean()) > 0.9
