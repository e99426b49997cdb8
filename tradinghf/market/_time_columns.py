"""The times of bars, where a file tells them in two columns: day and clock, or open and close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradinghf.market._column_names import canonical_name, is_clock, is_date, plain_name
from tradinghf.market._dates import joined_times

_OPENS = ("open_time", "opentime", "time_open", "timeopen", "start_time", "start_at")
_CLOSES = ("close_time", "closetime", "time_close", "timeclose", "end_time")
_DAY = {13: 86_400_000, 16: 86_400_000_000}

Columns = Sequence[tuple[str, Any]]


def with_bar_times(columns: Columns) -> Columns:
    """Columns with one time per bar: day and clock joined, or the close of an intraday bar.

    Exchanges write the opens and closes of bars in Unix time, the close one unit before the next
    open. Our times are those at which a bar is known; daily bars keep their date.
    """
    names = [raw for raw, _ in columns]
    dates = [i for i, raw in enumerate(names) if is_date(raw)]
    clocks = [i for i, raw in enumerate(names) if is_clock(raw)]
    if len(dates) == 1 and len(clocks) == 1:
        joined = joined_times(*([str(v) for v in columns[i][1]] for i in (*dates, *clocks)))
        if joined is not None:
            rest = [pair for i, pair in enumerate(columns) if i not in (*dates, *clocks)]
            return [("timestamp", joined), *rest]
    plain = [plain_name(raw) for raw in names]
    starts = [i for i, name in enumerate(plain) if name in _OPENS]
    ends = [i for i, name in enumerate(plain) if name in _CLOSES]
    timed = [i for i, raw in enumerate(names) if canonical_name(raw) == "timestamp"]
    if len(ends) == 1 and timed == starts:
        opens = [str(v).strip() for v in columns[starts[0]][1]] if starts else []
        closes = [str(v).strip() for v in columns[ends[0]][1]]
        rest = [pair for i, pair in enumerate(columns) if i not in starts]
        return [("timestamp", _closes(opens, closes)), *rest]
    return columns


def _closes(opens: list[str], closes: list[str]) -> list[str]:
    """The times of bars that have both."""
    if not all(text.isascii() and text.isdigit() for text in (*opens, *closes)):
        return opens or closes
    if opens and closes and len(opens[0]) == len(closes[0]):
        longest = _DAY.get(len(opens[0]), 86_400)
        if int(closes[0]) + 1 - int(opens[0]) >= longest:
            return opens
    return [str(int(text) + 1) if text.endswith("9") else text for text in closes]
