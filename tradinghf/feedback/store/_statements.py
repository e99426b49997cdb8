"""Pieces of SQL statements that several tables need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Table, func, select

_MOST = 500  # values of one IN (...), far below every database's limit on parameters


def rows_in(
    connection: Connection, statement: Select[Any], column: Column[Any], values: Iterable[Any]
) -> list[Row[Any]]:
    """Rows of the statement whose column holds one of the values; asked for some at a time."""
    distinct = list(dict.fromkeys(values))
    return [
        row
        for i in range(0, len(distinct), _MOST)
        for row in connection.execute(statement.where(column.in_(distinct[i : i + _MOST])))
    ]


def stored(connection: Connection, column: Column[Any], values: Iterable[Any]) -> set[Any]:
    """Those of the values that the column holds."""
    return {row[0] for row in rows_in(connection, select(column), column, values)}


def panels_of(
    connection: Connection, owner: Column[Any], owners: Iterable[Any]
) -> dict[Any, list[Row[Any]]]:
    """Rows of a table of panels in their order, by the query or ranking that `owner` names."""
    panels: dict[Any, list[Row[Any]]] = defaultdict(list)
    statement = select(owner.table).order_by(owner, owner.table.c.panel)
    for row in rows_in(connection, statement, owner, owners):
        panels[row._mapping[owner]].append(row)
    return panels


def where_given(statement: Select[Any], table: Table, **values: Any) -> Select[Any]:
    """The statement for rows with these values; None stands for any value."""
    return statement.where(*(table.c[k] == v for k, v in values.items() if v is not None))


def next_seq(connection: Connection, table: Table) -> int:
    """Next sequence number; without gaps or races, as writers are alone."""
    return int(connection.scalar(select(func.max(table.c.seq))) or 0) + 1


def count_rows(connection: Connection, table: Table) -> int:
    """How many rows a table has."""
    return int(connection.scalar(select(func.count()).select_from(table)) or 0)
