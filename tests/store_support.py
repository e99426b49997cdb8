"""Episodes and databases for the tests of the store; the fixtures are in store_fixtures.py."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from tradinghf.episodes import Episode


def make_episode(seed: int, source: str = "sma", bars: int = 16, start: int = 0) -> Episode:
    """An episode of one market window; equal arguments, equal episode."""
    market = np.random.default_rng(start)
    close = 100 * np.exp(np.cumsum(market.normal(0, 0.01, bars + 1)))
    trader = np.random.default_rng([seed, 1])
    equity = np.exp(np.concatenate([[0.0], np.cumsum(trader.normal(0, 0.01, bars))]))
    days = np.arange(bars + 1) * np.timedelta64(1, "D")
    return Episode(
        open=close,
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=np.ones(bars + 1),
        timestamps=np.datetime64("2020-01-01", "ns") + days,
        position=trader.uniform(-1, 1, bars),
        equity=equity,
        turnover=np.abs(trader.normal(size=bars)),
        costs=np.full(bars, 1e-4),
        price=np.full(bars, np.nan),
        symbol="AAA",
        market="ab" * 32,
        start=start,
        source=source,
        meta={"seed": seed},
    )


def postgres_url(socket: str, folder: Path, template: str = "template1") -> str:
    """URL of a new database, a copy of `template`, with its episode files in `folder`."""
    name = f"t{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(f"postgresql+psycopg://tradinghf@/postgres?host={socket}")
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    server.dispose()
    return f"postgresql://tradinghf@/{name}?host={socket}&folder={folder}"
