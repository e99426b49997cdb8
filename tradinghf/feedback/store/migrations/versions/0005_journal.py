"""The journal of what is written, and guards over questions and counted backtests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from tradinghf.feedback.store._guards import guard
from tradinghf.feedback.store._journal import FIRST_KINDS, record_kinds

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the journal, note what is there, then forbid changing it."""
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("chain", sa.String(64), nullable=False),
    )
    record_kinds(op.get_bind(), FIRST_KINDS)
    guard(op.get_bind(), ("journal", "queries", "query_episodes", "trials"))
