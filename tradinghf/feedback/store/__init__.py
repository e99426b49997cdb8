"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from tradinghf.feedback.store.audit import Verification
from tradinghf.feedback.store.backup import restore
from tradinghf.feedback.store.core import Store
from tradinghf.feedback.store.rows import EpisodeInfo

__all__ = ["EpisodeInfo", "Store", "Verification", "restore"]
