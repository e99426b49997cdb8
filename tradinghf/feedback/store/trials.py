"""Backtest trials and the log of sealed windows: what a selection has to be corrected for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from tradinghf.feedback.store import rows
from tradinghf.feedback.store import schema as t

SEAL, OPENING = "seal", "opening"
LOG = (SEAL, OPENING)
"""Kinds that are notes about a market, not trials."""
_MOST = 500  # ids in one query: databases limit their number of arguments


@dataclass(frozen=True)
class Trial:
    """One backtest, or one note about a sealed window.

    Attributes:
        kind: "backtest", "sweep" ...; "seal" and "opening" are notes.
        name: the strategy or policy; of a note, the first sealed day or what was opened.
        market: sha256 of the whole data set.
        params: everything else that makes it another trial.
        created: when it was counted (UTC).

    """

    kind: str
    name: str
    market: str
    params: dict[str, Any]
    created: datetime


def add(
    connection: Connection,
    kind: str,
    name: str,
    market: str,
    variants: Sequence[Mapping[str, Any]],
) -> int:
    """Insert those of the variants that were not counted before; returns how many."""
    records = {}
    for params in variants:
        text = rows.canonical(dict(params))
        trial = hashlib.sha256(rows.canonical([kind, name, market, text]).encode()).hexdigest()
        records[trial] = {"kind": kind, "name": name, "market": market, "params": text}
    ids = list(records)
    known: set[str] = set()
    for first in range(0, len(ids), _MOST):
        part = select(t.trials.c.id).where(t.trials.c.id.in_(ids[first : first + _MOST]))
        known.update(connection.scalars(part))
    now = rows.now()
    new = [{"id": i, "created": now} | r for i, r in records.items() if i not in known]
    if new:
        connection.execute(insert(t.trials), new)
    return len(new)


def count(connection: Connection, market: str | None, kind: str | None, name: str | None) -> int:
    """How many trials; notes only when their kind is asked for."""
    query = select(func.count()).select_from(t.trials)
    wanted = {"market": market, "kind": kind, "name": name}
    query = query.where(*(t.trials.c[k] == v for k, v in wanted.items() if v is not None))
    if kind is None:
        query = query.where(t.trials.c.kind.not_in(LOG))
    return int(connection.scalar(query) or 0)


def listed(connection: Connection, market: str, kind: str) -> list[Trial]:
    """Trials or notes of one kind, oldest first."""
    query = select(t.trials).where(t.trials.c.market == market, t.trials.c.kind == kind)
    found = connection.execute(query.order_by(t.trials.c.created, t.trials.c.id))
    return [
        Trial(r.kind, r.name, r.market, json.loads(r.params), datetime.fromisoformat(r.created))
        for r in found
    ]


__all__ = ["LOG", "OPENING", "SEAL", "Trial", "add", "count", "listed"]
