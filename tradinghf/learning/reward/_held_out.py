"""How well the reward model predicts rankings that it was not fitted to."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from tradinghf._intervals import bounded_ends, clusters, jackknife_error, quantile
from tradinghf.episodes import Episode, Floats
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.learning.reward._protocol import Reward

_BINS = 15
FOLDS = 5  # of cross-validation
_SHARES = ("accuracy", "precision", "recall", "f1")
_SCORES = (*_SHARES, "log_loss", "brier")
Pairs = tuple[Floats, NDArray[np.int64], NDArray[np.int64]]


def predicted_pairs(
    model: Reward, rankings: Sequence[Ranking], episodes: Mapping[str, Episode]
) -> Pairs:
    """Every pair of every ranking.

    Returns:
        probabilities [P, 3] of first wins / tie / second wins, outcomes [P] in {0, 1, 2}, and the
        index [P] of the ranking.

    """
    usable = [r for r in rankings if r.outcome == "ranked"]
    names = list(dict.fromkeys(n for r in usable for n in r.episodes))
    row = {name: i for i, name in enumerate(names)}
    first, second, outcome, owner = [], [], [], []
    for index, ranking in enumerate(usable):
        placed = zip(ranking.episodes, ranking.ranks, strict=True)
        for (one, a), (other, b) in itertools.combinations(placed, 2):
            first.append(row[one])
            second.append(row[other])
            outcome.append(0 if a < b else 1 if a == b else 2)
            owner.append(index)
    if not first:
        raise FeedbackError("There are no rankings to evaluate on; rank at least one query.")
    scores = model.member_scores([episodes[name] for name in names])
    probabilities = model.predict_pairs(scores[:, first], scores[:, second]).numpy()
    return probabilities, np.array(outcome), np.array(owner)


def pair_metrics(probabilities: Floats, outcomes: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, macro precision, recall and F1 (over the classes that occur), log-loss [nats],
    Brier score, expected calibration error (15 bins, confidence of the predicted class).

    Source: Guo et al. 2017 (arXiv:1706.04599) for the calibration error.
    """
    predicted = probabilities.argmax(1)
    labels = np.unique(outcomes)
    precision, recall, f1, _ = precision_recall_fscore_support(
        outcomes, predicted, labels=labels, average="macro", zero_division=0
    )
    chosen = probabilities[np.arange(len(outcomes)), outcomes]
    confidence, right = probabilities.max(1), predicted == outcomes
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    size = np.bincount(bins, minlength=_BINS)
    gap = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return {
        "accuracy": float(right.mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "log_loss": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        "brier": float(np.square(probabilities - np.eye(3)[outcomes]).sum(1).mean()),
        "ece": float(np.abs(gap[size > 0]).sum() / len(outcomes)),
    }


def _counts(probabilities: Floats, outcomes: NDArray[np.int64], owner: NDArray[np.int64]) -> Floats:
    """[R, 11] what the scores are made of, by owner: 9 of the confusion, log-loss and Brier."""
    count = int(owner.max()) + 1
    cell = 9 * owner + 3 * outcomes + probabilities.argmax(1)
    chosen = probabilities[np.arange(len(outcomes)), outcomes]
    surprise = -np.log(np.maximum(chosen, 1e-12))
    squares = np.square(probabilities - np.eye(3)[outcomes]).sum(1)
    confusion = np.bincount(cell, minlength=9 * count).reshape(count, 9)
    sums = [np.bincount(owner, weights) for weights in (surprise, squares)]
    return np.column_stack([confusion, *sums])


def _scores(counts: Floats, classes: NDArray[np.int64]) -> Floats:
    """[..., 6] the scores of `_SCORES`, from summed counts [..., 11]."""
    confusion = counts[..., :9].reshape(*counts.shape[:-1], 3, 3)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)[..., classes]
    true, called = (confusion.sum(axis)[..., classes] for axis in (-1, -2))
    pairs = confusion.sum((-1, -2))
    macro = [
        np.divide(up, down, out=np.zeros_like(up), where=down > 0).mean(-1)
        for up, down in ((hits, called), (hits, true), (2 * hits, true + called))
    ]
    right = np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1)
    total = np.stack([right, counts[..., 9], counts[..., 10]])
    mean = np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
    return np.stack([mean[0], *macro, mean[1], mean[2]], axis=-1)


