"""Episodes in the store: a row in the database and a file beside it for each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._episode_files import write_episode_file
from tradinghf.feedback.store._statements import next_seq, rows_in, stored, where_given


@dataclass(frozen=True)
class EpisodeInfo:
    """What the store knows about an episode without reading its file.

    Attributes:
        id: sha256 of the episode.
        source: strategy or policy; hidden from raters.
        market: `MarketData.sha256`.
        symbol: the asset.
        start: index of the first bar.
        bars: length L.
        net_return: fraction of the starting equity.
        max_drawdown: largest fall from a peak, fraction in [0, 1].
        size: of the file [bytes].
        created: when it was stored, ISO 8601 in UTC.

    """

    id: str
    source: str
    market: str
    symbol: str
    start: int
    bars: int
    net_return: float
    max_drawdown: float
    size: int
    created: str


def write_episode_files(folder: Path, episodes: Iterable[Episode]) -> list[dict[str, Any]]:
    """Check the episodes and write their files; returns the rows to add."""
    rows = []
    for episode in episodes:
        episode.check()
        data = episode.to_bytes()
        rows.append(_episode_row(episode, data))
        write_episode_file(folder, rows[-1]["id"], data)
    return rows


def episode_columns(episode: Episode) -> dict[str, Any]:
    """What the row of an episode repeats from its file, for searching."""
    return {
        "source": episode.source,
        "market": episode.market,
        "symbol": episode.symbol,
        "start": int(episode.start),
        "bars": episode.bars,
        "net_return": float(episode.net_return),
        "max_drawdown": float(episode.drawdown.max()),
    }


def _episode_row(episode: Episode, data: bytes) -> dict[str, Any]:
    about = {"id": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return about | episode_columns(episode) | {"created": t.timestamp_now()}


def add_episode_rows(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Add the rows whose id is new."""
    known = stored(connection, t.episodes.c.id, (row["id"] for row in rows))
    new = {row["id"]: row for row in rows if row["id"] not in known}
    if new:
        first = next_seq(connection, t.episodes)
        numbered = [row | {"seq": first + i} for i, row in enumerate(new.values())]
        connection.execute(insert(t.episodes), numbered)


def find_episodes(
    connection: Connection,
    ids: Iterable[str] | None = None,
    *,
    limit: int | None = None,
    **filters: str | None,
) -> list[EpisodeInfo]:
    """Episodes by id (in that order) or by filter (oldest first); see `Store.episode_infos`."""
    table = t.episodes
    columns = [table.c[name] for name in EpisodeInfo.__dataclass_fields__]
    query = where_given(select(*columns).order_by(table.c.seq).limit(limit), table, **filters)
    if ids is None:
        return [EpisodeInfo(**row._mapping) for row in connection.execute(query)]
    ordered = list(ids)
    rows = rows_in(connection, query, table.c.id, ordered)
    found = {row.id: EpisodeInfo(**row._mapping) for row in rows}
    for episode_id in ordered:
        if episode_id not in found:
            raise EpisodeError(
                f"Episode {episode_id[:64]!r} is not in the store. "
                "Check the id, or record the episode again."
            )
    return [found[episode_id] for episode_id in ordered]


def require_episodes(connection: Connection, ids: Iterable[str]) -> None:
    """Raise `FeedbackError` unless every id is a stored episode."""
    wanted = set(ids)
    if missing := sorted(wanted - stored(connection, t.episodes.c.id, wanted)):
        raise FeedbackError(
            f"{len(missing)} of {len(wanted)} episodes are not in the store, the first is "
            f"{missing[0][:64]!r}. Add them first: store.add_episodes([...])."
        )


def require_one_window(connection: Connection, ids: Iterable[str], key: str) -> None:
    """Raise `FeedbackError` unless the episodes trade the same bars of the same asset."""
    infos = find_episodes(connection, ids)
    windows = [(i.market, i.symbol, i.start, i.bars) for i in infos]
    if len(set(windows)) > 1:
        raise FeedbackError(
            f"Ranking {key!r} compares episodes of {len(set(windows))} market windows "
            f"({Episode.windows_in_words(windows)}): luck would be learned as taste. Rank "
            "episodes of one window, or allow it with across_windows=True."
        )


def episode_sources(connection: Connection) -> dict[str, str]:
    """Source of every episode, by id."""
    query = select(t.episodes.c.id, t.episodes.c.source)
    return {row.id: row.source for row in connection.execute(query)}
