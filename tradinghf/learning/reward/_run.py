"""One fit of the reward model to a store's answers, as files that pages and commands read.

RUN/reward.json               values, per trader too, held-out metrics, calibration, worst fitted
                              answers, relation to profit, and which answers it was fitted to
RUN/bar_rewards.safetensors   [2, L] per ranked episode: reward so far and its standard deviation
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.stats import spearmanr

from tradinghf.durable import make_folder, write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking, repeat_consistency
from tradinghf.feedback.store import Store
from tradinghf.learning.config import RewardConfig
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._fit_progress import watching
from tradinghf.learning.reward._held_out import (
    FOLDS,
    Pairs,
    cross_validate,
    predicted_pairs,
    rise,
    summarise,
)
from tradinghf.learning.reward._model import RewardModel
from tradinghf.learning.reward._paths import TradePaths

_FEWEST_TESTS = 8
_FEWEST_OF_ONE_TRADER = 5
_MOST_TRADERS = 12
_ENOUGH_TO_LEVEL_OFF = 20  # held-out rankings, before accuracy can be said to rise no more
_NOTHING_LEFT = 0.98  # accuracy
_BINS = 10
_WORST = 20
PERCENT = "percent of profit"
_POINTS = "points"
_SMALLEST_ANCHOR = 0.02


def fit_reward_run(
    store: Store, folder: Path, *, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Fit the reward model to all answers of a store, and write the run directory.

    Args:
        store: open; answers to "test" questions are held out.
        folder: made if need be.
        progress: called with (phase, hundredths of it that are done, 100).

    Returns:
        what `reward.json` holds.

    Raises:
        FeedbackError: no usable ranking.

    """
    make_folder(folder)
    health = store.health()
    answers = store.rankings(purposes=("learn", "test"))
    test_ids = {query.id for query in store.queries(purpose="test")}
    names = sorted({name for ranking in answers for name in ranking.episodes})
    episodes = dict(zip(names, store.episodes(names), strict=True))
    learn = [ranking for ranking in answers if ranking.query not in test_ids]
    test = [ranking for ranking in answers if ranking.query in test_ids]
    tell = progress or (lambda *_: None)

    def phase(name: str, fits: int) -> AbstractContextManager[None]:
        tell(name, 0, 100)
        return watching(partial(tell, name), fits, after=0.0)

    with phase("fitting", 1):
        model = RewardModel().fit(learn or test, episodes)
    with phase("judging it on answers kept back", 1 if _enough(test) else 2 * FOLDS):
        judged = _judge(model, learn, test, episodes)
    with phase("what each trader values", 2 * len(_heard(learn or test))):
        traders = _traders(model, learn or test)
    pairs = predicted_pairs(model, answers, episodes)
    ranked = [episodes[name] for name in names]
    unit, size = _bar_unit(model)
    found = {
        **model.to_dict(),
        **judged,
        "warnings": [*model.warnings, *plateau(judged.get("held_out", {}))],
        "traders": traders,
        "worst": _worst_fitted(pairs, answers, model, episodes),
        "disagreement": _disagreement(model, answers, episodes),
        "profit_correlation": _profit_correlation(model, ranked),
        "human_ceiling": repeat_consistency(store.rankings()),
        "bar_unit": unit,
        "answers": {"head": health["head"], "count": health["rankings"], "store": health["store"]},
    }
    rewards = _bar_rewards(model, ranked, size)
    write_atomic(folder / "bar_rewards.safetensors", save(rewards))
    write_atomic(folder / "reward.json", json.dumps(found, indent=1).encode())
    tell("done", 100, 100)
    return found


def _bar_unit(model: RewardModel) -> tuple[str, float]:
    """Unit in which rewards of bars are told, and how much learned reward it is.

    One percent of profit, as the model pays it; plain points where profit hardly counts.
    """
    size = (model.weights * model.scale).abs()
    if float(model.weights[0]) <= 0 or float(size[0]) < _SMALLEST_ANCHOR * float(size.max()):
        return _POINTS, 1.0
    return PERCENT, float(model.weights[0]) * ASPECTS["profit"].unit


def _bar_rewards(
    model: RewardModel, episodes: Sequence[Episode], size: float = 1.0
) -> dict[str, NDArray[np.float32]]:
    """[2, L] per episode id: reward up to each bar, and its standard deviation over the posterior.

    In units of `size`; the episodes may differ in length.
    """
    found = {}
    for episode in episodes:
        paths = TradePaths.from_episodes([episode])
        values = model.term_values(paths)[0].double().cumsum(0)
        spread = (values @ model.draws.T.double()).std(-1)
        mean = model.rewards(paths)[0].double().cumsum(0)
        found[episode.id] = (torch.stack([mean, spread]) / size).float().numpy()
    return found


def _calibration(pairs: Pairs) -> list[dict[str, float]]:
    """How often the predicted outcome came true, by stated confidence."""
    probabilities, outcomes, _ = pairs
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == outcomes
    rows = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        {
            "stated": float(confidence[rows == row].mean()),
            "observed": float(right[rows == row].mean()),
            "pairs": int((rows == row).sum()),
        }
        for row in np.unique(rows)
    ]


