"""Files of preferences that others collected about fragments, for a reward of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.errors import FeedbackError
from tradinghf.learning.tasks._fragments import Fragments
from tradinghf.learning.tasks._preference_files import read_arrays, read_columns

_Array = NDArray[Any]
_NAMES: dict[str, tuple[str, ...]] = {
    "first": (
        "first", "observations", "obs_1", "obs1", "segment_1", "seg1", "buffer_seg1", "sa_t_1",
    ),
    "second": (
        "second", "observations_2", "obs_2", "obs2", "segment_2", "seg2", "buffer_seg2", "sa_t_2",
    ),
    "first_actions": ("first_actions", "actions", "actions_1", "action_1", "act_1", "acts_1"),
    "second_actions": ("second_actions", "actions_2", "action_2", "act_2", "acts_2"),
    "first_start": ("first_start", "start_indices_1", "start_indices", "indices"),
    "second_start": ("second_start", "start_indices_2", "indices_2"),
    "first_end": ("first_end", "end_indices_1", "end_indices"),
    "second_end": ("second_end", "end_indices_2"),
    "label": ("label", "labels", "buffer_label", "human_label", "preferences", "preference"),
    "winner": ("winner", "chosen", "preferred", "better", "win"),
    "loser": ("loser", "rejected", "dispreferred", "worse", "lose"),
}  # fmt: skip
"""What a column is, and what libraries call it: B-Pref, Preference Transformer, Uni-RLHF, trl."""
_FARTHEST = 2**53  # row of a log: whole numbers are exact up to it
_MOST = 2**31  # numbers of all fragments, padded to the longest
_ENOUGH = (
    ("winner", "loser"),
    ("first", "second", "label"),
    ("first_start", "second_start", "label"),
)


@dataclass(frozen=True, eq=False)
class Preferences:
    """Comparisons of two fragments each.

    Attributes:
        fragments: [Q, 2] of them.
        ranks: [Q, 2] 1 = preferred, equal = tied.

    Example:
        >>> given = Preferences.load("labels.npz")                          # doctest: +SKIP
        >>> reward = NetworkReward(network, given.inputs)                   # doctest: +SKIP
        >>> reward.fit(given.fragments, given.ranks, given.steps)           # doctest: +SKIP

    """

    fragments: Fragments
    ranks: Tensor

    @property
    def inputs(self) -> int:
        """Features of a step D."""
        return int(self.fragments.features.shape[-1])

    @property
    def steps(self) -> Tensor:
        """[P, D] all steps of all fragments."""
        return self.fragments.features[self.fragments.mask]

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        columns: Mapping[str, str] | None = None,
        segments: Path | str | None = None,
        steps: int | None = None,
    ) -> Preferences:
        """Read a file of preferences, whoever wrote it.

        `.npz`: `first` and `second` [Q, l, D], with `first_actions` and `second_actions` [Q, l, A]
        beside them where they hold observations only, and `label`: [Q] 0 where the first is
        preferred, 1 the second, -1 or 0.5 neither; or [Q, 2] the probability of each. Or
        imitation's fragments: `obs` [E, l + 1, D], `acts`, `pairs` [Q, 2] rows of them, and
        `preferences` [Q], the probability that the first is preferred.
        `.json`, `.jsonl`: `winner` and `loser`, each the features [l, D] of a fragment, or its
        name in `segments`; or the columns of an `.npz`. `.csv`: `winner` and `loser` by name.
        In any of them, `first_start` and `second_start` [Q] rows of a log of steps in `segments`
        where the fragments begin, `first_end` and `second_end` where they stop, and `label`.

        Args:
            path: the file.
            columns: what they are called in the file, by the names above, where it is not known:
                {"winner": "better_id", "loser": "worse_id"}.
            segments: `.npz` in which each name is the features [l, D] of one fragment; or the log:
                `observations` [S, D], and `actions` [S, A] where there are any.
            steps: of each fragment of a log, where the file does not say where they stop.

        Raises:
            FeedbackError: columns are missing or unknown, shapes do not fit, or numbers are not
                finite; the message says which columns there are.

        """
        path = Path(path)
        table = read_columns(path)
        if path.suffix == ".npz" and {"obs", "acts", "pairs", "preferences"} <= set(table):
            return _of_imitation(path.name, table)
        found = _named(path.name, table, dict(columns or {}))
        known = None if segments is None else read_arrays(Path(segments))
        if {"winner", "loser"} <= set(found):
            return _of_winners(path.name, found, known)
        if {"first", "second"} <= set(found):
            return _of_pairs(path.name, found)
        return _of_places(path.name, found, known, steps)


def _named(name: str, table: Mapping[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The columns of a file by what they are.

    Raises:
        FeedbackError: too few of them are known.

    """
    if unknown := sorted(set(columns) - set(_NAMES)):
        raise FeedbackError(f"columns names {', '.join(unknown)}; known are {', '.join(_NAMES)}.")
    if missing := sorted(set(columns.values()) - set(table)):
        raise FeedbackError(
            f"{name} has no column {', '.join(missing)}; it has {', '.join(sorted(table))}."
        )
    found = {}
    for what, called in _NAMES.items():
        here = columns.get(what) or next((c for c in called if c in table), None)
        if here is not None:
            found[what] = table[here]
    if any(set(enough) <= set(found) for enough in _ENOUGH):
        return found
    raise FeedbackError(
        f"{name} has the columns {', '.join(sorted(table)) or '(none)'}; expected winner and "
        "loser, or first, second and label, or first_start, second_start and label. Say which they "
        'are: columns={"winner": "...", "loser": "..."}.'
    )


