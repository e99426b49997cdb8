"""Queries, rankings and episodes as rows, and back."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.types import Query, Ranking

CHUNK = 500  # ids per IN (...), far below every database's limit on parameters


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


def now() -> str:
    """The present as the store writes it."""
    return timestamp(datetime.now(UTC))


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and a Z: fixed width, sorts as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(stamp: str) -> datetime:
    """Reverse of `timestamp`."""
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def chunks(items: Iterable[str]) -> Iterable[list[str]]:
    """Distinct items in groups of at most `CHUNK`."""
    distinct = list(dict.fromkeys(items))
    return (distinct[i : i + CHUNK] for i in range(0, len(distinct), CHUNK))


def episode_row(episode: Episode, data: bytes) -> dict[str, Any]:
    """Row of an episode with the bytes `data`."""
    return {
        "id": hashlib.sha256(data).hexdigest(),
        "source": episode.source,
        "market": episode.market,
        "symbol": episode.symbol,
        "start": int(episode.start),
        "bars": episode.bars,
        "net_return": float(episode.net_return),
        "max_drawdown": float(episode.drawdown.max()),
        "size": len(data),
        "created": now(),
    }


def require_episodes(connection: Connection, ids: Iterable[str]) -> None:
    """Raise `FeedbackError` unless every id is a stored episode."""
    wanted = set(ids)
    known: set[str] = set()
    for part in chunks(wanted):
        known.update(connection.scalars(select(t.episodes.c.id).where(t.episodes.c.id.in_(part))))
    if missing := sorted(wanted - known):
        raise FeedbackError(
            f"{len(missing)} of {len(wanted)} episodes are not in the store, the first is "
            f"{missing[0][:64]!r}. Add them first: store.add_episodes([...])."
        )


def next_seq(connection: Connection, table: Table) -> int:
    """Next sequence number; without gaps or races, as writers are alone."""
    return int(connection.scalar(select(func.max(table.c.seq))) or 0) + 1


def read_queries(connection: Connection, statement: Select[Any]) -> list[Query]:
    """Queries for a selection of `queries` rows, in its order."""
    found = connection.execute(statement).all()
    panels: dict[str, list[Row[Any]]] = defaultdict(list)
    table = t.query_episodes
    for part in chunks(row.id for row in found):
        for row in connection.execute(
            select(table).where(table.c.query.in_(part)).order_by(table.c.query, table.c.panel)
        ):
            panels[row.query].append(row)
    return [
        Query(
            row.id,
            tuple(p.episode for p in panels[row.id]),
            row.purpose,
            row.round,
            row.note,
            tuple(p.answer for p in panels[row.id] if p.answer is not None),
        )
        for row in found
    ]


def ranking_row(ranking: Ranking) -> dict[str, Any]:
    """The ranking's own columns; `seq` and `received` are added on writing."""
    return {
        "key": ranking.key,
        "query": ranking.query or None,
        "group": ranking.group,
        "rater": ranking.rater,
        "session": ranking.session,
        "created": timestamp(ranking.created),
        "seconds": ranking.seconds,
        "outcome": ranking.outcome,
        "comment": ranking.comment,
        "supersedes": ranking.supersedes or None,
    }


def panel_rows(ranking: Ranking, seq: int) -> list[dict[str, Any]]:
    """One row per episode of the ranking."""
    size = len(ranking.episodes)
    ranks: Sequence[int | None] = ranking.ranks or [None] * size
    ratings: Sequence[int | None] = ranking.ratings or [None] * size
    return [
        {"ranking": seq, "panel": i, "episode": episode, "rank": rank, "rating": rating}
        for i, (episode, rank, rating) in enumerate(
            zip(ranking.episodes, ranks, ratings, strict=True)
        )
    ]


def read_rankings(connection: Connection, statement: Select[Any]) -> list[tuple[Row[Any], Ranking]]:
    """(row, ranking) for a selection of `rankings` rows, in its order."""
    found = connection.execute(statement).all()
    panels: dict[int, list[Row[Any]]] = defaultdict(list)
    table = t.ranking_episodes
    for i in range(0, len(found), CHUNK):
        part = [row.seq for row in found[i : i + CHUNK]]
        for row in connection.execute(
            select(table).where(table.c.ranking.in_(part)).order_by(table.c.ranking, table.c.panel)
        ):
            panels[row.ranking].append(row)
    return [(row, _ranking(row, panels[row.seq])) for row in found]


def _ranking(row: Row[Any], panels: list[Row[Any]]) -> Ranking:
    return Ranking(
        key=row.key,
        episodes=tuple(p.episode for p in panels),
        ranks=tuple(p.rank for p in panels if p.rank is not None),
        query=row.query or "",
        rater=row.rater,
        session=row.session,
        created=moment(row.created),
        seconds=row.seconds,
        comment=row.comment,
        ratings=tuple(p.rating for p in panels),
        outcome=row.outcome,
        supersedes=row.supersedes or "",
    )


def canonical(value: Any) -> str:
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


__all__ = [
    "EpisodeInfo",
    "canonical",
    "chunks",
    "episode_row",
    "moment",
    "next_seq",
    "now",
    "panel_rows",
    "ranking_row",
    "read_queries",
    "read_rankings",
    "require_episodes",
    "timestamp",
]
