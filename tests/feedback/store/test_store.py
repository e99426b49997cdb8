"""The store's behaviour, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from support.store import make_episode

from tradinghf.errors import EpisodeError, FeedbackError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.feedback.store._episode_files import episode_path


def answer(query: Query, rater: str = "local", key: str = "", **changes: Any) -> Ranking:
    """The rater's answer: panels in reverse order, best first."""
    size = len(query.episodes)
    values = {
        "key": key or f"{query.id}:{rater}",
        "episodes": query.episodes[::-1],
        "ranks": tuple(range(1, size + 1)),
        "query": query.id,
        "rater": rater,
    }
    return Ranking(**{**values, **changes})


# Episodes


def test_episodes_come_back_bit_for_bit(store: Store, ids: list[str]) -> None:
    original = make_episode(4, "b")
    found = store.episode(ids[4])
    assert found.id == ids[4] == original.id
    assert found.to_bytes() == original.to_bytes()
    assert found.meta == {"seed": 4}


def test_the_same_episode_twice_is_stored_once(store: Store, ids: list[str]) -> None:
    again = store.add_episodes([make_episode(0, "a"), make_episode(77), make_episode(77)])
    assert again[0] == ids[0]
    assert again[1] == again[2]
    assert store.health()["episodes"] == 10


def test_episodes_are_found_by_id_in_order_and_by_filter(store: Store, ids: list[str]) -> None:
    assert [e.id for e in store.episodes(ids[::-1])] == ids[::-1]
    assert [e.id for e in store.episodes(source="b")] == ids[1::3]
    assert [i.id for i in store.episode_infos(symbol="AAA", limit=2)] == ids[:2]
    assert store.episodes(source="zzz") == []
    assert store.sources() == {name: "abc"[i % 3] for i, name in enumerate(ids)}


def test_infos_agree_with_the_arrays(store: Store, ids: list[str]) -> None:
    info = store.episode_infos(ids[:1])[0]
    episode = make_episode(0, "a")
    assert info.net_return == pytest.approx(float(np.prod(1 + episode.returns)) - 1)
    lowest = min(e / max(episode.equity[: i + 1]) for i, e in enumerate(episode.equity))
    assert info.max_drawdown == pytest.approx(1 - lowest)
    assert (info.bars, info.start, info.symbol, info.market) == (16, 0, "AAA", "ab" * 32)
    assert info.size == len(episode.to_bytes())


def test_unknown_and_malformed_episodes_are_refused(store: Store) -> None:
    with pytest.raises(EpisodeError, match="not in the store"):
        store.episode("0" * 64)
    broken = replace(make_episode(1), equity=np.full(17, np.nan))
    with pytest.raises(EpisodeError, match="equity"):
        store.add_episodes([make_episode(0), broken])
    assert store.health()["episodes"] == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "A" * 64, "/" * 64, ""])
def test_an_episode_id_is_never_a_path(tmp_path: Any, name: str) -> None:
    with pytest.raises(EpisodeError, match="64 hexadecimal"):
        episode_path(tmp_path, name)


def test_an_altered_episode_file_is_noticed(store: Store, ids: list[str]) -> None:
    path = episode_path(store.location.folder, ids[0])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EpisodeError, match="altered"):
        store.episode(ids[0])
    path.write_bytes(data[:-5])
    with pytest.raises(EpisodeError, match="expected"):
        store.episode(ids[0])
    path.unlink()
    with pytest.raises(EpisodeError, match="missing"):
        store.episode(ids[0])
    assert len(store.verify().problems) == 1
    store.add_episodes([make_episode(0, "a")])  # recording it again repairs the file
    assert store.verify().ok


# Queries


def test_queries_come_back_in_order_and_are_added_once(store: Store, ids: list[str]) -> None:
    gold = Query.of(ids[3:6], purpose="gold", answer=(2, 1, 2), note="obvious")
    queries = [Query.of(ids[:3], round=1), gold, Query.of(ids[6:9], purpose="test")]
    assert store.add_queries(queries) == 3
    assert store.add_queries(queries) == 0
    assert store.queries() == queries
    assert store.queries(purpose="gold") == [gold]
    assert store.queries(round=1) == queries[:1]
    assert store.query(gold.id) == gold
    with pytest.raises(FeedbackError, match="other content"):
        store.add_queries([replace(queries[0], round=5)])
    with pytest.raises(FeedbackError, match="1 of 3 episodes are not in the store"):
        store.add_queries([Query.of([*ids[:2], "f" * 64])])
    with pytest.raises(FeedbackError, match="not in the store"):
        store.query("nope")


