"""Feedback as files: JSONL with everything, CSV and Parquet with one row per ranked episode.

Files come from outside, so reading checks every value, names the line, and stores all or nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tradinghf._json import parse_json
from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError, StoreError, TradingHFError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store import _spreadsheets as spreadsheets
from tradinghf.feedback.store._engine import Database
from tradinghf.feedback.store._episode_files import read_episode_file
from tradinghf.feedback.store._episodes import (
    add_episode_rows,
    episode_sources,
    find_episodes,
    write_episode_files,
)
from tradinghf.feedback.store._queue import add_queries, find_queries
from tradinghf.feedback.store._rankings import chain_head, find_rankings, submit_ranking

_FORMAT = "tradinghf-feedback-1"
_PARTS = ("episodes", "queries", "rankings")
_MAX_LINE = 64 * 2**20
"""Longest line of a JSONL file [bytes]: an episode of about half a million bars."""
_MAX_TABLE = 2**30
"""Largest CSV or Parquet file that is read [bytes]."""


def export_feedback(database: Database, path: Path) -> int:
    """Write the feedback to a file; see `Store.export`."""
    with database.reading() as connection:
        rankings = find_rankings(connection)
        data = (
            _lines(connection, database.location.folder, rankings)
            if path.suffix == ".jsonl"
            else spreadsheets.encode_rankings(rankings, episode_sources(connection), path.suffix)
        )
        write_atomic(path, data)
    return len(rankings)


def import_feedback(database: Database, path: Path, *, across_windows: bool = False) -> int:
    """Add the feedback of a file; see `Store.import_from`."""
    if not path.is_file():
        raise StoreError(f"There is no file {path} to import.")
    if path.suffix != ".jsonl":
        if path.stat().st_size > _MAX_TABLE:
            raise StoreError(f"{path} is larger than {_MAX_TABLE} bytes; split it.")
        rankings = spreadsheets.decode_rankings(path)
        with database.writing() as connection:
            return _submit_all(connection, path, rankings, across_windows)
    queries, rankings = _parse(path)
    rows = write_episode_files(database.location.folder, _episodes(path))
    with database.writing() as connection:
        add_episode_rows(connection, rows)
        for where, query, raters in queries:
            with _reported(path, where):
                add_queries(connection, [query], raters)
        return _submit_all(connection, path, rankings, across_windows)


def _submit_all(
    connection: Connection,
    path: Path,
    rankings: list[tuple[str, Ranking]],
    across_windows: bool,
) -> int:
    """Submit rankings, each with where it was found; returns how many are new."""
    new = 0
    for where, ranking in rankings:
        with _reported(path, where):
            new += submit_ranking(connection, ranking, across_windows=across_windows)
    return new


def _lines(connection: Connection, folder: Path, rankings: list[Ranking]) -> Iterator[bytes]:
    """The JSONL document, line by line: what it is, episodes, queries, rankings."""
    episodes = find_episodes(connection)
    queries = find_queries(connection)
    raters = connection.scalars(select(t.queries.c.raters).order_by(t.queries.c.seq)).all()
    yield _line(
        format=_FORMAT,
        episodes=len(episodes),
        queries=len(queries),
        rankings=len(rankings),
        head=chain_head(connection),
    )
    for info in episodes:
        data = read_episode_file(folder, info.id, info.size).to_bytes()
        yield _line(episode=base64.b64encode(data).decode())
    for query, wanted in zip(queries, raters, strict=True):
        yield _line(query=dict(vars(query)), raters=wanted)
    for ranking in rankings:
        yield _line(ranking=vars(ranking) | {"created": t.timestamp(ranking.created)})


def _line(**content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _parse(path: Path) -> tuple[list[tuple[str, Query, int | None]], list[tuple[str, Ranking]]]:
    """Check every record of a JSONL file; queries and rankings with the lines they are in.

    Episodes are checked, but not kept: `_episodes` reads them again, one at a time.
    """
    queries: list[tuple[str, Query, int | None]] = []
    rankings: list[tuple[str, Ranking]] = []
    header: dict[str, Any] = {}
    episodes = 0
    for number, record in _records(path):
        where = f"line {number}"
        with _reported(path, where):
            if number == 1:
                header = _header(record)
            elif "episode" in record:
                _episode(record)
                episodes += 1
            elif "query" in record:
                raters = record.get("raters")
                if raters is not None and type(raters) is not int:
                    raise FeedbackError("raters is no whole number; expected one, or null.")
                queries.append((where, _query(record["query"]), raters))
            elif "ranking" in record:
                rankings.append((where, _ranking(record["ranking"])))
            else:
                raise FeedbackError("expected an episode, a query or a ranking in each line.")
    _check_counts(path, header, episodes, len(queries), len(rankings))
    return queries, rankings


def _header(record: dict[str, Any]) -> dict[str, Any]:
    """The first line, which says how much follows: without it nothing shows a file's end is cut."""
    if record.get("format") != _FORMAT or any(type(record.get(name)) is not int for name in _PARTS):
        raise FeedbackError(
            f"expected {{'format': '{_FORMAT}'}} with the numbers of {', '.join(_PARTS)}, as "
            "'tradinghf feedback export' writes it. Export the feedback again."
        )
    return record


def _check_counts(path: Path, header: dict[str, Any], *counts: int) -> None:
    """Refuse a file that holds more or less than its first line says."""
    if not header:
        raise StoreError(f"{path.name} is empty; expected a file of 'tradinghf feedback export'.")
    for name, count in zip(_PARTS, counts, strict=True):
        if header[name] != count:
            raise StoreError(
                f"{path.name} holds {count} {name}; its first line says {header[name]}. "
                "The file was cut off or altered: nothing was imported. Copy or export it again."
            )


def _episode(record: dict[str, Any]) -> Episode:
    return Episode.from_bytes(base64.b64decode(record["episode"], validate=True))


def _episodes(path: Path) -> Iterator[Episode]:
    return (_episode(record) for _, record in _records(path) if "episode" in record)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line; bounded memory per line."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            with _reported(path, f"line {number}"):
                if len(line) > _MAX_LINE:
                    raise FeedbackError(f"longer than {_MAX_LINE} bytes.")
                record = parse_json(line, object_pairs_hook=_without_repeats)
                if not isinstance(record, dict):
                    raise FeedbackError("expected a JSON object.")
            yield number, record


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; one that says a name twice means two things to two readers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FeedbackError("a name is there twice in one object.")
    return found


def _query(fields: dict[str, Any]) -> Query:
    known = {**fields, "episodes": tuple(fields["episodes"]), "answer": tuple(fields["answer"])}
    return Query(**known)


def _ranking(fields: dict[str, Any]) -> Ranking:
    created = t.parse_timestamp(fields["created"])
    return Ranking(**{**fields, "created": created})


@contextmanager
def _reported(path: Path, where: str) -> Iterator[None]:
    """File and line in front of what goes wrong in the block."""
    try:
        yield
    except TradingHFError as error:
        raise type(error)(f"{path.name}, {where}: {error}") from error
    except (
        ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError,
    ) as error:  # fmt: skip
        raise StoreError(
            f"{path.name}, {where}: {type(error).__name__}: {error}. "
            "Expected a file written by 'tradinghf feedback export'."
        ) from error
