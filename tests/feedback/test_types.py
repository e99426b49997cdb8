"""Query and Ranking: what they accept, and what they make of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradinghf.errors import FeedbackError
from tradinghf.feedback import MAX_PANELS, Query, Ranking
from tradinghf.feedback._types import MAX_TEXT, clean_text

IDS = ("a", "b", "c")


def ranking(**changes: Any) -> Ranking:
    return Ranking(**{"key": "k", "episodes": IDS, "ranks": (1, 2, 3), **changes})


@pytest.mark.parametrize(
    ("given_ranks", "kept"),
    [
        ((1, 1, 3), (1, 1, 2)),
        ((5, 2, 9), (2, 1, 3)),
        ((7, 7, 7), (1, 1, 1)),
        ([3, 1, 2], (3, 1, 2)),
    ],
)
def test_gaps_between_ranks_are_closed_and_ties_kept(given_ranks: Any, kept: Any) -> None:
    assert ranking(ranks=given_ranks).ranks == kept


@given(st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_dense_ranks_keep_every_comparison(ranks: list[int]) -> None:
    names = tuple(f"e{i}" for i in range(len(ranks)))
    dense = ranking(episodes=names, ranks=tuple(ranks)).ranks
    assert set(dense) == set(range(1, len(set(ranks)) + 1))
    signs = np.sign(np.subtract.outer(ranks, ranks))
    assert (np.sign(np.subtract.outer(dense, dense)) == signs).all()


def test_numpy_numbers_become_plain_ones() -> None:
    answer = ranking(ranks=np.array([2, 1, 3]), ratings=list(np.array([5, 1, 3])))
    assert [type(r) for r in answer.ranks + answer.ratings] == [int] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranks": (0, 1, 2)}, "1 = best"),
        ({"ranks": (1, 2)}, "expected 3 whole numbers"),
        ({"ranks": (1.0, 2.0, 3.0)}, "whole numbers"),
        ({"ranks": "123"}, "string"),
        ({"ranks": ()}, "expected 3"),
        ({"outcome": "skipped"}, "expected 0"),
        ({"outcome": "rankd"}, "Did you mean 'ranked'"),
        ({"episodes": ("a",), "ranks": (1,)}, f"2 to {MAX_PANELS}"),
        ({"episodes": ("a", "b", "a")}, "distinct"),
        ({"episodes": "abc"}, "string"),
        ({"episodes": ("a", "b", 3)}, r"episodes\[2\]"),
        ({"key": ""}, "key is empty"),
        ({"key": "x" * 101}, "up to 100"),
        ({"rater": "a\nb"}, "printable"),
        ({"rater": ""}, "rater is empty"),
        ({"session": "\x00"}, "printable"),
        ({"supersedes": "k"}, "supersedes itself"),
        ({"created": datetime(2026, 1, 1)}, "time zone"),
        ({"created": "2026-01-01"}, "time zone"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": math.nan}, "seconds"),
        ({"seconds": math.inf}, "seconds"),
        ({"ratings": (1, 2)}, "ratings"),
        ({"ratings": (0, 1, 2)}, "ratings"),
        ({"ratings": (1, 2, 6)}, "ratings"),
        ({"ratings": (1, 2, 2.5)}, "ratings"),
    ],
)
def test_what_a_ranking_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FeedbackError, match=message):
        ranking(**changes)


def test_time_is_kept_in_utc() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert ranking(created=noon).created.isoformat() == "2026-01-01T10:00:00+00:00"
    assert ranking().created.tzinfo is UTC


def test_bits_count_orderings() -> None:
    assert ranking().bits == pytest.approx(2.584962500721156)  # log2 6
    assert ranking(ranks=(1, 1, 1)).bits == pytest.approx(2.584962500721156)
    assert ranking(ranks=(), outcome="cant_tell").bits == 0


def test_pairs_do_not_depend_on_the_order_of_the_panels() -> None:
    one = ranking(episodes=("b", "a", "c"), ranks=(1, 2, 2))
    other = ranking(episodes=("c", "b", "a"), ranks=(2, 1, 2))
    assert (
        list(one.pairs()) == list(other.pairs()) == [("a", "b", -1), ("a", "c", 0), ("b", "c", 1)]
    )
    assert list(ranking(ranks=(), outcome="skipped").pairs()) == []


def test_ratings_of_nothing_are_no_ratings() -> None:
    assert ranking(ratings=(None, None, None)).ratings == ()
    assert ranking(ratings=(None, 3, None)).ratings == (None, 3, None)


@given(st.text())
def test_clean_text_is_storable_and_stable(text: str) -> None:
    clean = clean_text(text)
    clean.encode("utf-8")
    assert len(clean) <= MAX_TEXT
    assert not any(c < " " and c not in "\n\t" for c in clean)
    assert clean_text(clean) == clean


def test_clean_text_keeps_what_people_write() -> None:
    text = "<b>no</b>\n\t=SUM(A1) “schön” 📉"
    assert clean_text(f" {text}\x00\x1b\ud800 ") == text
    assert ranking(comment=f"{text}\x00").comment == text


def test_a_query_is_named_by_its_content() -> None:
    query = Query.of(IDS, purpose="test", round=2)
    assert query == Query.of(list(IDS), purpose="test", round=2)
    others = [Query.of(IDS), Query.of(IDS[::-1], purpose="test", round=2), Query.of(IDS, round=2)]
    assert len({query.id, *(other.id for other in others)}) == 4
    assert {query.group, ranking().group} == {other.group for other in others}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"purpose": "learning"}, "Did you mean 'learn'"),
        ({"purpose": "gold"}, "expected ranks"),
        ({"answer": (1, 2, 3)}, "gold queries, and only they"),
        ({"purpose": "gold", "answer": (1, 2)}, "expected 3"),
        ({"episodes": ("a",)}, f"2 to {MAX_PANELS}"),
        ({"id": ""}, "id is empty"),
    ],
)
def test_what_a_query_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FeedbackError, match=message):
        Query(**{"id": "q", "episodes": IDS, **changes})


def test_types_load_only_the_standard_library(python: Any) -> None:
    code = (
        "import sys, tradinghf.feedback._types\n"
        "roots = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(roots & {'numpy', 'pandas', 'sqlalchemy', 'torch', 'safetensors'}))"
    )
    assert python("-c", code).stdout.strip() == "[]"
