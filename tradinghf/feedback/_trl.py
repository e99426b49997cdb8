"""Rankings in the preference format of the library trl: prompt, chosen, rejected; and back.

An episode becomes text: what traders see, without names and dates.
Source: trl's documentation, "Dataset formats and types", preference with an explicit prompt.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.durable import write_atomic
from tradinghf.episodes import Episode
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
        whole = [(row[f"{side}_id"], row.get(f"{side}_episode")) for side in ("chosen", "rejected")]
        return [
            Episode.from_bytes(base64.b64decode(text, validate=True), expect_id=str(name))
            for name, text in whole
            if text
        ]

    for found in read_json_lines(path, carried, _EXPECTED):
        yield from found


_EXPECTED = 'a JSON object with "chosen_id" and "rejected_id", ids of episodes'


def read_trl(path: Path | str) -> list[Ranking]:
    """Rankings from trl-style JSON lines that name their episodes by id.

    Rows without "ranking" are answers of their own.

    Raises:
        FeedbackError: a line that is no such row; the message names it.

    """

    def pair(number: int, row: dict[str, Any]) -> Pair:
        ids = (str(row["chosen_id"]), str(row["rejected_id"]))
        own = "trl|" + hashlib.sha256(f"{number}|{ids}".encode()).hexdigest()[:32]
        who = {"rater": str(row.get("rater", "trl")), "session": row.get("session", "")}
        return Pair(*ids, 1.0, str(row.get("ranking", own)), **who)

    return rankings_of(read_json_lines(path, pair, _EXPECTED))
