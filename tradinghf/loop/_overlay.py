"""Policies that modulate strategies: they start as the strategy, and are pulled towards it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from tradinghf.learning.config import PPOConfig
from tradinghf.learning.policy import ActorCritic
from tradinghf.learning.ppo import PPO
from tradinghf.simulation import MarketEnv

PULL = 0.01
"""Weight of KL(policy || start) where the settings name none: staying costs nothing, and always
doing something else costs as much as an advantage of a fiftieth of its spread."""
_HABIT = 1.0  # log-odds, at the start, of what the base does against each other move


def overlay_settings(env: MarketEnv, config: PPOConfig) -> PPOConfig:
    """PPO's settings, with a pull towards the base where actions modulate one."""
    if env.config.overlay is None or config.reference_kl > 0:
        return config
    return replace(config, reference_kl=PULL)


def start_as_base(agent: PPO) -> PPO:
    """Make a learner that has not begun do exactly what the base does, whatever it observes.

    The last layer of the actor forgets its random weights: every action is then as likely
    everywhere, and the identity the likeliest. This start is the policy that PPO's KL pulls to.
    Nothing happens in tasks without a base.
    """
    env: Any = agent.env
    if getattr(getattr(env, "config", None), "overlay", None) is None or agent.iteration:
        return agent
    be_identity(agent.network)
    agent.freeze_reference()
    return agent


@torch.no_grad()
def be_identity(network: ActorCritic) -> ActorCritic:
    """Set a network's actor to the first move of an overlay, everywhere."""
    last: Any = network.actor[-1]
    last.weight.zero_()
    last.bias.zero_()
    if network.shape["discrete"]:
        last.bias[0] = _HABIT
    return network
