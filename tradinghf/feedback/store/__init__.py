"""The feedback store: SQLite by default, PostgreSQL by URL; see docs/store.md."""

from tradinghf.feedback.store.core import Store
from tradinghf.feedback.store.rows import EpisodeInfo

__all__ = ["EpisodeInfo", "Store"]
