"""Triggers that refuse to change or delete what was said: made by migrations, checked by verify."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

_GUARDED = ("rankings", "ranking_episodes", "journal", "queries", "query_episodes", "trials")
_ACTIONS = ("UPDATE", "DELETE")


def guard(connection: Connection, tables: Iterable[str]) -> None:
    """Make these tables append-only; PostgreSQL's function is there since schema 0002."""
    for table in tables:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text(
                    f"CREATE TRIGGER append_only_{table} BEFORE UPDATE OR DELETE OR TRUNCATE "
                    f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
                )
            )
            continue
        for action in _ACTIONS:
            connection.execute(text(_sqlite_trigger(table, action)))


def missing_guards(connection: Connection) -> list[str]:
    """Sentences about guards that are gone, switched off or say something else."""
    found = _found(connection)
    wanted = (
        {f"append_only_{table}": "" for table in _GUARDED}
        if connection.dialect.name == "postgresql"
        else {
            f"append_only_{table}_{action.lower()}": _sqlite_trigger(table, action)
            for table in _GUARDED
            for action in _ACTIONS
        }
    )
    return [
        f"The trigger {name}, which keeps rows from being changed, is missing or was altered."
        for name, sql in wanted.items()
        if found.get(name) != sql
    ]


def _found(connection: Connection) -> dict[str, str]:
    """Statement of each trigger by name; on PostgreSQL "" for those that are switched on."""
    if connection.dialect.name == "postgresql":
        rows = connection.execute(
            text(
                "SELECT tgname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
                "WHERE tgenabled IN ('O', 'A') AND proname = 'append_only' "
                "AND prosrc LIKE '%RAISE EXCEPTION%'"
            )
        )
        return {str(row[0]): "" for row in rows}
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return {str(row[0]): str(row[1]) for row in rows}


def _sqlite_trigger(table: str, action: str) -> str:
    return (
        f"CREATE TRIGGER append_only_{table}_{action.lower()} BEFORE {action} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'feedback is append-only'); END"
    )
