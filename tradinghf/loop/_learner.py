"""What `RLHF` makes of what it is given: the tensor environment, the reward, and the learner."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from gymnasium.vector import AutoresetMode
from torch import nn

from tradinghf.errors import ConfigError
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.config import RLHFConfig
from tradinghf.learning.ppo import PPO, Stream, env_reward, learned_stream, sparse_pnl
from tradinghf.learning.reward import PlainReward, Reward, RewardModel
from tradinghf.learning.tasks import agent_of
from tradinghf.loop._brought import BroughtAgent
from tradinghf.loop._overlay import overlay_settings, start_as_base
from tradinghf.loop._questions import Answers
from tradinghf.simulation import MarketEnv


def market_env_of(given: Any) -> MarketEnv:
    """The tensor environment in an environment of `gymnasium.make` or `make_vec`, or itself.

    Raises:
        ConfigError: it is no environment, or its episodes may end early.

    """
    env = _market_env(given)
    if env.early_end is not None:
        raise ConfigError(
            "RLHF ranks episodes of one length, so that it tells nothing of their worth; the "
            "environment has termination=... Leave it out (a ruined account trades no more "
            "anyhow), or train with PPO alone."
        )
    return env


def _market_env(given: Any) -> MarketEnv:
    if isinstance(given, MarketEnv):
        return given
    inner = getattr(getattr(given, "unwrapped", None), "env", None)
    if not isinstance(inner, MarketEnv):
        raise ConfigError(
            f"RLHF got a {type(given).__name__} as environment; expected a MarketEnv "
            "(MarketEnv(market, num_envs=512)), an environment of gymnasium.make or make_vec, or "
            "the id or class of one."
        )
    own = copy.copy(inner)  # the same task, in the autoreset mode that PPO needs
    own.config = replace(inner.config, autoreset="same_step")
    own.metadata = inner.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}
    return own


def reward_of(given: Any, bars: int) -> Reward:
    """The learned reward that a caller means: `RewardModel` for None, a network as `PlainReward`.

    Args:
        given: what the caller gave.
        bars: of an episode L.

    Raises:
        ConfigError: something that is no learned reward.
        FeedbackError: a network that does not turn facts of bars into a number for each.

    """
    if given is None:
        return RewardModel()
    if isinstance(given, type):
        raise ConfigError(
            f"reward_model is the class {given.__name__}; expected an instance: {given.__name__}()."
        )
    if isinstance(given, nn.Module):
        return PlainReward(network=given).checked(bars)
    members = ("blank", "explained", "fit", "fitted", "member_scores", "rewards")
    # Read from the class: a property of a reward that is not fitted yet may refuse.
    if missing := [name for name in members if not hasattr(type(given), name)]:
        missing = [name for name in missing if not hasattr(given, name)]
    if missing:
        raise ConfigError(
            f"reward_model is {given!r}, which has no {', '.join(missing)}; expected "
            "RewardModel(), a torch.nn.Module from facts of bars [B, L, 8] to [B, L], "
            "ScoreModel(function), or a class like tradinghf.learning.reward.Reward."
        )
    found: Reward = given
    return found


def answering(trader: Answers | str | None, seed: int) -> Answers | None:
    """Who answers: a synthetic trader where a name is given.

    Raises:
        ConfigError: nobody who answers.

    """
    if trader is not None and not isinstance(trader, str) and not hasattr(trader, "rank"):
        raise ConfigError(
            f"trader is {trader!r:.60}; expected a synthetic trader's name ('drawdown'), an object "
            "whose rank(episodes) returns a Ranking, or None where people answer in the store."
        )
    return SyntheticTrader(trader, seed=seed) if isinstance(trader, str) else trader


def learner(env: MarketEnv, model: Reward, config: RLHFConfig, given: Any) -> PPO | BroughtAgent:
    """Who is paid the learned reward, sparse profit, and a reward that the environment was given.

    Our PPO, which starts as the base where actions modulate one, or an agent of another library.

    Args:
        env: training environment.
        model: the learned reward.
        config: weights of the rewards, PPO's settings, the seed.
        given: the learner that a caller brought: a PPO of ours, which has its own streams, or what
            `agent_of` takes; None: ours is made.

    Raises:
        ConfigError: it cannot learn.

    """
    if isinstance(given, PPO):
        return given
    streams = {
        "learned": Stream(learned_stream(model), 1.0),
        "pnl": Stream(sparse_pnl, config.pnl_weight),
    }
    if env.own_reward:
        streams["env"] = Stream(env_reward, config.env_weight)
    if given is not None:
        return BroughtAgent(agent_of(given), env, streams, config.seed)
    ppo = overlay_settings(env, config.ppo)
    return start_as_base(PPO(env, streams, config=ppo, seed=config.seed))
