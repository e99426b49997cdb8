"""Policies judged by the learned reward: which to keep, and the alarm when one games it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tradinghf.collect import Acting, Actor, best_network, episode_batch
from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.learning.aspects import TradePaths
from tradinghf.learning.reward_model import RewardModel
from tradinghf.simulation.env import MarketEnv

CERTAIN = 2.0  # standard errors
FORESEEN = 0.6  # below this share of fresh comparisons the model is not to be followed


@dataclass(frozen=True)
class Alarm:
    """What changed between two policies.

    Attributes:
        raised: whether the policy seems to game the reward.
        learned, profit: mean gain per episode, in the units of the score and of equity.
        learned_error, profit_error: their standard errors.
        foreseen: share of the latest fresh comparisons that the model foresaw; None if unknown.
        text: one sentence; empty where nothing is wrong.

    """

    raised: bool
    learned: float
    learned_error: float
    profit: float
    profit_error: float
    foreseen: float | None
    text: str = ""


def alarm(
    model: RewardModel,
    before: Sequence[Episode] | EpisodeBatch,
    after: Sequence[Episode] | EpisodeBatch,
    foreseen: Sequence[float] = (),
) -> Alarm:
    """Does a policy earn more learned reward by trading worse?

    Raised where, beyond two standard errors, the learned reward rises while profit falls, and
    fresh rankings do not vouch for it: fewer than 60 % of the latest random comparisons were
    foreseen, or fewer than in an earlier round. A trader who truly trades profit for something
    else is foreseen, and raises nothing.

    Args:
        model: fitted; judges both policies alike.
        before, after: episodes of an earlier and of the present policy on the same windows.
        foreseen: per round, the share of fresh random comparisons that were foreseen; empty where
            nobody was asked, which vouches for nothing.

    """
    learned, profit = (
        _gain(_score(model, before), _score(model, after)),
        _gain(_profit(before), _profit(after)),
    )
    rises = learned[0] > CERTAIN * learned[1]
    falls = profit[0] < -CERTAIN * profit[1]
    latest = foreseen[-1] if foreseen else None
    vouched = latest is not None and latest >= max(FORESEEN, *foreseen)
    raised = rises and falls and not vouched
    text = ""
    if raised:
        seen = (
            "nobody was asked" if latest is None else f"{latest:.0%} of fresh comparisons foreseen"
        )
        text = (
            f"The policy may be gaming the learned reward: it rose by {learned[0]:.2f} per episode "
            f"while profit fell by {-profit[0]:.2%}, and {seen}. Rank more episodes of the present "
            "policy, or give profit more weight."
        )
    return Alarm(raised, *learned, *profit, latest, text)


def watch(
    model: RewardModel,
    env: MarketEnv,
    before: Acting,
    after: Acting,
    foreseen: Sequence[float],
    seed: int,
) -> Alarm:
    """`alarm` about two policies' best actions on the same windows, one per environment."""
    old, new = (episode_batch(env, Actor("watched", policy=p), seed) for p in (before, after))
    return alarm(model, old, new, foreseen)


def best_by_reward(
    model: RewardModel, policies: Sequence[Acting], env: MarketEnv, pnl_weight: float, seed: int
) -> tuple[int, list[float]]:
    """`best_network` by the learned reward and profit, weighed as in training."""
    worths = [(1.0, lambda batch: _score(model, batch)), (pnl_weight, _profit)]
    return best_network(policies, env, worths, seed)


def _batch(episodes: Sequence[Episode] | EpisodeBatch) -> EpisodeBatch:
    return episodes if isinstance(episodes, EpisodeBatch) else EpisodeBatch.stack(list(episodes))


def _score(model: RewardModel, episodes: Sequence[Episode] | EpisodeBatch) -> Floats:
    """[B] learned worth of each episode."""
    paid = model.rewards(TradePaths.from_episodes(_batch(episodes))).sum(-1)
    return np.asarray(paid.double().cpu().numpy())


def _profit(episodes: Sequence[Episode] | EpisodeBatch) -> Floats:
    return _batch(episodes).net_return


def _gain(before: Floats, after: Floats) -> tuple[float, float]:
    """Mean of the paired differences and its standard error."""
    gap = after - before
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else 0.0
