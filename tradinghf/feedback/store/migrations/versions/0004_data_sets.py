"""Data sets that are known again when they grow.

Trials and seals of earlier versions name the sha256 of all bars. They stay as they are: the first
time that those bars, or more of them, are seen again, that sha256 becomes a version of the set.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of versions, assets and members."""
    op.create_table(
        "market_versions",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("data_set", sa.String(64), nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.Column("last", sa.String(40), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
    )
    op.create_table(
        "market_assets",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("symbol", sa.Text, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("trace", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "market_members",
        sa.Column("data_set", sa.String(64), primary_key=True),
        sa.Column(
            "asset",
            sa.Integer,
            sa.ForeignKey("market_assets.seq"),
            primary_key=True,
            index=True,
        ),
    )
