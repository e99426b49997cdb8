"""A step of many environments, of which some may end: autoreset in step and out of step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from gymnasium.error import ResetNeeded
from torch import Tensor

from tradinghf.simulation._dynamics import Info, merge_states
from tradinghf.simulation._observe import Observation
from tradinghf.simulation._resets import final_info

Result = tuple[Observation, Tensor, Tensor, Tensor, Info]


def step_in_phase(env: Any, target: Any, *, on_change: bool) -> Result:
    """All environments are at the same bar of their episodes: their end is known beforehand."""
    state, engine = env._packed(), env._engine
    none = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)
    if env._left == 0:
        if env.config.autoreset == "disabled":
            raise ResetNeeded("The episodes have ended. Call reset(), autoreset is disabled.")
        env._now, env._left = engine.pack(env._next(state)), env.config.horizon
        zero = torch.zeros(env.num_envs, dtype=env._dtype, device=env.device)
        return engine.observe(env._now), zero, none, none.clone(), {}
    last = env._left == 1
    after, reward, info = engine.step(state, target, last, on_change=on_change)
    env._look_at(reward)
    truncated = torch.ones_like(none) if last else none.clone()
    env._now, env._left = after, (env._left or 0) - 1
    if last and env.config.autoreset == "same_step":
        info |= final_info(engine.observe(after), info, truncated)
        env._now, env._left = engine.pack(env._next(after)), env.config.horizon
    return engine.observe(env._now), reward, none, truncated, info


def step_out_of_phase(env: Any, target: Any, *, on_change: bool) -> Result:
    """Environments are at different bars of their episodes: after a masked reset, an early end."""
    state, engine, mode = env.state, env._engine, env.config.autoreset
    waiting, early = env._waiting, env.early_end
    ends = state.bar + 1 - state.start >= env.config.horizon
    stays = engine.pack(replace(state, bar=state.bar - waiting.long()))
    now, reward, info = engine.step(stays, target, ends[:, None], on_change=on_change)
    env._look_at(reward)
    stopped = torch.zeros_like(ends) if early is None else early() & ~waiting
    if bool(stopped.any()):  # once more: what is open at the end counts as realised
        now, reward, info = engine.step(
            stays, target, (ends | stopped)[:, None], on_change=on_change
        )
    over = ends | stopped
    after = engine.unpack(now)
    reward = torch.where(waiting, 0.0, reward)
    terminated, truncated = stopped, ends & ~stopped
    if mode == "same_step":
        if bool(over.any()):
            info |= final_info(engine.observe(now), info, over)
        after = merge_states(over, env._next(after), after)
    elif mode == "next_step":
        after = merge_states(waiting, env._next(state), after)
        truncated = truncated & ~waiting
        env._waiting = over & ~waiting
    else:
        after = merge_states(waiting, state, after)
        terminated = stopped | env._stopped
        truncated = (truncated | waiting) & ~terminated
        env._waiting, env._stopped = over | waiting, terminated
    env._now = engine.pack(after)
    return engine.observe(env._now), reward, terminated, truncated, info
