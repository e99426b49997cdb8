"""`Store`: the one object through which everything else reads and writes feedback."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import func, select

from tradinghf.episodes import Episode
from tradinghf.feedback.store import answers, audit, exchange, library, queue, rows, trials
from tradinghf.feedback.store import backup as backups
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.audit import Verification
from tradinghf.feedback.store.blobs import read_blob
from tradinghf.feedback.store.engine import connect, locate, reading, writing
from tradinghf.feedback.store.migrate import migrate
from tradinghf.feedback.store.rows import EpisodeInfo
from tradinghf.feedback.store.trials import Trial
from tradinghf.feedback.types import Purpose, Query, Ranking


class Store:
    """Everything that raters were shown and said: episodes, queries, rankings, backtest trials.

    Opening creates the store or migrates an older one. Feedback is append-only: a correction is a
    new ranking that supersedes the old one, which stays. Torch-free; safe for many threads and
    processes at once (open one `Store` per process, after any fork).

    Args:
        target: a folder (SQLite inside it), a `.db` file, or a `postgresql://` URL, which may end
            in `?folder=/shared/store` to place the episode files (default `./store`).

    Raises:
        StoreError: the store cannot be opened, or is newer than this tradinghf. Every method
            raises it when the database or the disk fails.

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
        trace: TracebackType | None,
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

        """
        records = library.write_files(self.location, episodes)
        with writing(self.engine, self.location) as connection:
            library.add_rows(connection, records)
        return [str(record["id"]) for record in records]

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
        with reading(self.engine, self.location) as connection:
            return library.find(
                connection, ids, limit=limit, source=source, market=market, symbol=symbol
            )

    def sources(self) -> dict[str, str]:
        """Source of every episode, by id; what `ratings.leaderboard` needs."""
        query = select(t.episodes.c.id, t.episodes.c.source)
        with reading(self.engine, self.location) as connection:
            return {row.id: row.source for row in connection.execute(query)}

    # Queries

    def add_queries(self, queries: Iterable[Query], *, raters: int | None = None) -> int:
        """Append queries to the queue; those whose id is there already are left out.

        Args:
            queries: served in this order.
            raters: how many different raters each of them is for; None for every rater.

        Returns:
            how many are new.

        Raises:
            FeedbackError: an episode is not in the store, or an id is taken by another query.

        """
        with writing(self.engine, self.location) as connection:
            return queue.add(connection, queries, raters)

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
            return queue.get(connection, query_id)

    def next_query(
        self, rater: str, session: str = "", *, exclude: Collection[str] = ()
    ) -> Query | None:
        """The first query in the queue that is due for this rater; None when all are done.

        It stays due until answered, so a reload shows it again. A set of episodes is asked once
        per rater; a "repeat" only of raters who have answered that set before. Queries for a
        limited number of raters are held for 15 minutes for those to whom they were shown.

        Args:
            rater: who asks.
            session: the rater's sitting.
            exclude: ids to pass over, such as the query on the screen while prefetching.

        """
        with writing(self.engine, self.location) as connection:
            return queue.serve(connection, rater, session, exclude)

    def pending(self, rater: str) -> int:
        """How many queries are due for this rater."""
        query = select(func.count()).select_from(t.queries).where(queue.due(rater))
        with reading(self.engine, self.location) as connection:
            return int(connection.scalar(query) or 0)

    # Rankings

    def submit(self, ranking: Ranking) -> bool:
        """Store an answer durably; when this returns, it survives a power cut.

        Returns:
            True when stored, False when the same answer with the same key is there already (a
            double click, a retry after a crash); `created` and `seconds` may differ then.

        Raises:
            FeedbackError: the key is taken by a different answer, the rater answered the query
                before (supersede that answer instead), or query, episodes or `supersedes` do not
                exist or do not match.

        """
        with writing(self.engine, self.location) as connection:
            return answers.submit(connection, ranking)

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
        query = answers.selection(
            include_superseded=include_superseded, purposes=purposes, rater=rater, session=session
        )
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

        Raises:
            FeedbackError: `params` holds something that JSON cannot.

        """
        return self.count_trials(kind, name, market, [params or {}]) == 1

    def count_trials(
        self, kind: str, name: str, market: str, variants: Sequence[Mapping[str, Any]]
    ) -> int:
        """Count many at once, as `count_trial` does each; returns how many are new."""
        with writing(self.engine, self.location) as connection:
            return trials.add(connection, kind, name, market, variants)

    def trials(
        self, market: str | None = None, *, kind: str | None = None, name: str | None = None
    ) -> int:
        """How many different trials were counted, over all markets or one.

        Seals and openings (`trial_log`) are no trials; they count only when `kind` asks for them.
        """
        with reading(self.engine, self.location) as connection:
            return trials.count(connection, market, kind, name)

    def trial_log(self, market: str, kind: str) -> list[Trial]:
        """Every trial of a kind on a market, oldest first: who opened a sealed window, and when."""
        with reading(self.engine, self.location) as connection:
            return trials.listed(connection, market, kind)

    # Care

    def health(self) -> dict[str, Any]:
        """Counts, schema, size and the head of the hash chain; quick (no file is read)."""
        return audit.health(self.engine, self.location)

    def verify(self, *, anchor: str | None = None) -> Verification:
        """Check everything: database, references, hash chain, every episode file.

        Args:
            anchor: a chain head noted earlier (`health()["head"]`, an export); its absence from
                the chain means that history was rewritten or cut off.

        """
        return audit.verify(self.engine, self.location, anchor)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write the feedback to a file; the suffix picks the format.

        `.jsonl` holds everything (episodes, queries, all rankings) and can be imported into an
        empty store; `.csv` and `.parquet` hold the rankings, one row per ranked episode.

        Returns:
            how many rankings were written.

        Raises:
            StoreError: another suffix, or the file cannot be written.

        """
        return exchange.write(self.engine, self.location, Path(path))

    def import_from(self, path: str | os.PathLike[str]) -> int:
        """Add the feedback of a file that `export` wrote; all of its rankings or none.

        Returns:
            how many rankings are new.

        Raises:
            StoreError: the file is malformed; the message names the line.
            FeedbackError: a ranking contradicts the store.

        """
        return exchange.read(self.engine, self.location, Path(path))

    def backup(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the store, consistent while others write to it, into a new folder.

        The copy is itself a store (SQLite, also of a PostgreSQL store) with a manifest of hashes;
        `tradinghf.feedback.store.restore` checks it and puts it back.

        Raises:
            StoreError: the folder exists and is not empty, or the disk refused.

        """
        return backups.backup(self.engine, self.location, Path(folder))


__all__ = ["Store"]
