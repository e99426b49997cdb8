"""Data sets as the store knows them: by their bars, whatever the file is called or its length.

The first version of a set gives it its id, the sha256 of its bars. A later one belongs to it when
all of its assets are those of the set (`tradinghf.market.compare_versions`). Sets that share an
asset are others of the same bars: their seals hold for each other, and their trials count together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, or_, select, update

from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._engine import Database
from tradinghf.feedback.store._journal import note_in_journal
from tradinghf.feedback.store._statements import next_seq
from tradinghf.market import (
    BarTrace,
    MarketData,
    VersionChange,
    change_sentence,
    compare_versions,
    likely_columns,
    traces,
)

_Match = tuple[int, BarTrace, int, VersionChange]
"""(number of a known asset, its trace, the column it is in now, what changed)"""
_MOST_PREFIXES = 32
_FEW = 10  # assets of which each is compared, when none has a bar in common with a known one


@dataclass(frozen=True)
class DataSet:
    """What the store knows of a data set, by one version of it.

    Attributes:
        id: sha256 of the bars of its first version.
        first, last: times of that version's first and last bar, as text.
        known_first, known_last: of all versions.
        said: what this version changed of the past, in a sentence; empty: nothing.

    """

    id: str
    first: str
    last: str
    known_first: str
    known_last: str
    said: str


def recognise(database: Database, market: MarketData) -> DataSet:
    """The data set of these bars; a new version of one, or a new set, is noted down."""
    with database.reading() as connection:
        known = _known(connection, market.sha256)
    if known is not None:
        return known
    fresh = traces(market)
    with database.writing() as connection:
        if _known(connection, market.sha256) is None:  # no other process was faster
            _register(connection, market, fresh)
        known = _known(connection, market.sha256)
    assert known is not None  # it was registered
    return known


def same_bars(market: str) -> ColumnElement[bool]:
    """Condition on trials: of this version's data set, or of one that shares an asset with it."""
    versions, members = t.market_versions, t.market_members
    own = select(versions.c.data_set).where(versions.c.sha256 == market)
    assets = select(members.c.asset).where(members.c.data_set.in_(own))
    sets = select(members.c.data_set).where(members.c.asset.in_(assets))
    related = select(versions.c.sha256).where(versions.c.data_set.in_(sets))
    return or_(t.trials.c.market == market, t.trials.c.market.in_(related))


def data_set_id(connection: Connection, market: str) -> str:
    """Id of a version's data set; what is not known stands for itself."""
    query = select(t.market_versions.c.data_set).where(t.market_versions.c.sha256 == market)
    return str(connection.scalar(query) or market)


def _known(connection: Connection, sha256: str) -> DataSet | None:
    v = t.market_versions
    own = connection.execute(select(v).where(v.c.sha256 == sha256)).first()
    if own is None:
        return None
    began = connection.execute(select(v).where(v.c.sha256 == own.data_set)).one()
    ends = select(func.min(v.c.first), func.max(v.c.last)).where(v.c.data_set == own.data_set)
    first, last = connection.execute(ends).one()
    return DataSet(own.data_set, began.first, began.last, first, last, own.said)


def _register(connection: Connection, market: MarketData, fresh: Sequence[BarTrace]) -> None:
    """Note a version that was never seen: its assets, its set, and what it changed."""
    matches = _matches(connection, fresh)
    _renew(connection, fresh, matches)
    # Bars of another length are kept beside those that are known.
    present = {column for _, _, column, change in matches if not change.resampled}
    new = _add_assets(connection, [x for i, x in enumerate(fresh) if i not in present])
    assets = {asset for asset, *_ in matches} | new
    old = _versions_of_before(connection, market)
    known = _set_with(connection, assets)
    data_set = known or (old[-1].sha256 if old else market.sha256)
    if known is None:
        rows = [{"data_set": data_set, "asset": asset} for asset in sorted(assets)]
        connection.execute(insert(t.market_members), rows)
        note_in_journal(connection, "member", rows)
    said = change_sentence(market.name, [(fresh[c].symbol, change) for _, _, c, change in matches])
    for version in old:
        if version.sha256 != market.sha256:
            _add_version(connection, version, data_set, "")
    _add_version(connection, market, data_set, said)


