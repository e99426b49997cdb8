"""`Store`: the one object through which everything else reads and writes feedback."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from tradinghf.episodes import Episode
from tradinghf.feedback import Purpose, Query, Ranking
from tradinghf.feedback.store import _backup as backup
from tradinghf.feedback.store import _data_sets as data_sets
from tradinghf.feedback.store import _episodes as episode_rows
from tradinghf.feedback.store import _exchange as exchange
from tradinghf.feedback.store import _queue as queue
from tradinghf.feedback.store import _rankings as rankings
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store import _trials as trials
from tradinghf.feedback.store import _verification as verification
from tradinghf.feedback.store._data_sets import DataSet
from tradinghf.feedback.store._engine import Database, locate
from tradinghf.feedback.store._episode_files import read_episode_file
from tradinghf.feedback.store._episodes import EpisodeInfo
from tradinghf.feedback.store._migrate import migrate
from tradinghf.feedback.store._trials import Trial
from tradinghf.feedback.store._verification import Verification
from tradinghf.market import MarketData


class Store(Database):
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
        location = locate(target)
        migrate(location)
        super().__init__(location)

    # Episodes

    def add_episodes(self, episodes: Iterable[Episode]) -> list[str]:
        """Store episodes, files first, then rows; those already there are left as they are.

        Returns:
            the ids, in order.

        Raises:
            EpisodeError: an episode is malformed.

        """
        records = episode_rows.write_episode_files(self.location.folder, episodes)
        with self.writing() as connection:
            episode_rows.add_episode_rows(connection, records)
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
        return [read_episode_file(self.location.folder, info.id, info.size) for info in infos]

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
        with self.reading() as connection:
            return episode_rows.find_episodes(
                connection, ids, limit=limit, source=source, market=market, symbol=symbol
            )

    def sources(self) -> dict[str, str]:
        """Source of every episode, by id; what `ratings.leaderboard` needs."""
        with self.reading() as connection:
            return episode_rows.episode_sources(connection)

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
        with self.writing() as connection:
            return queue.add_queries(connection, queries, raters)

    def queries(
        self,
        *,
        purpose: Purpose | None = None,
        round: int | None = None,  # noqa: A002 (the attribute of Query)
    ) -> list[Query]:
        """Queries in the order of the queue."""
        with self.reading() as connection:
            return queue.find_queries(connection, purpose=purpose, round=round)

    def query(self, query_id: str) -> Query:
        """One query.

        Raises:
            FeedbackError: not in the store.

        """
        with self.reading() as connection:
            return queue.find_query(connection, query_id)

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
        with self.writing() as connection:
            return queue.serve_next(connection, rater, session, exclude)

    def pending(self, rater: str) -> int:
        """How many queries are due for this rater."""
        query = select(func.count()).select_from(t.queries).where(queue.due(rater))
        with self.reading() as connection:
            return int(connection.scalar(query) or 0)

    # Rankings

    def submit(self, ranking: Ranking, *, across_windows: bool = False) -> bool:
        """Store an answer durably; when this returns, it survives a power cut.

        Args:
            ranking: the answer.
            across_windows: accept a ranking of episodes of different market windows;
                `RewardConfig(across_windows=True)` learns from them.

        Returns:
            True when stored, False when the same answer with the same key is there already (a
            double click, a retry after a crash); `created` and `seconds` may differ then.

        Raises:
            FeedbackError: the key is taken by a different answer, the rater answered the query
                before (supersede that answer instead), query, episodes or `supersedes` do not
                exist or do not match, or the episodes are of several market windows.

        """
        with self.writing() as connection:
            return rankings.submit_ranking(connection, ranking, across_windows=across_windows)

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
        with self.reading() as connection:
            return rankings.find_rankings(
                connection,
                include_superseded=include_superseded,
                purposes=purposes,
                rater=rater,
                session=session,
            )

    # Backtest trials

    def recognise(self, market: MarketData) -> DataSet:
        """The data set that bars belong to, by what they hold; noted down when they are new.

        Appended bars, another file name or format, and a slice are versions of the same data set;
        so is a changed past, and `DataSet.said` says what changed. Every method that takes a
        `market` then answers for all versions of it, and for sets that share an asset with it.
        """
        return data_sets.recognise(self, market)

    def count_trial(
        self, kind: str, name: str, market: str, params: Mapping[str, Any] | None = None
    ) -> bool:
        """Count a backtest for the deflated Sharpe ratio; the same one again counts once.

        Args:
            kind: "backtest", "sweep", "training" ...
            name: the strategy or policy.
            market: `MarketData.sha256` of any version that `recognise` was shown.
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
        with self.writing() as connection:
            return trials.add_trials(connection, kind, name, market, variants)

    def trials(
        self, market: str | None = None, *, kind: str | None = None, name: str | None = None
    ) -> int:
        """How many different trials were counted, over all markets or those of the same bars.

        Seals and openings (`trial_log`) are no trials; they count only when `kind` asks for them.
        """
        with self.reading() as connection:
            return trials.count_trials(connection, market=market, kind=kind, name=name)

    def trial_log(self, market: str, kind: str) -> list[Trial]:
        """Every trial of a kind on a market, oldest first: who opened a sealed window, and when."""
        with self.reading() as connection:
            return trials.list_trials(connection, market, kind)

    # Care

    def health(self) -> dict[str, Any]:
        """Counts, schema, size and the head of the hash chain; quick (no file is read)."""
        return verification.health(self)

    def verify(self, *, anchor: str | None = None) -> Verification:
        """Check everything: database, guards, references, hash chains, every row and its file.

        Args:
            anchor: a head noted earlier (`health()["journal"]`, or the answers' own, `["head"]`);
                its absence means that history was rewritten or cut off.

        Raises:
            StoreError: `anchor` is no head.

        """
        return verification.verify(self, self.location.folder, anchor)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write the feedback to a file; the suffix picks the format.

        `.jsonl` holds everything (episodes, queries, all rankings) and can be imported into an
        empty store; `.csv` and `.parquet` hold the rankings, one row per ranked episode.

        Returns:
            how many rankings were written.

        Raises:
            StoreError: another suffix, or the file cannot be written.

        """
        return exchange.export_feedback(self, Path(path))

    def import_from(self, path: str | os.PathLike[str], *, across_windows: bool = False) -> int:
        """Add the feedback of a file that `export` wrote; all of its rankings or none.

        Args:
            path: the file.
            across_windows: as for `submit`.

        Returns:
            how many rankings are new.

        Raises:
            StoreError: the file is malformed; the message names the line.
            FeedbackError: a ranking contradicts the store.

        """
        return exchange.import_feedback(self, Path(path), across_windows=across_windows)

    def backup(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the store, consistent while others write to it, into a new folder.

        The copy is itself a store (SQLite, also of a PostgreSQL store) with a manifest of hashes;
        `tradinghf.feedback.store.restore` checks it and puts it back.

        Raises:
            StoreError: the folder exists and is not empty, or the disk refused.

        """
        return backup.backup(self, Path(folder))
