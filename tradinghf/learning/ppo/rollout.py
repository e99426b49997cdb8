"""Rollouts: what N environments did for L steps under the current policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from tradinghf.learning.policy.heads import Head
from tradinghf.learning.reward.aspects import TradePaths


class TensorVectorEnv(Protocol):
    """What PPO needs of an environment: a vector env that speaks torch tensors."""

    num_envs: int

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """First observations [N, D]; one seed, or one for each environment."""

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


class Actors(Protocol):
    """Whoever acts in all N environments: one policy, or several with a share each."""

    head: Head
    actions: int

    def policy_out(self, obs: Tensor) -> Tensor:
        """[N, D] to [N, A]; may be overwritten by the next call."""

    def value_out(self, obs: Tensor) -> Tensor:
        """[N, D] to [N, S]; may be overwritten by the next call."""

    def value_outs(self, obs: Tensor) -> Tensor:
        """[L, N, D] to [L, N, S]."""

    def draw(self, out: Tensor, noise: Tensor) -> Tensor:
        """Raw actions of outputs [N, A]."""

    def log_prob(self, out: Tensor, raw: Tensor) -> Tensor:
        """[L, N] log-probabilities of raw actions given outputs [L, N, A]."""


class Recorder:
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
    actors: Actors,
    steps: int,
    noise: Tensor,
    obs: Tensor,
    first_close: Tensor | None = None,
    recorder: Recorder | None = None,
) -> tuple[Rollout, Tensor]:
    """Run the policy; returns the rollout and the observations that follow it.

    The environment must autoreset in the same step and put the last observation of an ended
    episode into `info["final_obs"]`.

    Args:
        env: N environments.
        actors: who acts.
        steps: L.
        noise: [L, N, A] uniform numbers in (0, 1).
        obs: [N, D] first observations.
        first_close: [N] prices at the start, kept as `info["open_close"]`.
        recorder: memory of the last rollout, to be written over.

    """
    recorder = recorder or Recorder()
    column = partial(recorder.column, length=steps)
    noise = actors.head.noise(noise)
    obs = flat_obs(env, obs)
    seen, finals = column("obs", like=obs), dict[int, Tensor]()
    facts: dict[str, Tensor] = {}
    rows: dict[str, Sequence[Tensor]] = {}  # of `facts`, one for each step
    for step in range(steps):
        seen[step] = obs
        out = actors.policy_out(obs)
        raw = actors.draw(out, noise[step])
        shown, reward, terminated, truncated, info = env.step(actors.head.to_env(raw))
        obs = flat_obs(env, shown)
        if "final_obs" in info:
            finals[step] = flat_obs(env, info["final_obs"])
        now = {"out": out, "raw": raw, "reward": reward, "end": terminated, "cut": truncated}
        for name, value in (now | {k: info[k] for k in KEPT if k in info}).items():
            if step == 0:
                facts[name] = column(name, like=value)
                rows[name] = facts[name].unbind()
            rows[name][step].copy_(value)
    values = actors.value_outs(seen)
    out, raw = facts.pop("out"), facts.pop("raw")
    if first_close is not None:
        facts["open_close"] = first_close[None]
    rollout = Rollout(
        obs=seen,
        actions=raw,
        log_probs=actors.log_prob(out, raw),
        values=values,
        next_values=_next_values(actors, values, finals, obs),
        rewards=facts.pop("reward"),
        terminated=facts.pop("end"),
        truncated=facts.pop("cut"),
        info=facts,
    )
    return rollout, obs


def _next_values(
    actors: Actors, values: Tensor, finals: dict[int, Tensor], following: Tensor
) -> Tensor:
    """[L, N, S] critics at the states reached: the next row, or an episode's last state.

    `final_obs` has a row for every environment, of which those that ended matter; the others
    hold what the environment shows next.
    """
    reached = torch.empty_like(values)
    reached[:-1] = values[1:]
    if len(values) - 1 not in finals:
        reached[-1] = actors.value_out(following)
    for step, obs in finals.items():
        reached[step] = actors.value_out(obs)
    return reached
