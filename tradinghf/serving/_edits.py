"""Edits of episodes on the Rank page: computed while the trader drags, stored as a preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback import EDITED_SOURCE, Purpose, Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving._payload import panel
from tradinghf.simulation import Change, edited_episode

_MOST_CHANGES = 64


def edited_panel(
    episodes: list[Episode], number: int, changes: list[Change], rater: str
) -> tuple[Episode, dict[str, str]]:
    """The edited episode, and its panel's arrays.

    Raises:
        FeedbackError: a change that cannot be made, or an episode that cannot be edited.

    """
    original = episodes[number]
    try:
        edited = edited_episode(original, changes, like=episodes, source=f"{EDITED_SOURCE}{rater}")
    except EpisodeError as error:
        raise FeedbackError(str(error)) from error
    return edited, panel(edited)


def store_edit(
    store: Store,
    original: Episode,
    edited: Episode,
    *,
    purpose: Purpose,
    rater: str,
    key: str,
    session: str,
) -> bool:
    """Store an edited episode, and that the rater prefers it to the original.

    An edit of a panel that the reward model is tested on is held out as well.

    Returns:
        True when stored, False when it was stored before (a retry).

    Raises:
        FeedbackError: nothing was changed, or the store refuses.

    """
    if (edited.position == original.position).all():
        raise FeedbackError("The edit trades as the original did. Drag the position line first.")
    store.add_episodes([edited])
    ids = (edited.id, original.id)
    query = ""
    if purpose == "test":
        asked = Query.of(ids, purpose="test", note=f"edited by {rater}")
        store.add_queries([asked], raters=1)
        query = asked.id
    return store.submit(Ranking(key, ids, (1, 2), query=query, rater=rater, session=session))


def shown_after_the_vote(rankings: Sequence[Ranking], sources: Mapping[str, str]) -> list[Ranking]:
    """A rater's answers without edits of panels whose question waits: names would be told."""
    edits = {r.key for r in rankings if sources.get(r.episodes[0], "").startswith(EDITED_SOURCE)}
    voted = {e for ranking in rankings if ranking.key not in edits for e in ranking.episodes}
    return [r for r in rankings if r.key not in edits or r.episodes[-1] in voted]


def checked_edit(body: Any, panels: int) -> tuple[int, list[Change]]:
    """(panel, changes) from an untrusted JSON object.

    Raises:
        FeedbackError: malformed.

    """
    number = body.get("panel") if isinstance(body, Mapping) else None
    if type(number) is not int or not 0 <= number < panels:
        raise FeedbackError(f"An edit's panel is {number!r}; expected 0 to {panels - 1}.")
    given = body.get("changes")
    if not isinstance(given, list) or len(given) > _MOST_CHANGES:
        raise FeedbackError(f"An edit has a list of at most {_MOST_CHANGES} changes.")
    return number, [_change(item) for item in given]


def _change(item: Any) -> Change:
    whole = isinstance(item, list) and len(item) == 3
    if not whole or not all(type(bar) is int for bar in item[:2]):
        raise FeedbackError("A change is [first bar, last bar, position].")
    position = item[2]
    if not isinstance(position, int | float) or isinstance(position, bool):
        raise FeedbackError("A change's position is a number.")
    if not -1 <= position <= 1 or not all(abs(bar) < 2**31 for bar in item[:2]):
        raise FeedbackError("A change's position is in [-1, 1], its bars inside the episode.")
    return Change(item[0], item[1], float(position))
