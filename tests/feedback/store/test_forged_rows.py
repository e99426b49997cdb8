"""Every value of every table changed by hand, every row deleted, rows put in: verify sees it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.store import make_episode

from tradinghf.errors import StoreError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.feedback.store._schema import metadata
from tradinghf.market import synthetic
from tradinghf.serving import UserAccounts

pytestmark = pytest.mark.slow
MARKET = synthetic(seed=1, bars=60, assets=2)
# What docs/store.md says is not in a chain; the rest of an episode's row is in its file.
NOT_NOTED = {
    ("episodes", "seq"),
    ("episodes", "created"),
    ("dashboard_users", "failures"),
    ("dashboard_users", "locked_until"),
}
NOT_NOTED |= {("serves", column.name) for column in metadata.tables["serves"].columns}
TABLES = sorted(set(metadata.tables) - {"serves"})
COLUMNS = [
    (table, column.name)
    for table in TABLES
    for column in metadata.tables[table].columns
    if (table, column.name) not in NOT_NOTED
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with rows in every table."""
    folder = tmp_path_factory.mktemp("forged") / "store"
    with Store(folder) as store:
        ids = store.add_episodes(make_episode(i, "abc"[i % 3], start=i // 3) for i in range(6))
        gold = Query.of(ids[3:], purpose="gold", answer=(1, 2, 3))
        store.add_queries([Query.of(ids[:3]), gold], raters=2)
        query = store.next_query("ann", "monday")
        assert query is not None
        first = Ranking("key-1", query.episodes, (1, 2, 2), query=query.id, rater="ann")
        store.submit(first)
        store.submit(Ranking("key-2", query.episodes, (2, 1, 2), query=query.id, rater="ann",
                             supersedes="key-1", ratings=(5, 1, None), seconds=2.5))  # fmt: skip
        store.recognise(MARKET.rows(0, 40))
        store.recognise(MARKET)
        store.count_trial("seal", "2011-01-01", MARKET.sha256)
        UserAccounts(store).add("boss", None, "admin", by="test")
    with closing(sqlite3.connect(folder / "feedback.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert all(
            connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            for table in metadata.tables
        )
    return folder


class SameError(Exception):
    """A statement changes nothing."""


def problems(whole: Path, folder: Path, *statements: str) -> tuple[str, ...]:
    """What verify says after these statements, made where nothing guards rows or references."""
    folder.mkdir()
    shutil.copyfile(whole / "feedback.db", folder / "feedback.db")
    (folder / "episodes").symlink_to(whole / "episodes")
    with closing(sqlite3.connect(folder / "feedback.db")) as connection:
        guards = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            if not connection.execute(statement).rowcount:
                raise SameError
        for _, sql in guards:
            connection.execute(sql)
        connection.commit()
    with Store(folder) as store:
        return store.verify().problems


def other(table: str, column: str) -> str:
    """SQL of another value than a column holds, of its own kind."""
    kind = metadata.tables[table].columns[column].type.python_type
    if kind is bytes:
        return "x'ff00'"
    return f"\"{column}\" || 'x'" if kind is str else f'coalesce("{column}", 0) + 3'


def update_of_last(table: str, column: str, value: str) -> str:
    """SQL that writes a value into the last row."""
    last = f'(SELECT max(rowid) FROM "{table}")'
    return f'UPDATE "{table}" SET "{column}" = {value} WHERE rowid = {last}'


def test_a_store_that_nobody_touched_has_no_problems(whole: Path, tmp_path: Path) -> None:
    assert problems(whole, tmp_path / "s") == ()


@pytest.mark.parametrize("table", TABLES)
def test_every_value_that_was_changed_is_seen(whole: Path, tmp_path: Path, table: str) -> None:
    unseen = []
    for number, (name, column) in enumerate(COLUMNS):
        if name != table:
            continue
        change = update_of_last(table, column, other(table, column))
        try:
            found = problems(whole, tmp_path / str(number), change)
        except sqlite3.IntegrityError:  # a rating of 7: the database refuses it
            continue
        if not found:
            unseen.append(column)
    assert unseen == []


@pytest.mark.parametrize("table", TABLES)
def test_every_row_that_was_deleted_is_seen(whole: Path, tmp_path: Path, table: str) -> None:
    for end in ("min", "max"):
        change = f'DELETE FROM "{table}" WHERE rowid = (SELECT {end}(rowid) FROM "{table}")'
        assert problems(whole, tmp_path / end, change), end


@pytest.mark.parametrize("table", sorted(set(TABLES) - {"episodes"}))
def test_every_row_that_was_put_in_is_seen(whole: Path, tmp_path: Path, table: str) -> None:
    keys = [column.name for column in metadata.tables[table].primary_key]
    changed = keys[-1:] if len(keys) > 1 else keys
    unique = {"rankings": ["key", "supersedes"], "queries": ["seq"], "query_episodes": ["episode"],
              "ranking_episodes": ["episode"]}  # fmt: skip
    columns = [column.name for column in metadata.tables[table].columns]
    values = ", ".join(
        other(table, name) if name in [*changed, *unique.get(table, [])] else f'"{name}"'
        for name in columns
    )
    names = ", ".join(f'"{name}"' for name in columns)
    last = f'(SELECT max(rowid) FROM "{table}")'
    change = f'INSERT INTO "{table}" ({names}) SELECT {values} FROM "{table}" WHERE rowid = {last}'
    assert problems(whole, tmp_path / "s", change)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("value", ["'x'", "''", "x'ff00'", "1e999", "-1", "9.5", "char(0)"])
def test_values_of_another_kind_are_a_problem_or_a_sentence(
    whole: Path, tmp_path: Path, table: str, value: str
) -> None:
    """SQLite keeps text in a column of numbers, and numbers that JSON cannot hold."""
    unseen = []
    for number, (name, column) in enumerate(COLUMNS):
        if name != table:
            continue
        change = update_of_last(table, column, value)
        try:
            found = problems(
                whole, tmp_path / str(number), f'{change} AND "{column}" IS NOT {value}'
            )
        except (StoreError, SameError, sqlite3.IntegrityError):  # the last: the database refuses it
            continue
        if not found:
            unseen.append(column)
    assert unseen == []