def _matches(connection: Connection, fresh: Sequence[BarTrace]) -> list[_Match]:
    """Known assets that are in a market, each once."""
    a, times = t.market_assets, fresh[0].times
    overlap = select(a).where(a.c.first <= int(times[-1]), a.c.last >= int(times[0]))
    symbols = {trace.symbol: i for i, trace in enumerate(fresh)}
    prints = np.stack([trace.prints for trace in fresh], axis=1)
    found: list[_Match] = []
    for row in connection.execute(overlap.order_by(a.c.seq)):
        trace = BarTrace.from_bytes(row.symbol, row.trace)
        named = symbols.get(trace.symbol)
        change = None if named is None else compare_versions(trace, fresh[named])
        if named is not None and change is not None:
            found.append((row.seq, trace, named, change))
            continue
        likely = likely_columns(trace, times, prints)
        for column in range(len(fresh)) if not likely and len(fresh) <= _FEW else likely:
            change = compare_versions(trace, fresh[column])
            if change is not None:
                found.append((row.seq, trace, column, change))
                break
    return found


def _renew(connection: Connection, fresh: Sequence[BarTrace], matches: Sequence[_Match]) -> None:
    """Write the traces of assets that grew or changed; bars of another length tell nothing."""
    rows = []
    for asset, trace, column, change in matches:
        new = fresh[column]
        inside = trace.times[0] <= new.times[0] and new.times[-1] <= trace.times[-1]
        if not change.resampled and not (inside and change.first is None):
            rows.append({"asset": asset, **_row(trace.updated(new))})
    if rows:
        a = t.market_assets
        connection.execute(update(a).where(a.c.seq == bindparam("asset")), rows)
        note_in_journal(connection, "asset", [row | {"seq": row["asset"]} for row in rows])


def _add_assets(connection: Connection, new: Sequence[BarTrace]) -> set[int]:
    """Numbers of assets that were never seen."""
    first = next_seq(connection, t.market_assets)
    rows = [{"seq": number, **_row(trace)} for number, trace in enumerate(new, first)]
    if rows:
        connection.execute(insert(t.market_assets), rows)
        note_in_journal(connection, "asset", rows)
    return {number for number, _ in enumerate(new, first)}


def _row(trace: BarTrace) -> dict[str, object]:
    ends = {"first": int(trace.times[0]), "last": int(trace.times[-1])}
    return {"symbol": trace.symbol, "trace": trace.to_bytes(), **ends}


def _set_with(connection: Connection, assets: set[int]) -> str | None:
    """The set that consists of these assets."""
    m = t.market_members
    of = select(m.c.data_set).where(m.c.asset == min(assets))
    found = connection.execute(select(m).where(m.c.data_set.in_(of)).order_by(m.c.data_set))
    members: dict[str, set[int]] = {}
    for row in found:
        members.setdefault(row.data_set, set()).add(row.asset)
    return next((name for name, inside in members.items() if inside == assets), None)


def _versions_of_before(connection: Connection, market: MarketData) -> list[MarketData]:
    """Beginnings of a market that trials of an older schema are about, the shortest first.

    Such a trial names the sha256 of the whole data set, and where its window ended.
    """
    known = select(t.market_versions.c.sha256)
    left = select(t.trials.c.market, t.trials.c.params).where(t.trials.c.market.not_in(known))
    rows = connection.execute(left).all()
    wanted = {row.market for row in rows}
    if not wanted:
        return []
    lengths = set(range(max(market.bars - _MOST_PREFIXES // 2, 2), market.bars + 1))
    ends = {json.loads(row.params).get("to") for row in rows[-_MOST_PREFIXES:]}
    lengths |= {_bars_until(market, end) for end in ends if isinstance(end, str)}
    parts = (market.rows(0, bars) for bars in sorted(lengths - {0, 1}))
    return [part for part in parts if part.sha256 in wanted]


def _bars_until(market: MarketData, end: str) -> int:
    """How many bars there are up to a time, it included; 0 where it cannot be read."""
    with suppress(ValueError, TypeError):
        return int((market.index <= pd.Timestamp(end)).sum())
    return 0


def _add_version(connection: Connection, market: MarketData, data_set: str, said: str) -> None:
    row = {
        "sha256": market.sha256,
        "data_set": data_set,
        "name": market.name,
        "first": str(market.index[0]),
        "last": str(market.index[-1]),
        "said": said,
        "created": t.timestamp_now(),
    }
    connection.execute(insert(t.market_versions), [row])
    note_in_journal(connection, "data set", [row])
