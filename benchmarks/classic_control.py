"""Train PPO on Gymnasium's classic tasks and compare it with published scores.

    python benchmarks/classic_control.py --seeds 5

Writes benchmarks/results/classic_control.json: the learning curve and the final score of every
seed. Budgets and, where they exist, settings are those of the published runs:
CleanRL's docs (ppo.py, mean of the last episodes of training) and rl-baselines3-zoo's benchmark.md
(deterministic policy after training).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from tradinghf.bench._core import commit, device
from tradinghf.learning.config import PPOConfig
from tradinghf.learning.ppo import PPO, GymnasiumEnv, Stream, env_reward

CLEANRL = PPOConfig(
    learning_rate=2.5e-4,
    final_learning_rate=0.0,
    minibatches=4,
    gamma=0.99,
    entropy=0.01,
    final_entropy=0.01,
    bootstrap=True,
)
CLEANRL_CONTINUOUS = PPOConfig(
    learning_rate=3e-4,
    final_learning_rate=0.0,
    epochs=10,
    minibatches=32,
    gamma=0.99,
    entropy=0.0,
    bootstrap=True,
)
ZOO_PENDULUM = PPOConfig(
    learning_rate=1e-3,
    final_learning_rate=0.0,
    epochs=10,
    minibatches=64,
    gamma=0.9,
    entropy=0.0,
    bootstrap=True,
)
TASKS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "config": CLEANRL,
        "envs": 4,
        "length": 128,
        "steps": 500_000,
        "published": {"CleanRL, 500k steps": 488.75, "SB3 zoo, 100k steps": 500.0},
    },
    "Acrobot-v1": {
        "config": CLEANRL,
        "envs": 4,
        "length": 128,
        "steps": 500_000,
        "published": {"CleanRL, 500k steps": -82.48, "SB3 zoo, 1M steps": -73.506},
    },
    "InvertedPendulum-v5": {
        "config": CLEANRL_CONTINUOUS,
        "envs": 1,
        "length": 2048,
        "steps": 300_000,
        "published": {"CleanRL, v4, 1M steps": 963.09},
    },
    "Pendulum-v1": {
        "config": ZOO_PENDULUM,
        "envs": 4,
        "length": 1024,
        "steps": 100_000,
        "published": {"SB3 zoo, 100k steps": -172.225},
    },
}
POINTS = 50


def train(name: str, seed: int) -> dict[str, Any]:
    """One training: curve of training returns, and the deterministic policy's score."""
    task = TASKS[name]
    env = GymnasiumEnv(name, task["envs"])
    agent = PPO(
        env, {"env": Stream(env_reward)}, config=task["config"], steps=task["length"], seed=seed
    )
    began = time.perf_counter()
    agent.train(-(-task["steps"] // agent.steps_per_iteration))
    seconds = time.perf_counter() - began
    last = [value for _, value in env.returns[-100:]]
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "training_return": statistics.mean(last),
        "deterministic_return": score(name, agent, seed),
        "curve": curve(env.returns, task["steps"]),
    }


def curve(returns: list[tuple[int, float]], steps: int) -> list[tuple[int, float]]:
    """(env steps, mean return of the episodes that ended since the last point)."""
    points = []
    for index in range(POINTS):
        low, high = steps * index // POINTS, steps * (index + 1) // POINTS
        inside = [value for step, value in returns if low < step <= high]
        if inside:
            points.append((high, round(statistics.mean(inside), 2)))
    return points


def score(name: str, agent: PPO, seed: int, episodes: int = 300) -> float:
    """Mean return of the deterministic policy."""
    env = GymnasiumEnv(name, 10)
    obs, _ = env.reset(seed=1_000_000 + seed)
    while len(env.returns) < episodes:
        obs = env.step(agent.network.act(obs))[0]
    return statistics.mean(value for _, value in env.returns)


def main() -> None:
    """Run every task and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    folder = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=folder / "classic_control.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.tasks:
        for seed in range(options.seeds):
            done = recorded(options.out).get(name, {"runs": []})["runs"]
            if any(run["seed"] == seed for run in done):
                continue
            run = train(name, seed)
            print({k: v for k, v in run.items() if k != "curve"}, name, flush=True)  # noqa: T201
            record(options.out, name, run)


def recorded(path: Path) -> dict[str, Any]:
    """Tasks that the file holds; a run that was stopped goes on where it was."""
    found: dict[str, Any] = json.loads(path.read_text())["tasks"] if path.exists() else {}
    return found


def record(path: Path, name: str, run: dict[str, Any]) -> None:
    """Add a run to the file."""
    tasks = recorded(path)
    runs = [*tasks.get(name, {"runs": []})["runs"], run]
    tasks[name] = {
        "published": TASKS[name]["published"],
        "training_return": statistics.mean(r["training_return"] for r in runs),
        "deterministic_return": statistics.mean(r["deterministic_return"] for r in runs),
        "runs": runs,
    }
    about = {
        "commit": commit(),
        "device": device(),
        "tasks": {n: tasks[n] for n in TASKS if n in tasks},
    }
    path.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
