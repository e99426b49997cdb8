"""CSV files as pandas and most exporters write them, read in one pass by Arrow.

Only what leaves no choice is read here: one header line, commas or tabs, ISO times, plain numbers
in every cell, oldest first. Of anything else the careful reader decides, which takes twenty times
as long.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from tradinghf.market._bar_rules import FIELDS
from tradinghf.market._column_names import KNOWN_NAMES, canonical_name
from tradinghf.market._dialects import PlainBars
from tradinghf.market._stated_zones import stated_zone
from tradinghf.market._time_columns import with_bar_times

_NUMBERS = (*FIELDS, "adj_close")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|\+00:00)?")
_ZONES = ("Z", "+00:00")
_HEAD = 100_000  # bytes: the first two lines are within


def usual_bars(data: bytes, zone: str | None = None) -> PlainBars | None:
    """The bars of a usual file, as typed columns; None: it is not one.

    Args:
        data: the content of a text file.
        zone: that the user names for times without one.

    """
    if not data.isascii() or b'"' in data:
        return None
    head, first, *_ = [line.rstrip(b"\r") for line in data[:_HEAD].split(b"\n", 2)] + [b""]
    mark = "\t" if b"\t" in head else ","
    names, cells = head.decode().split(mark), first.decode().split(mark)
    kinds = [canonical_name(name) for name in names]
    used = [kind for kind in kinds if kind in KNOWN_NAMES]
    once = len(set(names)) == len(names) == len(cells) and len(set(used)) == len(used)
    if not once or not {"timestamp", *_NUMBERS[:4]} <= set(used):
        return None
    pairs = [(name, [cell]) for name, cell in zip(names, cells, strict=True)]
    time = cells[kinds.index("timestamp")]
    if with_bar_times(pairs) is not pairs or not _TIME.fullmatch(time):
        return None
    if stated_zone(pairs, "") is not None:
        return None
    named = next((word for word in _ZONES if time.endswith(word)), "")
    table = _typed(data, mark, names, kinds, "UTC" if named else None)
    if table is None or (named and not _same_zone(data, named, table, kinds)):
        return None
    columns = _checked(table, kinds)
    rows = np.arange(2, table.num_rows + 2, dtype=np.int64)
    return PlainBars(columns, tuple(names), rows, {}, zone=zone) if columns else None


def _typed(
    data: bytes, mark: str, names: list[str], kinds: list[str], zone: str | None
) -> pa.Table | None:
    """Every cell as what its column is; None where one is not."""
    types = dict.fromkeys(_NUMBERS, pa.float64()) | {"timestamp": pa.timestamp("ns", zone)}
    text = pa.dictionary(pa.int32(), pa.string())
    try:
        return pc.read_csv(
            io.BytesIO(data),
            parse_options=pc.ParseOptions(
                delimiter=mark, quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pc.ConvertOptions(
                column_types={n: types.get(k, text) for n, k in zip(names, kinds, strict=True)},
                null_values=[],
            ),
        )
    except pa.ArrowException:
        return None


def _same_zone(data: bytes, zone: str, table: pa.Table, kinds: list[str]) -> bool:
    """Whether all times name the zone in this way; what names days by their midnight may not."""
    texts = [i for i, kind in enumerate(kinds) if kind not in (*_NUMBERS, "timestamp")]
    words = [
        word.as_py() or ""
        for i in texts
        for chunk in table.column(i).chunks
        for word in chunk.dictionary
    ]
    elsewhere = any(zone in word for word in words)
    return data.count(zone.encode()) == table.num_rows and not elsewhere


def _checked(table: pa.Table, kinds: list[str]) -> list[tuple[str, Any]] | None:
    """The columns, where every number is finite and the oldest bar comes first."""
    columns: list[tuple[str, Any]] = []
    for i, kind in enumerate(kinds):
        values = table.column(i).to_pandas()
        if kind in _NUMBERS and not np.isfinite(values.to_numpy()).all():
            return None
        if kind == "timestamp" and values.iloc[0] > values.iloc[-1]:
            return None
        columns.append((kind, values))
    return columns
