"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use

if TYPE_CHECKING:
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

__getattr__ = on_first_use(
    __name__,
    {
        "is_backup": "tradinghf.feedback.store._backup",
        "restore": "tradinghf.feedback.store._backup",
        "verify_backup": "tradinghf.feedback.store._backup",
        "abandoned_drafts": "tradinghf.feedback.store._drafts",
        "remove_drafts": "tradinghf.feedback.store._drafts",
        "Location": "tradinghf.feedback.store._engine",
        "connect": "tradinghf.feedback.store._engine",
        "locate": "tradinghf.feedback.store._engine",
        "EpisodeInfo": "tradinghf.feedback.store._episodes",
        "migrate": "tradinghf.feedback.store._migrate",
        "newest": "tradinghf.feedback.store._migrate",
        "scripts": "tradinghf.feedback.store._migrate",
        "audit": "tradinghf.feedback.store._schema",
        "metadata": "tradinghf.feedback.store._schema",
        "users": "tradinghf.feedback.store._schema",
        "next_seq": "tradinghf.feedback.store._statements",
        "Store": "tradinghf.feedback.store._store",
        "Verification": "tradinghf.feedback.store._verification",
    },
)
