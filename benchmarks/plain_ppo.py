"""The loop that `gpu.py` compares with: PPO as one would write it in a page."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tradinghf.simulation import MarketEnv


def plain_loop(env: MarketEnv) -> tuple[Callable[[], None], float]:
    """PPO as one would write it in a page: nn.Sequential, autograd, torch.optim.Adam, no graphs.

    The environment's own reward, one body of 2x64, 4 epochs of 4 minibatches, 128 steps.
    """
    length, count = env.config.horizon, env.num_envs
    levels = len(env.config.levels)
    torch.manual_seed(0)
    body = torch.nn.Sequential(
        *(torch.nn.Linear(env.obs_dim, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64)),
        *(torch.nn.Tanh(), torch.nn.Linear(64, levels + 1)),
    ).to(env.device)
    adam = torch.optim.Adam(body.parameters(), lr=1e-3, fused=env.device.type == "cuda")

    def iteration() -> None:
        shown, taken, chances, values, paid = [], [], [], [], []
        obs = env.reset(seed=0)[0]
        with torch.no_grad():
            for _ in range(length):
                out = body(obs)
                log_p = out[:, :levels].log_softmax(-1)
                action = torch.multinomial(log_p.exp(), 1)
                shown.append(obs)
                taken.append(action)
                chances.append(log_p.gather(1, action))
                values.append(out[:, levels])
                obs, reward, *_ = env.step(action[:, 0])
                paid.append(reward.float())
            worth, ahead = [], torch.zeros_like(paid[0])
            for step in range(length - 1, -1, -1):
                after = values[step + 1] if step + 1 < length else torch.zeros_like(ahead)
                ahead = paid[step] + after - values[step] + 0.95 * ahead
                worth.append(ahead)
        advantage = torch.stack(worth[::-1]).flatten()
        table = torch.cat(shown), torch.cat(taken), torch.cat(chances)[:, 0], torch.cat(values)
        for _ in range(4):
            order = torch.randperm(length * count, device=env.device)
            for rows in order.chunk(4):
                seen, action, before, value = (column[rows] for column in table)
                out = body(seen)
                log_p = out[:, :levels].log_softmax(-1)
                ratio = (log_p.gather(1, action)[:, 0] - before).exp()
                gain = advantage[rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                actor = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
                critic = (out[:, levels] - value - advantage[rows]).square().mean()
                adam.zero_grad()
                (0.5 * critic - actor - 0.005 * (-log_p.exp() * log_p).sum(-1).mean()).backward()
                torch.nn.utils.clip_grad_norm_(body.parameters(), 0.5)
                adam.step()

    return iteration, float(length * count)
