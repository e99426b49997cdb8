"""Two practice queries with an obvious order; answers to them are never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.serving._payload import query_payload

_BARS = 60
_LESSONS = (
    (
        "Practice 1 of 2.",
        "Press the numbers best first, then Enter.",
        ("a steady gain", "no trade", "a loss"),
    ),
    (
        "Practice 2 of 2.",
        "Two panels are the same: press = between them.",
        ("a gain", "a gain", "a loss"),
    ),
)


def _lesson_episodes(number: int) -> list[Episode]:
    """One rising market; positions [L] that hold it, sit out, or bet against it."""
    rng = np.random.default_rng(number)
    steps = 0.004 + 0.012 * rng.standard_normal(_BARS)
    close = np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
    open_ = np.concatenate([[1.0], close[:-1]])
    held = ((1.0, 0.0, -1.0), (1.0, 1.0, -1.0))[number]
    shown = (1, 0, 2) if number == 0 else (2, 0, 1)
    return [_episode(open_, close, held[which]) for which in shown]


def _episode(open_: np.ndarray, close: np.ndarray, weight: float) -> Episode:
    bars = len(close) - 1
    position = np.full(bars, weight)
    equity = 1.0 + weight * (close - 1.0)
    price = np.full(bars, np.nan)
    if weight:
        price[0] = open_[1]
    return Episode(
        open=open_,
        high=np.maximum(open_, close) * 1.004,
        low=np.minimum(open_, close) * 0.996,
        close=close,
        volume=np.ones(bars + 1),
        timestamps=np.arange(bars + 1).astype("datetime64[D]").astype("datetime64[ns]"),
        position=position,
        equity=equity,
        turnover=np.abs(np.diff(position, prepend=0.0)),
        costs=np.zeros(bars),
        price=price,
        source="practice",
    )


_ANSWERS = ((2, 1, 3), (2, 1, 1))  # ranks in the order shown


def practice_query(name: str) -> dict[str, Any]:
    """Payload of practice query "0" or "1".

    Raises:
        FeedbackError: no such lesson.

    """
    number = _lesson(name)
    title, hint, _ = _LESSONS[number]
    payload = query_payload(f"practice-{number}", _lesson_episodes(number))
    return payload | {"practice": {"title": title, "hint": hint}}


def _lesson(name: str) -> int:
    if name not in ("0", "1"):
        raise FeedbackError(f"There is no practice query {name[:20]!r}; expected 0 or 1.")
    return int(name)


def practice_comment(query: str, ranks: Sequence[int]) -> str:
    """What to tell the rater about an answer to a practice query.

    Raises:
        FeedbackError: no such lesson.

    """
    number = _lesson(query.removeprefix("practice-"))
    if tuple(ranks) == _ANSWERS[number]:
        return "Right: that is how ties work." if number else "Right, and easy. One more."
    best_first = ", ".join(dict.fromkeys(_LESSONS[number][2]))
    return f"Most would say: {best_first}. On real queries your own taste decides."
