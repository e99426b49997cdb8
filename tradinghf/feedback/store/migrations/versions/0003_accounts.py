"""People who sign in to the dashboard, and the trail of what admins did.

Earlier versions made these two tables beside the schema, whenever somebody first signed in; where
they are, they stay as they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables that are not there."""
    there = sa.inspect(op.get_bind()).get_table_names()
    if "dashboard_users" not in there:
        op.create_table(
            "dashboard_users",
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("role", sa.String(16), nullable=False),
            sa.Column("password", sa.Text, nullable=False),
            sa.Column("failures", sa.Integer, nullable=False),
            sa.Column("locked_until", sa.String(32), nullable=False),
            sa.Column("changed", sa.String(32), nullable=False),
            sa.Column("active", sa.Integer, nullable=False),
        )
    if "dashboard_audit" not in there:
        op.create_table(
            "dashboard_audit",
            sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("at", sa.String(32), nullable=False),
            sa.Column("who", sa.String(100), nullable=False),
            sa.Column("what", sa.String(40), nullable=False),
            sa.Column("detail", sa.Text, nullable=False),
        )
