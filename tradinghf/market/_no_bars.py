"""What a table is that holds no bars: closes alone, ticks, quotes, fills, a column per asset."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tradinghf.market._column_names import KNOWN_NAMES, canonical_name, plain_name

_BID, _ASK = ({"bid", "bid_price", "best_bid"}, {"ask", "ask_price", "offer", "best_ask"})
_SIDES = {"side", "action", "buy_sell", "b_s", "direction", "type", "kauf_verkauf"}
_AMOUNTS = {"quantity", "qty", "amount", "shares", "size", "filled", "lots", "executed"}
_RESAMPLE = (
    "Make bars of them first: pandas' frame.set_index('timestamp').price.resample('1min').ohlc()."
)


def what_else(columns: Sequence[tuple[str, Any]], found: set[str], what: str) -> str:
    """A sentence on what the table holds instead of bars, and what to do; "" where that is unknown.

    Args:
        columns: (name, values) pairs.
        found: our names of those that were recognised.
        what: the file, for messages.

    """
    names = {plain_name(raw): raw for raw, _ in columns}
    plain = set(names)
    if plain & _SIDES and plain & _AMOUNTS and "timestamp" in found:
        return (
            f"{what}: these are fills (a side and a quantity in each row), no bars. Load the bars "
            "they were traded on, and take the fills in by 'tradinghf episodes import-trades'."
        )
    if plain & _BID and plain & _ASK:
        return f"{what}: these are quotes (bid and ask), no bars. {_RESAMPLE}"
    if "timestamp" not in found:
        return ""
    prices = found & {"open", "high", "low", "close"}
    if prices == {"close"}:
        raw = next(raw for raw, _ in columns if canonical_name(raw) == "close")
        times = next(values for raw, values in columns if canonical_name(raw) == "timestamp")
        if _within_seconds([str(time) for time in list(times)[:200]]):
            return (
                f"{what}: one price per row, seconds or less apart: these are trades (ticks), no "
                f"bars. {_RESAMPLE}"
            )
        same = ";".join(f"{name}={raw}" for name in ("open", "high", "low", "close"))
        return (
            f"{what}: there is one price per row, {raw!r}; bars need open, high, low and close. "
            f"Export those, or say that the close is all there is: columns={same!r} (orders then "
            "fill at closes, and nothing is known of what happened inside a bar)."
        )
    others = [raw for raw, _ in columns if canonical_name(raw) not in KNOWN_NAMES and raw.strip()]
    numbers = all(_is_numeric(values) for raw, values in columns if raw in set(others))
    if not prices and len(others) > 1 and len(others) >= len(columns) - 1 and numbers:
        listed = ", ".join(repr(raw[:20]) for raw in others[:3])
        return (
            f"{what}: this looks like a table with a column per asset ({listed}"
            f"{', ...' if len(others) > 3 else ''}); bars need open, high, low and close of "
            "each. Write one row per bar and asset, with columns timestamp, symbol, open, "
            "high, low, close; where only closes are known, pandas' frame.melt gives (time, "
            "symbol, close) and columns='open=close;high=close;low=close;close=close' reads it."
        )
    return ""


def _within_seconds(times: Sequence[str]) -> bool:
    """Whether most times differ from the one before in their seconds or less."""
    steps = [(a.strip(), b.strip()) for a, b in pairwise(times)]
    close = [a[:16] == b[:16] for a, b in steps if len(a) > 16 and ":" in a]
    return len(close) > 0 and 2 * sum(close) > len(steps)


def _is_numeric(values: Any) -> bool:
    some = [str(value).strip() for value in list(values)[:50]]
    some = [text for text in some if text]
    try:
        return bool([float(text.replace(",", "")) for text in some])
    except ValueError:
        return False
