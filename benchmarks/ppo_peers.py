"""PPO of other libraries on the same environment, network and schedule, in the same run.

    python benchmarks/ppo_peers.py [--cache DIR]

Every contender trains on `MarketEnv` (one asset per environment, fees, slippage, autoreset, 44
observations, 64 bars per rollout) with two 2x64 tanh networks, 4 epochs of 16 minibatches and
Adam, in float32. What differs is the learner:

- tradinghf: `PPO`, with the environment's reward as one stream; and with two streams, a reward
  model learned from rankings and sparse PnL;
- CleanRL-style: the single-file recipe (Huang et al. 2022): nn.Sequential, torch.optim.Adam,
  autograd, Categorical, a Python loop for GAE; written here;
- torchrl: its ProbabilisticActor, ValueOperator, vectorised GAE and ClipPPOLoss on tensordicts; the
  rollout is a plain loop instead of one of its collectors;
- Stable-Baselines3: `PPO` on the environment behind its VecEnv interface.

Each runs in a process of its own; torchrl in the virtual environment that env_peers.py makes.
They take turns of one iteration, so that a busy machine disturbs all alike. Compare rates per
second of processor time on one thread, and the clock on two. Writes
benchmarks/results/ppo_peers.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torchrl_ppo import torchrl_loop

from tradinghf.bench._core import commit, device
from tradinghf.bench._training import fitted_reward
from tradinghf.learning.ppo import PPO, Stream, env_reward, learned_stream, sparse_pnl
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv

MARKET = synthetic(seed=0, bars=8_192, assets=16)
LENGTH, EPOCHS, MINIBATCHES = 64, 4, 16
PAUSE = 0.05  # seconds in which the threads of a contender that is done stop waiting busily


def load(name: str, attribute: str) -> Any:
    """A peer's class; not every contender's process has every peer."""
    return getattr(importlib.import_module(name), attribute)


def vec_env(count: int) -> Any:
    """`MarketEnv` as Stable-Baselines3 wants it: NumPy, one info dict per environment."""
    base: Any = load("stable_baselines3.common.vec_env", "VecEnv")

    class MarketVecEnv(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._env = MarketEnv(MARKET, num_envs=count, seed=0)
            self._none: list[dict[str, Any]] = [{} for _ in range(count)]
            spaces = self._env.single_observation_space, self._env.single_action_space
            super().__init__(count, *spaces)

        def reset(self) -> Any:
            return self._env.reset()[0].numpy()

        def step_async(self, actions: Any) -> None:
            self._actions = torch.from_numpy(actions)

        def step_wait(self) -> Any:
            obs, reward, terminated, truncated, info = self._env.step(self._actions)
            infos = self._none
            if "final_obs" in info:
                final = info["final_obs"].numpy()
                cut = {"TimeLimit.truncated": True}
                infos = [{"terminal_observation": row, **cut} for row in final]
            return obs.numpy(), reward.numpy(), (terminated | truncated).numpy(), infos

        def close(self) -> None:
            pass

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [None] * self.num_envs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            pass

        def env_method(self, name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
            return [None] * self.num_envs

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    return MarketVecEnv()


def tradinghf(count: int) -> Callable[[], object]:
    """Our learner."""
    agent = PPO(MarketEnv(MARKET, num_envs=count, seed=0), {"env": Stream(env_reward)}, seed=0)
    return lambda: agent.train(1)


def two_streams(count: int) -> Callable[[], object]:
    """Our learner on what `tradinghf rlhf` trains on."""
    learned = Stream(learned_stream(fitted_reward(MARKET)))
    streams = {"learned": learned, "pnl": Stream(sparse_pnl)}
    agent = PPO(MarketEnv(MARKET, num_envs=count, seed=0), streams, seed=0)
    return lambda: agent.train(1)


def sb3(count: int) -> Callable[[], object]:
    """Stable-Baselines3."""
    batch = count * LENGTH // MINIBATCHES
    agent = load("stable_baselines3", "PPO")(
        "MlpPolicy",
        vec_env(count),
        n_steps=LENGTH,
        batch_size=batch,
        n_epochs=EPOCHS,
        gamma=0.999,
        device="cpu",
        verbose=0,
    )
    return lambda: agent.learn(count * LENGTH, reset_num_timesteps=False)


def mlp(outputs: int) -> nn.Sequential:
    """A 2x64 tanh network."""
    return nn.Sequential(
        nn.Linear(44, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )


def cleanrl(count: int) -> Callable[[], object]:
    """The single-file recipe."""
    env = MarketEnv(MARKET, num_envs=count, seed=0)
    actor, critic = mlp(5), mlp(1)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-3, eps=1e-5)
    state = {"obs": env.reset(seed=0)[0], "done": torch.zeros(count)}
    shape = (LENGTH, count)

    def iteration() -> None:
        seen = torch.zeros((*shape, 44))
        acts, log_probs, rewards, dones, values = (torch.zeros(shape) for _ in range(5))
        obs, done = state["obs"], state["done"]
        for step in range(LENGTH):
            seen[step], dones[step] = obs, done
            with torch.no_grad():
                dist = torch.distributions.Categorical(logits=actor(obs))
                action = dist.sample()
                values[step] = critic(obs).flatten()
            acts[step], log_probs[step] = action, dist.log_prob(action)
            obs, reward, terminated, truncated, _ = env.step(action)
            rewards[step], done = reward, (terminated | truncated).float()
        state["obs"], state["done"] = obs, done
        with torch.no_grad():
            following, running = critic(obs).flatten(), torch.zeros(count)
            advantages = torch.zeros(shape)
            for t in reversed(range(LENGTH)):
                alive = 1 - (done if t == LENGTH - 1 else dones[t + 1])
                ahead = following if t == LENGTH - 1 else values[t + 1]
                delta = rewards[t] + 0.999 * ahead * alive - values[t]
                running = delta + 0.999 * 0.95 * alive * running
                advantages[t] = running
        flat = [x.flatten(0, 1) for x in (seen, acts, log_probs, advantages, advantages + values)]
        indices = np.arange(count * LENGTH)
        size = count * LENGTH // MINIBATCHES
        for _ in range(EPOCHS):
            np.random.default_rng(0).shuffle(indices)
            for start in range(0, len(indices), size):
                o, a, old, adv, target = (x[indices[start : start + size]] for x in flat)
                dist = torch.distributions.Categorical(logits=actor(o))
                ratio = (dist.log_prob(a) - old).exp()
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                policy = torch.max(-adv * ratio, -adv * ratio.clamp(0.8, 1.2)).mean()
                value = 0.5 * (critic(o).flatten() - target).square().mean()
                loss = policy - 0.005 * dist.entropy().mean() + 0.5 * value
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimiser.step()

    return iteration


def torchrl(count: int) -> Callable[[], object]:
    """Actor, value, GAE and loss of torchrl."""
    env = MarketEnv(MARKET, num_envs=count, seed=0)
    return torchrl_loop(env, LENGTH, EPOCHS, MINIBATCHES, mlp)[0]


MAKERS = {
    "tradinghf": tradinghf,
    "tradinghf, learned + PnL": two_streams,
    "CleanRL-style": cleanrl,
    "torchrl": torchrl,
    "Stable-Baselines3": sb3,
}


@dataclass(frozen=True)
class Case:
    """Who trains, in how many environments, on how many threads."""

    learner: str
    envs: int
    threads: int = 1


def cases(envs: list[int]) -> list[Case]:
    """Every learner at the same N; the largest of ours; the smallest of theirs."""
    found = [Case(name, count, threads) for count in envs for threads in (1, 2) for name in MAKERS]
    found += [Case("tradinghf, learned + PnL", 2_048, threads) for threads in (1, 2)]
    return [Case("Stable-Baselines3", 1), *found]


class Worker:
    """A contender's process, one iteration at a time.

    Raises:
        RuntimeError: it ended instead of answering.

    """

    def __init__(self, case: Case, cache: Path) -> None:
        self.case = case
        python = sys.executable
        if case.learner == "torchrl":
            peers = importlib.import_module("env_peers")
            peer = next(p for p in peers.PEERS if p.package.startswith("torchrl=="))
            python = str(peers.python_of(peer, cache))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(case.threads))
        self._process = subprocess.Popen(
            [python, __file__, "--worker", case.learner, str(case.envs), str(case.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        self.times: list[tuple[float, float]] = []

    def turn(self) -> tuple[float, float]:
        """Seconds of an iteration, by the clock and of the processor."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        time.sleep(PAUSE)
        if not line:
            raise RuntimeError(f"{self.case} ended with code {self._process.wait()}")
        wall, cpu = json.loads(line)
        return wall, cpu

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def work(name: str, count: int, threads: int) -> None:
    """Be a contender: one iteration per line on stdin."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr  # peers print
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run = MAKERS[name](count)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        replies.write(json.dumps((time.perf_counter() - wall, time.process_time() - cpu)) + "\n")


def measure(some: list[Case], repeats: int, cache: Path) -> list[dict[str, Any]]:
    """Best and median rates of contenders that take turns."""
    workers = [Worker(case, cache) for case in some]
    for worker in workers:
        worker.turn()
    for _ in range(repeats):
        for worker in workers:
            worker.times.append(worker.turn())
    for worker in workers:
        worker.close()
    return [
        {
            "learner": w.case.learner,
            "envs": w.case.envs,
            "threads": w.case.threads,
            "median": w.case.envs * LENGTH / float(np.median([wall for wall, _ in w.times])),
            "best": w.case.envs * LENGTH / min(wall for wall, _ in w.times),
            "per_cpu_second": w.case.envs * LENGTH / min(cpu for _, cpu in w.times),
        }
        for w in workers
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=5)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--cache", type=Path, default=home / "tradinghf" / "peers")
    folder = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=folder / "ppo_peers.json")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker[0], int(options.worker[1]), int(options.worker[2]))
        return
    rows = measure(cases(options.envs), options.repeats, options.cache)
    for row in rows:
        print(row)  # noqa: T201
    names = ("torch", "stable-baselines3", "numpy", "gymnasium")
    versions = {name: metadata.version(name) for name in names} | {"torchrl": "0.14.1"}
    about = {"commit": commit(), "device": device(), "versions": versions, "results": rows}
    options.out.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