def test_comparisons_are_served_first_and_gold_queries_where_they_were_put(
    store: Store, ids: list[str]
) -> None:
    gold = Query.of(ids[3:6], purpose="gold", answer=(2, 1, 2), note="obvious")
    pair = Query.of(ids[6:8], purpose="test", note="first / second")
    first = Query.of(ids[:3])
    store.add_queries([first, gold, pair])
    seen: list[str] = []
    while (query := store.next_query("ann", exclude=seen)) is not None:
        seen.append(query.id)
    assert seen == [pair.id, first.id, gold.id]


def test_a_query_is_served_until_answered_and_never_after(store: Store, ids: list[str]) -> None:
    queries = [Query.of(ids[i : i + 3], purpose=p) for i, p in ((0, "learn"), (3, "test"))]
    store.add_queries(queries)
    assert store.next_query("ann") == store.next_query("ann") == queries[0]
    assert store.next_query("ann", exclude=[queries[0].id]) == queries[1]
    assert store.pending("ann") == 2
    store.submit(answer(queries[0], "ann", ranks=(), outcome="skipped"))
    assert store.next_query("ann") == queries[1]
    assert store.next_query("bob") == queries[0]
    store.submit(answer(queries[1], "ann"))
    assert store.next_query("ann") is None
    assert (store.pending("ann"), store.pending("bob")) == (0, 2)


def test_the_same_episodes_are_asked_again_only_as_a_repeat(store: Store, ids: list[str]) -> None:
    repeat = Query.of(ids[:3], purpose="repeat")
    again = Query.of([ids[2], ids[0], ids[1]], round=1)
    first = Query.of(ids[:3])
    store.add_queries([repeat, first, again])
    assert store.next_query("ann") == first  # nothing to repeat yet
    store.submit(answer(first, "ann"))
    assert store.next_query("ann") == repeat
    store.submit(answer(repeat, "ann"))
    assert store.next_query("ann") is None
    assert store.next_query("bob") == first


def test_a_query_for_one_rater_is_held_for_whom_it_was_shown_to(
    store: Store, ids: list[str]
) -> None:
    one, other = Query.of(ids[:3]), Query.of(ids[3:6])
    store.add_queries([one, other], raters=1)
    assert store.next_query("ann") == one
    assert store.next_query("bob") == other
    assert store.next_query("cid") is None
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with store.engine.connect() as connection:
        connection.execute(sa.text("UPDATE serves SET served = :t"), {"t": long_ago})
        connection.commit()
    assert store.next_query("cid") == one  # ann and bob went away
    store.submit(answer(one, "cid"))
    assert store.next_query("ann") == other
    with pytest.raises(FeedbackError, match="at least 1"):
        store.add_queries([Query.of(ids[6:9])], raters=0)


# Rankings


def test_a_ranking_comes_back_as_it_was(store: Store, ids: list[str]) -> None:
    query = Query.of(ids[:3])
    store.add_queries([query])
    said = answer(
        query,
        "Zoë",
        ranks=(1, 2, 1),
        session="s1",
        seconds=3.25,
        comment="=HYPERLINK(1)\n<b>'; DROP TABLE rankings;--</b> 📉",
        ratings=(None, 5, 1),
        created=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    )
    assert store.submit(said) is True
    assert store.rankings() == [said]


def test_a_submit_key_counts_once(store: Store, ids: list[str]) -> None:
    query = Query.of(ids[:3])
    store.add_queries([query])
    said = answer(query, seconds=1.0)
    later = replace(said, created=said.created + timedelta(seconds=1), seconds=1.5)
    assert [store.submit(said), store.submit(said), store.submit(later)] == [True, False, False]
    assert store.rankings() == [said]
    for other in (
        replace(said, ranks=(3, 2, 1)),
        replace(said, comment="x"),
        replace(said, rater="z"),
    ):
        with pytest.raises(FeedbackError, match="taken by a different answer"):
            store.submit(other)


