"""Columns whose names say more than the field: "AAPL.Open", "BidOpen", "PX_OPEN"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradinghf.errors import MarketDataError
from tradinghf.market._bar_rules import PRICES
from tradinghf.market._column_names import canonical_name, plain_name

Columns = Sequence[tuple[str, Any]]


def without_prefix(columns: Columns, what: str) -> Columns:
    """Columns without what stands before (or after) the field, where one set of prices has it.

    Args:
        columns: (name, values) pairs.
        what: the file, for messages.

    Raises:
        MarketDataError: several sets of prices stand side by side, such as bid and ask.

    """
    if set(PRICES) & {canonical_name(raw) for raw, _ in columns}:
        return columns
    split = [_parts(raw) for raw, _ in columns]
    sets: dict[tuple[str, str], dict[str, str]] = {}
    for (raw, _), (before, field, after) in zip(columns, split, strict=True):
        if field in PRICES:
            sets.setdefault((before, after), {})[field] = raw
    whole = {key: fields for key, fields in sets.items() if set(fields) == set(PRICES)}
    if not whole:
        return columns
    if len(whole) > 1:
        names = next(iter(whole.values()))
        chosen = ";".join(f"{field}={names[field]}" for field in PRICES)
        raise MarketDataError(
            f"{what}: {len(whole)} sets of prices stand side by side, beginning with "
            f"{' and '.join(repr(fields['open']) for fields in list(whole.values())[:3])}. "
            f"Choose one, for example columns='{chosen}'."
        )
    key = next(iter(whole))
    if key[0] in _AVERAGED:
        raise MarketDataError(
            f"{what}: {whole[key]['open']!r} and its like are Heikin-Ashi candles, averages at "
            "which nobody traded. Export the plain bars."
        )
    return [
        (field if (before, after) == key and field else raw, values)
        for (raw, values), (before, field, after) in zip(columns, split, strict=True)
    ]


_AVERAGED = {"ha", "heikin", "heikin_ashi", "heikinashi", "heiken_ashi"}
_FIELDS = {*PRICES, "volume", "adj_close"}


def _parts(raw: str) -> tuple[str, str, str]:
    """(what stands before the field, our name of it or "", what stands after)."""
    words = plain_name(raw).split("_")
    for size in range(len(words) - 1, 0, -1):
        for start in (len(words) - size, 0):
            name = canonical_name("_".join(words[start : start + size]))
            if name in _FIELDS:
                return "_".join(words[:start]), name, "_".join(words[start + size :])
    return "", "", ""
