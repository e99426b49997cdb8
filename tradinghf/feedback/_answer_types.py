"""Types of answers beside a ranking: functions from what a trader said to comparisons.

The reward model learns from comparisons of episodes and from ratings. Whatever else is asked of
traders (a thumb, the best one, an edited episode) is learned from once a function says which
comparisons it amounts to. Each becomes a `Ranking`, which the store keeps like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError, TradingHFError
from tradinghf.feedback._json_lines import read_json_lines
from tradinghf.feedback._types import RATING_LEVELS, Ranking
from tradinghf.registry import Registry


@dataclass(frozen=True)
class Comparison:
    """What an answer says about some of the episodes shown; ranks, ratings or both.

    Attributes:
        episodes: at least two of those shown.
        ranks: of each, 1 = best, equal = tie; empty where the answer gives no order.
        ratings: of each, 1 (bad) to 5 (good), or None; empty where nothing was rated.

    """

    episodes: Sequence[Episode]
    ranks: Sequence[int] = ()
    ratings: Sequence[int | None] = ()


AnswerType = Callable[[Sequence[Episode], Any], Iterable[Comparison]]
ANSWER_TYPES: Registry[AnswerType] = Registry("answer type", FeedbackError)


def answer_type(function: AnswerType) -> AnswerType:
    """Register a function from (episodes shown, what was said) to comparisons, by its name."""
    return ANSWER_TYPES.add(function.__name__, function)


@answer_type
def labels(shown: Sequence[Episode], said: Sequence[bool]) -> Iterator[Comparison]:
    """Good (true) or bad, each episode by itself, of whatever windows.

    Good ones are learned to be worth more than bad ones; nothing is said of two good ones.
    """
    yield Comparison(shown, ratings=[RATING_LEVELS if good else 1 for good in said])


@answer_type
def best(shown: Sequence[Episode], said: int) -> Iterator[Comparison]:
    """The place (from 0) of the best one; nothing is said of the others.

    Also a demonstration: what the trader traded is better than what others did with the window.
    """
    chosen = shown[said]
    for other in shown:
        if other.window != chosen.window:
            raise FeedbackError(
                f"The best episode trades {chosen.window[1]} from bar {chosen.start}, and episode "
                f"{other.id[:12]} {other.window[1]} from bar {other.start}; expected episodes of "
                "one window."
            )
        if other.id != chosen.id:
            yield Comparison((chosen, other), ranks=(1, 2))


def rankings_from(
    kind: str, shown: Sequence[Episode], said: Any, *, rater: str = "local", session: str = ""
) -> list[Ranking]:
    """What one answer amounts to; the same answer twice gives the same rankings.

    Args:
        kind: of the answer: a registered name, or `FILE.py:function`.
        shown: the episodes that were shown.
        said: the answer, as its type expects it; made of JSON's values.
        rater: who answers.
        session: one sitting of the rater.

    Raises:
        FeedbackError: an unknown type, or an answer that does not fit it.

    """
    name, compare = ANSWER_TYPES.find(kind)
    content = json.dumps([name, rater, session, [episode.id for episode in shown], said])
    key = f"{name}:{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    try:
        comparisons = list(compare(shown, said))
    except TradingHFError:
        raise
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise FeedbackError(
            f"The answer {said!r} is no {name!r} of {len(shown)} episodes "
            f"({type(error).__name__}: {error}). {(compare.__doc__ or '').split(chr(10))[0]}"
        ) from error
    if not comparisons:
        raise FeedbackError(f"The answer {said!r} of type {name!r} compares no two episodes.")
    return [
        Ranking(
            key=f"{key}-{number}",
            episodes=tuple(episode.id for episode in comparison.episodes),
            ranks=tuple(comparison.ranks),
            ratings=tuple(comparison.ratings),
            outcome="ranked" if comparison.ranks else "cant_tell",
            rater=rater,
            session=session,
        )
        for number, comparison in enumerate(comparisons)
    ]


def read_answers(path: Path | str, kind: str, episode: Callable[[str], Episode]) -> list[Ranking]:
    """Answers from JSON lines: {"episodes": [ids], "answer": ..., "rater": ..., "session": ...}.

    Args:
        path: the file.
        kind: of its answers.
        episode: finds an episode by its id (`Store.episode`).

    Raises:
        FeedbackError: an unknown type, or a line that is no such answer; the message names it.

    """
    ANSWER_TYPES.find(kind)

    def answer(_: int, row: dict[str, Any]) -> list[Ranking]:
        who = {name: str(row[name]) for name in ("rater", "session") if name in row}
        shown = [episode(str(name)) for name in row["episodes"]]
        return rankings_from(kind, shown, row["answer"], **who)

    expected = 'a JSON object with "episodes", ids of stored episodes, and "answer"'
    return [ranking for found in read_json_lines(path, answer, expected) for ranking in found]
