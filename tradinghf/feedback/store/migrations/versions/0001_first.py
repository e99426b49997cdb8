"""Episodes, queries, rankings, trials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of the first schema."""
    _episodes()
    _queries()
    _rankings()
    op.create_table(
        "trials",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("market", sa.String(64), nullable=False, index=True),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
    )


def _episodes() -> None:
    op.create_table(
        "episodes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False, unique=True),
        sa.Column("source", sa.Text, nullable=False, index=True),
        sa.Column("market", sa.String(64), nullable=False),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("bars", sa.Integer, nullable=False),
        sa.Column("net_return", sa.Float, nullable=False),
        sa.Column("max_drawdown", sa.Float, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Index("ix_episodes_window", "market", "symbol", "start", "bars"),
    )


def _queries() -> None:
    op.create_table(
        "queries",
        sa.Column("id", sa.String(100), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False, unique=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("group", sa.String(32), nullable=False, index=True),
        sa.Column("created", sa.String(32), nullable=False),
    )
    op.create_table(
        "query_episodes",
        sa.Column("query", sa.String(100), sa.ForeignKey("queries.id"), primary_key=True),
        sa.Column("panel", sa.Integer, primary_key=True),
        sa.Column("episode", sa.String(64), sa.ForeignKey("episodes.id"), nullable=False),
        sa.Column("answer", sa.Integer),
        sa.UniqueConstraint("query", "episode"),
    )


def _rankings() -> None:
    op.create_table(
        "rankings",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(100), nullable=False, unique=True),
        sa.Column("query", sa.String(100), sa.ForeignKey("queries.id")),
        sa.Column("group", sa.String(32), nullable=False),
        sa.Column("rater", sa.String(100), nullable=False),
        sa.Column("session", sa.String(100), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("received", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("supersedes", sa.String(100), sa.ForeignKey("rankings.key"), unique=True),
        sa.Index("ix_rankings_rater", "rater", "group"),
        sa.Index("ix_rankings_query", "query"),
    )
    op.create_table(
        "ranking_episodes",
        sa.Column("ranking", sa.Integer, sa.ForeignKey("rankings.seq"), primary_key=True),
        sa.Column("panel", sa.Integer, primary_key=True),
        sa.Column("episode", sa.String(64), sa.ForeignKey("episodes.id"), nullable=False),
        sa.Column("rank", sa.Integer),
        sa.Column("rating", sa.Integer),
        sa.UniqueConstraint("ranking", "episode"),
        sa.CheckConstraint("rank >= 1", name="rank"),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
    )
