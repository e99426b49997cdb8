"""Rankings as CSV and Parquet files, one row per ranked episode."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from tradinghf._outside_text import defused, undefused
from tradinghf.errors import FeedbackError, StoreError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import _schema as t
from tradinghf.feedback.store._rankings import panel_rows

_PER_RANKING = (
    "key", "query", "rater", "session", "created", "seconds", "outcome", "comment", "supersedes",
)  # fmt: skip
_PER_EPISODE = ("panel", "episode", "source", "rank", "rating")
_MOST_ROWS = 250_000
_BATCH = 1_000
_MOST_BYTES = 128 * 2**20  # unpacked
_COLUMNS = _PER_RANKING + _PER_EPISODE
_WHOLE_NUMBERS = ("panel", "rank", "rating")


def encode_rankings(rankings: list[Ranking], sources: dict[str, str], suffix: str) -> bytes:
    """The table as a file.

    Raises:
        StoreError: the suffix is neither `.csv` nor `.parquet`.

    """
    if suffix not in (".csv", ".parquet"):
        raise StoreError(f"Cannot export to {suffix!r}; expected .jsonl, .csv or .parquet.")
    records = [record for ranking in rankings for record in _table_rows(ranking, sources)]
    return _to_csv(records) if suffix == ".csv" else _to_parquet(records)


def decode_rankings(path: Path) -> list[tuple[str, Ranking]]:
    """(where it was found, ranking) of a file that `encode_rankings` wrote.

    Raises:
        StoreError: the file is malformed.

    """
    if path.suffix not in (".csv", ".parquet"):
        raise StoreError(f"Cannot import {path.name}; expected .jsonl, .csv or .parquet.")
    records = _from_csv(path) if path.suffix == ".csv" else _from_parquet(path)
    groups: dict[str, tuple[int, list[dict[str, Any]]]] = {}
    for number, record in enumerate(records, start=2):
        groups.setdefault(str(record["key"]), (number, []))[1].append(record)
    found = []
    for number, members in groups.values():
        where = f"row {number}"
        try:
            found.append((where, _parse_ranking(members)))
        except (FeedbackError, ValueError, TypeError) as error:
            raise StoreError(f"{path.name}, {where}: {error}") from error
    return found


def _table_rows(ranking: Ranking, sources: dict[str, str]) -> list[dict[str, Any]]:
    shared = {name: getattr(ranking, name) for name in _PER_RANKING}
    shared["created"] = t.timestamp(ranking.created)
    return [
        {**shared, **panel, "source": sources.get(panel["episode"], "")}
        for panel in panel_rows(ranking, 0)
    ]


def _parse_ranking(members: list[dict[str, Any]]) -> Ranking:
    members = sorted(members, key=lambda record: int(record["panel"]))
    if [record["panel"] for record in members] != list(range(len(members))):
        raise FeedbackError(
            f"the rows with key {members[0]['key']!r} are not panels 0 to {len(members) - 1}: "
            "some are missing or there twice."
        )
    shared: dict[str, Any] = {name: members[0][name] for name in _PER_RANKING}
    if any(record[name] != shared[name] for record in members for name in _PER_RANKING):
        raise FeedbackError(f"rows with key {shared['key']!r} disagree about the answer.")
    seconds = shared.pop("seconds")
    created = t.parse_timestamp(shared.pop("created"))
    texts: dict[str, Any] = {name: value or "" for name, value in shared.items()}
    return Ranking(
        **texts,
        created=created,
        seconds=None if seconds in (None, "") else float(seconds),
        episodes=tuple(record["episode"] for record in members),
        ranks=tuple(record["rank"] for record in members if record["rank"] is not None),
        ratings=tuple(record["rating"] for record in members),
    )


def _to_csv(records: list[dict[str, Any]]) -> bytes:
    """CSV that a spreadsheet cannot execute: text that looks like a formula gets a quote."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    for record in records:
        writer.writerow({name: defused(record[name]) for name in _COLUMNS})
    return text.getvalue().encode()


def _from_csv(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, reader.fieldnames or ())
            return [
                _typed_cells(path, number, record) for number, record in enumerate(reader, start=2)
            ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise StoreError(f"{path.name} is not a CSV file in UTF-8: {error}.") from error


def _typed_cells(path: Path, number: int, record: dict[str, Any]) -> dict[str, Any]:
    if None in record or None in record.values():
        raise StoreError(f"{path.name}, row {number}: expected {len(record)} cells, one a column.")
    values: dict[str, Any] = {name: undefused(record.get(name, "")) for name in _COLUMNS}
    for name in _WHOLE_NUMBERS:
        text = values[name]
        try:
            values[name] = int(text) if text else None
        except ValueError as error:
            raise StoreError(
                f"{path.name}, row {number}: {name} is {text[:40]!r}; expected a whole number."
            ) from error
    return values


def _check_columns(path: Path, found: Any) -> None:
    if missing := [name for name in _COLUMNS if name != "source" and name not in found]:
        raise StoreError(f"{path.name} lacks the columns {', '.join(missing)}.")


def _to_parquet(records: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"seconds": pa.float64(), **dict.fromkeys(_WHOLE_NUMBERS, pa.int32())}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, write_page_checksum=True)
    return sink.getvalue()


def _bounded_records(path: Path, file: Any) -> list[dict[str, Any]]:
    """The rows, read in parts: a small file can say "the same text, millions of times"."""
    if file.metadata.num_rows > _MOST_ROWS:
        raise StoreError(
            f"{path.name} has {file.metadata.num_rows:,} rows; at most {_MOST_ROWS:,} are read. "
            "Split it, or use .jsonl."
        )
    records: list[dict[str, Any]] = []
    size = 0
    for batch in file.iter_batches(_BATCH, columns=list(_COLUMNS)):
        size += batch.nbytes
        if size > _MOST_BYTES:
            raise StoreError(
                f"{path.name} holds more than {_MOST_BYTES / 2**20:,.0f} MB when unpacked."
            )
        records += batch.to_pylist()
    return records


def _from_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            _check_columns(path, schema.names)
            kinds = {name: str(schema.field(name).type) for name in _COLUMNS if name != "source"}
            records = _bounded_records(path, file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{path.name} is not a readable Parquet file: {error}.") from error
    for name, kind in kinds.items():
        expected = (
            ("int",)
            if name in _WHOLE_NUMBERS
            else ("double",)
            if name == "seconds"
            else ("string", "large_string")
        )
        if not kind.startswith(expected) and kind != "null":
            raise StoreError(f"{path.name}: column {name} is {kind}; expected {expected[0]}.")
    return records
