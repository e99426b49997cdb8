"""Ranking inside a notebook stores what was picked, blind, once."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from support.episodes import window_groups

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Query
from tradinghf.feedback.store import Store
from tradinghf.serving import Ballot, panels

GROUPS = window_groups(4, size=3)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as bank:
        for group in GROUPS:
            bank.add_episodes(group)
        bank.add_queries(Query.of([e.id for e in group]) for group in GROUPS)
        yield bank


def test_a_click_stores_the_picked_ranks_and_shows_the_next_question(store):
    ballot = Ballot(store, rater="ann", session="mon")
    first = ballot.query
    for pick, rank in zip(ballot.picks, (2, 1, 2), strict=True):
        pick.value = rank
    ballot.note.value = "gave it all back"
    shown = [e.id for e in ballot.episodes]
    ballot.submit.click()
    (answer,) = store.rankings("ann")
    assert answer.query == first.id
    assert dict(zip(answer.episodes, answer.ranks, strict=True)) == dict(
        zip(shown, (2, 1, 2), strict=True)
    )
    assert (answer.session, answer.comment) == ("mon", "gave it all back")
    assert answer.seconds >= 0
    assert ballot.query.id != first.id
    assert ballot.note.value == ""


def test_skipping_and_the_end(store):
    ballot = Ballot(store)
    ballot.skip.click()
    ballot.unsure.click()
    ballot.answer((1, 2, 3))
    assert "1 questions left" in ballot.status.value
    ballot.submit.click()
    assert [r.outcome for r in store.rankings()] == ["skipped", "cant_tell", "ranked", "ranked"]
    assert ballot.query is None
    assert "No more questions" in ballot.status.value
    with pytest.raises(FeedbackError, match="no question left"):
        ballot.answer((1, 2, 3))


def test_ranks_that_do_not_fit_keep_the_question(store):
    ballot = Ballot(store)
    asked = ballot.query
    with pytest.raises(FeedbackError):
        ballot.answer((1, 2))
    assert ballot.query == asked
    assert not store.rankings()


def test_two_raters_see_one_question_in_orders_of_their_own(store):
    orders = {tuple(e.id for e in Ballot(store, rater=f"r{i}").episodes) for i in range(12)}
    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1


def test_panels_are_blind_share_their_scales_and_are_valid():
    group = GROUPS[0]
    pictures = panels(group)
    for episode, text in zip(group, pictures, strict=True):
        ElementTree.fromstring(text)
        assert episode.source not in text
        assert episode.symbol not in text
    prices = [re.findall(r'points="([^"]+)"', text)[0] for text in pictures]
    assert len(set(prices)) == 1, "one market window: the same line in every panel"
    tops = [min(float(p.split(",")[1]) for p in re.findall(r'points="([^"]+)"', t)[2].split())
            for t in pictures]  # fmt: skip
    best = max(range(3), key=lambda i: group[i].equity.max())
    assert tops[best] == min(tops), "the highest equity reaches the top of the shared scale"
