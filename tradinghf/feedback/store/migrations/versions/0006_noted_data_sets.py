"""Data sets in the journal too: who could move a version to another set would open its seals."""

from __future__ import annotations

from alembic import op

from tradinghf.feedback.store._guards import guard
from tradinghf.feedback.store._journal import MARKET_KINDS, record_kinds

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Note what is known of data sets, then forbid changing versions and members of them."""
    record_kinds(op.get_bind(), MARKET_KINDS)
    guard(op.get_bind(), ("market_versions", "market_members"))
