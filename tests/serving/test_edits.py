"""Edits on the Rank page: nothing from the browser trusted, stored once, blind until the vote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dashboard import fill_store

from tradinghf.config import EnvConfig
from tradinghf.errors import FeedbackError
from tradinghf.feedback import Query, Ranking, leaderboard
from tradinghf.feedback.store import Store
from tradinghf.loop import collect, constant_actor
from tradinghf.market import synthetic
from tradinghf.serving._edits import shown_after_the_vote
from tradinghf.serving._service import RankingService
from tradinghf.simulation import Windows


def key(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def service(tmp_path: Path) -> RankingService:
    """One question: the whole account, half of it, nothing."""
    market = synthetic(seed=2, bars=100, assets=1)
    actors = [constant_actor(market, level) for level in (1.0, 0.5, 0.0)]
    windows, config = Windows(np.array([0]), np.array([20])), EnvConfig(lookback=1, horizon=30)
    (row,) = collect(market, actors, windows, config=config)
    store = Store(tmp_path)
    store.add_queries([Query.of(store.add_episodes(row))])
    return RankingService(store)


def body(service: RankingService, **changes: Any) -> dict[str, Any]:
    query = service.store.queries()[0].id
    return {"query": query, "panel": 0, "changes": [[5, 9, 0.25]]} | changes


def test_an_edit_is_shown_without_being_stored(service: RankingService) -> None:
    before = service.store.health()
    found = service.edit("ann", body(service))
    assert set(found) == {"panel"}
    assert set(found["panel"]) == {"position", "equity", "trades"}
    after = service.store.health()
    assert (before["episodes"], before["rankings"]) == (after["episodes"], after["rankings"])


def test_an_edit_with_a_key_is_stored_once(service: RankingService) -> None:
    edit = body(service, key=key(1), session="s")
    assert service.edit("ann", edit)["stored"] is True
    assert service.edit("ann", edit)["stored"] is False
    (answer,) = service.store.rankings()
    edited, original = service.store.episodes(answer.episodes)
    assert answer.ranks == (1, 2)
    assert (answer.rater, answer.session, answer.query) == ("ann", "s", "")
    assert edited.source == "edited:ann"
    assert edited.window == original.window
    assert edited.meta == {**original.meta, "edited": original.id, "changes": [[5, 9, 0.25]]}
    with pytest.raises(FeedbackError):
        service.edit("ann", body(service, key=key(1), changes=[[5, 9, 0.5]]))


def test_an_edit_of_a_test_question_is_held_out(service: RankingService) -> None:
    store, names = service.store, service.store.queries()[0].episodes
    held_out = Query.of(names, purpose="test")
    store.add_queries([held_out])
    pending = store.pending("bob")
    edit = body(service, query=held_out.id, key=key(1))
    assert service.edit("ann", edit)["stored"] is True
    assert service.edit("ann", edit)["stored"] is False
    assert store.rankings(purposes=["learn", "repeat"]) == []
    (answer,) = store.rankings(purposes=["test"])
    assert answer.episodes[1] in names
    assert shown_after_the_vote(store.rankings("ann"), store.sources()) == []
    assert store.pending("bob") == pending  # nobody else is asked about the edit


def test_names_stay_hidden_until_the_vote(service: RankingService) -> None:
    service.edit("ann", body(service, key=key(1)))
    store, query = service.store, service.store.queries()[0]
    assert shown_after_the_vote(store.rankings("ann"), store.sources()) == []
    store.submit(Ranking(key(2), query.episodes, (1, 2, 3), query=query.id, rater="ann"))
    assert len(shown_after_the_vote(store.rankings("ann"), store.sources())) == 2


def test_edits_and_demonstrations_are_no_games_of_the_leaderboard(service: RankingService) -> None:
    store, query = service.store, service.store.queries()[0]
    store.submit(Ranking(key(2), query.episodes, (1, 2, 3), query=query.id, rater="ann"))
    before = leaderboard(store.rankings(), store.sources())
    service.edit("ann", body(service, key=key(1)))
    store.submit(Ranking(key(3), query.episodes[:2], (2, 1), rater="own:ann"))
    after = leaderboard(store.rankings(), store.sources())
    assert after.standings == before.standings


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"panel": 3}, "panel is 3"),
        ({"panel": True}, "panel is True"),
        ({"panel": "0"}, "panel is '0'"),
        ({"changes": "all"}, "list of at most"),
        ({"changes": [[1, 2, 0.0]] * 65}, "list of at most"),
        ({"changes": [[1, 2]]}, "first bar, last bar, position"),
        ({"changes": [[1.5, 2, 0.0]]}, "first bar, last bar, position"),
        ({"changes": [[1, 2, "0"]]}, "is a number"),
        ({"changes": [[1, 2, 1e999]]}, r"in \[-1, 1\]"),
        ({"changes": [[1, 2, float("nan")]]}, r"in \[-1, 1\]"),
        ({"changes": [[0, 2, 0.5]]}, "bars from 1 to 30"),
        ({"changes": [[9, 31, 0.5]]}, "bars from 1 to 30"),
        ({"query": "nobody"}, "nobody"),
        ({"query": 5}, "query"),
        ({"key": "short"}, "key"),
        ({"key": key(1), "session": 5}, "session"),
        ({"key": key(1), "changes": []}, "Drag the position line first"),
    ],
)
def test_malformed_edits_are_refused(
    changes: dict[str, Any], words: str, service: RankingService
) -> None:
    with pytest.raises(FeedbackError, match=words):
        service.edit("ann", body(service, **changes))
    assert service.store.rankings() == []


def test_an_episode_that_cannot_be_traded_again_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill_store(store, queries=1, panels=3, bars=30)  # made without the simulator
    with pytest.raises(FeedbackError, match="cannot be edited"):
        RankingService(store).edit("ann", body(RankingService(store)))
