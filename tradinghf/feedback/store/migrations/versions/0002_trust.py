"""Hash chain, append-only guards, how many raters a query wants, who was shown what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradinghf.feedback.store._chain import GENESIS, HASHED_COLUMNS, link

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_GUARDED = ("rankings", "ranking_episodes")


def upgrade() -> None:
    """Add the columns, chain the answers that exist, then forbid changing them."""
    op.add_column(
        "rankings", sa.Column("chain", sa.String(64), nullable=False, server_default=GENESIS)
    )
    op.add_column("queries", sa.Column("raters", sa.Integer))
    op.create_table(
        "serves",
        sa.Column("query", sa.String(100), sa.ForeignKey("queries.id"), primary_key=True),
        sa.Column("rater", sa.String(100), primary_key=True),
        sa.Column("session", sa.String(100), nullable=False),
        sa.Column("served", sa.String(32), nullable=False),
    )
    _chain_existing()
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _chain_existing() -> None:
    connection = op.get_bind()
    rankings = sa.table("rankings", *(sa.column(name) for name in (*HASHED_COLUMNS, "chain")))
    panels = sa.table(
        "ranking_episodes",
        *(sa.column(name) for name in ("ranking", "panel", "episode", "rank", "rating")),
    )
    head = GENESIS
    for row in connection.execute(sa.select(rankings).order_by(rankings.c.seq)).all():
        shown = connection.execute(
            sa.select(panels.c.episode, panels.c.rank, panels.c.rating)
            .where(panels.c.ranking == row.seq)
            .order_by(panels.c.panel)
        ).all()
        head = link(head, dict(row._mapping), [tuple(panel) for panel in shown])
        connection.execute(sa.update(rankings).where(rankings.c.seq == row.seq).values(chain=head))


def _guard_sqlite() -> None:
    for table in _GUARDED:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER append_only_{table}_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'feedback is append-only'); END"
            )


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'feedback is append-only'; END $$"
    )
    for table in _GUARDED:
        op.execute(
            f"CREATE TRIGGER append_only_{table} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