def test_a_correction_supersedes_and_the_old_answer_stays(store: Store, ids: list[str]) -> None:
    query = Query.of(ids[:3])
    store.add_queries([query])
    first = answer(query, key="k1")
    second = answer(query, key="k2", ranks=(3, 2, 1), supersedes="k1")
    third = answer(query, key="k3", ranks=(1, 1, 1), supersedes="k2")
    store.submit(first)
    with pytest.raises(FeedbackError, match=r"answered query .* already.*supersedes='k1'"):
        store.submit(answer(query, key="k9"))
    assert store.submit(second)
    assert store.submit(third)
    assert not store.submit(second)  # a late retry of an acknowledged correction
    assert store.rankings() == [third]
    assert store.rankings(include_superseded=True) == [first, second, third]
    with pytest.raises(FeedbackError, match="superseded by 'k2' already"):
        store.submit(answer(query, key="k4", ranks=(2, 1, 3), supersedes="k1"))
    with pytest.raises(FeedbackError, match="another rater"):
        store.submit(answer(query, "bob", key="k5", supersedes="k3"))
    with pytest.raises(FeedbackError, match="not in the store"):
        store.submit(answer(query, key="k6", supersedes="k0"))


def test_an_answer_must_fit_its_query(store: Store, ids: list[str]) -> None:
    query = Query.of(ids[:3])
    store.add_queries([query])
    with pytest.raises(FeedbackError, match="other episodes"):
        store.submit(answer(query, episodes=tuple(ids[1:4])))
    with pytest.raises(FeedbackError, match="not in the store"):
        store.submit(answer(Query.of(ids[3:6])))
    with pytest.raises(FeedbackError, match="not in the store"):
        store.submit(Ranking("k", ("e" * 64, ids[0]), (1, 2)))
    assert store.rankings(include_superseded=True) == []
    assert store.submit(Ranking("k", tuple(ids[:2]), (1, 2)))  # nobody asked: fine


def test_rankings_are_filtered(store: Store, ids: list[str]) -> None:
    queries = [
        Query.of(ids[:3]),
        Query.of(ids[3:6], purpose="test"),
        Query.of(ids[:3], purpose="repeat"),
    ]
    store.add_queries(queries)
    said = [answer(q, r, session=f"s{r}") for r in ("ann", "bob") for q in queries]
    said.append(Ranking("free", tuple(ids[:2]), (1, 2), rater="ann"))
    for ranking in said:
        store.submit(ranking)
    assert store.rankings("ann") == [*said[:3], said[6]]
    assert store.rankings(session="sbob") == said[3:6]
    assert store.rankings(purposes=["learn"]) == [said[0], said[3], said[6]]
    assert store.rankings("bob", purposes=["test", "repeat"]) == said[4:6]


# Trials


def test_trials_count_content(store: Store) -> None:
    assert store.count_trial("backtest", "sma", "m1", {"fast": 5, "slow": 20})
    assert not store.count_trial("backtest", "sma", "m1", {"slow": np.int64(20), "fast": 5})
    assert store.count_trial("backtest", "sma", "m1", {"fast": 5, "slow": 21})
    assert store.count_trial("backtest", "sma", "m2", {"fast": 5, "slow": 20})
    assert store.count_trial("sweep", "rsi", "m1")
    assert (store.trials(), store.trials("m1"), store.trials("m9")) == (4, 3, 0)
    assert (store.trials(kind="sweep"), store.trials("m1", name="sma")) == (1, 2)
    with pytest.raises(FeedbackError, match="not JSON"):
        store.count_trial("backtest", "sma", "m1", {"f": object()})
    with pytest.raises(FeedbackError):
        store.count_trial("backtest", "sma", "m1", {"x": float("nan")})


def test_many_trials_at_once_and_a_log_that_is_no_trial(store: Store) -> None:
    variants = [{"fast": n} for n in range(1200)]
    assert store.count_trials("sweep", "sma", "m1", [*variants, {"fast": 3}]) == 1200
    assert store.count_trials("sweep", "sma", "m1", [{"fast": 7}, {"fast": -1}]) == 1
    assert not store.count_trial("sweep", "sma", "m1", {"fast": 3})
    assert store.count_trials("sweep", "sma", "m1", []) == 0
    assert store.count_trial("opening", "report", "m1", {"who": "eve", "at": "2020-01-01"})
    assert store.count_trial("opening", "report", "m1", {"who": "eve", "at": "2020-01-02"})
    assert (store.trials("m1"), store.trials(), store.trials("m1", kind="opening")) == (
        1201,
        1201,
        2,
    )
    log = store.trial_log("m1", "opening")
    assert [(note.name, note.params["who"]) for note in log] == [("report", "eve")] * 2
    assert log[0].created.tzinfo is not None
    assert store.trial_log("m2", "opening") == []


# Trust


