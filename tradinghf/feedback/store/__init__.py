"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from __future__ import annotations

from tradinghf.feedback.store._backup import is_backup, restore, verify_backup
from tradinghf.feedback.store._drafts import abandoned_drafts, remove_drafts
from tradinghf.feedback.store._engine import Location, connect, locate
from tradinghf.feedback.store._episodes import EpisodeInfo
from tradinghf.feedback.store._migrate import migrate, newest, scripts
from tradinghf.feedback.store._schema import audit, metadata, users
from tradinghf.feedback.store._statements import next_seq
from tradinghf.feedback.store._store import Store
from tradinghf.feedback.store._verification import Verification

__all__ = [
    "EpisodeInfo",
    "Location",
    "Store",
    "Verification",
    "abandoned_drafts",
    "audit",
    "connect",
    "is_backup",
    "locate",
    "metadata",
    "migrate",
    "newest",
    "next_seq",
    "remove_drafts",
    "restore",
    "scripts",
    "users",
    "verify_backup",
]
