"""Triggers that refuse to change or delete what was said: made by migrations, checked by verify.

Whoever can write to the database can also put triggers, rules or views of their own into it: one
that skips rows would drop answers which the writer believes stored. A store has none but these.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from tradinghf.feedback.store._schema import metadata

_GUARDED = (
    "rankings", "ranking_episodes", "journal", "queries", "query_episodes", "trials",
    "market_versions", "market_members",
)  # fmt: skip
_ACTIONS = ("UPDATE", "DELETE")
_FUNCTION = "BEGIN RAISE EXCEPTION 'feedback is append-only'; END"
_STATEMENT = 2 + 8 + 16 + 32  # pg_trigger.tgtype: before, delete, update, truncate


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


def wrong_guards(connection: Connection) -> list[str]:
    """Sentences about guards that are gone or altered, and about what else meddles with rows."""
    postgres = connection.dialect.name == "postgresql"
    found = _server_triggers(connection) if postgres else _sqlite_triggers(connection)
    wanted = (
        {f"append_only_{table}": f"{table} {_STATEMENT} O {_FUNCTION}" for table in _GUARDED}
        if postgres
        else {
            f"append_only_{table}_{action.lower()}": _sqlite_trigger(table, action)
            for table in _GUARDED
            for action in _ACTIONS
        }
    )
    strange = [f"trigger {name!r}" for name in found if name not in wanted]
    strange += _server_rules(connection) if postgres else _sqlite_views(connection)
    return [
        f"The trigger {name}, which keeps rows from being changed, is missing or was altered."
        for name, sql in wanted.items()
        if found.get(name) != sql
    ] + [
        f"The {what} in the database is none of a store's: it may change, hide or drop what is "
        "stored. Find out who made it, and restore a backup."
        for what in strange
    ]


def _sqlite_triggers(connection: Connection) -> dict[str, str]:
    """Statement of each trigger by name."""
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return {str(row[0]): str(row[1]) for row in rows}


def _sqlite_views(connection: Connection) -> list[str]:
    rows = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'view'"))
    return [f"view {row[0]!r}" for row in rows]


def _server_triggers(connection: Connection) -> dict[str, str]:
    """Table, kind, state and function of each trigger on the store's tables, by name."""
    rows = connection.execute(
        text(
            "SELECT tgname, relname, tgtype, tgenabled, proname, trim(prosrc), tgqual IS NULL "
            "FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "JOIN pg_proc ON pg_proc.oid = tgfoid "
            "WHERE NOT tgisinternal AND pg_table_is_visible(tgrelid) AND relname = ANY(:ours)"
        ),
        {"ours": list(metadata.tables)},
    )
    return {
        f"{row[0]}" if row[0] == f"append_only_{row[1]}" else f"{row[0]} of {row[1]}": (
            f"{row[1]} {row[2]} {_enabled(row[3])} {row[5]}"
            if row[4] == "append_only" and row[6]
            else "another function or condition"
        )
        for row in rows
    }


def _enabled(state: object) -> str:
    """O for a trigger that is on, in any spelling of the driver."""
    plain = state.decode() if isinstance(state, bytes) else str(state)
    return "O" if plain in ("O", "A") else plain


def _server_rules(connection: Connection) -> list[str]:
    """Rules, row security and views in place of the store's tables."""
    rules = text(
        "SELECT rulename, tablename FROM pg_rules WHERE tablename = ANY(:ours) UNION ALL "
        "SELECT policyname, tablename FROM pg_policies WHERE tablename = ANY(:ours) UNION ALL "
        "SELECT 'kind ' || relkind::text, relname FROM pg_class WHERE relname = ANY(:ours) "
        "AND pg_table_is_visible(oid) AND (relkind <> 'r' OR relrowsecurity)"
    )
    rows = connection.execute(rules, {"ours": list(metadata.tables)})
    return [f"rule {row[0]!r} of {row[1]!r}" for row in rows]


def _sqlite_trigger(table: str, action: str) -> str:
    return (
        f"CREATE TRIGGER append_only_{table}_{action.lower()} BEFORE {action} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, 'feedback is append-only'); END"
    )
