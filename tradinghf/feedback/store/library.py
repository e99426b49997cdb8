"""Episodes in the store: rows in the database, arrays in files."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError
from tradinghf.feedback.store import rows
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.blobs import write_blob
from tradinghf.feedback.store.engine import Location
from tradinghf.feedback.store.rows import EpisodeInfo


def write_files(location: Location, episodes: Iterable[Episode]) -> list[dict[str, object]]:
    """Check the episodes and write their files; returns the rows to add."""
    records = []
    for episode in episodes:
        episode.check()
        data = episode.to_bytes()
        record = rows.episode_row(episode, data)
        write_blob(location.folder, str(record["id"]), data)
        records.append(record)
    return records


def add_rows(connection: Connection, records: list[dict[str, object]]) -> None:
    """Add the rows whose id is new."""
    known: set[str] = set()
    table = t.episodes
    for part in rows.chunks(str(record["id"]) for record in records):
        known.update(connection.scalars(select(table.c.id).where(table.c.id.in_(part))))
    fresh = {r["id"]: r for r in records if r["id"] not in known}
    if fresh:
        first = rows.next_seq(connection, table)
        numbered = [r | {"seq": first + i} for i, r in enumerate(fresh.values())]
        connection.execute(insert(table), numbered)


def find(
    connection: Connection,
    ids: Iterable[str] | None,
    *,
    limit: int | None = None,
    **filters: str | None,
) -> list[EpisodeInfo]:
    """Rows by id (in that order) or by filter (oldest first).

    Raises:
        EpisodeError: one of `ids` is not in the store.

    """
    table = t.episodes
    columns = [table.c[name] for name in EpisodeInfo.__dataclass_fields__]
    query = select(*columns).order_by(table.c.seq).limit(limit)
    query = query.where(*(table.c[k] == v for k, v in filters.items() if v is not None))
    if ids is None:
        return [EpisodeInfo(*row) for row in connection.execute(query)]
    ordered = list(ids)
    found = {
        row.id: EpisodeInfo(*row)
        for part in rows.chunks(ordered)
        for row in connection.execute(query.where(table.c.id.in_(part)))
    }
    for episode_id in ordered:
        if episode_id not in found:
            raise EpisodeError(
                f"Episode {episode_id[:64]!r} is not in the store. "
                "Check the id, or record the episode again."
            )
    return [found[episode_id] for episode_id in ordered]


__all__ = ["add_rows", "find", "write_files"]
