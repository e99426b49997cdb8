"""Assets whose bars begin and end at different times, on one time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tradinghf.market._bar_rules import FIELDS, PRICES, Floats
from tradinghf.market._tables import Table


def joined(table: Table, join: str) -> Table:
    """The rows of a table that a kind of join keeps; "outer" drops rows without any price."""
    if join == "inner":
        return table.common()
    if join != "outer":
        return table
    empty = np.all([np.isnan(table.bars[name]) for name in PRICES], axis=0)
    for index, _ in table.unread:  # what cannot be read is not empty
        empty[index] = False
    return table.only(~empty) if empty.any() else table


def laid_out(
    table: Table,
) -> tuple[
    dict[str, Floats], NDArray[np.datetime64], tuple[str, ...], NDArray[np.bool_] | None, str
]:
    """A table without findings as arrays.

    Returns:
        fields [T, A], timestamps [T], symbols [A]; [T, A] where an asset was listed, None for
        always; and a sentence about what was filled in.

    """
    stamps = [table.times.stamps[rows] for rows in table.rows_of.values()]
    if all(np.array_equal(own, stamps[0]) for own in stamps[1:]):
        return (*table.arrays(), None, "")
    every = np.unique(np.concatenate(stamps))
    shape = (len(every), len(stamps))
    arrays = {name: np.zeros(shape) for name in FIELDS}
    listed, gaps = np.zeros(shape, dtype=np.bool_), 0
    for column, (own, rows) in enumerate(zip(stamps, table.rows_of.values(), strict=True)):
        at = np.searchsorted(every, own)
        listed[at[0] : at[-1] + 1, column] = True
        last = np.searchsorted(at, np.arange(len(every)), side="right") - 1  # own bar up to here
        known = np.zeros(len(every), dtype=np.bool_)
        known[at] = True
        gaps += int((listed[:, column] & ~known).sum())
        for name in PRICES:
            values = table.bars[name][rows]
            flat = np.where(last < 0, table.bars["open"][rows][0], table.bars["close"][rows][last])
            arrays[name][:, column] = np.where(known, values[np.maximum(last, 0)], flat)
        arrays["volume"][at, column] = table.bars["volume"][rows]
    return arrays, every, table.assets, listed, _said(listed, gaps)


def _said(listed: NDArray[np.bool_], gaps: int) -> str:
    late, gone = int((~listed[0]).sum()), int((~listed[-1]).sum())
    parts: list[Any] = [
        f"{late} listed later" if late else "",
        f"{gone} gone before the end" if gone else "",
        f"{gaps} missing bars repeat the close before" if gaps else "",
    ]
    return ", ".join(part for part in parts if part)
