"""Small made-up things to break: episodes, answers, stores."""

from __future__ import annotations

import os
from collections import Counter

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store

EPISODES = 9


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


def fill_store(target: str | os.PathLike[str]) -> list[str]:
    """A new store with episodes and queries of two; returns the ids of the episodes."""
    with Store(target) as store:
        ids = store.add_episodes(make_episode(i, "abc"[i % 3]) for i in range(EPISODES))
        store.add_queries(Query.of(ids[i : i + 2]) for i in range(EPISODES - 1))
    return ids


def answer(ids: list[str], rater: str, index: int) -> Ranking:
    """The rater's answer number `index`; equal arguments, equal answer."""
    pair = (ids[index % EPISODES], ids[(index + 1) % EPISODES])
    return Ranking(f"{rater}:{index}", pair, (1 + index % 2, 2 - index % 2), rater=rater)


def flawed(target: str | os.PathLike[str], wanted: set[str], allowed: set[str]) -> list[str]:
    """What is wrong with the answers of a store: lost, stored twice, half, unknown, altered.

    Args:
        target: the store.
        wanted: keys that were acknowledged.
        allowed: keys that were sent; some may have been stored without an acknowledgement.

    """
    with Store(target) as store:
        stored = store.rankings(include_superseded=True)
        found = store.verify()
    keys = [ranking.key for ranking in stored]
    problems = [f"acknowledged answer {key} is lost" for key in sorted(wanted - set(keys))]
    problems += [f"answer {key} was never sent" for key in sorted(set(keys) - allowed)]
    problems += [f"answer {key} is stored {n} times" for key, n in Counter(keys).items() if n > 1]
    problems += [f"answer {r.key} is half" for r in stored if len(r.episodes) != 2]
    return problems + list(found.problems)
