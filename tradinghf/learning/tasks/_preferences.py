"""Files of preferences that others collected about fragments, for a reward of steps."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf._json import parse_json
from tradinghf.errors import FeedbackError
from tradinghf.learning.tasks._fragments import Fragments

_Array = NDArray[Any]
_MOST_BYTES = 2**31  # of a file, unpacked
_NAMES: dict[str, tuple[str, ...]] = {
    "first": (
        "first", "observations", "obs_1", "obs1", "segment_1", "seg1", "buffer_seg1", "sa_t_1",
    ),
    "second": (
        "second", "observations_2", "obs_2", "obs2", "segment_2", "seg2", "buffer_seg2", "sa_t_2",
    ),
    "first_actions": ("first_actions", "actions", "actions_1", "action_1", "act_1", "acts_1"),
    "second_actions": ("second_actions", "actions_2", "action_2", "act_2", "acts_2"),
    "label": ("label", "labels", "buffer_label", "human_label", "preferences", "preference"),
    "winner": ("winner", "chosen", "preferred", "better", "win"),
    "loser": ("loser", "rejected", "dispreferred", "worse", "lose"),
}  # fmt: skip
"""What a column is, and what libraries call it: B-Pref, Preference Transformer, Uni-RLHF, trl."""


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
    ) -> Preferences:
        """Read a file of preferences, whoever wrote it.

        `.npz`: `first` and `second` [Q, l, D], with `first_actions` and `second_actions` [Q, l, A]
        beside them where they hold observations only, and `label`: [Q] 0 where the first is
        preferred, 1 the second, -1 or 0.5 neither; or [Q, 2] the probability of each. Or
        imitation's fragments: `obs` [E, l + 1, D], `acts`, `pairs` [Q, 2] rows of them, and
        `preferences` [Q], the probability that the first is preferred.
        `.json`, `.jsonl`: `winner` and `loser`, each the features [l, D] of a fragment, or its
        name in `segments`; or the columns of an `.npz`. `.csv`: `winner` and `loser` by name.

        Args:
            path: the file.
            columns: what they are called in the file, by the names above, where it is not known:
                {"winner": "better_id", "loser": "worse_id"}.
            segments: `.npz` in which each name is the features [l, D] of one fragment.

        Raises:
            FeedbackError: columns are missing or unknown, shapes do not fit, or numbers are not
                finite; the message says which columns there are.

        """
        path = Path(path)
        readers = {".npz": _arrays, ".json": _json, ".jsonl": _json_lines, ".csv": _csv}
        if path.suffix not in readers:
            raise FeedbackError(
                f"Cannot read {path.name}; expected .npz, .json, .jsonl or .csv. Files of pickled "
                "objects may run code: save their arrays with numpy.savez instead."
            )
        if not path.is_file():
            raise FeedbackError(f"There is no file {path}.")
        table = readers[path.suffix](path)
        if path.suffix == ".npz" and {"obs", "acts", "pairs", "preferences"} <= set(table):
            return _of_imitation(path.name, table)
        found = _named(path.name, table, dict(columns or {}))
        if "winner" in found:
            known = None if segments is None else _arrays(Path(segments))
            return _of_winners(path.name, found, known)
        return _of_pairs(path.name, found)


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
    if {"winner", "loser"} <= set(found) or {"first", "second", "label"} <= set(found):
        return found
    raise FeedbackError(
        f"{name} has the columns {', '.join(sorted(table)) or '(none)'}; expected winner and "
        "loser, or first, second and label. Say which they are: "
        'columns={"winner": "...", "loser": "..."}.'
    )


def _of_pairs(name: str, found: Mapping[str, Any]) -> Preferences:
    """From segments side by side."""
    sides = []
    for side in ("first", "second"):
        rows = _features(name, side, found[side])
        acted = found.get(f"{side}_actions")
        if acted is not None:
            rows = np.concatenate([rows, _features(name, f"{side}_actions", acted)], -1)
        sides.append(rows)
    if sides[0].shape != sides[1].shape:
        raise FeedbackError(
            f"{name}: first is {list(sides[0].shape)} and second {list(sides[1].shape)}; expected "
            "the same shape [Q, l, D]."
        )
    ranks = _ranks(name, np.asarray(found["label"]), len(sides[0]))
    features = torch.from_numpy(np.stack(sides, 1))
    mask = torch.ones(features.shape[:-1], dtype=torch.bool)
    return Preferences(Fragments(features, torch.zeros(mask.shape), mask), ranks)


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
    obs, acts = (np.asarray(table[n], dtype=np.float32) for n in ("obs", "acts"))
    pairs, likes = np.asarray(table["pairs"]), np.asarray(table["preferences"], dtype=np.float64)
    acts = acts[..., None] if acts.ndim == 2 else acts
    if obs.ndim != 3 or acts.ndim != 3 or obs.shape[1] != acts.shape[1] + 1:
        raise FeedbackError(
            f"{name}: obs is {list(obs.shape)} and acts {list(acts.shape)}; expected [E, l + 1, D] "
            "and [E, l, A]."
        )
    inside = pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu"
    if not inside or not ((pairs >= 0) & (pairs < len(obs))).all() or len(likes) != len(pairs):
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
    pairs = list(zip(found["winner"], found["loser"], strict=True))
    if not pairs:
        raise FeedbackError(f"{name} holds no pair.")
    for number, pair in enumerate(pairs, 1):
        for side, given in zip(sides, pair, strict=True):
            side.append(_segment(f"{name}, pair {number}", given, known))
    wide = {part.shape[1] for side in sides for part in side}
    if len(wide) != 1:
        raise FeedbackError(
            f"{name}: steps have {sorted(wide)} features; expected the same number everywhere."
        )
    length = max(len(part) for side in sides for part in side)
    features = torch.zeros(len(pairs), 2, length, wide.pop())
    mask = torch.zeros(features.shape[:-1], dtype=torch.bool)
    for place, side in enumerate(sides):
        for row, part in enumerate(side):
            features[row, place, : len(part)] = torch.from_numpy(part)
            mask[row, place, : len(part)] = True
    ranks = torch.tensor([[1, 2]]).repeat(len(pairs), 1)
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


def _arrays(path: Path) -> dict[str, _Array]:
    """The arrays of an .npz; no objects, which could run code."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _MOST_BYTES:
            raise FeedbackError(f"{path.name} unpacks to {size:,} bytes; at most {_MOST_BYTES:,}.")
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
    except FeedbackError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise FeedbackError(
            f"{path.name} is no .npz of plain arrays: {error}. Save arrays of numbers with "
            "numpy.savez; objects are not read, since they may run code."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    """One object of columns, or a list of rows."""
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FeedbackError(f"{path.name} is no JSON: {error}.") from error
    if isinstance(found, dict):
        return found
    return _columns(path.name, found if isinstance(found, list) else [found])


def _json_lines(path: Path) -> dict[str, Any]:
    def rows() -> Iterator[Any]:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield parse_json(line)
                except (ValueError, RecursionError) as error:
                    raise FeedbackError(f"{path.name}, line {number}: no JSON: {error}.") from error

    return _columns(path.name, list(rows()))


def _columns(name: str, rows: Sequence[Any]) -> dict[str, Any]:
    """Rows by column, those that all of them have."""
    if not rows:
        raise FeedbackError(f"{name} holds no pair.")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise FeedbackError(
                f"{name}, row {number} is a {type(row).__name__}; expected an object."
            )
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: [row[key] for row in rows] for key in shared}


def _csv(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise FeedbackError(f"{path.name} is not a CSV file in UTF-8: {error}.") from error
    if any(None in row or None in row.values() for row in rows):
        raise FeedbackError(f"{path.name}: expected as many cells in every row as columns.")
    return _columns(path.name, rows)
