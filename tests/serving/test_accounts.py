"""Accounts of the dashboard live in the store's schema: older ones are kept, backups hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from support.store import make_episode, postgres_url

from tradinghf.feedback.store import Store, locate, restore
from tradinghf.feedback.store._engine import connect
from tradinghf.feedback.store._migrate import migrate
from tradinghf.serving import UserAccounts


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "store")
    return postgres_url(request.getfixturevalue("postgres"), tmp_path / "store")


def as_0002_with_accounts(target: str) -> None:
    """The two tables as `UserAccounts` once made them beside the schema, one row in each."""
    location = locate(target)
    migrate(location, to="0002")
    old = sa.MetaData()
    people = sa.Table(
        "dashboard_users",
        old,
        sa.Column("name", sa.String(64), primary_key=True),
        *(sa.Column(n, sa.Text, nullable=False) for n in ("role", "password")),
        sa.Column("failures", sa.Integer, nullable=False),
        *(sa.Column(n, sa.String(32), nullable=False) for n in ("locked_until", "changed")),
        sa.Column("active", sa.Integer, nullable=False),
    )
    trail = sa.Table(
        "dashboard_audit",
        old,
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        *(sa.Column(n, sa.Text, nullable=False) for n in ("at", "who", "what", "detail")),
    )
    engine = connect(location)
    with engine.connect().execution_options(writing=True) as connection:
        old.create_all(connection)
        person = {"name": "ann", "role": "admin", "password": "hash", "failures": 0, "active": 1}
        person |= {"locked_until": "", "changed": "2026-01-01T00:00:00+00:00"}
        connection.execute(people.insert(), [person])
        connection.execute(trail.insert(), [{"at": "t", "who": "x", "what": "y", "detail": "z"}])
        connection.commit()
    engine.dispose()


def test_accounts_that_an_older_version_made_are_kept(empty: str) -> None:
    as_0002_with_accounts(empty)
    with Store(empty) as store:
        accounts = UserAccounts(store)
        assert [(a.name, a.role) for a in accounts.everybody()] == [("ann", "admin")]
        accounts.note("ann", "looked")
        assert [line[2] for line in accounts.trail()] == ["looked", "y"]
        assert store.verify().ok


def test_a_backup_holds_the_accounts_and_they_come_back(target: str, tmp_path: Path) -> None:
    with Store(target) as store:
        store.add_episodes([make_episode(0)])
        accounts = UserAccounts(store)
        accounts.add("ann", None, "admin", by="test")
        store.backup(tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    with Store(tmp_path / "again") as store:
        accounts = UserAccounts(store)
        assert [a.name for a in accounts.everybody()] == ["ann"]
        accounts.note("ann", "back")
        assert [line[2] for line in accounts.trail()] == ["back", "add user"]


def test_a_desk_moves_to_a_server_with_its_accounts(postgres: str, tmp_path: Path) -> None:
    with Store(tmp_path / "file") as store:
        store.add_episodes([make_episode(0)])
        UserAccounts(store).add("ann", None, "admin", by="test")
        store.backup(tmp_path / "copy")
    server = postgres_url(postgres, tmp_path / "server")
    restore(tmp_path / "copy", server)
    with Store(server) as store:
        accounts = UserAccounts(store)
        accounts.note("ann", "moved")
        assert [line[2] for line in accounts.trail()] == ["moved", "add user"]