@pytest.fixture
def chained(store: Store, ids: list[str]) -> Store:
    """A store with five answers."""
    queries = [Query.of([ids[i], ids[i + 1]]) for i in range(5)]
    store.add_queries(queries)
    for query in queries:
        store.submit(answer(query))
    return store


def tamper(store: Store, statement: str) -> None:
    """Do as somebody with the database's password would."""
    with store.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type='trigger'"
            )
            for (name,) in names.all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql(statement)
        connection.commit()
    store.close()


def test_the_chain_shows_the_first_place_where_history_was_changed(chained: Store) -> None:
    assert chained.verify().ok
    for statement, problem in [  # from the newest to the oldest: the first break is reported
        ("UPDATE rankings SET chain = '' WHERE seq = 5", "answer 5 .* was altered"),
        ("UPDATE ranking_episodes SET rank = 2 WHERE ranking = 4", "answer 4 .* was altered"),
        ("UPDATE rankings SET comment = 'bought' WHERE seq = 3", "answer 3 .* was altered"),
        ("DELETE FROM ranking_episodes WHERE ranking = 2 AND panel = 1", "answer 2 .* altered"),
        ("UPDATE rankings SET rater = 'eve' WHERE seq = 1", "answer 1 .* was altered"),
    ]:
        tamper(chained, statement)
        found = chained.verify()
        assert re.search(problem, next(p for p in found.problems if "chain breaks" in p))
        assert not found.ok


def test_a_removed_answer_is_noticed(chained: Store) -> None:
    tamper(chained, "DELETE FROM ranking_episodes WHERE ranking = 2")
    tamper(chained, "DELETE FROM rankings WHERE seq = 2")
    assert any("answer 2 is missing" in problem for problem in chained.verify().problems)


def test_a_cut_off_end_is_noticed_with_an_anchor(chained: Store) -> None:
    anchor = chained.health()["head"]
    assert chained.verify(anchor=anchor).ok
    tamper(chained, "DELETE FROM ranking_episodes WHERE ranking = 5")
    tamper(chained, "DELETE FROM rankings WHERE seq = 5")
    assert any("'5' was deleted" in problem for problem in chained.verify().problems)
    assert any("cut off" in problem for problem in chained.verify(anchor=anchor).problems)


def test_the_database_itself_refuses_to_change_answers(chained: Store) -> None:
    for statement in (
        "UPDATE rankings SET seconds = 1",
        "UPDATE ranking_episodes SET rating = 1",
        "DELETE FROM ranking_episodes",
        "DELETE FROM rankings",
    ):
        with (
            chained.engine.connect() as connection,
            pytest.raises(sa.exc.DBAPIError, match="append-only"),
        ):
            connection.exec_driver_sql(statement)


def test_health_counts(chained: Store) -> None:
    health = chained.health()
    wanted = {"episodes": 9, "queries": 5, "rankings": 5, "raters": 1, "trials": 0, "superseded": 0}
    assert {name: health[name] for name in wanted} == wanted
    assert health["head"] == chained.verify().head
    assert health["episode_bytes"] == sum(i.size for i in chained.episode_infos())


# Many at once


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run `work(0..count-1)` at once; returns what went wrong."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except Exception as error:  # noqa: BLE001 (the caller asserts that there is none)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_share_one_store(store: Store, ids: list[str]) -> None:
    queries = [Query.of([ids[i], ids[j]]) for i in range(5) for j in range(i)]
    store.add_queries(queries)

    def rater(number: int) -> None:
        while (query := store.next_query(f"r{number}")) is not None:
            store.submit(answer(query, f"r{number}"))

    assert in_threads(6, rater) == []
    found = store.rankings()
    assert sorted(r.key for r in found) == sorted(f"{q.id}:r{n}" for q in queries for n in range(6))
    assert store.verify().ok


def test_one_key_from_many_threads_is_stored_once(store: Store, ids: list[str]) -> None:
    said = Ranking("same", tuple(ids[:3]), (1, 2, 3))
    stored: list[bool] = []
    assert in_threads(8, lambda _: stored.append(store.submit(said))) == []
    assert sorted(stored) == [False] * 7 + [True]
    assert store.rankings() == [said]


def test_the_example_in_the_documentation_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (root / "docs" / "store.md").read_text()
    example = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"episodes": [make_episode(i) for i in range(3)]}
    exec(compile(example, "docs/store.md", "exec"), names)
    with names["store"] as store:
        assert store.rankings("ann") == [names["answer"]]
        assert (tmp_path / "store" / "feedback.db").is_file()