def _judge(
    model: RewardModel,
    learn: Sequence[Ranking],
    test: Sequence[Ranking],
    episodes: Mapping[str, Episode],
) -> dict[str, Any]:
    """Held-out metrics, on the test queries when there are enough, else by cross-validation.

    `rise` is what the second half of the answers brought.
    """
    if _enough(test):
        pairs = predicted_pairs(model, test, episodes)
        held_out = summarise(pairs) | {"method": "test queries"}
        if len(learn) >= 2:
            fewer = model.blank().fit(learn[::2], episodes)
            held_out["rise"] = rise(pairs, predicted_pairs(fewer, test, episodes))
        return {"held_out": held_out, "calibration": _calibration(pairs)}
    with contextlib.suppress(FeedbackError):  # too few windows that do not overlap
        held_out = cross_validate(learn, episodes, model, halves=True)
        return {"held_out": held_out | {"method": "cross-validation"}}
    return {}


def _enough(test: Sequence[Ranking]) -> bool:
    return sum(ranking.outcome == "ranked" for ranking in test) >= _FEWEST_TESTS


def plateau(held_out: Mapping[str, Any]) -> list[str]:
    """Say aloud where more answers stopped helping, and what that may mean; else nothing."""
    gained, error = held_out.get("rise", (1.0, 0.0))
    many = held_out.get("held_out_rankings", 0) >= _ENOUGH_TO_LEVEL_OFF
    if not many or gained > error or held_out["accuracy"] >= _NOTHING_LEFT:
        return []
    return [
        f"Held-out accuracy stopped rising: {100 * held_out['accuracy']:.0f} % with all answers, "
        f"{100 * (held_out['accuracy'] - gained):.0f} % with half of them. What is left is noise "
        "in the answers, or something else that no aspect describes; more answers of the same "
        "kind will hardly help."
    ]


def _heard(answers: Sequence[Ranking]) -> list[tuple[str, int]]:
    """Traders with enough answers for a model of their own, and how many; none of a lone one."""
    count = Counter(ranking.rater for ranking in answers if ranking.outcome == "ranked")
    known = [found for found in count.most_common(_MOST_TRADERS) if len(count) > 1]
    return [(rater, ranked) for rater, ranked in known if ranked >= _FEWEST_OF_ONE_TRADER]


def _traders(model: RewardModel, answers: Sequence[Ranking]) -> dict[str, Any]:
    """What each trader with enough answers values, starting from what the others do.

    Also how many rankings it rests on, and `trust`: how far the trader's answers count in the
    model of all, 1 being as much as anybody's.
    """
    config = RewardConfig(learned=0.0)  # two fits for each: the terms alone are quicker
    return {
        rater: {
            "values": model.personal(rater, config).explain(),
            "rankings": ranked,
            "trust": float(model.trust.get(rater, 1.0)),
        }
        for rater, ranked in _heard(answers)
    }


def _worst_fitted(
    pairs: Pairs,
    answers: Sequence[Ranking],
    model: RewardModel,
    episodes: Mapping[str, Episode],
    most: int = _WORST,
) -> list[dict[str, Any]]:
    """The answers that the model finds least likely, the least likely first.

    `scores` of the episodes are in the model's eyes; `chance` is the geometric mean of the
    probabilities that it gave the outcomes of the `pairs`, of which it would call some
    `otherwise`.
    """
    probabilities, outcomes, owner = pairs
    given = probabilities[np.arange(len(outcomes)), outcomes]
    surprise = -np.log(np.maximum(given, 1e-12))
    otherwise = probabilities.argmax(1) != outcomes
    size = np.bincount(owner)
    mean = np.bincount(owner, surprise) / size
    wrong = np.bincount(owner, otherwise)
    usable = [ranking for ranking in answers if ranking.outcome == "ranked"]
    found = []
    for index in np.argsort(-mean, kind="stable")[:most]:
        ranking = usable[int(index)]
        if not wrong[index]:
            continue
        shown = model.score([episodes[name] for name in ranking.episodes])
        found.append(
            {
                "key": ranking.key,
                "rater": ranking.rater,
                "query": ranking.query,
                "episodes": list(ranking.episodes),
                "ranks": list(ranking.ranks),
                "scores": [float(score) for score in shown],
                "chance": float(np.exp(-mean[index])),
                "pairs": int(size[index]),
                "otherwise": int(wrong[index]),
            }
        )
    return found


def _disagreement(
    model: RewardModel, answers: Sequence[Ranking], episodes: Mapping[str, Episode]
) -> float | None:
    """How far the posterior's draws disagree on who wins a pair: the mean share of the minority.

    0 when all draws call every pair alike, 0.5 when they are split; None without pairs.
    """
    shares = []
    for ranking in answers:
        if ranking.outcome != "ranked":
            continue
        scores = model.member_scores([episodes[name] for name in ranking.episodes])
        first, second = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1)
        wins = (scores[:, first] > scores[:, second]).double().mean(0)
        shares.append(torch.minimum(wins, 1 - wins))
    return float(torch.cat(shares).mean()) if shares else None


def _profit_correlation(model: RewardModel, episodes: Sequence[Episode]) -> float | None:
    """Spearman's correlation of learned reward and net return; None where it is undefined."""
    scores = model.score(episodes).double().numpy()
    profits = np.array([episode.net_return for episode in episodes])
    if len(profits) < 3 or np.ptp(scores) == 0 or np.ptp(profits) == 0:
        return None
    return float(spearmanr(scores, profits).statistic)
