"""Questions for traders: collect episodes on shared windows, and choose groups to rank."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Purpose, Query, Ranking
from tradinghf.learning.reward import (
    Reward,
    choose_groups,
    cross_validate,
    predicted_pairs,
    summarise,
)
from tradinghf.loop._collect import Acting, Actor, collect, distinct_columns, env_like, pool_actors
from tradinghf.simulation import MarketEnv, random_windows

Rank = Callable[[Sequence[Episode], str], Ranking]
"""(episodes, query id) to an answer."""
_EXPLORE = (0.0, 0.15, 1.0)  # the best action, some noise, draws from the policy's distribution


class Answers(Protocol):
    """Whoever answers queries: a synthetic trader, or people through the store."""

    label: str

    def rank(self, episodes: Sequence[Episode], query: str, session: str = "") -> Ranking:
        """One answer."""


@dataclass(frozen=True, eq=False)
class Question:
    """One query together with the episodes that it shows, in panel order."""

    query: Query
    episodes: list[Episode]


def ask(
    env: MarketEnv,
    own: Sequence[Actor],
    *,
    count: int,
    windows: int,
    size: int,
    uniform: float,
    seed: int,
    model: Reward | None = None,
    round_: int = 0,
) -> list[Question]:
    """Let rules, chance and `own` actors trade the same windows, and pick groups to rank.

    Args:
        env: the task and the market.
        own: the policy, its variants and its past.
        count: questions wanted; at most one per window.
        windows: market windows collected.
        size: episodes per question K.
        uniform: share of questions drawn at random; they are marked "test".
        seed: of windows, chance, and the choice.
        model: chooses by expected information once it is fitted.
        round_: stored with the queries.

    Returns:
        Up to `count` questions, most informative first.

    """
    market = env.market
    actors = pool_actors(market, env.config, seed, own, env.base_targets)
    places = random_windows(market, env.config, max(windows, count), seed)
    pool = collect(market, actors, places, env=env_like(env, market, len(places)), seed=seed)
    scores = None
    if model is not None and model.fitted:
        each = model.member_scores([e for row in pool for e in row])
        scores = each.unflatten(1, (len(pool), len(actors)))
    groups = choose_groups(
        scores,
        [distinct_columns(row) for row in pool],
        count,
        size=size,
        uniform=uniform,
        rng=np.random.default_rng(seed),
        keep=range(len(actors) - len(own), len(actors)),
    )
    # Before the first fit everything is drawn at random; only the asked share of it is held out.
    held_out = sum(g.uniform for g in groups) if scores is not None else round(uniform * count)
    questions = []
    for group in groups:
        shown = [pool[group.window][member] for member in group.members]
        purpose: Purpose = "learn"
        if group.uniform and held_out > 0:
            purpose, held_out = "test", held_out - 1
        query = Query.of([e.id for e in shown], purpose=purpose, round=round_)
        questions.append(Question(query, shown))
    return questions


def quiz(
    env: MarketEnv,
    own: Sequence[Actor],
    rank: Rank,
    *,
    count: int,
    size: int,
    seed: int,
) -> tuple[list[Ranking], dict[str, Episode]]:
    """Random questions, answered: what a reward model is tested on.

    Args:
        env: the task and the market.
        own: actors beside rules and chance.
        rank: (episodes, query id) to an answer.
        count: questions.
        size: episodes per question K.
        seed: of windows, chance and choice.

    Returns:
        The answers, and id -> episode.

    """
    questions = ask(env, own, count=count, windows=count, size=size, uniform=1.0, seed=seed)
    answers = [rank(question.episodes, f"fresh-{seed}-{i}") for i, question in enumerate(questions)]
    return answers, {e.id: e for question in questions for e in question.episodes}


def own_actors(name: object, now: Acting, earlier: Sequence[Acting] = ()) -> list[Actor]:
    """A policy explored in three ways, and earlier ones.

    Args:
        name: of the policy: its run, or how many updates it had; the actors are called
            "policy:NAME-AGE-SHARE", AGE counting back among the earlier ones.
        now: the present policy.
        earlier: the one before it first.

    """
    return [
        Actor(f"policy:{name}-{age}-{explore:g}", policy=network, explore=explore)
        for age, network in enumerate([now, *earlier])
        for explore in (_EXPLORE if age == 0 else (0.0,))
    ]


def quiz_scores(
    model: Reward, policy: Acting, env: MarketEnv, rank: Rank, count: int, size: int, seed: int
) -> dict[str, Any]:
    """How well a reward model foresees fresh answers about a policy; arguments as for `quiz`."""
    actors = [Actor("policy", policy=policy, explore=explore) for explore in _EXPLORE]
    answers, episodes = quiz(env, actors, rank, count=count, size=size, seed=seed)
    return summarise(predicted_pairs(model, answers, episodes))


def held_out_scores(
    model: Reward,
    rankings: Sequence[Ranking],
    held_out: Sequence[Ranking],
    episodes: Mapping[str, Episode],
) -> dict[str, Any]:
    """How well a reward model foresees answers that it did not learn from.

    Those that are held out; without any, its own rankings are cross-validated if they can be.
    """
    if any(r.outcome == "ranked" for r in held_out):
        return summarise(predicted_pairs(model, held_out, episodes))
    with contextlib.suppress(FeedbackError):  # no windows apart from each other
        return cross_validate(rankings, episodes, model)
    return {}
