"""`python compare.py STORE DATA WINDOWS SEED NAME NAME... [--start DAY]`: blind questions.

A process of its own: it loads torch, which the dashboard must not. Every policy (a run) and every
strategy trades the same windows; traders then rank them on the page Rank without knowing which
is which.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tradinghf.config import EnvConfig
from tradinghf.errors import TradingHFError
from tradinghf.evaluation import open_bars
from tradinghf.feedback import Query
from tradinghf.feedback.store import Store
from tradinghf.learning.policy import Policy
from tradinghf.loop import Actor, collect, load_contender, own_actors, strategy_actor
from tradinghf.market import MarketData
from tradinghf.simulation import MarketEnv, random_windows
from tradinghf.strategies import Strategy


def actor(name: str, contender: Policy | Strategy, market: MarketData) -> Actor:
    """Who trades: a policy's best action under the name of its run, or a strategy."""
    if isinstance(contender, Policy):
        return own_actors(Path(name).name, contender)[0]
    return strategy_actor(contender, market)


def main(store_name: str, data: str, windows: str, seed: str, *names: str) -> None:
    """Record and queue; after --start, on windows from that day on alone."""
    start = names[names.index("--start") + 1] if "--start" in names else None
    names = names[: names.index("--start")] if start else names
    market = open_bars(data, start, store=store_name, notify=print)
    contenders = {name: load_contender(name) for name in names}
    policies = [x for x in contenders.values() if isinstance(x, Policy)]
    config = policies[0].config if policies else EnvConfig()
    actors = [actor(name, contender, market) for name, contender in contenders.items()]
    places = random_windows(market, config, int(windows), int(seed))
    scaler = policies[0].scaler if policies else None
    env = MarketEnv(market, num_envs=len(places), config=config, scaler=scaler)
    rows = collect(market, actors, places, env=env, seed=int(seed))
    # Where all do the same there is nothing to compare.
    different = [row for row in rows if len({e.position.tobytes() for e in row}) == len(row)]
    note = " / ".join(Path(name).name for name in names)
    with Store(store_name) as store:
        queries = [
            Query.of(store.add_episodes(row), purpose="test", note=note) for row in different
        ]
        new = store.add_queries(queries)
    alike = len(rows) - len(different)
    more = f"; in {alike} windows all traded alike" if alike else ""
    print(f"{new} new questions{more}.")  # noqa: T201


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TradingHFError as error:
        sys.exit(str(error))
