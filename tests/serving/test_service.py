"""The Rank page's service: blind payloads, honest answers, nothing from the browser trusted."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dashboard import SOURCES, fill_store, trade, walk, window

from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback import Query
from tradinghf.feedback.store import Store
from tradinghf.serving._payload import (
    MOST_ROWS,
    bar_duration,
    open_payload,
    query_payload,
    trade_sizes,
)
from tradinghf.serving._practice import practice_comment, practice_query
from tradinghf.serving._service import (
    AnsweredElsewhereError,
    RankingService,
    asked_again,
    checked_answer,
    panel_order,
)
from tradinghf.simulation import edited_episode

BARS = 30


def key(number: int = 1) -> str:
    return f"{number:032x}"


def answer(query: str, **changes: Any) -> dict[str, Any]:
    body = {
        "key": key(),
        "query": query,
        "ranks": [1, 2, 3],
        "outcome": "ranked",
        "comment": "",
        "aspects": None,
        "ratings": [None, None, None],
        "seconds": 4.5,
        "session": "s",
        "supersedes": "",
    }
    return body | changes


def decoded(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


@pytest.fixture
def service(tmp_path: Path) -> RankingService:
    store = Store(tmp_path)
    fill_store(store, queries=3, panels=3, bars=BARS)
    return RankingService(store)


def test_payload_names_nothing_and_nobody(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    text = json.dumps(payload).lower()
    ids = [i.id for i in service.store.episode_infos()]
    for secret in (
        *SOURCES,
        *ids,
        *(i[:12] for i in ids),
        "spx",
        "2011",
        "return",
        "pnl",
        "source",
    ):
        assert secret.lower() not in re.sub(r'"[a-z0-9+/]{40,}=*"', '""', text), secret
    assert set(payload) == {"query", "bars", "unit", "market", "panels"}
    assert all(set(panel) == {"position", "equity", "trades"} for panel in payload["panels"])


def test_payload_arrays_are_the_episodes(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    query = service.store.query(payload["query"])
    shown = service.store.episodes(panel_order(query.id, "ann", query.episodes))
    close = decoded(payload["market"]["close"])
    np.testing.assert_allclose(close, 100 * shown[0].close / shown[0].close[0], rtol=1e-6)
    for panel, episode in zip(payload["panels"], shown, strict=True):
        np.testing.assert_allclose(decoded(panel["equity"]), 100 * episode.equity, rtol=1e-6)
        np.testing.assert_allclose(decoded(panel["position"]), episode.position, atol=1e-7)
        assert decoded(panel["trades"]).shape == (BARS,)


def test_trades_are_marked_where_something_was_filled() -> None:
    episode = trade(walk(3, 40), 5, "x")
    sizes = trade_sizes(episode)
    assert ((sizes != 0) == np.isfinite(episode.price)).all()
    np.testing.assert_allclose(np.cumsum(sizes), episode.position)


def test_payload_refuses_episodes_of_different_windows() -> None:
    with pytest.raises(FeedbackError, match="2 windows"):
        query_payload("q", [window(1, 1)[0], window(2, 1)[0]])


def test_open_payload_shows_dates_and_own_prices() -> None:
    episode = window(1, 1)[0]
    payload = open_payload(episode)
    assert payload["dates"][0] == "2011-01-03"
    np.testing.assert_allclose(decoded(payload["market"]["close"]), episode.close, rtol=1e-6)


def portfolio(seed: int, assets: int = 50) -> Episode:
    """An episode of a portfolio that holds one asset more than it shows at most, and others."""
    rng = np.random.default_rng(seed)
    weights = np.where(
        np.arange(assets) < MOST_ROWS + 1, rng.uniform(-0.02, 0.03, (BARS, assets)), 0
    )
    weights[:, 7] = 0.0
    names = tuple(f"NAME{i}" for i in range(assets))
    alone = trade(walk(3, BARS), seed, "x")
    position = weights.sum(1)
    return replace(alone, weights=weights, gains=0 * weights, assets=names, position=position)


def test_a_portfolio_is_shown_by_weights_whose_names_are_numbers_until_the_vote() -> None:
    episodes = [portfolio(1), portfolio(2)]
    payload = query_payload("q", episodes)
    rows = [i for i in range(MOST_ROWS + 1) if i != 7]
    assert payload["assets"] == [f"asset {i + 1}" for i in rows]
    assert "NAME" not in json.dumps(payload)
    for panel, episode in zip(payload["panels"], episodes, strict=True):
        shown = decoded(panel["weights"]).reshape(BARS, MOST_ROWS)
        np.testing.assert_allclose(shown, episode.book[:, rows], atol=1e-7)
        np.testing.assert_allclose(decoded(panel["gross"]), np.abs(episode.book).sum(1), rtol=1e-6)
    assert open_payload(episodes[0])["assets"] == [f"NAME{i}" for i in rows]
    with pytest.raises(EpisodeError, match="portfolio"):
        edited_episode(episodes[0], [])


@pytest.mark.parametrize(
    ("seconds", "unit"), [(60, "minute"), (900, "15 minutes"), (3600, "hour"), (86400, "day")]
)
def test_bar_unit(seconds: int, unit: str) -> None:
    stamps = np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(seconds, "s")
    assert bar_duration(stamps) == unit


def test_panel_order_is_stable_differs_between_raters_and_is_fair() -> None:
    episodes = ("a", "b", "c", "d")
    assert panel_order("q", "ann", episodes) == panel_order("q", "ann", reversed(episodes))
    first = [panel_order(f"q{i}", "ann", episodes)[0] for i in range(400)]
    assert all(70 < first.count(name) < 130 for name in episodes)
    assert any(panel_order(f"q{i}", "ann", episodes) != panel_order(f"q{i}", "bob", episodes)
               for i in range(3))  # fmt: skip


def test_answer_is_stored_in_the_order_shown_once(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    body = answer(payload["query"], ranks=[2, 1, 2], comment="too much drawdown")
    assert service.answer("ann", body) is True
    assert service.answer("ann", body) is False
    (stored,) = service.store.rankings()
    query = service.store.query(payload["query"])
    assert stored.episodes == panel_order(query.id, "ann", query.episodes)
    assert (stored.ranks, stored.rater, stored.seconds) == ((2, 1, 2), "ann", 4.5)


def test_of_two_answers_from_elsewhere_the_browser_hears_and_a_skip_replaces_nothing(
    service: RankingService,
) -> None:
    query = service.store.queries()[0].id
    assert service.answer("ann", answer(query))
    with pytest.raises(AnsweredElsewhereError) as told:
        service.answer("ann", answer(query, key=key(2), ranks=[3, 2, 1]))
    assert (told.value.key, told.value.outcome) == (key(), "ranked")
    fixed = {"ranks": [3, 2, 1], "supersedes": key()}
    with pytest.raises(FeedbackError, match="skip does not replace"):
        service.answer(
            "ann", answer(query, key=key(2), ranks=[], outcome="skipped") | {"supersedes": key()}
        )
    assert service.answer("ann", answer(query, key=key(2)) | fixed)
    with pytest.raises(AnsweredElsewhereError) as told:  # corrected in two tabs
        service.answer("ann", answer(query, key=key(3)) | fixed)
    assert told.value.key == key(2)


def test_prefetch_skips_what_the_browser_has(service: RankingService) -> None:
    ids: list[str] = []
    while (payload := service.next_query("ann", have=ids)) is not None:
        ids.append(payload["query"])
    assert sorted(ids) == sorted(query.id for query in service.store.queries())


def test_edited_chips_overrule_the_text(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    comment = "too much drawdown"
    service.answer("ann", answer(payload["query"], comment=comment, aspects=["turnover"]))
    (stored,) = service.store.rankings()
    assert service.aspects(comment) == ["drawdown"]
    assert service.aspects(stored.comment) == ["turnover"]


def test_reopened_answer_is_corrected_not_overwritten(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    service.answer("ann", answer(payload["query"], ratings=[5, None, 1], comment="hm"))
    again = service.reopen("ann", key())
    assert again["edit"] == {"ranks": (1, 2, 3), "ratings": (5, None, 1), "key": key(),
                             "comment": "hm"}  # fmt: skip
    corrected = answer(payload["query"], key=key(2), ranks=[3, 2, 1], supersedes=key())
    assert service.answer("ann", corrected)
    assert [r.ranks for r in service.store.rankings()] == [(3, 2, 1)]
    assert len(service.store.rankings(include_superseded=True)) == 2


def test_nobody_reads_or_corrects_another_raters_answer(service: RankingService) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    service.answer("ann", answer(payload["query"]))
    with pytest.raises(FeedbackError, match="no answer"):
        service.reopen("bob", key())
    with pytest.raises(FeedbackError, match="no answer"):
        service.answer("bob", answer(payload["query"], key=key(2), supersedes=key()))


FORGED = {
    "extra field": {"rater": "admin"},
    "episodes of the browser's choice": {"episodes": ["a", "b"]},
    "bad key": {"key": "../../etc/passwd"},
    "upper-case key": {"key": "A" * 32},
    "ranks too short": {"ranks": [1, 2]},
    "rank zero": {"ranks": [0, 1, 2]},
    "rank a text": {"ranks": ["1", 2, 3]},
    "rank a truth value": {"ranks": [True, 2, 3]},
    "rank a fraction": {"ranks": [1.5, 2, 3]},
    "ranks no list": {"ranks": {"0": 1}},
    "unknown outcome": {"outcome": "won"},
    "skipped with ranks": {"outcome": "skipped"},
    "rating six": {"ratings": [6, None, None]},
    "one rating": {"ratings": [1]},
    "seconds not a number": {"seconds": "4"},
    "seconds infinite": {"seconds": float("inf")},
    "seconds NaN": {"seconds": float("nan")},
    "seconds negative": {"seconds": -1},
    "comment too long": {"comment": "x" * 2001},
    "comment no text": {"comment": None},
    "unknown aspect": {"aspects": ["moon phase"]},
    "aspect no text": {"aspects": [1]},
    "session too long": {"session": "s" * 500},
    "unknown query": {"query": "f" * 32},
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_answers_are_refused_and_store_nothing(service: RankingService, name: str) -> None:
    payload = service.next_query("ann")
    assert payload is not None
    with pytest.raises(FeedbackError):
        service.answer("ann", answer(payload["query"]) | FORGED[name])
    assert service.store.rankings() == []


def test_missing_field_is_refused() -> None:
    body = answer("q")
    del body["outcome"]
    with pytest.raises(FeedbackError, match="exactly the fields"):
        checked_answer(body)


def test_practice_has_an_answer_and_is_never_stored() -> None:
    for number in (0, 1):
        payload = practice_query(str(number))
        equity = [decoded(panel["equity"])[-1] for panel in payload["panels"]]
        best_first = sorted(set(equity), reverse=True)
        right = [best_first.index(value) + 1 for value in equity]
        assert "Most would say" not in practice_comment(payload["query"], right)
        assert "Most would say" in practice_comment(payload["query"], [3, 3, 3])
    with pytest.raises(FeedbackError, match="practice"):
        practice_query("2")


def test_a_share_of_the_answered_queries_is_asked_again(tmp_path: Path) -> None:
    share = sum(asked_again(f"{number:032x}") for number in range(4000)) / 4000
    assert 0.055 < share < 0.085
    store = Store(tmp_path)
    for seed in range(60):
        query = Query.of(store.add_episodes(window(seed, 2, 12)))
        if asked_again(query.id):
            break
    store.add_queries([query])
    service = RankingService(store)
    body = answer(query.id, ranks=[1, 2], ratings=[])
    service.answer("ann", body)
    again = service.next_query("ann")
    assert again is not None
    assert again["query"] != query.id
    assert service.next_query("bob") is not None
    assert store.query(again["query"]).purpose == "repeat"
    service.answer("ann", answer(again["query"], key=key(2), ranks=[1, 2], ratings=[]))
    assert service.next_query("ann") is None
