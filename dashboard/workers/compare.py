"""`python compare.py STORE DATA WINDOWS SEED POLICY POLICY...`: blind queries between policies.

A process of its own: it loads torch, which the dashboard must not. Every policy trades the same
windows; traders then rank them on the page Rank without knowing which is which.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tradinghf.evaluation import open_bars
from tradinghf.feedback import Query
from tradinghf.feedback.store import Store
from tradinghf.learning.policy import Policy
from tradinghf.loop import Actor, collect
from tradinghf.simulation import MarketEnv, random_windows


def main(store_name: str, data: str, windows: str, seed: str, *policies: str) -> None:
    """Record and queue."""
    market = open_bars(data, store=store_name, notify=print)
    loaded = [Policy.load(path) for path in policies]
    config = loaded[0].config
    names = [f"policy:{Path(path).parent.name}" for path in policies]
    actors = [Actor(name, policy=policy) for name, policy in zip(names, loaded, strict=True)]
    places = random_windows(market, config, int(windows), int(seed))
    env = MarketEnv(market, num_envs=len(places), config=config, scaler=loaded[0].scaler)
    rows = collect(market, actors, places, env=env, seed=int(seed))
    # Where all do the same there is nothing to compare.
    different = [row for row in rows if len({e.position.tobytes() for e in row}) == len(row)]
    with Store(store_name) as store:
        queries = [Query.of(store.add_episodes(row), purpose="test") for row in different]
        new = store.add_queries(queries)
    print(f"{new} new queries; in {len(rows) - len(different)} windows all traded alike.")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
