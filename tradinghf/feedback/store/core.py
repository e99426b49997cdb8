"""The feedback store: episodes, queries, rankings and backtest trials, durable and shared.

Torch-free; safe for many threads and many processes at once (open one `Store` per process, after
any fork).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, Table, and_, exists, func, insert, not_, or_, select
from sqlalchemy.exc import IntegrityError

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback.store import rows
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.blobs import read_blob, write_blob
from tradinghf.feedback.store.engine import connect, locate, reading, writing
from tradinghf.feedback.store.migrate import migrate
from tradinghf.feedback.store.rows import EpisodeInfo
from tradinghf.feedback.types import Purpose, Query, Ranking


class Store:
    """Everything that raters were shown and said.

    Opening creates the store or migrates an older one. Feedback is append-only: a correction is a
    new ranking that supersedes the old one, which stays.

    Args:
        target: a folder (SQLite inside it), a `.db` file, or a `postgresql://` URL, which may end
            in `?folder=/shared/store` to place the episode files (default `./store`).

    Raises:
        StoreError: the store cannot be opened, or is newer than this tradinghf.

    """

    def __init__(self, target: str | os.PathLike[str]) -> None:
        self.location = locate(target)
        migrate(self.location)
        self.engine = connect(self.location)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections; the store may be used again and reconnects."""
        self.engine.dispose()

    # Episodes

    def add_episodes(self, episodes: Iterable[Episode]) -> list[str]:
        """Store episodes, files first, then rows; those already there are left as they are.

        Returns:
            the ids, in order.

        Raises:
            EpisodeError: an episode is malformed.
            StoreError: the disk or the database refused.

        """
        records = []
        for episode in episodes:
            episode.check()
            data = episode.to_bytes()
            record = rows.episode_row(episode, data)
            write_blob(self.location.folder, record["id"], data)
            records.append(record)
        with writing(self.engine, self.location) as connection:
            known = self._known(connection, [r["id"] for r in records])
            fresh = {r["id"]: r for r in records if r["id"] not in known}
            _append(connection, t.episodes, list(fresh.values()))
        return [record["id"] for record in records]

    @staticmethod
    def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for part in rows.chunks(ids):
            query = select(t.episodes.c.id).where(t.episodes.c.id.in_(part))
            known.update(connection.scalars(query))
        return known

    def episode(self, episode_id: str) -> Episode:
        """One episode, verified against its id.

        Raises:
            EpisodeError: not in the store, or its file is missing or altered.

        """
        return self.episodes([episode_id])[0]

    def episodes(
        self,
        ids: Iterable[str] | None = None,
        *,
        source: str | None = None,
        market: str | None = None,
        symbol: str | None = None,
        limit: int | None = None,
    ) -> list[Episode]:
        """Episodes by id (in that order), or by filter (oldest first); see `episode_infos`."""
        infos = self.episode_infos(ids, source=source, market=market, symbol=symbol, limit=limit)
        return [read_blob(self.location.folder, info.id, info.size) for info in infos]

    def episode_infos(
        self,
        ids: Iterable[str] | None = None,
        *,
        source: str | None = None,
        market: str | None = None,
        symbol: str | None = None,
        limit: int | None = None,
    ) -> list[EpisodeInfo]:
        """What is known about episodes without reading their files.

        Raises:
            EpisodeError: one of `ids` is not in the store.

        """
        table = t.episodes
        columns = [table.c[name] for name in EpisodeInfo.__dataclass_fields__]
        query = select(*columns).order_by(table.c.seq).limit(limit)
        wanted = {"source": source, "market": market, "symbol": symbol}
        query = query.where(*(table.c[k] == v for k, v in wanted.items() if v is not None))
        with reading(self.engine, self.location) as connection:
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
                    f"Episode {episode_id[:64]!r} is not in the store {self.location}. "
                    "Check the id, or record the episode again."
                )
        return [found[episode_id] for episode_id in ordered]

    def sources(self) -> dict[str, str]:
        """Source of every episode, by id."""
        query = select(t.episodes.c.id, t.episodes.c.source)
        with reading(self.engine, self.location) as connection:
            return {row.id: row.source for row in connection.execute(query)}

    # Queries

    def add_queries(self, queries: Iterable[Query]) -> int:
        """Append queries to the queue; those whose id is there already are left out.

        Returns:
            how many are new.

        Raises:
            FeedbackError: an episode is not in the store, or an id is taken by another query.

        """
        wanted = {query.id: query for query in queries}
        with writing(self.engine, self.location) as connection:
            known: dict[str, Query] = {}
            for part in rows.chunks(wanted):
                found = rows.read_queries(
                    connection, select(t.queries).where(t.queries.c.id.in_(part))
                )
                known.update({query.id: query for query in found})
            for name, query in known.items():
                if query != wanted[name]:
                    raise FeedbackError(
                        f"Query {name!r} is in the store with other content. "
                        "Name queries by content: Query.of(episodes, ...)."
                    )
            fresh = [query for name, query in wanted.items() if name not in known]
            rows.require_episodes(connection, (e for query in fresh for e in query.episodes))
            _append(connection, t.queries, [_query_row(query) for query in fresh])
            panels = [panel for query in fresh for panel in _query_panels(query)]
            if panels:
                connection.execute(insert(t.query_episodes), panels)
        return len(fresh)

    def queries(
        self,
        *,
        purpose: Purpose | None = None,
        round: int | None = None,  # noqa: A002 (the attribute of Query)
    ) -> list[Query]:
        """Queries in the order of the queue."""
        query = select(t.queries).order_by(t.queries.c.seq)
        wanted = {"purpose": purpose, "round": round}
        query = query.where(*(t.queries.c[k] == v for k, v in wanted.items() if v is not None))
        with reading(self.engine, self.location) as connection:
            return rows.read_queries(connection, query)

    def query(self, query_id: str) -> Query:
        """One query.

        Raises:
            FeedbackError: not in the store.

        """
        with reading(self.engine, self.location) as connection:
            return _query(connection, query_id)

    def next_query(
        self, rater: str, session: str = "", *, exclude: Collection[str] = ()
    ) -> Query | None:
        """The first query in the queue that this rater has not answered; None when all are done.

        A set of episodes is asked once per rater; a "repeat" only of raters who have answered
        that set before.

        Args:
            rater: who asks.
            session: the rater's sitting.
            exclude: ids to pass over, such as the query on the screen while prefetching.

        """
        queue, said = t.queries, t.rankings
        mine = said.c.rater == rater
        answered = exists().where(and_(mine, said.c.query == queue.c.id))
        seen = exists().where(and_(mine, said.c.group == queue.c.group))
        due = or_(
            and_(queue.c.purpose == "repeat", seen), and_(queue.c.purpose != "repeat", not_(seen))
        )
        query = select(queue).where(not_(answered), due).order_by(queue.c.seq).limit(1)
        if exclude:
            query = query.where(queue.c.id.not_in(list(exclude)))
        with reading(self.engine, self.location) as connection:
            found = rows.read_queries(connection, query)
        return found[0] if found else None

    # Rankings

    def submit(self, ranking: Ranking) -> bool:
        """Store an answer durably; when this returns, it survives a power cut.

        Returns:
            True when stored, False when the same answer with the same key is there already (a
            double click, a retry after a crash); `created` and `seconds` may differ then.

        Raises:
            FeedbackError: the key is taken by a different answer, the query was answered before
                (supersede that answer instead), or query, episodes or `supersedes` do not exist
                or do not match.

        """
        with writing(self.engine, self.location) as connection:
            if (earlier := _by_key(connection, ranking.key)) is not None:
                if _answer(earlier) == _answer(ranking):
                    return False
                raise FeedbackError(
                    f"The submit key {ranking.key!r} is taken by a different answer. "
                    "Use a new key for every answer."
                )
            _check_query(connection, ranking)
            _check_superseded(connection, ranking)
            rows.require_episodes(connection, ranking.episodes)
            row = rows.ranking_row(ranking) | {"received": rows.now()}
            seq = _append(connection, t.rankings, [row])
            connection.execute(insert(t.ranking_episodes), rows.panel_rows(ranking, seq))
        return True

    def rankings(
        self,
        rater: str | None = None,
        include_superseded: bool = False,
        *,
        session: str | None = None,
        purposes: Collection[Purpose] | None = None,
    ) -> list[Ranking]:
        """Answers in the order in which they arrived; skipped ones too (`outcome` tells).

        Args:
            rater: only this rater's.
            include_superseded: also answers that a later one corrects.
            session: only this session's.
            purposes: only answers to queries of these purposes; a ranking without a query counts
                as "learn".

        """
        table, queue = t.rankings, t.queries
        query = select(table).order_by(table.c.seq)
        wanted = {"rater": rater, "session": session}
        query = query.where(*(table.c[k] == v for k, v in wanted.items() if v is not None))
        if not include_superseded:
            later = table.alias("later")
            query = query.where(not_(exists().where(later.c.supersedes == table.c.key)))
        if purposes is not None:
            purpose = func.coalesce(queue.c.purpose, "learn")
            joined = table.outerjoin(queue, table.c.query == queue.c.id)
            query = query.select_from(joined).where(purpose.in_(list(purposes)))
        with reading(self.engine, self.location) as connection:
            return [ranking for _, ranking in rows.read_rankings(connection, query)]

    # Backtest trials

    def count_trial(
        self, kind: str, name: str, market: str, params: Mapping[str, Any] | None = None
    ) -> bool:
        """Count a backtest for the deflated Sharpe ratio; the same one again counts once.

        Args:
            kind: "backtest", "sweep", "training" ...
            name: the strategy or policy.
            market: `MarketData.sha256`.
            params: everything else that makes it another trial (parameters, costs, window).

        Returns:
            True when this trial is new.

        """
        text = rows.canonical(dict(params or {}))
        content = rows.canonical([kind, name, market, text])
        record = {
            "id": hashlib.sha256(content.encode()).hexdigest(),
            "kind": kind,
            "name": name,
            "market": market,
            "params": text,
            "created": rows.now(),
        }
        try:
            with writing(self.engine, self.location) as connection:
                connection.execute(insert(t.trials), [record])
        except IntegrityError:
            return False
        return True

    def trials(
        self, market: str | None = None, *, kind: str | None = None, name: str | None = None
    ) -> int:
        """How many different trials were counted, over all markets or one."""
        query = select(func.count()).select_from(t.trials)
        wanted = {"market": market, "kind": kind, "name": name}
        query = query.where(*(t.trials.c[k] == v for k, v in wanted.items() if v is not None))
        with reading(self.engine, self.location) as connection:
            return int(connection.scalar(query) or 0)