def summarise(pairs: Pairs) -> dict[str, Any]:
    """`pair_metrics` with 95 % intervals, for which whole rankings are the independent cases.

    Returns:
        metrics, `NAME_interval` (low, high), and the number of pairs and rankings. Log-loss and
        Brier score have an interval from five rankings on. The calibration error has none: it is
        never below zero, so its estimate is too high by an unknown amount.

    """
    probabilities, outcomes, owner = pairs
    blocks = clusters(owner)
    counts = _counts(probabilities, outcomes, blocks.of)
    classes = np.unique(outcomes)
    errors = jackknife_error(_scores(counts.sum(0) - counts, classes))
    result: dict[str, Any] = pair_metrics(probabilities, outcomes)
    for name, error in zip(_SCORES, errors.tolist(), strict=True):
        value = result[name]
        if name in _SHARES:
            result[f"{name}_interval"] = bounded_ends(value, error, blocks)
        elif blocks.enough:
            width = quantile(blocks.freedom) * error
            result[f"{name}_interval"] = (max(value - width, 0.0), value + width)
    return result | {"pairs": len(outcomes), "held_out_rankings": blocks.count}


def cross_validate(
    rankings: Sequence[Ranking],
    episodes: Mapping[str, Episode],
    model: Reward,
    *,
    folds: int = FOLDS,
    halves: bool = False,
) -> dict[str, Any]:
    """Held-out metrics of models of a kind when no rankings can be spared.

    Folds are whole market windows, ordered by their first bar and cut into blocks. Rankings of
    windows that overlap in time with those of a fold, of whatever asset, are left out of the
    training for it: assets move together. `model` itself learns nothing; a function that it was
    given to learn by is called for each fold.

    Args:
        rankings, episodes: answers, and what they are about.
        model: of the kind that is judged.
        folds: blocks of market time.
        halves: also learn from half of the answers, and add what the other half brought: `rise`.

    Raises:
        FeedbackError: fewer than two usable rankings, or all of them are about the same bars.

    """
    usable = [r for r in rankings if r.outcome == "ranked"]
    if len(usable) < 2:
        raise FeedbackError(
            f"Cross-validation needs at least 2 usable rankings; there are {len(usable)}."
        )
    shown = [episodes[r.episodes[0]] for r in usable]
    windows = [(e.timestamps[0], e.timestamps[-1], e.market, e.symbol) for e in shown]
    distinct = sorted(dict.fromkeys(windows), key=lambda window: window[0])
    parts: list[Pairs] = []
    fewer: list[Pairs] = []
    offset = 0
    for block in np.array_split(np.arange(len(distinct)), min(folds, len(distinct))):
        held = {distinct[i] for i in block}
        train = [
            r
            for r, window in zip(usable, windows, strict=True)
            if not any(window[0] <= last and first <= window[1] for first, last, *_ in held)
        ]
        if not train:
            continue
        test = [r for r, window in zip(usable, windows, strict=True) if window in held]
        for into, known in ((parts, train), (fewer, train[::2])) if halves else ((parts, train),):
            fitted = model.blank().fit(known, episodes)
            probabilities, outcomes, owner = predicted_pairs(fitted, test, episodes)
            into.append((probabilities, outcomes, owner + offset))
        offset += len(test)
    if not parts:
        raise FeedbackError(
            f"The {len(usable)} rankings are all about the same bars; cross-validation needs "
            "windows apart from each other. Rank episodes of other windows."
        )
    found = summarise(_together(parts))
    return found | ({"rise": rise(_together(parts), _together(fewer))} if halves else {})


def _together(parts: Sequence[Pairs]) -> Pairs:
    merged = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return merged[0], merged[1], merged[2]


def rise(found: Pairs, fewer: Pairs) -> tuple[float, float]:
    """How much more of the same pairs is called right than from half of the answers.

    Returns:
        The rise in accuracy and its standard error, whole rankings being the independent cases.

    """
    right, before = (p.argmax(1) == outcomes for p, outcomes, _ in (found, fewer))
    gained = right.astype(float) - before
    away = np.bincount(found[2], weights=gained - gained.mean())
    return float(gained.mean()), float(np.sqrt(np.square(away).sum()) / len(gained))
