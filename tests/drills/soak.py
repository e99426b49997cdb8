"""Drill of long use: everything over and over, while memory, files and threads are counted."""

from __future__ import annotations

import json
import os
import resource
import time
from functools import partial
from pathlib import Path

from drills.core import Outcome, Say, Tell, in_child
from drills.samples import answer, fill_store
from tradinghf.config import EnvConfig
from tradinghf.feedback.store import Store
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Stream, sparse_pnl
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

WARM_UP = 0.3  # share of the time after which growth counts
MOST_GROWTH = 32.0  # [MiB]


def soak(work: Path, seconds: int, say: Say) -> Outcome:
    """Work for `seconds` [s]; nothing may grow after the first third."""
    code, lines = in_child(partial(_work, work, seconds))
    if code or not lines:
        return Outcome(1, (f"the work ended with code {code}",))
    found = json.loads(lines[-1])
    problems = list(found.pop("problems"))
    say(json.dumps(found))
    if found["memory_growth"] > MOST_GROWTH:
        problems.append(f"memory grew by {found['memory_growth']} MiB")
    grown = [what for what in ("files", "threads") if found[f"{what}_growth"] > 0]
    problems += [f"{what} grew by {found[f'{what}_growth']}" for what in grown]
    rounds = int(found["rounds"])
    return Outcome(rounds, tuple(problems), found)


def _work(work: Path, seconds: int, tell: Tell) -> None:
    ids = fill_store(work / "store")
    market = synthetic(seed=1, bars=300, assets=2)
    env = MarketEnv(market, num_envs=16, config=EnvConfig(horizon=16, lookback=2))
    agent = PPO(env, {"pnl": Stream(sparse_pnl)}, PPOConfig(hidden=(16,), minibatches=2), seed=5)
    run = RunDirectory(work / "run")
    began, rounds = time.monotonic(), 0
    before: dict[str, float] = {}
    problems: list[str] = []
    with Store(work / "store") as store:
        while (spent := time.monotonic() - began) < seconds or not before:
            rounds += 1
            store.submit(answer(ids, "ann", rounds))
            store.next_query("bob")
            store.rankings("nobody")
            with Store(work / "store") as second:
                second.health()
            run.log(agent.train(1, total=10**6)[0])
            run.save(agent.iteration, agent.state())
            if not before and spent > WARM_UP * seconds and rounds > 3:
                before = _counts()
        after = _counts()
        problems += store.verify().problems
        stored = len(store.rankings("ann"))
    if stored != rounds:
        problems.append(f"{stored} answers are stored; expected {rounds}")
    growth = {f"{name}_growth": round(after[name] - before[name], 1) for name in after}
    tell(json.dumps({"rounds": rounds, "seconds": seconds, **growth, "problems": problems}))


def _counts() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "memory": pages * resource.getpagesize() / 2**20,
    }
