"""Whether a policy games the learned reward: earns more of it by trading worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tradinghf._intervals import Blocks, clusters, means
from tradinghf.episodes import Episode, EpisodeBatch, Floats
from tradinghf.feedback import Ranking
from tradinghf.learning.reward import Reward, learned_score, predicted_pairs
from tradinghf.loop._collect import (
    Acting,
    Actor,
    EpisodeScore,
    batch_blocks,
    env_like,
    episode_batch,
)
from tradinghf.simulation import MarketEnv

_CERTAIN = 2.0  # standard errors
_LEAST_FORESEEN = 0.6  # below this share of fresh comparisons the model is not to be followed
_EPISODES = 256


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
        before.share - latest.share > _CERTAIN * math.hypot(before.error, latest.error)
        for before in foreseen[:-1]
    )
    return fallen or latest.share < _LEAST_FORESEEN


@dataclass(frozen=True)
class GamingCheck:
    """What changed between two policies.

    Attributes:
        suspected: whether the policy seems to game the reward.
        stop: whether fresh answers say so too, which is reason enough to stop training on it.
        learned, profit: mean gain per episode, in the units of the score and of equity.
        learned_error, profit_error: their standard errors.
        foreseen: the latest fresh comparisons that the model foresaw; None if unknown.
        text: one sentence; empty where nothing is wrong.

    """

    suspected: bool
    stop: bool
    learned: float
    learned_error: float
    profit: float
    profit_error: float
    foreseen: Foreseen | None
    text: str = ""


def check_gaming(
    model: Reward,
    before: Sequence[Episode] | EpisodeBatch,
    after: Sequence[Episode] | EpisodeBatch,
    foreseen: Sequence[Foreseen] = (),
    blocks: Blocks | None = None,
) -> GamingCheck:
    """Does a policy earn more learned reward by trading worse?

    Suspected where, beyond two standard errors, the learned reward rises while profit falls,
    unless the model foresaw fresh answers: a trader may truly trade profit for something else.
    Where fresh answers contradict the model (`contradicted`), training on it should stop.

    Args:
        model: fitted; judges both policies alike.
        before, after: episodes of an earlier and of the present policy on the same windows.
        foreseen: per round, what was foreseen of fresh random comparisons; empty where nobody was
            asked, which speaks neither for nor against the model.
        blocks: of the windows in time; None: no two overlap.

    """
    old, new = _batch(before), _batch(after)
    blocks = clusters(np.arange(len(old.net_return))) if blocks is None else blocks
    score = learned_score(model)
    learned = _gain(score(old), score(new), blocks)
    profit = _gain(old.net_return, new.net_return, blocks)
    rises = learned[0] > _CERTAIN * learned[1]
    falls = profit[0] < -_CERTAIN * profit[1]
    against = contradicted(foreseen) if foreseen else None
    suspected = rises and falls and against is not False
    stop = suspected and against is True
    latest = foreseen[-1] if foreseen else None
    text = _suspicion(learned, profit, latest) if suspected else ""
    return GamingCheck(suspected, stop, *learned, *profit, latest, text)


def _suspicion(
    learned: tuple[float, float], profit: tuple[float, float], latest: Foreseen | None
) -> str:
    seen = (
        "nobody was asked"
        if latest is None
        else f"{latest.share:.0%} of {latest.pairs} fresh comparisons foreseen"
    )
    return (
        f"The policy may be gaming the learned reward: it rose by {learned[0]:.2f} per episode "
        f"while profit fell by {-profit[0]:.2%}, and {seen}. Rank more episodes of the present "
        "policy, or give profit more weight."
    )


def compare_policies(
    model: Reward,
    env: MarketEnv,
    before: Acting,
    after: Acting,
    foreseen: Sequence[Foreseen],
    seed: int,
) -> GamingCheck:
    """`check_gaming` of two policies' best actions on windows of the environment's market."""
    calm = env_like(env, env.market, _EPISODES)
    old, new = (episode_batch(calm, Actor("compared", policy=p), seed) for p in (before, after))
    return check_gaming(model, old, new, foreseen, batch_blocks(calm, seed))


def training_scores(model: Reward, pnl_weight: float) -> list[tuple[float, EpisodeScore]]:
    """The learned reward and profit of whole episodes, weighed as in training."""
    return [(1.0, learned_score(model)), (pnl_weight, lambda batch: batch.net_return)]


def _batch(episodes: Sequence[Episode] | EpisodeBatch) -> EpisodeBatch:
    return episodes if isinstance(episodes, EpisodeBatch) else EpisodeBatch.stack(list(episodes))


def _gain(before: Floats, after: Floats, blocks: Blocks) -> tuple[float, float]:
    """Mean of the paired differences, and its standard error between blocks of windows."""
    found = means(after - before, blocks)
    error = math.sqrt(float(found.covariance[0, 0])) if found.enough else math.inf
    return float(found.value[0]), error
