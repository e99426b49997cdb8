"""PPO of other libraries on the same environment, network and schedule, in the same run.

    python benchmarks/ppo_peers.py

Every contender trains on `MarketEnv` (one asset per environment, fees, slippage, autoreset, 44
observations, 64 bars per rollout) with two 2x64 tanh networks, 4 epochs of 16 minibatches and
Adam, in float32. What differs is the learner:

- tradinghf: `PPO`, with the environment's reward as one stream;
- CleanRL-style: the single-file recipe (Huang et al. 2022): nn.Sequential, torch.optim.Adam,
  autograd, Categorical, a Python loop for GAE; written here;
- Stable-Baselines3: `PPO` on the environment behind its VecEnv interface.

Contenders take turns, so that a busy machine disturbs all alike; rates per second of processor
time are the ones to compare. Writes benchmarks/results/ppo_peers.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from tradinghf.bench import commit, device
from tradinghf.learning.ppo import PPO, Stream
from tradinghf.learning.streams import env_reward
from tradinghf.market.synthetic import synthetic
from tradinghf.simulation.env import MarketEnv

MARKET = synthetic(seed=0, bars=8_192, assets=16)
LENGTH, EPOCHS, MINIBATCHES = 64, 4, 16


class MarketVecEnv(VecEnv):  # type: ignore[misc]
    """`MarketEnv` as Stable-Baselines3 wants it: NumPy, one info dict per environment."""

    def __init__(self, count: int) -> None:
        self._env = MarketEnv(MARKET, num_envs=count, seed=0)
        self._none: list[dict[str, Any]] = [{} for _ in range(count)]
        spaces = self._env.single_observation_space, self._env.single_action_space
        super().__init__(count, *spaces)

    def reset(self) -> Any:
        """First observations."""
        return self._env.reset()[0].numpy()

    def step_async(self, actions: Any) -> None:
        """Remember the actions."""
        self._actions = torch.from_numpy(actions)

    def step_wait(self) -> Any:
        """Act."""
        obs, reward, terminated, truncated, info = self._env.step(self._actions)
        infos = self._none
        if "final_obs" in info:
            final = info["final_obs"].numpy()
            infos = [{"terminal_observation": row, "TimeLimit.truncated": True} for row in final]
        return obs.numpy(), reward.numpy(), (terminated | truncated).numpy(), infos

    def close(self) -> None:
        """Nothing to free."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Attributes that no environment has."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Nothing to set."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """No methods."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """Never."""
        return [False] * self.num_envs


def tradinghf(count: int) -> Callable[[], object]:
    """Our learner."""
    agent = PPO(MarketEnv(MARKET, num_envs=count, seed=0), {"env": Stream(env_reward)}, seed=0)
    return lambda: agent.train(1)


def sb3(count: int) -> Callable[[], object]:
    """Stable-Baselines3."""
    batch = count * LENGTH // MINIBATCHES
    agent = SB3PPO(
        "MlpPolicy",
        MarketVecEnv(count),
        n_steps=LENGTH,
        batch_size=batch,
        n_epochs=EPOCHS,
        gamma=0.999,
        device="cpu",
        verbose=0,
    )
    return lambda: agent.learn(count * LENGTH, reset_num_timesteps=False)


def cleanrl(count: int) -> Callable[[], object]:
    """The single-file recipe."""

    def mlp(outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(44, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )

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


CONTENDERS = {"tradinghf": tradinghf, "CleanRL-style": cleanrl, "Stable-Baselines3": sb3}


def measure(count: int, repeats: int) -> list[dict[str, Any]]:
    """Best and median rates of every contender, who take turns."""
    work = {name: make(count) for name, make in CONTENDERS.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for run in work.values():
        run()
    for _ in range(repeats):
        for name, run in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    steps, ours = count * LENGTH, min(cpu for _, cpu in times["tradinghf"])
    return [
        {
            "learner": name,
            "envs": count,
            "steps_per_second": steps / float(np.median([w for w, _ in found])),
            "steps_per_cpu_second": steps / min(c for _, c in found),
            "times_slower_than_ours": min(c for _, c in found) / ours,
        }
        for name, found in times.items()
    ]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    folder = Path(__file__).parent / "results"
    parser.add_argument("--out", type=Path, default=folder / "ppo_peers.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [row for count in options.envs for row in measure(count, options.repeats)]
    names = ("torch", "stable-baselines3", "numpy", "gymnasium")
    about = {
        "commit": commit(),
        "device": device(),
        "versions": {name: metadata.version(name) for name in names},
        "results": rows,
    }
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    for row in rows:
        print(row)  # noqa: T201


if __name__ == "__main__":
    main()
