"""Stores to test on: SQLite, and a throw-away PostgreSQL where its programs are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drills.core import NotHereError
from drills.server import postgres as server_of_our_own
from sqlalchemy.engine import make_url
from support.store import make_episode, postgres_url

from tradinghf.feedback.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Socket folder of a PostgreSQL server of our own; no network, gone afterwards."""
    try:
        server = server_of_our_own()
        folder = server.__enter__()
    except NotHereError as error:
        pytest.skip(f"POSTGRESQL IS NOT TESTED: {error}")
    try:
        yield folder
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def migrated(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with an empty store, to be copied: cheaper than migrating each time."""
    url = postgres_url(postgres, tmp_path_factory.mktemp("template"))
    Store(url).close()
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty store is or can be made, on each database in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "store")
    template = request.getfixturevalue("migrated")
    return postgres_url(request.getfixturevalue("postgres"), tmp_path / "store", template)


@pytest.fixture
def store(target: str) -> Iterator[Store]:
    """An empty store."""
    with Store(target) as opened:
        yield opened


@pytest.fixture
def ids(store: Store) -> list[str]:
    """Nine stored episodes of three sources, ids in order."""
    return store.add_episodes(make_episode(i, "abc"[i % 3]) for i in range(9))
