"""Drill of training with several processes: one of two ranks is killed, both restart and finish.

The agent is torchrun's own (torch.distributed.launcher), on this machine, with forked ranks.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from drills.core import Child, Outcome, Say, Tell, counted
from tradinghf.config import EnvConfig
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, Metrics, Stream, sparse_pnl
from tradinghf.learning.ppo._distributed import ProcessGroup
from tradinghf.learning.runs import RunDirectory
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

RANKS, HORIZON, ENVS, ITERATIONS = 2, 16, 8, 12
RESTARTS = 2
PATIENCE = 60.0  # [s] after which a rank that hangs fails the drill


def train_rank(folder: str) -> None:
    """One rank: continue from the newest checkpoint, save after every iteration (rank 0)."""
    group = ProcessGroup.join()
    home = Path(folder)
    (home / f"pid-{group.rank}").write_text(str(os.getpid()))
    market = synthetic(seed=1, bars=300, assets=2)
    env = MarketEnv(market, num_envs=ENVS, config=EnvConfig(horizon=HORIZON, lookback=2))
    config = PPOConfig(hidden=(16,), minibatches=2, epochs=2)
    agent = PPO(env, {"pnl": Stream(sparse_pnl)}, config, seed=5, group=group)
    run = RunDirectory(home / "run")
    found = run.latest() if group.rank == 0 else None
    dist.barrier()  # rank 0 has put damaged checkpoints aside
    found = found or run.latest()
    if found is not None:
        agent.restore(found[1])

    def after(agent: PPO, _metrics: Metrics) -> None:
        if group.rank == 0:
            run.save(agent.iteration, agent.state())
        dist.barrier()

    agent.train(ITERATIONS - agent.iteration, total=ITERATIONS, after=after)
    digest = hashlib.sha256()
    for parameter in agent.network.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    (home / f"result-{group.rank}").write_text(digest.hexdigest())
    dist.destroy_process_group()


def launch(folder: Path) -> None:
    """`torchrun --standalone --nproc_per_node=2 --max-restarts=0`, started again when it fails.

    A fresh agent has a fresh rendezvous; the agent's own restarts sometimes hang on the old one.
    """
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    logging.disable(logging.CRITICAL)  # the agent reports each killed rank at length
    warnings.simplefilter("ignore")
    for attempt in range(RESTARTS + 1):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=RANKS,
            run_id=f"{folder.name}-{attempt}",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="fork",
            local_addr="127.0.0.1",
        )
        try:
            elastic_launch(config, train_rank)(str(folder))
        except ChildFailedError:
            if attempt == RESTARTS:
                raise
        else:
            return


def ddp_rank_kill(work: Path, count: int, say: Say) -> Outcome:
    """Kill one rank, in turn, at a random moment; the agent restarts both, and they finish."""
    torch.set_num_threads(1)
    began = time.monotonic()
    expected, problems = _run(work / "whole", None, 0.0)
    seconds = time.monotonic() - began
    if problems:
        return Outcome(1, tuple(f"nobody was killed, and yet {p}" for p in problems))
    say(f"two ranks take {seconds:.1f} s")
    rng = random.Random(17)  # repeatable damage  # nosec B311
    failures: list[str] = []
    slowest = 0.0
    for case in counted(say, count, range(count), "killed ranks"):
        victim, moment = case % RANKS, rng.uniform(0, 1)
        began = time.monotonic()
        found, problems = _run(work / f"case-{case}", victim, moment)
        slowest = max(slowest, time.monotonic() - began)
        where = f"rank {victim} killed (case {case})"
        failures += [f"{where}: {problem}" for problem in problems]
        if found != expected:
            failures.append(f"{where}: ended with {found}; expected {expected}")
        shutil.rmtree(work / f"case-{case}")
    figures = {"seconds_undisturbed": round(seconds, 1), "seconds_slowest": round(slowest, 1)}
    return Outcome(count, tuple(failures), figures)


def _run(folder: Path, victim: int | None, moment: float) -> tuple[list[str], list[str]]:
    """(results of the ranks, what went wrong) of a training of which one rank may be killed."""
    folder.mkdir()
    agent = Child(_agent(folder))
    problems: list[str] = []
    if victim is not None and not _kill(folder, victim, moment):
        problems.append("the rank had ended before it could be killed")
    deadline = time.monotonic() + PATIENCE
    while not (ended := agent.ended()) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not ended:
        problems.append(f"a rank hung for {PATIENCE:g} s")
        agent.kill()
    if agent.wait() != 0:
        problems.append("the ranks did not finish")
    pids = [int(p.read_text()) for p in folder.glob("pid-*")]
    if any(Path(f"/proc/{pid}").exists() for pid in pids):
        problems.append("a rank was left running")
    results = [p.read_text() for p in sorted(folder.glob("result-*"))]
    if len(set(results)) != 1 or len(results) != RANKS:
        problems.append(f"the ranks disagree: {results}")
    return results, problems


def _agent(folder: Path) -> Callable[[Tell], None]:
    def body(_tell: Tell) -> None:
        launch(folder)

    return body


def _kill(folder: Path, victim: int, moment: float) -> bool:
    """SIGKILL the rank when a share `moment` of the iterations is done; False when it is late."""
    wanted = int(moment * (ITERATIONS - 2))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        saved = [int(p.name) for p in (folder / "run" / "checkpoints").glob("[0-9]*")]
        there = folder / f"pid-{victim}"
        if there.exists() and there.read_text() and max(saved, default=0) >= wanted:
            try:
                os.kill(int(there.read_text()), 9)
            except ProcessLookupError:
                return False
            return True
        if (folder / f"result-{victim}").exists():
            return False
        time.sleep(0.002)
    return False
