"""Policies judged by the learned reward: which to keep, and the alarm when one games it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.feedback.types import Ranking
from tradinghf.learning.reward.held_out import predicted_pairs
from tradinghf.learning.reward.paths import TradePaths
from tradinghf.learning.reward.protocol import Reward
from tradinghf.loop.collect import Acting, Actor, best_network, episode_batch
from tradinghf.simulation.env import MarketEnv

CERTAIN = 2.0  # standard errors
FORESEEN = 0.6  # below this share of fresh comparisons the model is not to be followed


@dataclass(frozen=True)
class Foreseen:
    """Fresh comparisons, predicted before the model learned from them.

    Attributes:
        share: of them that were foreseen.
        pairs: how many there were.

    """

    share: float
    pairs: int

    @property
    def error(self) -> float:
        """Standard error of the share, one pair more of either kind imagined."""
        share = (self.share * self.pairs + 1) / (self.pairs + 2)
        return math.sqrt(share * (1 - share) / (self.pairs + 2))

    @property
    def text(self) -> str:
        """What a low share means, in a sentence."""
        return (
            f"The reward model foresaw only {self.share:.0%} of {self.pairs} fresh comparisons: it "
            "may not describe this trader, or the answers contradict each other. Rank more, or "
            "look at `tradinghf reward show`."
        )


def foresee(model: Reward, answers: Sequence[Ranking], episodes: Mapping[str, Episode]) -> Foreseen:
    """How well are answers predicted that the model has not learned from?"""
    probabilities, outcomes, _ = predicted_pairs(model, answers, episodes)
    return Foreseen(float((probabilities.argmax(1) == outcomes).mean()), len(outcomes))


def contradicted(foreseen: Sequence[Foreseen]) -> bool:
    """Whether the latest fresh comparisons speak against the model.

    Fewer than 60 % were foreseen, or fewer than in an earlier round, beyond two standard errors.
    """
    latest = foreseen[-1]
    fallen = any(
        before.share - latest.share > CERTAIN * math.hypot(before.error, latest.error)
        for before in foreseen[:-1]
    )
    return fallen or latest.share < FORESEEN


@dataclass(frozen=True)
class Alarm:
    """What changed between two policies.

    Attributes:
        raised: whether the policy seems to game the reward.
        stop: whether fresh answers say so too, which is reason enough to stop training on it.
        learned, profit: mean gain per episode, in the units of the score and of equity.
        learned_error, profit_error: their standard errors.
        foreseen: the latest fresh comparisons that the model foresaw; None if unknown.
        text: one sentence; empty where nothing is wrong.

    """

    raised: bool
    stop: bool
    learned: float
    learned_error: float
    profit: float
    profit_error: float
    foreseen: Foreseen | None
    text: str = ""


def alarm(
    model: Reward,
    before: Sequence[Episode] | EpisodeBatch,
    after: Sequence[Episode] | EpisodeBatch,
    foreseen: Sequence[Foreseen] = (),
) -> Alarm:
    """Does a policy earn more learned reward by trading worse?

    Raised where, beyond two standard errors, the learned reward rises while profit falls, unless
    fresh answers vouch for it. A trader who truly trades profit for something else is foreseen,
    and raises nothing. Where fresh answers contradict the model as well (`contradicted`), training
    on it should stop.

    Args:
        model: fitted; judges both policies alike.
        before, after: episodes of an earlier and of the present policy on the same windows.
        foreseen: per round, what was foreseen of fresh random comparisons; empty where nobody was
            asked, which neither vouches nor contradicts.

    """
    learned, profit = (
        _gain(_score(model, before), _score(model, after)),
        _gain(_profit(before), _profit(after)),
    )
    rises = learned[0] > CERTAIN * learned[1]
    falls = profit[0] < -CERTAIN * profit[1]
    against = contradicted(foreseen) if foreseen else None
    raised = rises and falls and against is not False
    stop = raised and against is True
    latest = foreseen[-1] if foreseen else None
    text = ""
    if raised:
        seen = (
            "nobody was asked"
            if latest is None
            else f"{latest.share:.0%} of {latest.pairs} fresh comparisons foreseen"
        )
        text = (
            f"The policy may be gaming the learned reward: it rose by {learned[0]:.2f} per episode "
            f"while profit fell by {-profit[0]:.2%}, and {seen}. Rank more episodes of the present "
            "policy, or give profit more weight."
        )
    return Alarm(raised, stop, *learned, *profit, latest, text)


def watch(
    model: Reward,
    env: MarketEnv,
    before: Acting,
    after: Acting,
    foreseen: Sequence[Foreseen],
    seed: int,
) -> Alarm:
    """`alarm` about two policies' best actions on the same windows, one per environment."""
    old, new = (episode_batch(env, Actor("watched", policy=p), seed) for p in (before, after))
    return alarm(model, old, new, foreseen)


def best_by_reward(
    model: Reward, policies: Sequence[Acting], env: MarketEnv, pnl_weight: float, seed: int
) -> tuple[int, list[float]]:
    """`best_network` by the learned reward and profit, weighed as in training."""
    worths = [(1.0, lambda batch: _score(model, batch)), (pnl_weight, _profit)]
    return best_network(policies, env, worths, seed)


def _batch(episodes: Sequence[Episode] | EpisodeBatch) -> EpisodeBatch:
    return episodes if isinstance(episodes, EpisodeBatch) else EpisodeBatch.stack(list(episodes))


def _score(model: Reward, episodes: Sequence[Episode] | EpisodeBatch) -> Floats:
    """[B] learned worth of each episode."""
    paid = model.rewards(TradePaths.from_episodes(_batch(episodes))).sum(-1)
    return np.asarray(paid.double().cpu().numpy())


def _profit(episodes: Sequence[Episode] | EpisodeBatch) -> Floats:
    return _batch(episodes).net_return


def _gain(before: Floats, after: Floats) -> tuple[float, float]:
    """Mean of the paired differences and its standard error."""
    gap = after - before
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else 0.0
