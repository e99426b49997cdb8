"""Episodes and databases for the tests of the store; the fixtures are in store_fixtures.py."""

from __future__ import annotations

from drills.samples import make_episode
from drills.server import postgres_url

__all__ = ["make_episode", "postgres_url"]