def _append(connection: Connection, table: Table, records: list[dict[str, Any]]) -> int:
    """Insert rows with the next sequence numbers (writers are alone); returns the last number."""
    last = int(connection.scalar(select(func.max(table.c.seq))) or 0)
    if records:
        numbered = [record | {"seq": last + i} for i, record in enumerate(records, start=1)]
        connection.execute(insert(table), numbered)
    return last + len(records)


def _query(connection: Connection, query_id: str) -> Query:
    found = rows.read_queries(connection, select(t.queries).where(t.queries.c.id == query_id))
    if not found:
        raise FeedbackError(
            f"Query {query_id!r} is not in the store. Add it first: store.add_queries([...])."
        )
    return found[0]


def _query_row(query: Query) -> dict[str, Any]:
    return {
        "id": query.id,
        "purpose": query.purpose,
        "round": query.round,
        "note": query.note,
        "group": query.group,
        "created": rows.now(),
    }


def _query_panels(query: Query) -> list[dict[str, Any]]:
    answers: Sequence[int | None] = query.answer or [None] * len(query.episodes)
    return [
        {"query": query.id, "panel": i, "episode": episode, "answer": answer}
        for i, (episode, answer) in enumerate(zip(query.episodes, answers, strict=True))
    ]


def _by_key(connection: Connection, key: str) -> Ranking | None:
    query = select(t.rankings).where(t.rankings.c.key == key)
    found = rows.read_rankings(connection, query)
    return found[0][1] if found else None


