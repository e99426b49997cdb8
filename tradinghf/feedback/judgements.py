"""Other answers than rankings, as the rankings that they amount to: labels and demonstrations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback.types import RATING_LEVELS, Ranking


def labelled(labels: Mapping[str, bool], *, rater: str = "local", session: str = "") -> Ranking:
    """Good or bad, each episode by itself: an answer without an order, of highest and lowest stars.

    Episodes may be of different windows and need not be comparable; good ones are learned to be
    worth more than bad ones, and nothing is said of two good ones.

    Args:
        labels: episode id -> True for good, False for bad; 2 to 20 of them.
        rater: who says so.
        session: one sitting of the rater.

    Raises:
        FeedbackError: fewer than two labels, or too many for one answer.

    """
    stars = tuple(RATING_LEVELS if good else 1 for good in labels.values())
    content = [rater, session, *(f"{name}:{good}" for name, good in labels.items())]
    return Ranking(
        key=_key("labels", content),
        episodes=tuple(labels),
        ranks=(),
        rater=rater,
        session=session,
        ratings=stars,
        outcome="cant_tell",
    )


def demonstrated(
    own: Episode, others: Iterable[Episode], *, rater: str = "local", session: str = ""
) -> list[Ranking]:
    """The rater traded a window better than `others` did: one preference for each of them.

    Args:
        own: what the rater traded or edited.
        others: the policy's episodes of the same window; copies of `own` are left out.
        rater: who says so.
        session: one sitting of the rater.

    Raises:
        FeedbackError: an episode of another window, or nothing to compare with.

    """
    found = []
    for other in others:
        if other.window != own.window:
            raise FeedbackError(
                f"The demonstration trades {own.window[1]} from bar {own.start}, and episode "
                f"{other.id[:12]} {other.window[1]} from bar {other.start}; a demonstration is "
                "compared with episodes of its own window."
            )
        if other.id != own.id:
            key = _key("demonstration", [rater, session, own.id, other.id])
            pair = (own.id, other.id)
            found.append(Ranking(key, pair, (1, 2), rater=rater, session=session))
    if not found:
        raise FeedbackError(
            "There is no other episode to compare the demonstration with; collect the policy's "
            "episodes of the same window."
        )
    return found


def _key(kind: str, content: Iterable[str]) -> str:
    """The same judgement twice is one answer."""
    return f"{kind}:{hashlib.sha256('|'.join(content).encode()).hexdigest()[:32]}"
