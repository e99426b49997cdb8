"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from tradinghf.feedback.store.backup import restore
from tradinghf.feedback.store.episodes import EpisodeInfo
from tradinghf.feedback.store.store import Store
from tradinghf.feedback.store.verification import Verification

__all__ = ["EpisodeInfo", "Store", "Verification", "restore"]