def _answer(ranking: Ranking) -> tuple[object, ...]:
    """What makes two submits the same answer: all but the delivery's clock times."""
    row = rows.ranking_row(ranking)
    del row["created"], row["seconds"]
    return (*row.values(), ranking.episodes, ranking.ranks, ranking.ratings)


def _check_query(connection: Connection, ranking: Ranking) -> None:
    if not ranking.query:
        return
    query = _query(connection, ranking.query)
    if set(query.episodes) != set(ranking.episodes):
        raise FeedbackError(
            f"Ranking {ranking.key!r} ranks other episodes than its query {query.id!r} shows. "
            "Send the query's episodes, in any order."
        )
    if ranking.supersedes:
        return
    table = t.rankings
    earlier = connection.scalar(
        select(table.c.key).where(table.c.query == query.id, table.c.rater == ranking.rater)
    )
    if earlier is not None:
        raise FeedbackError(
            f"Rater {ranking.rater!r} has answered query {query.id!r} already. "
            f"To correct that answer, submit with supersedes={earlier!r}."
        )


def _check_superseded(connection: Connection, ranking: Ranking) -> None:
    if not ranking.supersedes:
        return
    old = _by_key(connection, ranking.supersedes)
    if old is None:
        raise FeedbackError(
            f"Ranking {ranking.key!r} supersedes {ranking.supersedes!r}, which is not in the store."
        )
    if (old.rater, old.query, old.group) != (ranking.rater, ranking.query, ranking.group):
        raise FeedbackError(
            f"Ranking {ranking.key!r} supersedes an answer of another rater or query; "
            f"expected rater {old.rater!r}, query {old.query!r} and the same episodes."
        )
    table = t.rankings
    newer = connection.scalar(select(table.c.key).where(table.c.supersedes == old.key))
    if newer is not None:
        raise FeedbackError(
            f"Ranking {old.key!r} was superseded by {newer!r} already; supersede that one."
        )


__all__ = ["Store"]