def _of_pairs(name: str, found: Mapping[str, Any]) -> Preferences:
    """From segments side by side."""
    sides = []
    for side in ("first", "second"):
        rows = _features(name, side, found[side])
        acted = found.get(f"{side}_actions")
        if acted is not None:
            more = _features(name, f"{side}_actions", acted)
            _check_same(name, side, rows.shape[:2], f"{side}_actions", more.shape[:2])
            rows = np.concatenate([rows, more], -1)
        sides.append(rows)
    _check_same(name, "first", sides[0].shape, "second", sides[1].shape)
    ranks = _ranks(name, _numbers(name, "label", found["label"]), len(sides[0]))
    features = torch.from_numpy(np.stack(sides, 1))
    mask = torch.ones(features.shape[:-1], dtype=torch.bool)
    return Preferences(Fragments(features, torch.zeros(mask.shape), mask), ranks)


def _check_same(name: str, what: str, one: Sequence[int], other: str, two: Sequence[int]) -> None:
    if tuple(one) != tuple(two):
        raise FeedbackError(
            f"{name}: {what} is {list(one)} and {other} {list(two)}; expected the same shape."
        )


def _features(name: str, what: str, rows: Any) -> _Array:
    """[Q, l, D] finite numbers."""
    try:
        found = np.asarray(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise FeedbackError(f"{name}: {what} holds no numbers of one shape: {error}.") from error
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3 or not found.size:
        raise FeedbackError(
            f"{name}: {what} is {list(found.shape)}; expected [Q, l, D]: Q pairs, l steps, D "
            "features of a step."
        )
    _check_finite(name, what, found)
    return found


def _check_finite(name: str, what: str, found: _Array) -> None:
    if not np.isfinite(found).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise FeedbackError(f"{name}: {what} is {found[place]} at {list(place)}; expected numbers.")


def _ranks(name: str, label: _Array, count: int) -> Tensor:
    """[Q, 2] ranks of labels [Q], [Q, 1] or [Q, 2]."""
    label = label[:, 0] if label.ndim == 2 and label.shape[1] == 1 else label
    known = label.dtype.kind in "fiub"
    if known and label.shape == (count, 2) and bool(((label >= 0) & (label <= 1)).all()):
        second = label[:, 1].astype(float) - label[:, 0].astype(float)
    elif known and label.shape == (count,) and bool(np.isin(label, (-1, 0, 0.5, 1)).all()):
        second = np.where(np.isin(label, (-1, 0.5)), 0.0, np.where(label == 1, 1.0, -1.0))
    else:
        raise FeedbackError(
            f"{name}: label is {list(label.shape)} with values such as {label.flat[:1].tolist()} "
            f"for {count} pairs; expected [{count}] of 0 (the first is preferred), 1 (the second) "
            f"and -1 or 0.5 (neither), or [{count}, 2] probabilities."
        )
    return torch.from_numpy(np.stack([1 + (second > 0), 1 + (second < 0)], 1).astype(np.int64))


def _of_imitation(name: str, table: Mapping[str, Any]) -> Preferences:
    """From imitation's fragments, whose observations have one row more than actions."""
    obs, acts = (_numbers(name, n, table[n]).astype(np.float32) for n in ("obs", "acts"))
    pairs, likes = np.asarray(table["pairs"]), _numbers(name, "preferences", table["preferences"])
    acts = acts[..., None] if acts.ndim == 2 else acts
    whole = obs.ndim == acts.ndim == 3 and len(obs) == len(acts)
    if not whole or obs.shape[1] != acts.shape[1] + 1:
        raise FeedbackError(
            f"{name}: obs is {list(obs.shape)} and acts {list(acts.shape)}; expected [E, l + 1, D] "
            "and [E, l, A]."
        )
    inside = pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu"
    if (
        not inside
        or not ((pairs >= 0) & (pairs < len(obs))).all()
        or likes.shape != pairs.shape[:1]
    ):
        raise FeedbackError(
            f"{name}: pairs is {list(pairs.shape)} and preferences {list(likes.shape)}; expected "
            f"[Q, 2] rows of {len(obs)} fragments, and [Q]."
        )
    rows = np.concatenate([obs[:, :-1], acts], -1)[pairs]
    label = np.stack([likes, 1 - likes], 1)
    return _of_pairs(name, {"first": rows[:, 0], "second": rows[:, 1], "label": label})


def _of_winners(
    name: str, found: Mapping[str, Any], known: Mapping[str, Any] | None
) -> Preferences:
    """From who won and who lost: features, or names of them; of any lengths."""
    sides: list[list[_Array]] = [[], []]
    for what in ("winner", "loser"):
        if not isinstance(found[what], list | np.ndarray) or np.shape(found[what]) == ():
            raise FeedbackError(f"{name}: {what} is no list; expected one entry for each pair.")
    counts = [len(found[what]) for what in ("winner", "loser")]
    if counts[0] != counts[1] or not counts[0]:
        raise FeedbackError(
            f"{name} holds {counts[0]} winners and {counts[1]} losers; expected one of each for "
            "every pair, and a pair."
        )
    pairs = list(zip(found["winner"], found["loser"], strict=True))
    for number, pair in enumerate(pairs, 1):
        for side, given in zip(sides, pair, strict=True):
            side.append(_segment(f"{name}, pair {number}", given, known))
    return _of_any_length(name, sides, torch.tensor([[1, 2]]).repeat(len(pairs), 1))


def _of_places(
    name: str, found: Mapping[str, Any], log: Mapping[str, Any] | None, steps: int | None
) -> Preferences:
    """From where fragments lie in a log of steps, as human labels of offline data are published."""
    if log is None or "observations" not in log:
        raise FeedbackError(
            f"{name} says where fragments begin, not what happens in them. Give segments=FILE.npz "
            "with the log: observations [S, D], and actions [S, A] where there are any."
        )
    given = [_features("the log", n, [log[n]])[0] for n in ("observations", "actions") if n in log]
    if len(counts := {len(part) for part in given}) != 1:
        raise FeedbackError(
            f"The log has {' and '.join(map(str, counts))} rows of observations and actions; "
            "expected as many of both."
        )
    rows = np.concatenate(given, -1)
    sides: list[list[_Array]] = []
    for side in ("first", "second"):
        starts = _places(name, f"{side}_start", found[f"{side}_start"])
        if f"{side}_end" in found:
            ends = _places(name, f"{side}_end", found[f"{side}_end"])
        elif steps is not None:
            ends = starts + min(steps, len(rows) + 1)  # longer ones end outside as well
        else:
            raise FeedbackError(f"{name}: no {side}_end; say how long fragments are with steps=.")
        _check_same(name, f"{side}_start", starts.shape, f"{side}_end", ends.shape)
        if bad := [i for i, (a, b) in enumerate(zip(starts, ends, strict=True)) if not 0 <= a < b]:
            raise FeedbackError(
                f"{name}: pair {bad[0] + 1} takes rows {starts[bad[0]]} to {ends[bad[0]]}."
            )
        if ends.max() > len(rows):
            raise FeedbackError(
                f"{name}: a fragment ends at row {ends.max()} of a log of {len(rows)}."
            )
        sides.append([rows[a:b] for a, b in zip(starts, ends, strict=True)])
    if len(sides[0]) != len(sides[1]):
        raise FeedbackError(
            f"{name}: {len(sides[0])} fragments are first and {len(sides[1])} second; expected "
            "one of each for every pair."
        )
    label = _numbers(name, "label", found["label"])
    return _of_any_length(name, sides, _ranks(name, label, len(sides[0])))


def _places(name: str, what: str, values: Any) -> _Array:
    """[Q] rows of a log."""
    found = _numbers(name, what, values)
    if found.ndim != 1 or (found != np.floor(found)).any() or (abs(found) > _FARTHEST).any():
        raise FeedbackError(f"{name}: {what} is {list(found.shape)}; expected [Q] whole numbers.")
    return found.astype(np.int64)


def _numbers(name: str, what: str, values: Any) -> _Array:
    """An array of numbers, also of a column of text.

    Raises:
        FeedbackError: something else is in it, or nothing.

    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise FeedbackError(f"{name}: {what} holds no numbers: {error}.") from error
    if not found.size:
        raise FeedbackError(f"{name} holds no pair.")
    _check_finite(name, what, found)
    return found


def _of_any_length(name: str, sides: Sequence[Sequence[_Array]], ranks: Tensor) -> Preferences:
    """From the fragments of both sides, padded to the longest."""
    wide = {part.shape[1] for side in sides for part in side}
    if len(wide) != 1:
        raise FeedbackError(
            f"{name}: steps have {sorted(wide)} features; expected the same number everywhere."
        )
    length = max(len(part) for side in sides for part in side)
    shape = (len(ranks), 2, length, wide.pop())
    if math.prod(shape) > _MOST:
        raise FeedbackError(
            f"{name}: {shape[0]:,} pairs padded to {length:,} steps are {math.prod(shape):,} "
            f"numbers; at most {_MOST:,} are read. Cut the long fragments."
        )
    features = torch.zeros(shape)
    mask = torch.zeros(features.shape[:-1], dtype=torch.bool)
    for place, side in enumerate(sides):
        for row, part in enumerate(side):
            features[row, place, : len(part)] = torch.from_numpy(part)
            mask[row, place, : len(part)] = True
    return Preferences(Fragments(features, torch.zeros(mask.shape), mask), ranks)


def _segment(where: str, given: Any, known: Mapping[str, Any] | None) -> _Array:
    """[l, D] features of one fragment, by itself or by name."""
    if isinstance(given, str | int):
        if known is None:
            raise FeedbackError(
                f"{where} names {str(given)[:40]!r}; its features are not in this file. Give "
                "segments=FILE.npz, in which each name is an array [l, D]. Text for language "
                "models has no features of steps; rankings of episodes in a store are read by "
                "`tradinghf feedback import`."
            )
        if str(given) not in known:
            raise FeedbackError(
                f"{where} names {str(given)[:40]!r}, which is not among the {len(known)} segments."
            )
        given = known[str(given)]
    found: _Array = _features(where, "a fragment", [given])[0]
    return found
