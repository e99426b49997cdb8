"""Feedback as files: JSONL with everything, CSV and Parquet with one row per ranked episode.

Files come from outside, so reading checks every value, names the line, and stores all or nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select

from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError, StoreError, TradingHFError
from tradinghf.feedback.store import answers, library, queue, rows, tables
from tradinghf.feedback.store import schema as t
from tradinghf.feedback.store.blobs import read_blob
from tradinghf.feedback.store.engine import Location, reading, writing
from tradinghf.feedback.types import Query, Ranking

FORMAT = "tradinghf-feedback-1"
MAX_LINE = 64 * 2**20
"""Longest line of a JSONL file [bytes]: an episode of about half a million bars."""
MAX_TABLE = 2**30
"""Largest CSV or Parquet file that is read [bytes]."""
T = TypeVar("T")


def write(engine: Engine, location: Location, path: Path) -> int:
    """Export; see `Store.export`."""
    with reading(engine, location) as connection:
        rankings = [r for _, r in rows.read_rankings(connection, answers.selection())]
        data = (
            _lines(connection, location, rankings)
            if path.suffix == ".jsonl"
            else tables.encode(rankings, _sources(connection), path.suffix)
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror}.") from error
    return len(rankings)


def read(engine: Engine, location: Location, path: Path) -> int:
    """Import; see `Store.import_from`."""
    if not path.is_file():
        raise StoreError(f"There is no file {path} to import.")
    if path.suffix != ".jsonl":
        if path.stat().st_size > MAX_TABLE:
            raise StoreError(f"{path} is larger than {MAX_TABLE} bytes; split it.")
        found = tables.decode(path)
        with writing(engine, location) as connection:
            return sum(_named(path, where, answers.submit, connection, r) for where, r in found)
    queries, rankings = _parse(path)
    records = library.write_files(location, _episodes(path))
    with writing(engine, location) as connection:
        library.add_rows(connection, records)
        for where, query, raters in queries:
            _named(path, where, queue.add, connection, [query], raters)
        return sum(_named(path, where, answers.submit, connection, r) for where, r in rankings)


def _sources(connection: Connection) -> dict[str, str]:
    query = select(t.episodes.c.id, t.episodes.c.source)
    return {row.id: row.source for row in connection.execute(query)}


def _lines(connection: Connection, location: Location, rankings: list[Ranking]) -> Iterator[bytes]:
    """The JSONL document, line by line: what it is, episodes, queries, rankings."""
    episodes = library.find(connection, None)
    every = select(t.queries).order_by(t.queries.c.seq)
    queries = rows.read_queries(connection, every)
    raters = [row.raters for row in connection.execute(every)]
    yield _line(
        format=FORMAT,
        episodes=len(episodes),
        queries=len(queries),
        rankings=len(rankings),
        head=answers.head(connection),
    )
    for info in episodes:
        data = read_blob(location.folder, info.id, info.size).to_bytes()
        yield _line(episode=base64.b64encode(data).decode())
    for query, wanted in zip(queries, raters, strict=True):
        yield _line(query=dict(vars(query)), raters=wanted)
    for ranking in rankings:
        yield _line(ranking=vars(ranking) | {"created": rows.timestamp(ranking.created)})


def _line(**content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()


Parsed = tuple[list[tuple[str, Query, int | None]], list[tuple[str, Ranking]]]


def _parse(path: Path) -> Parsed:
    """Check every record of a JSONL file; queries and rankings with the lines they are in.

    Episodes are checked, but not kept: `_episodes` reads them again, one at a time.
    """
    queries: list[tuple[str, Query, int | None]] = []
    rankings: list[tuple[str, Ranking]] = []
    for number, record in _records(path):
        where = f"line {number}"
        with _reported(path, where):
            if "episode" in record:
                _episode(record)
            elif "query" in record:
                raters = record.get("raters")
                if raters is not None and (not isinstance(raters, int) or raters < 1):
                    raise FeedbackError(f"raters is {raters!r}; expected a number >= 1 or null.")
                queries.append((where, _query(record["query"]), raters))
            elif "ranking" in record:
                rankings.append((where, _ranking(record["ranking"])))
            elif number > 1 or record.get("format") != FORMAT:
                raise FeedbackError(
                    f"expected {{'format': '{FORMAT}'}} in line 1, "
                    "then an episode, a query or a ranking in each line."
                )
    return queries, rankings


def _episode(record: dict[str, Any]) -> Episode:
    return Episode.from_bytes(base64.b64decode(record["episode"], validate=True))


def _episodes(path: Path) -> Iterator[Episode]:
    return (_episode(record) for _, record in _records(path) if "episode" in record)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every line; bounded memory per line."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            with _reported(path, f"line {number}"):
                if len(line) > MAX_LINE:
                    raise FeedbackError(f"longer than {MAX_LINE} bytes.")
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise FeedbackError("expected a JSON object.")
            yield number, record


def _query(fields: dict[str, Any]) -> Query:
    known = {**fields, "episodes": tuple(fields["episodes"]), "answer": tuple(fields["answer"])}
    if not isinstance(known["round"], int):
        raise FeedbackError(f"round is {known['round']!r}; expected a whole number.")
    return Query(**known)


def _ranking(fields: dict[str, Any]) -> Ranking:
    created = rows.moment(fields["created"])
    return Ranking(**{**fields, "created": created})


def _named(path: Path, where: str, function: Callable[..., T], *args: Any) -> T:
    """Call, with file and line in front of what goes wrong."""
    with _reported(path, where):
        return function(*args)


@contextmanager
def _reported(path: Path, where: str) -> Iterator[None]:
    try:
        yield
    except TradingHFError as error:
        raise type(error)(f"{path.name}, {where}: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path.name}, {where}: {type(error).__name__}: {error}. "
            "Expected a file written by 'tradinghf feedback export'."
        ) from error


__all__ = ["FORMAT", "read", "write"]
