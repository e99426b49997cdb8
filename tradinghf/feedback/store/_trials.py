"""Backtest trials and the log of sealed windows: what a selection has to be corrected for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from tradinghf.errors import FeedbackError
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._data_sets import data_set_id, same_bars
from tradinghf.feedback.store._journal import note_in_journal
from tradinghf.feedback.store._statements import stored, where_given

SEAL, OPENING = "seal", "opening"
_NOTES = (SEAL, OPENING)  # kinds that are notes about a market, not trials


@dataclass(frozen=True)
class Trial:
    """One backtest, or one note about a sealed window.

    Attributes:
        kind: "backtest", "sweep" ...; "seal" and "opening" are notes.
        name: the strategy or policy; of a note, the first sealed day or what was opened.
        market: sha256 of the first version of the data set.
        params: everything else that makes it another trial.
        created: when it was counted (UTC).

    """

    kind: str
    name: str
    market: str
    params: dict[str, Any]
    created: datetime


def add_trials(
    connection: Connection,
    kind: str,
    name: str,
    market: str,
    variants: Sequence[Mapping[str, Any]],
) -> int:
    """Insert those of the variants that were not counted before; returns how many."""
    records = {}
    market = data_set_id(connection, market)
    for params in variants:
        text = _canonical_json(dict(params))
        trial = hashlib.sha256(_canonical_json([kind, name, market, text]).encode()).hexdigest()
        records[trial] = {"kind": kind, "name": name, "market": market, "params": text}
    known = stored(connection, t.trials.c.id, records)
    now = t.timestamp_now()
    new = [{"id": i, "created": now} | r for i, r in records.items() if i not in known]
    if new:
        connection.execute(insert(t.trials), new)
        note_in_journal(connection, "trial", new)
    return len(new)


def count_trials(connection: Connection, market: str | None, **wanted: str | None) -> int:
    """How many trials; notes only when their kind is asked for."""
    query = where_given(select(func.count()).select_from(t.trials), t.trials, **wanted)
    if market is not None:
        query = query.where(same_bars(market))
    if wanted.get("kind") is None:
        query = query.where(t.trials.c.kind.not_in(_NOTES))
    return int(connection.scalar(query) or 0)


def list_trials(connection: Connection, market: str, kind: str) -> list[Trial]:
    """Trials or notes of one kind, oldest first."""
    query = select(t.trials).where(same_bars(market), t.trials.c.kind == kind)
    found = connection.execute(query.order_by(t.trials.c.created, t.trials.c.id))
    return [
        Trial(r.kind, r.name, r.market, json.loads(r.params), datetime.fromisoformat(r.created))
        for r in found
    ]


def _canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal content, equal text.

    Raises:
        FeedbackError: a value that JSON cannot hold.

    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
        )
    except (TypeError, ValueError) as error:
        raise FeedbackError(f"{error}; expected numbers, text, lists and dictionaries.") from error


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays as plain numbers and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
