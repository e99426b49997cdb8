"""Tables behind the pages; pandas in and out, no Streamlit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.feedback import Leaderboard, Ranking, RaterQuality
from tradinghf.feedback.store import EpisodeInfo, Store
from tradinghf.serving._runs import RunFolder
from tradinghf.serving._source_names import SOURCE_KINDS, source_kind, source_label

_SURE = 0.05
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


_UNSEEN = {
    "mean_return": "profit %",
    "mean_max_drawdown": "deepest fall %",
    "mean_exposure": "share of the account held %",
    "win_rate": "episodes with a profit %",
}


def unseen_table(run: RunFolder, others: Sequence[RunFolder]) -> pd.DataFrame:
    """How a run's policy did on its unseen bars, and what else traded the same ones.

    Args:
        run: its `result.json` may hold `yardsticks`, strategies on the same windows.
        others: runs; those that were trained on the same data are shown as before.

    """
    found = run.document("result.json")
    data = run.data
    rows = {run.name: found} | {
        source_label(name): figures for name, figures in found.get("yardsticks", {}).items()
    }
    for other in others:
        if other.name != run.name and data and other.data == data:
            rows[other.name] = other.document("result.json")
    table = {
        name: [100 * figures[key] for key in _UNSEEN]
        for name, figures in rows.items()
        if all(isinstance(figures.get(key), float) for key in _UNSEEN)
    }
    columns = list(_UNSEEN.values())
    frame = pd.DataFrame.from_dict(table, orient="index", columns=columns)
    return frame.rename_axis("who").reset_index()


def leader(board: Leaderboard, shipped: Collection[str]) -> str:
    """Who leads among strategies and policies, in plain words; "" where nobody can be said to.

    A contender leads only where it was compared with everybody who is rated above it, and beside
    somebody at all: a rating alone may rest on a chain of others' comparisons.
    """
    kinds = [source_kind(s.source, shipped) for s in board.standings]
    for place, (standing, kind) in enumerate(zip(board.standings, kinds, strict=True)):
        if kind == "reference":
            continue
        met = board.met[place]
        if (met[:place] > 0).all() and met.sum() > 0 and (place or _met_next(board)):
            return source_label(standing.source)
    return ""


def _met_next(board: Leaderboard) -> bool:
    """Whether the one rated highest was compared with the one rated next."""
    return len(board.standings) < 2 or bool(board.met[0, 1] > 0)


def comparisons(store: Store) -> pd.DataFrame:
    """Pairs that were queued to compare two by name: how many are ranked, and who was preferred.

    Only answers are counted, so nothing tells of a pair before it is ranked.
    """
    asked = {query.id: query.note for query in store.queries(purpose="test") if query.note}
    names = store.sources()
    count: dict[str, dict[str, float]] = {note: {} for note in asked.values()}
    for ranking in store.rankings(purposes=["test"]):
        if ranking.query in asked and ranking.outcome == "ranked":
            tally = count[asked[ranking.query]]
            best = min(ranking.ranks)
            won = [
                e for e, rank in zip(ranking.episodes, ranking.ranks, strict=True) if rank == best
            ]
            for episode in won:
                who = source_label(names.get(episode, "?"))
                tally[who] = tally.get(who, 0.0) + 1.0 / len(won)
    total = Counter(asked.values())
    rows = [
        {
            "compared": note,
            "so far": _verdict(tally),
            "preferred": ", ".join(f"{who}: {won:g}" for who, won in sorted(tally.items())),
            "ranked": int(sum(tally.values())),
            "pairs": total[note],
        }
        for note, tally in count.items()
    ]
    return pd.DataFrame(rows, columns=["compared", "so far", "preferred", "ranked", "pairs"])


def _verdict(tally: Mapping[str, float]) -> str:
    """Whether one was preferred more often than a coin would have it (sign test at 5 %).

    Args:
        tally: {who: pairs won}; a tie is half a pair for each.

    """
    if not tally:
        return ""
    pairs = round(sum(tally.values()))
    who, won = max(tally.items(), key=itemgetter(1))
    if 2 * won <= pairs:
        return "equal so far"
    least = math.floor(won)  # half a pair is no pair won
    chance = 2 * sum(math.comb(pairs, k) for k in range(least, pairs + 1)) / 2**pairs
    return f"{who} is preferred" if chance <= _SURE else f"{who} is ahead: too few to tell"


def episodes_table(
    infos: Iterable[EpisodeInfo], days: Mapping[str, tuple[str, str]]
) -> pd.DataFrame:
    """One row per episode; `days` holds the first and last day of each, by its id."""
    columns: dict[str, Callable[[EpisodeInfo], Any]] = {
        "who": lambda info: source_label(info.source),
        "symbol": attrgetter("symbol"),
        "from": lambda info: days.get(info.id, ("", ""))[0],
        "to": lambda info: days.get(info.id, ("", ""))[1],
        "bars": attrgetter("bars"),
        "return %": lambda info: 100 * info.net_return,
        "max drawdown %": lambda info: 100 * info.max_drawdown,
        "recorded": lambda info: info.created[:10],
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
