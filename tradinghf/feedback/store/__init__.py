"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use

if TYPE_CHECKING:
    from tradinghf.feedback.store._backup import is_backup, restore, verify_backup
    from tradinghf.feedback.store._data_sets import DataSet
    from tradinghf.feedback.store._drafts import abandoned_drafts, remove_drafts
    from tradinghf.feedback.store._engine import Location, locate
    from tradinghf.feedback.store._episodes import EpisodeInfo
    from tradinghf.feedback.store._journal import note_in_journal
    from tradinghf.feedback.store._rankings import raters_who_look_like
    from tradinghf.feedback.store._schema import audit, rankings, users
    from tradinghf.feedback.store._statements import next_seq
    from tradinghf.feedback.store._store import Store


__all__ = [
    "DataSet",
    "EpisodeInfo",
    "Location",
    "Store",
    "abandoned_drafts",
    "audit",
    "is_backup",
    "locate",
    "next_seq",
    "note_in_journal",
    "rankings",
    "raters_who_look_like",
    "remove_drafts",
    "restore",
    "users",
    "verify_backup",
]

__getattr__ = on_first_use(
    __name__,
    {
        "is_backup": "tradinghf.feedback.store._backup",
        "restore": "tradinghf.feedback.store._backup",
        "verify_backup": "tradinghf.feedback.store._backup",
        "DataSet": "tradinghf.feedback.store._data_sets",
        "abandoned_drafts": "tradinghf.feedback.store._drafts",
        "remove_drafts": "tradinghf.feedback.store._drafts",
        "Location": "tradinghf.feedback.store._engine",
        "locate": "tradinghf.feedback.store._engine",
        "EpisodeInfo": "tradinghf.feedback.store._episodes",
        "note_in_journal": "tradinghf.feedback.store._journal",
        "raters_who_look_like": "tradinghf.feedback.store._rankings",
        "audit": "tradinghf.feedback.store._schema",
        "rankings": "tradinghf.feedback.store._schema",
        "users": "tradinghf.feedback.store._schema",
        "next_seq": "tradinghf.feedback.store._statements",
        "Store": "tradinghf.feedback.store._store",
    },
)
