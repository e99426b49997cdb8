"""Tables behind the pages; pandas in and out, no Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.feedback import Leaderboard, Ranking, RaterQuality
from tradinghf.feedback.store import EpisodeInfo
from tradinghf.serving._source_names import SOURCE_KINDS, source_kind, source_label

_OUTCOMES = {"ranked": "ranked", "skipped": "skipped", "cant_tell": "can't tell"}


def _in_words(episodes: Sequence[str], ranks: Sequence[float], names: Mapping[str, str]) -> str:
    """Episodes by rank as one line: "sma cross > momentum = buy and hold"."""
    groups: dict[float, list[str]] = {}
    for episode, rank in zip(episodes, ranks, strict=False):
        groups.setdefault(rank, []).append(source_label(names.get(episode, "?")))
    return " > ".join(" = ".join(groups[rank]) for rank in sorted(groups))


def _frame(items: Iterable[Any], columns: Mapping[str, Callable[[Any], Any]]) -> pd.DataFrame:
    """A row per item, a column per function; with its columns also when there is no item."""
    rows = [[read(item) for read in columns.values()] for item in items]
    return pd.DataFrame(rows, columns=list(columns))


def worst_table(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> pd.DataFrame:
    """The answers that a reward model fits worst, as `reward.json` holds them; one row each."""
    columns: dict[str, Callable[[Any], Any]] = {
        "rater": itemgetter("rater"),
        "answered, best first": lambda r: _in_words(r["episodes"], r["ranks"], names),
        "the model would say": lambda r: _in_words(r["episodes"], [-s for s in r["scores"]], names),
        "pairs called otherwise": lambda r: f"{r['otherwise']} of {r['pairs']}",
        "chance of a pair %": lambda r: 100 * r["chance"],
        "key": itemgetter("key"),
    }
    return _frame(rows, columns)


def answers_table(rankings: Sequence[Ranking], names: Mapping[str, str]) -> pd.DataFrame:
    """One row per answer, the newest first."""
    corrected = {ranking.supersedes for ranking in rankings}
    columns: dict[str, Callable[[Ranking], Any]] = {
        "answered": attrgetter("created"),
        "rater": attrgetter("rater"),
        "ranking": lambda r: _in_words(r.episodes, r.ranks, names) or _OUTCOMES[r.outcome],
        "seconds": attrgetter("seconds"),
        "comment": attrgetter("comment"),
        "state": lambda r: "corrected later" if r.key in corrected else "counts",
        "key": attrgetter("key"),
    }
    return _frame(reversed(rankings), columns)


def standings_table(board: Leaderboard, shipped: Collection[str]) -> pd.DataFrame:
    """One row per source, best first; `shipped` are the names of the shipped strategies."""
    rows = [
        {
            "place": s.place,
            "places open": _span(s.best_place, s.worst_place),
            "who": source_label(s.source),
            "what": SOURCE_KINDS[source_kind(s.source, shipped)],
            "rating": s.rating,
            "low": s.low,
            "high": s.high,
            "elo": s.elo,
            "won": s.wins,
            "lost": s.losses,
            "tied": s.ties,
            "to the next": "too close to call" if s.too_close else "ahead",
        }
        for s in board.standings
    ]
    if rows:
        rows[-1]["to the next"] = ""
    return pd.DataFrame(rows)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def win_matrix(board: Leaderboard) -> pd.DataFrame:
    """Share of comparisons won by the row against the column [%]; NaN where they never met."""
    shares = np.where(board.met > 0, 100.0 * board.wins, np.nan)
    names = [source_label(source) for source in board.sources]
    return pd.DataFrame(shares, index=names, columns=names)


def episodes_table(infos: Iterable[EpisodeInfo]) -> pd.DataFrame:
    """One row per episode."""
    columns: dict[str, Callable[[EpisodeInfo], Any]] = {
        "who": lambda info: source_label(info.source),
        "symbol": attrgetter("symbol"),
        "return %": lambda info: 100 * info.net_return,
        "max drawdown %": lambda info: 100 * info.max_drawdown,
        "bars": attrgetter("bars"),
        "first bar": attrgetter("start"),
        "episode": lambda info: info.id[:12],
        "id": attrgetter("id"),
    }
    return _frame(infos, columns)


def quality_table(records: Iterable[RaterQuality]) -> pd.DataFrame:
    """One row per rater."""

    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    rows: list[dict[str, Any]] = [
        {
            "rater": r.rater,
            "answers": r.answers,
            "skipped": r.skipped,
            "can't tell": r.cant_tell,
            "ties %": percent(r.ties),
            "median time, s": r.median_seconds,
            "too fast %": percent(r.too_fast),
            "own consistency %": percent(r.consistency),
            "repeats": r.repeats,
            "gold passed": f"{r.gold_passed} of {r.gold}" if r.gold else "none asked",
            "agreement %": percent(r.agreement),
        }
        for r in records
    ]
    frame = pd.DataFrame(rows)
    # A column without any value is still one of numbers: aligned and formatted like the others.
    unknown = [name for name in frame.columns if name.endswith((" %", ", s"))]
    return frame.astype(dict.fromkeys(unknown, float))
