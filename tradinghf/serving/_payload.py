"""Payloads of queries for the browser: arrays of the panels, without anything that names them.

A rater must not know which strategy traded a panel, nor recognise the window (hindsight): no
source, no episode id, no symbol, no dates; prices are rebased to 100, bars are numbered, and so
are the assets of a portfolio. Every array is little-endian float32 in base64.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError

MOST_ROWS = 40
"""Assets in the picture of a portfolio: those that were traded most; more cannot be told apart."""
_MINUTE = 60.0
_UNITS = (("minute", _MINUTE), ("hour", 60 * _MINUTE), ("day", 24 * 60 * _MINUTE))


def _base64_floats(values: ArrayLike) -> str:
    """Base64 of little-endian float32."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def bar_duration(timestamps: np.ndarray) -> str:
    """What one bar is ("day", "15 minutes"), from the median gap of [L+1] timestamps."""
    gaps = np.diff(timestamps.astype("datetime64[s]").astype(np.int64))
    seconds = float(np.median(gaps)) if gaps.size else 0.0
    name, size = next(
        ((n, s) for n, s in reversed(_UNITS) if seconds >= s), ("second", max(seconds, 1.0))
    )
    count = max(round(seconds / size), 1)
    return name if count == 1 else f"{count} {name}s"


def trade_sizes(episode: Episode) -> np.ndarray:
    """[L] signed change of position in the bars with a fill, 0 elsewhere: the trade markers."""
    change = np.diff(episode.position, prepend=0.0)
    return np.where(np.isfinite(episode.price), change, 0.0)


def panel(episode: Episode, rows: np.ndarray | None = None) -> dict[str, str]:
    """One panel's own arrays: position [L], equity [L+1], signed trades [L].

    Of a portfolio also gross exposure [L], and the weights [L, R] of the assets in `rows` [R].
    """
    arrays = {
        "position": episode.position,
        "equity": episode.equity * 100.0,
        "trades": trade_sizes(episode),
    }
    if rows is not None:
        arrays["gross"] = np.abs(episode.book).sum(axis=1)
        arrays["weights"] = episode.book[:, rows]
    return {name: _base64_floats(values) for name, values in arrays.items()}


def shown_assets(episodes: Sequence[Episode]) -> np.ndarray | None:
    """[R] the assets that portfolios held most, in the market's order; None without portfolios."""
    if not all(episode.breadth for episode in episodes):
        return None
    held = sum(np.abs(episode.book).sum(axis=0) for episode in episodes)
    order = np.argsort(-np.asarray(held), kind="stable")
    return np.sort(order[:MOST_ROWS])


def query_payload(query: str, episodes: Sequence[Episode]) -> dict[str, Any]:
    """The blind payload of one query.

    Args:
        query: its id, a random UUID.
        episodes: K episodes of one window, in the order of the panels.

    Returns:
        JSON-ready: the market's bars once (rebased to a first close of 100), K panels.

    Raises:
        FeedbackError: fewer than two episodes, or different windows.

    """
    windows = {episode.window for episode in episodes}
    if len(episodes) < 2 or len(windows) != 1:
        raise FeedbackError(
            f"Query {query} shows {len(episodes)} episodes of {len(windows)} windows; "
            "expected at least two episodes of one window."
        )
    return _payload(query, episodes, 100.0 / float(episodes[0].close[0]))


def open_payload(episode: Episode) -> dict[str, Any]:
    """The payload of one episode after the vote: with its own prices and dates."""
    daily = np.median(np.diff(episode.timestamps)) >= np.timedelta64(1, "D")
    dates = [str(stamp)[: 10 if daily else 16].replace("T", " ") for stamp in episode.timestamps]
    found = _payload(episode.id, [episode], 1.0) | {"dates": dates}
    rows = shown_assets([episode])
    return found if rows is None else found | {"assets": [episode.assets[i] for i in rows]}


def _payload(name: str, episodes: Sequence[Episode], scale: float) -> dict[str, Any]:
    market, rows = episodes[0], shown_assets(episodes)
    book = {} if rows is None else {"assets": [f"asset {i + 1}" for i in rows]}
    return book | {
        "query": name,
        "bars": market.bars,
        "unit": bar_duration(market.timestamps),
        "market": {
            field: _base64_floats(getattr(market, field) * scale)
            for field in ("open", "high", "low", "close")
        },
        "panels": [panel(episode, rows) for episode in episodes],
    }
