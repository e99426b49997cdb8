"""Rankings in the preference format of the library trl: prompt, chosen, rejected; and back.

An episode becomes text: what traders see, without names and dates.
Source: trl's documentation, "Dataset formats and types", preference with an explicit prompt.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback._json_lines import read_json_lines
from tradinghf.feedback._pairs import Pair, pairs_of, rankings_of
from tradinghf.feedback._types import Ranking

_PROMPT = "Rank the trading of one market window of {bars} bars. Closes: {closes}."


def episode_in_words(episode: Episode) -> str:
    """An episode in words and numbers, for language models; blind: no name, no dates."""
    changes = np.flatnonzero(np.diff(episode.position, prepend=np.nan, append=np.nan))
    held = [f"{episode.position[a]:+.2f} x{b - a}" for a, b in pairwise(changes)]
    return (
        f"Net return {100 * float(episode.net_return):.2f} %, maximum drawdown "
        f"{100 * float(episode.drawdown.max()):.2f} %, turnover {episode.turnover.sum():.2f} times "
        f"the account, costs {100 * episode.costs.sum():.2f} %. Positions: {', '.join(held)}."
    )


def trl_rows(
    rankings: Iterable[Ranking], episodes: Mapping[str, Episode]
) -> Iterator[dict[str, str]]:
    """One row per pair with a winner: prompt, chosen, rejected, as trl's preference datasets.

    trl knows no ties: tied pairs have no row. Further columns name the episodes and the ranking;
    the first row that mentions an episode carries it whole, so that any store can read the file.
    """
    told: set[str] = set()

    def document(name: str) -> str:
        if name in told:
            return ""
        told.add(name)
        return base64.b64encode(episodes[name].to_bytes()).decode()

    for p in pairs_of(rankings):
        if p.preference == 0.5:
            continue
        best, worst = (p.first, p.second) if p.preference > 0.5 else (p.second, p.first)
        close = episodes[best].close
        closes = " ".join(f"{c:.1f}" for c in 100 * close / close[0])
        yield {
            "prompt": _PROMPT.format(bars=len(close) - 1, closes=closes),
            "chosen": episode_in_words(episodes[best]),
            "rejected": episode_in_words(episodes[worst]),
            "chosen_id": best,
            "rejected_id": worst,
            "chosen_episode": document(best),
            "rejected_episode": document(worst),
            "ranking": p.ranking,
            "rater": p.rater,
            "session": p.session,
        }


def write_trl(
    path: Path | str, rankings: Iterable[Ranking], episodes: Mapping[str, Episode]
) -> int:
    """Write `trl_rows` as JSON lines; returns how many."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in trl_rows(rankings, episodes)]
    write_atomic(Path(path), "".join(lines).encode())
    return len(lines)


def episodes_in_trl(path: Path | str) -> Iterator[Episode]:
    """The episodes that the rows of `write_trl` carry; none in other people's files.

    Raises:
        FeedbackError: a line that is no such row; the message names it.

    """

    def carried(_: int, row: dict[str, Any]) -> list[Episode]:
        sides = ("chosen", "rejected")
        whole = [(row.get(f"{side}_id"), row.get(f"{side}_episode")) for side in sides]
        return [
            Episode.from_bytes(base64.b64decode(text, validate=True), expect_id=str(name))
            for name, text in whole
            if text
        ]

    if Path(path).suffix.lower() != ".csv":
        for found in read_json_lines(path, carried, _EXPECTED):
            yield from found


_EXPECTED = "a JSON object with the ids of two episodes, the winner's and the loser's"
_CALLED = {
    "winner": ("chosen_id", "winner", "winner_id", "chosen", "preferred", "better"),
    "loser": ("rejected_id", "loser", "loser_id", "rejected", "dispreferred", "worse"),
}


def read_trl(path: Path | str, *, columns: Mapping[str, str] | None = None) -> list[Ranking]:
    """Rankings from rows that name a winner and a loser: trl-style JSON lines, or `.csv`.

    Rows without "ranking" are answers of their own.

    Args:
        path: the file.
        columns: what is called otherwise in it: {"winner": "better_id", "loser": "worse_id"}.

    Raises:
        FeedbackError: a row without the ids of two episodes; the message names it, and the columns
            that there are.

    """
    columns = dict(columns or {})
    if unknown := sorted(set(columns) - set(_CALLED)):
        raise FeedbackError(f"Columns {', '.join(unknown)} are unknown; expected winner and loser.")

    def pair(number: int, row: dict[str, Any]) -> Pair:
        ids = (
            _id_in(row, "winner", columns.get("winner")),
            _id_in(row, "loser", columns.get("loser")),
        )
        own = "trl|" + hashlib.sha256(f"{number}|{ids}".encode()).hexdigest()[:32]
        who: dict[str, str] = {
            "rater": row.get("rater") or "trl",
            "session": row.get("session") or "",
        }
        return Pair(*ids, 1.0, str(row.get("ranking") or own), **who)

    if Path(path).suffix.lower() == ".csv":
        return rankings_of(_csv_pairs(Path(path), pair))
    return rankings_of(read_json_lines(path, pair, _EXPECTED))


def _id_in(row: dict[str, Any], what: str, called: str | None) -> str:
    """The id of the winner or the loser in a row."""
    name = called or next((name for name in _CALLED[what] if name in row), None)
    if name is None or row.get(name) in (None, ""):
        raise FeedbackError(
            f"no column of the {what}'s episode among {', '.join(row)}. Say what it is called: "
            "--columns winner=...,loser=... (columns={'winner': ..., 'loser': ...} in Python)."
        )
    found = row[name]
    if not isinstance(found, str) or not re.fullmatch(r"[0-9a-f]{16,128}", found):
        raise FeedbackError(
            f"{name} is {str(found)[:40]!r}; expected the hexadecimal id of an episode. Text and "
            "features are none: preferences about features of any task are read by "
            "tradinghf.learning.tasks.Preferences.load."
        )
    return found


def _csv_pairs(path: Path, pair: Callable[[int, dict[str, Any]], Pair]) -> Iterator[Pair]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file, strict=True), 2):
                if None in row or None in row.values():
                    raise FeedbackError(f"{path.name}, row {number}: as many cells as columns.")
                try:
                    yield pair(number, row)
                except FeedbackError as error:
                    raise FeedbackError(f"{path.name}, row {number}: {error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise FeedbackError(f"{path.name} is not a CSV file in UTF-8: {error}.") from error
