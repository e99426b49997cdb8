"""Promises of docs/store.md that no other test names: retries, imports beside other answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.store import make_episode

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store


def test_a_retry_may_say_another_time_and_nothing_else(store: Store, ids: list[str]) -> None:
    first = Ranking("k", (ids[0], ids[1]), (1, 2), rater="ann", seconds=2.0, comment="deep fall")
    assert store.submit(first)
    later = replace(first, created=first.created + timedelta(hours=3), seconds=9.5)
    assert not store.submit(later)
    assert store.rankings() == [first]
    for other in ({"comment": "shallow"}, {"ranks": (2, 1)}, {"session": "tuesday"},
                  {"ratings": (5, 1)}, {"rater": "bob"}):  # fmt: skip
        with pytest.raises(FeedbackError, match="taken by a different answer"):
            store.submit(replace(first, **other))
    assert store.rankings() == [first]
    assert store.verify().ok


def test_an_import_joins_the_chain_of_the_store_that_it_enters(
    store: Store, ids: list[str], tmp_path: Path
) -> None:
    with Store(tmp_path / "theirs") as theirs:
        both = theirs.add_episodes(make_episode(i, "abc"[i % 3]) for i in range(2))
        for number in range(3):
            theirs.submit(Ranking(f"theirs-{number}", tuple(both), (1, 2), rater=f"t{number}"))
        theirs.export(tmp_path / "theirs.jsonl")
        before = theirs.health()["head"]
    own = Ranking("own", (ids[0], ids[1]), (2, 1), rater="ann")
    store.submit(own)
    head, journal = store.health()["head"], store.health()["journal"]
    assert store.import_from(tmp_path / "theirs.jsonl") == 3
    assert store.import_from(tmp_path / "theirs.jsonl") == 0
    assert [r.key for r in store.rankings()] == ["own", "theirs-0", "theirs-1", "theirs-2"]
    assert store.rankings()[0] == own
    assert store.health()["head"] not in (head, before)
    for anchor in (head, journal):  # what was there is still at the root of the chain
        assert store.verify(anchor=anchor).ok
    assert not store.verify(anchor=before).ok
