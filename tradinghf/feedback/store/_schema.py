"""The tables at the newest schema; `migrations/` leads there from every older one.

Times are ISO 8601 text in UTC with microseconds: they sort as text, and read the same from SQLite,
PostgreSQL and the hash chain.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from tradinghf.feedback.store._chain import GENESIS

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
FIRST_YEAR, LAST_YEAR = 1990, 2199
"""Years in which an answer can have been given; others come from broken clocks or forged files."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

episodes = Table(
    "episodes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("seq", Integer, nullable=False, unique=True),
    Column("source", Text, nullable=False, index=True),
    Column("market", String(64), nullable=False),
    Column("symbol", Text, nullable=False),
    Column("start", Integer, nullable=False),
    Column("bars", Integer, nullable=False),
    Column("net_return", Float, nullable=False),
    Column("max_drawdown", Float, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created", String(32), nullable=False),
    Index("ix_episodes_window", "market", "symbol", "start", "bars"),
)

queries = Table(
    "queries",
    metadata,
    Column("id", String(100), primary_key=True),
    Column("seq", Integer, nullable=False, unique=True),
    Column("purpose", String(16), nullable=False),
    Column("round", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("group", String(32), nullable=False, index=True),
    Column("created", String(32), nullable=False),
    Column("raters", Integer),
)

query_episodes = Table(
    "query_episodes",
    metadata,
    Column("query", String(100), ForeignKey("queries.id"), primary_key=True),
    Column("panel", Integer, primary_key=True),
    Column("episode", String(64), ForeignKey("episodes.id"), nullable=False),
    Column("answer", Integer),
    UniqueConstraint("query", "episode"),
)

rankings = Table(
    "rankings",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("key", String(100), nullable=False, unique=True),
    Column("query", String(100), ForeignKey("queries.id")),
    Column("group", String(32), nullable=False),
    Column("rater", String(100), nullable=False),
    Column("session", String(100), nullable=False),
    Column("created", String(32), nullable=False),
    Column("received", String(32), nullable=False),
    Column("seconds", Float),
    Column("outcome", String(16), nullable=False),
    Column("comment", Text, nullable=False),
    Column("supersedes", String(100), ForeignKey("rankings.key"), unique=True),
    Column("chain", String(64), nullable=False, server_default=GENESIS),
    Index("ix_rankings_rater", "rater", "group"),
    Index("ix_rankings_query", "query"),
)

ranking_episodes = Table(
    "ranking_episodes",
    metadata,
    Column("ranking", Integer, ForeignKey("rankings.seq"), primary_key=True),
    Column("panel", Integer, primary_key=True),
    Column("episode", String(64), ForeignKey("episodes.id"), nullable=False),
    Column("rank", Integer),
    Column("rating", Integer),
    UniqueConstraint("ranking", "episode"),
    CheckConstraint("rank >= 1", name="rank"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),
)

serves = Table(
    "serves",
    metadata,
    Column("query", String(100), ForeignKey("queries.id"), primary_key=True),
    Column("rater", String(100), primary_key=True),
    Column("session", String(100), nullable=False),
    Column("served", String(32), nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("market", String(64), nullable=False, index=True),
    Column("params", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

# Data sets by what they hold (`_data_sets`): versions of one, the assets in it, their bars' traces.
market_versions = Table(
    "market_versions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("data_set", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("first", String(40), nullable=False),
    Column("last", String(40), nullable=False),
    Column("said", Text, nullable=False),
    Column("created", String(32), nullable=False),
)

market_assets = Table(
    "market_assets",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("symbol", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("trace", LargeBinary, nullable=False),
)

market_members = Table(
    "market_members",
    metadata,
    Column("data_set", String(64), primary_key=True),
    Column("asset", Integer, ForeignKey("market_assets.seq"), primary_key=True, index=True),
)

# What was written to the other tables, in order: see `_journal`.
journal = Table(
    "journal",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("chain", String(64), nullable=False),
)

# Who signs in to the dashboard (`tradinghf.serving.UserAccounts`); here, so that backups hold them.
users = Table(
    "dashboard_users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("locked_until", String(32), nullable=False),
    Column("changed", String(32), nullable=False),
    Column("active", Integer, nullable=False),
)

audit = Table(
    "dashboard_audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("who", String(100), nullable=False),
    Column("what", String(40), nullable=False),
    Column("detail", Text, nullable=False),
)


def timestamp(moment: datetime) -> str:
    """A time as the tables hold it; the year always has four digits, so that times sort as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def timestamp_now() -> str:
    """The present as the tables hold it."""
    return timestamp(datetime.now(UTC))


def parse_timestamp(text: str) -> datetime:
    """Reverse of `timestamp`.

    Raises:
        ValueError: not a time in this format.

    """
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)


def plausible(moment: datetime) -> bool:
    """Whether an answer can have been given then."""
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def answered_at(created: str, received: str) -> datetime:
    """When an answer was given; when its store took it, where the row says something impossible.

    Earlier versions imported years such as 0999, and wrote them without the zero.
    """
    try:
        moment = parse_timestamp(created)
    except ValueError:
        moment = None
    return moment if moment and plausible(moment) else parse_timestamp(received)
