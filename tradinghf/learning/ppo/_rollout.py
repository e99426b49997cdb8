"""Rollouts: what N environments did for L steps under the current policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from tradinghf.learning.ppo._forward import CompiledForward
from tradinghf.learning.ppo._network import PackedActorCritic
from tradinghf.learning.ppo._remembered import MemoryForward
from tradinghf.learning.reward import TradePaths


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
        values: [L, N, C] critics at `obs`.
        next_values: [L, N, C] critics at the state reached (at episode ends: its final one).
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
        close = torch.cat([info["open_close"][:1], info["close"]])
        position, book = info["position"], {}
        if position.ndim > 2:  # a portfolio is ranked, and paid, as one account
            start, equity, traded = info["open_close"][0], info["equity"], info["close"]
            gains = TradePaths.gains_of(position, equity, traded, info["price"], start)
            book = {"weights": position.transpose(0, 1), "gains": gains.transpose(0, 1)}
            close, position = TradePaths.index_of(close, start), position.sum(-1)
        return TradePaths(
            close=close.T,
            position=position.T,
            equity=torch.cat([first, info["equity"]]).T,
            turnover=info["turnover"].T,
            costs=info["costs"].T,
            **book,
        )

    def facts(self) -> dict[str, Tensor]:
        """Trading facts of whole episodes: name -> [1]; none where nothing is traded."""
        info = self.info
        if "equity" not in info:
            return {}
        gross = info["position"].abs()
        if gross.ndim == 3:  # a portfolio holds several assets
            gross = gross.sum(-1)
        rows = {
            "pnl": info["equity"][-1] - 1,
            "turnover": info["turnover"].sum(0),
            "exposure": gross.mean(0),
        }
        return {name: x.float().mean()[None] for name, x in rows.items()}


RewardStream = Callable[[Rollout], Tensor]
Critics = Callable[[Tensor], Tensor]  # observations [N, D] to values [N, C]

_FACTS = ("equity", "position", "turnover", "costs", "realised_pnl", "close")  # of `info`


def _facts(info: dict[str, Any]) -> dict[str, Tensor]:
    """What is kept of a step's info; of portfolios also the prices of fills."""
    several = "price" in info and info["price"].ndim > 1
    names = (*_FACTS, "price") if several else _FACTS
    return {name: info[name] for name in names if name in info}


class RolloutMemory:
    """Memory for rollouts of one size, written over by the next; allocating costs more than it."""

    def __init__(self) -> None:
        self._columns: dict[str, Tensor] = {}

    def column(self, name: str, length: int, like: Tensor) -> Tensor:
        """[L, ..] memory for one `like` per step."""
        found = self._columns.get(name)
        shape = (length, *like.shape)
        if found is None or found.shape != shape or found.dtype != like.dtype:
            found = torch.empty(shape, dtype=like.dtype, device=like.device)
            self._columns[name] = found
        return found


def flat_obs(env: TensorVectorEnv, obs: Any) -> Tensor:
    """[N, D] what policies take, of an observation of any kind (`EnvConfig.observation`)."""
    if isinstance(obs, Tensor):
        return obs
    dense: Tensor = getattr(env, "dense")(obs)  # noqa: B009
    return dense


@torch.no_grad()
def collect_rollout(
    env: TensorVectorEnv,
    actor: PackedActorCritic,
    steps: int,
    noise: Tensor,
    obs: Tensor,
    first_close: Tensor | None = None,
    memory: RolloutMemory | None = None,
    forward: CompiledForward | MemoryForward | None = None,
) -> tuple[Rollout, Tensor]:
    """Run the policy; returns the rollout and the observations that follow it.

    The environment must autoreset in the same step and put the last observation of an ended
    episode into `info["final_obs"]`.

    Args:
        env: N environments.
        actor: who acts.
        steps: L.
        noise: [L, N, A] uniform numbers in (0, 1).
        obs: [N, D] first observations.
        first_close: [N] prices at the start, kept as `info["open_close"]`.
        memory: of the last rollout, to be written over.
        forward: computes what `actor` would, faster.

    """
    with nullcontext() if forward is None else forward.products():
        return _collect(env, actor, steps, noise, obs, first_close, memory, forward)


def _collect(
    env: TensorVectorEnv,
    actor: PackedActorCritic,
    steps: int,
    noise: Tensor,
    obs: Tensor,
    first_close: Tensor | None,
    memory: RolloutMemory | None,
    forward: CompiledForward | MemoryForward | None,
) -> tuple[Rollout, Tensor]:
    """See `collect_rollout`."""
    column = partial((memory or RolloutMemory()).column, length=steps)
    noise, acting = actor.head.noise(noise), forward or actor
    obs = flat_obs(env, obs)
    seen, finals = column("obs", like=obs), dict[int, Tensor]()
    critics = _critics(actor, forward)
    facts: dict[str, Tensor] = {}
    rows: dict[str, Sequence[Tensor]] = {}  # of `facts`, one for each step
    for step in range(steps):
        out, judged = _outs(actor, forward, obs, seen[step])
        raw = acting.draw(out, noise[step])
        shown, reward, terminated, truncated, info = env.step(actor.head.to_env(raw))
        obs = flat_obs(env, shown)
        now = {"out": out, "raw": raw, "reward": reward, "end": terminated, "cut": truncated}
        for name, value in (now | judged | _facts(info)).items():
            if step == 0:
                facts[name] = column(name, like=value)
                rows[name] = facts[name].unbind()
            rows[name][step].copy_(value)
        # Now, while memories are those of these episodes, and nobody reads `out` any more.
        if "final_obs" in info:
            finals[step] = critics(flat_obs(env, info["final_obs"])).clone()
        if isinstance(forward, MemoryForward):
            forward.forget(terminated | truncated)
    values = facts.pop("value") if "value" in facts else actor.value_outs(seen)
    out, raw = facts.pop("out"), facts.pop("raw")
    if first_close is not None:
        facts["open_close"] = first_close[None]
    rollout = Rollout(
        obs=seen,
        actions=raw,
        log_probs=acting.log_prob(out, raw),
        values=values,
        next_values=_next_values(critics, values, finals, obs),
        rewards=facts.pop("reward"),
        terminated=facts.pop("end"),
        truncated=facts.pop("cut"),
        info=facts,
    )
    return rollout, obs


def _outs(
    actor: PackedActorCritic,
    forward: CompiledForward | MemoryForward | None,
    obs: Tensor,
    seen: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """[N, O] of the actor, the critics' values where they cost nothing; `obs` goes to `seen`."""
    if forward is None:
        seen.copy_(obs)
        return actor.policy_out(obs), {}
    out, values = forward(obs, seen)
    return out, {"value": values}


def _critics(actor: PackedActorCritic, forward: CompiledForward | MemoryForward | None) -> Critics:
    return actor.value_out if forward is None else lambda obs: forward(obs)[1]


def _next_values(
    critics: Critics, values: Tensor, finals: dict[int, Tensor], following: Tensor
) -> Tensor:
    """[L, N, C] critics at the states reached: the next row, or `finals` at the ends of episodes.

    `final_obs` has a row for every environment, of which those that ended matter; the others
    hold what the environment shows next.
    """
    reached = torch.empty_like(values)
    reached[:-1] = values[1:]
    if len(values) - 1 not in finals:
        reached[-1] = critics(following)
    for step, judged in finals.items():
        reached[step] = judged
    return reached
