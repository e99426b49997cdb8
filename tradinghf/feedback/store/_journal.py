"""The journal: a hash chain over everything else that a store holds.

Answers have a chain of their own. Questions (with the expected ranks of gold questions), counted
backtests and seals, the data sets that both are about, people, what admins did, and each answer's
link leave an entry here when they are written, so that `verify` sees what was added, changed or
deleted behind the store's back.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._chain import GENESIS, digest, journal_link

_TABLES: dict[str, tuple[Table, tuple[str, ...], tuple[str, ...]]] = {
    "query": (
        t.queries,
        ("id",),
        ("id", "seq", "purpose", "round", "note", "group", "created", "raters"),
    ),
    "trial": (t.trials, ("id",), ("id", "kind", "name", "market", "params", "created")),
    "user": (t.users, ("name",), ("name", "role", "password", "changed", "active")),
    "audit": (t.audit, ("seq",), ("seq", "at", "who", "what", "detail")),
    "answer": (t.rankings, ("seq",), ("key", "group", "chain")),
    "data set": (
        t.market_versions,
        ("sha256",),
        ("sha256", "data_set", "name", "first", "last", "said", "created"),
    ),
    "asset": (t.market_assets, ("seq",), ("seq", "symbol", "first", "last", "trace")),
    "member": (t.market_members, ("data_set", "asset"), ("data_set", "asset")),
}
"""Table, name and covered columns of each kind. Entries of old stores depend on every one."""
FIRST_KINDS = ("query", "trial", "user", "audit", "answer")  # schema 0005
MARKET_KINDS = ("data set", "asset", "member")  # since schema 0006
_WORDS = {
    "query": "question",
    "trial": "counted backtest",
    "user": "account",
    "audit": "line of the audit trail",
    "answer": "answer",
    "data set": "version of a data set",
    "asset": "asset of a data set",
    "member": "place of an asset in a data set",
}


def note_in_journal(connection: Connection, kind: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append an entry for each row as it is now written.

    Args:
        connection: of a write transaction.
        kind: one of `_TABLES`.
        rows: with the covered columns; of a query also "panels", (episode, answer) of each.

    """
    _append(connection, ((kind, *_entry(kind, row)) for row in rows))


def record_kinds(connection: Connection, kinds: Iterable[str]) -> None:
    """Begin the journal of rows that have none: an entry for every row of these kinds."""
    found = _present(connection, kinds)
    _append(connection, ((kind, name, seen) for (kind, name), seen in found.items()))


def journal_head(connection: Connection) -> str:
    """Hash of the newest entry; `GENESIS` when there is none."""
    return _last(connection)[1]


def check_journal(connection: Connection) -> tuple[list[str], set[str]]:
    """(problems, every hash of the chain): the tables compared with what was noted of them."""
    noted: dict[tuple[str, str], str] = {}
    head, heads = GENESIS, set[str]()
    rows = connection.execute(select(t.journal).order_by(t.journal.c.seq))
    for count, row in enumerate(rows, start=1):
        head = journal_link(head, (row.seq, row.kind, row.name, row.digest))
        if row.seq != count or row.chain != head:
            return [f"The journal breaks: entry {count} was altered or is missing."], heads
        noted[row.kind, row.name] = row.digest
        heads.add(head)
    present = _present(connection)
    problems = [
        f"The {_WORDS.get(kind, kind)} {name[:60]!r} {_said(noted, present, (kind, name))}."
        for kind, name in sorted(noted.keys() | present.keys())
        if noted.get((kind, name)) != present.get((kind, name))
    ]
    return problems, heads


def _said(
    noted: Mapping[tuple[str, str], str],
    present: Mapping[tuple[str, str], str],
    of: tuple[str, str],
) -> str:
    if of not in present:
        return "was deleted from the database"
    return "was altered in the database" if of in noted else "was put into the database by hand"


def _last(connection: Connection) -> tuple[int, str]:
    newest = select(t.journal.c.seq, t.journal.c.chain).order_by(t.journal.c.seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return (0, GENESIS) if row is None else (int(row.seq), str(row.chain))


def _append(connection: Connection, found: Iterable[tuple[str, str, str]]) -> None:
    seq, head = _last(connection)
    entries = []
    for kind, name, seen in found:
        seq += 1
        head = journal_link(head, (seq, kind, name, seen))
        entries.append({"seq": seq, "kind": kind, "name": name, "digest": seen, "chain": head})
    if entries:
        connection.execute(insert(t.journal), entries)


def _entry(kind: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """(name, digest) of a row."""
    _, name, columns = _TABLES[kind]
    content = {column: _plain(row[column]) for column in columns}
    if kind == "query":
        content["panels"] = [list(panel) for panel in row["panels"]]
    return " ".join(str(row[part]) for part in name), digest(content)


def _plain(value: Any) -> Any:
    """What JSON holds: bytes by their hash."""
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def _present(
    connection: Connection, kinds: Iterable[str] = tuple(_TABLES)
) -> dict[tuple[str, str], str]:
    """Digest of every covered row, by kind and name, oldest tables first."""
    return {
        (kind, name): seen
        for kind in kinds
        for name, seen in (_entry(kind, row) for row in _rows(connection, kind))
    }


def _rows(connection: Connection, kind: str) -> Iterator[Mapping[str, Any]]:
    table, name, columns = _TABLES[kind]
    wanted = [table.c[column] for column in dict.fromkeys((*name, *columns))]
    order = [table.c[column] for column in name]
    panels: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    if kind == "query":
        asked = t.query_episodes
        for shown in connection.execute(select(asked).order_by(asked.c.query, asked.c.panel)):
            if shown.panel != len(panels[shown.query]):  # numbers have no gap
                panels[shown.query].append(("", None))
            panels[shown.query].append((shown.episode, shown.answer))
    for row in connection.execute(select(*wanted).order_by(*order)).mappings():
        found: dict[str, Any] = dict(row)
        yield found | {"panels": panels[found["id"]]} if kind == "query" else found
