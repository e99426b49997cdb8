"""Rollouts: what N environments did for L steps under the current policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from tradinghf.learning.aspects import TradePaths
from tradinghf.learning.policy import ActorCritic


class TensorVectorEnv(Protocol):
    """What PPO needs of an environment: a vector env that speaks torch tensors."""

    num_envs: int

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """First observations [N, D]."""

    def step(self, actions: Any) -> tuple[Any, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Observations, rewards, terminations, truncations [N]; info with `final_obs`."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """L steps of N environments; time first.

    Attributes:
        obs: [L, N, D] what the policy saw.
        actions: [L, N] or [L, N, A] raw actions.
        log_probs: [L, N] of the actions under the policy that took them.
        values: [L, N, S] critics at `obs`.
        next_values: [L, N, S] critics at the state reached (at episode ends: its final one).
        rewards: [L, N] the environment's own reward.
        terminated, truncated: [L, N] how an episode ended at this step.
        info: name -> [L, N] the environment's per-step facts.

    """

    obs: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    next_values: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    info: dict[str, Tensor]

    def paths(self) -> TradePaths:
        """The rollout as N trading paths; needs one whole episode per environment."""
        info = self.info
        first = torch.ones_like(info["equity"][:1])
        return TradePaths(
            close=torch.cat([info["open_close"][:1], info["close"]]).T,
            position=info["position"].T,
            equity=torch.cat([first, info["equity"]]).T,
            turnover=info["turnover"].T,
            costs=info["costs"].T,
        )


KEPT = ("equity", "position", "turnover", "costs", "realised_pnl", "close")


RewardStream = Callable[[Rollout], Tensor]


@torch.no_grad()
def collect_rollout(
    env: TensorVectorEnv,
    network: ActorCritic,
    steps: int,
    generator: torch.Generator,
    obs: Tensor,
    first_close: Tensor | None = None,
) -> tuple[Rollout, Tensor]:
    """Run the policy; returns the rollout and the observations that follow it.

    The environment must autoreset in the same step and put the last observation of an ended
    episode into `info["final_obs"]`.
    """
    actions_dim = network.actions
    uniform = torch.rand(
        (steps, env.num_envs, actions_dim), generator=generator, device=generator.device
    ).to(obs.device)
    rows: list[tuple[Tensor, ...]] = []
    infos: list[dict[str, Tensor]] = []
    for step in range(steps):
        raw, log_prob = network.sample(obs, uniform[step])
        following, reward, terminated, truncated, info = env.step(network.to_env(raw))
        final = info.get("final_obs", following)
        rows.append((obs, raw, log_prob, final, reward, terminated, truncated))
        infos.append({name: info[name] for name in KEPT if name in info})
        obs = following
    seen, actions, log_probs, reached, rewards, terminated, truncated = (
        torch.stack(column) for column in zip(*rows, strict=True)
    )
    facts = {name: torch.stack([i[name] for i in infos]) for name in infos[0]}
    if first_close is not None:
        facts["open_close"] = first_close[None]
    rollout = Rollout(
        obs=seen,
        actions=actions,
        log_probs=log_probs,
        values=network.critic(seen),
        next_values=network.critic(reached),
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        info=facts,
    )
    return rollout, obs


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    done: Tensor,
    *,
    gamma: float,
    lam: float,
) -> Tensor:
    """Generalised advantage estimate.

    Args:
        rewards: [L, N] reward of the action taken at step t.
        values: [L, N] V(s_t).
        next_values: [L, N] V of the state reached; at a truncation, of the final state.
        terminated: [L, N] no value beyond this step.
        done: [L, N] the episode ended here (terminated or truncated); the trace stops.
        gamma, lam: discount and trace decay, in [0, 1].

    Returns:
        [L, N] advantages, in the units of rewards.
    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 16.

    """
    deltas = rewards + gamma * next_values * (~terminated).to(rewards) - values
    decay = gamma * lam * (~done).to(rewards)
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[0])
    for step in range(len(rewards) - 1, -1, -1):
        running = deltas[step] + decay[step] * running
        advantages[step] = running
    return advantages
