"""What an attacker, a broken clock or a cut-off file does to a store; each is seen or refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.store import make_episode

from tradinghf.errors import FeedbackError, StoreError, TradingHFError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store, _engine, _queue, _schema, restore, verify_backup
from tradinghf.market import synthetic
from tradinghf.serving import UserAccounts

Records = list[dict[str, Any]]
Edit = Callable[[Records], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of everything, its export and its backup."""
    folder = tmp_path_factory.mktemp("siege")
    with Store(folder / "store") as store:
        ids = store.add_episodes(make_episode(i, "abc"[i % 3], start=i // 3) for i in range(6))
        gold = Query.of(ids[3:], purpose="gold", answer=(1, 2, 3))
        store.add_queries([Query.of(ids[:3]), gold], raters=2)
        for i, query in enumerate(store.queries()):
            ranking = Ranking(f"key-{i}", query.episodes, (1, 2, 2), query=query.id, rater="ann")
            store.submit(replace(ranking, seconds=2.5))
        store.count_trial("backtest", "momentum", "m" * 64, {"days": 20})
        store.recognise(synthetic(seed=1, bars=60, assets=2))
        UserAccounts(store).add("boss", None, "admin", by="test")
        store.export(folder / "all.jsonl")
        store.backup(folder / "backup")
    return folder


@pytest.mark.parametrize(
    ("table", "change", "seen"),
    [
        ("trials", "DELETE FROM trials", "counted backtest .* was deleted"),
        ("trials", "UPDATE trials SET name = 'other'", "counted backtest .* was altered"),
        ("queries", "UPDATE queries SET purpose = 'test'", "question .* was altered"),
        ("queries", "UPDATE queries SET \"group\" = 'x'", "question .* was altered"),
        ("query_episodes", "UPDATE query_episodes SET answer = 1", "question .* was altered"),
        ("rankings", "UPDATE rankings SET \"group\" = 'x'", "answer .* was altered"),
        ("", "UPDATE episodes SET net_return = 9.9", "says net_return '9.9'"),
        ("", "UPDATE episodes SET source = 'mine'", "says source 'mine'"),
        ("", "UPDATE dashboard_users SET role = 'rater'", "account 'boss' was altered"),
        ("", "DELETE FROM dashboard_audit", "audit trail '1' was deleted"),
        ("market_versions", "UPDATE market_versions SET data_set = 'x'", "data set .* was altered"),
        ("market_versions", "DELETE FROM market_versions", "data set .* was deleted"),
        ("market_members", "DELETE FROM market_members", "in a data set .* was deleted"),
        ("", "UPDATE market_assets SET trace = x'00'", "asset of a data set .* was altered"),
        (
            "ranking_episodes",
            "UPDATE ranking_episodes SET panel = 9 WHERE panel = 2",
            "was altered",
        ),
        ("query_episodes", "UPDATE query_episodes SET panel = 9 WHERE panel = 2", "was altered"),
        ("", "UPDATE episodes SET net_return = 'x'", "says net_return 'x'"),
        ("journal", "DELETE FROM journal WHERE seq = 2", "journal breaks"),
        ("journal", "UPDATE journal SET digest = chain", "journal breaks"),
    ],
)
def test_verify_sees_every_row_that_was_changed_by_hand(
    whole: Path, tmp_path: Path, table: str, change: str, seen: str
) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    with sqlite3.connect(copy / "feedback.db") as connection:
        guards = []
        if table:
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
            guards = connection.execute(query, (table,)).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(change)
        for _, sql in guards:
            connection.execute(sql)
    with Store(copy) as store:
        found = store.verify()
    assert not found.ok
    with pytest.raises(AssertionError, match=seen):
        raise AssertionError(" ".join(found.problems))


def test_verify_misses_a_guard_that_is_gone_or_does_nothing(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    with sqlite3.connect(copy / "feedback.db") as connection:
        connection.execute("DROP TRIGGER append_only_trials_delete")
        connection.execute("DROP TRIGGER append_only_rankings_update")
        connection.execute(
            "CREATE TRIGGER append_only_rankings_update BEFORE UPDATE ON rankings "
            "BEGIN SELECT 1; END"
        )
    with Store(copy) as store:
        problems = store.verify().problems
    assert [p.split()[2] for p in problems] == [
        "append_only_rankings_update,",
        "append_only_trials_delete,",
    ]


def test_an_anchor_of_the_journal_shows_what_was_cut_off(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    with Store(copy) as store:
        before = store.health()["journal"]
        store.count_trial("backtest", "later", "m" * 64)
        later = store.health()["journal"]
        assert store.verify(anchor=before).ok
        assert store.verify(anchor=later).ok
        for nothing in ("", "nope", later[:63], later.upper()):
            with pytest.raises(StoreError, match="64 hexadecimal digits"):
                store.verify(anchor=nothing)
    with Store(whole / "store") as older:
        assert not older.verify(anchor=later).ok


def _edited(whole: Path, path: Path, edit: Edit) -> Path:
    records = [json.loads(line) for line in (whole / "all.jsonl").read_text().splitlines()]
    edit(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def _ranking(**values: Any) -> Edit:
    return lambda records: records[-1]["ranking"].update(values)


def _query(**values: Any) -> Edit:
    def edit(records: Records) -> None:
        first = next(record for record in records if "query" in record)
        first["query"].update({k: v for k, v in values.items() if k != "raters"})
        first.update({k: v for k, v in values.items() if k == "raters"})

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda records: records.pop(), "holds 1 rankings; its first line says 2"),
        (lambda records: records.pop(1), "holds 5 episodes; its first line says 6"),
        (lambda records: records.pop(0), "line 1: expected"),
        (lambda records: records[0].update(rankings=99999), "first line says 99999"),
        (lambda records: records[0].pop("queries"), "line 1: expected"),
        (lambda records: records.insert(1, records[0]), "line 2: expected"),
        (lambda records: records.clear(), "is empty"),
        (_ranking(created="0999-01-01T00:00:00.000000Z"), "in the year 999"),
        (_ranking(created="9999-12-31T23:59:59.999999Z"), "in the year 9999"),
        (_ranking(seconds=True), "seconds is True"),
        (_ranking(seconds=10**400), "401 digits"),
        (_ranking(seconds=1e30), "at most a year"),
        (_ranking(ranks=[True, True, True]), "whole numbers"),
        (_ranking(ranks=[10**30, 1, 2]), "whole numbers"),
        (_ranking(ratings=[10**30, 1, 2]), "expected nothing"),
        (_ranking(ratings="123"), "expected nothing"),
        (_ranking(comment=5), "expected text"),
        (_ranking(rater="ann "), "space around"),
        (_ranking(rater="Ann"), "looks the same"),
        (_ranking(rater="a\u0301nn"), "unusual spelling"),
        (_ranking(rater="\uff41nn"), "unusual spelling"),
        (_ranking(rater="ann\u3164"), "nobody sees"),
        (_ranking(comment="x" * 4001), "4,001 characters"),
        (_ranking(comment="\ud800"), "half a character"),
        (_query(note="\udfff"), "half a character"),
        (_query(note="x" * 10**6), "1,000,000 characters"),
        (_ranking(rater="\ud800"), "half a character"),
        (_ranking(rater="ann\u202e"), "printable"),
        (_query(round=10**30), "Query.round"),
        (_query(round=True), "Query.round"),
        (_query(raters=True), "no whole number"),
        (_query(raters=10**30), "raters is 1"),
    ],
)
def test_an_import_refuses_cut_lying_and_impossible_files(
    whole: Path, tmp_path: Path, edit: Edit, said: str
) -> None:
    path = _edited(whole, tmp_path / "x.jsonl", edit)
    with Store(tmp_path / "new") as store:
        with pytest.raises(TradingHFError, match=said):
            store.import_from(path)
        assert store.rankings() == []
        assert store.queries() == []


def test_a_name_that_is_there_twice_is_refused(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    text = (whole / "all.jsonl").read_text()
    path.write_text(text.replace('"ranks": [', '"ranks": [3, 2, 1], "ranks": [', 1))
    with Store(tmp_path / "new") as store, pytest.raises(FeedbackError, match="twice"):
        store.import_from(path)


def test_rows_of_a_table_that_lost_a_panel_are_refused(whole: Path, tmp_path: Path) -> None:
    with Store(whole / "store") as store:
        store.export(tmp_path / "x.csv")
        lines = (tmp_path / "x.csv").read_text().splitlines(keepends=True)
        for lost in (1, 2):
            (tmp_path / "y.csv").write_text("".join(lines[:lost] + lines[lost + 1 :]))
            with pytest.raises(StoreError, match="some are missing"):
                store.import_from(tmp_path / "y.csv")


def test_full_width_formulas_are_defused_and_come_back(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    signs = ("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "\u22121", "=1")
    with Store(copy) as store:
        first = store.queries()[0]
        for i, comment in enumerate(signs):
            answer = Ranking(f"f{i}", first.episodes, (1, 2, 3), rater=f"r{i}", comment=comment)
            store.submit(replace(answer, query=first.id))
        store.export(tmp_path / "x.csv")
    text = (tmp_path / "x.csv").read_text()
    assert all(f",'{comment}," in text for comment in signs)
    with Store(shutil.copytree(whole / "store", tmp_path / "again")) as store:
        assert store.import_from(tmp_path / "x.csv") == len(signs)
        assert tuple(r.comment for r in store.rankings()[-len(signs) :]) == signs


def test_a_row_of_an_impossible_year_blocks_nothing(whole: Path, tmp_path: Path) -> None:
    """Earlier versions imported the year 999 and could read nothing of the store any more."""
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    with sqlite3.connect(copy / "feedback.db") as connection:
        connection.execute("DROP TRIGGER append_only_rankings_update")
        connection.execute("UPDATE rankings SET created = '999-01-01T00:00:00.000000Z'")
    with Store(copy) as store:
        assert {ranking.created.year for ranking in store.rankings()} == {datetime.now(UTC).year}
        assert store.export(tmp_path / "x.jsonl") == 2
        assert (store.backup(tmp_path / "copy") / "manifest.json").is_file()
    with Store(tmp_path / "new") as other:
        assert other.import_from(tmp_path / "x.jsonl") == 2


def test_times_are_written_with_four_digits() -> None:
    assert _schema.timestamp(datetime(999, 1, 2, tzinfo=UTC)) == "0999-01-02T00:00:00.000000Z"


def test_nothing_is_restored_from_a_backup_that_lacks_a_file(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole / "backup", tmp_path / "backup")
    file = next(copy.glob("episodes/*/*.safetensors"))
    file.unlink()
    with pytest.raises(StoreError, match="not whole, and nothing was restored"):
        restore(copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_manifest_that_counts_otherwise_is_refused(whole: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(whole / "backup", tmp_path / "backup")
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rankings": 2', '"rankings": 7'))
    with pytest.raises(StoreError, match="its manifest says"):
        restore(copy, tmp_path / "new")


@pytest.mark.parametrize("with_log", [False, True])
def test_a_store_is_read_where_nothing_may_be_written(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_log: bool
) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    if with_log:  # the last writer was killed: a part lies in the write-ahead log
        writer = sqlite3.connect(copy / "feedback.db", isolation_level=None)
        writer.execute("INSERT INTO serves SELECT id, 'zed', '', '' FROM queries LIMIT 1")
        shutil.copytree(copy, tmp_path / "killed")
        writer.close()
        copy = tmp_path / "killed"
    before = {p.name: p.read_bytes() for p in sorted(copy.glob("feedback.db*"))}
    monkeypatch.setattr(_engine.Location, "read_only", True)
    with Store(copy) as store:
        assert store.verify().ok
        assert len(store.episodes()) == 6
        assert store.export(tmp_path / "x.jsonl") == 2
        copied = store.backup(tmp_path / "copied")
        with pytest.raises(StoreError, match="may only be read"):
            store.count_trial("backtest", "x", "m" * 64)
    monkeypatch.undo()
    assert verify_backup(copied).ok
    after = {p.name: p.read_bytes() for p in sorted(copy.glob("feedback.db*"))}
    assert {n: b for n, b in after.items() if n != "feedback.db-shm"} == {
        n: b for n, b in before.items() if n != "feedback.db-shm"
    }


def test_an_older_store_that_may_only_be_read_is_named(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(whole / "store", tmp_path / "store")
    with sqlite3.connect(copy / "feedback.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    monkeypatch.setattr(_engine.Location, "read_only", True)
    with pytest.raises(StoreError, match=r"older than .* may only be read"):
        Store(copy)


def test_half_characters_get_a_sentence_from_every_query(store: Store) -> None:
    for call in (
        lambda: store.query("\ud800"),
        lambda: store.next_query("\ud800"),
        lambda: store.rankings("\ud800"),
        lambda: store.count_trial("backtest", "\ud800", "m" * 64),
    ):
        with pytest.raises(StoreError, match="cannot hold a value"):
            call()


def test_a_clock_that_ran_ahead_holds_no_question(
    store: Store, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=1)

    store.add_queries([Query.of(ids[:3])], raters=1)
    for module in (_queue, _schema):
        monkeypatch.setattr(module, "datetime", Tomorrow)
    assert store.next_query("ann") is not None
    assert store.next_query("bob") is None
    monkeypatch.undo()
    assert store.next_query("bob") is not None


def test_a_table_that_unpacks_to_more_than_the_memory_is_refused_early(
    whole: Path, tmp_path: Path
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with Store(whole / "store") as store:
        store.export(tmp_path / "x.parquet")
        table = pq.read_table(tmp_path / "x.parquet")
        first = table.slice(0, 1)
        many = pa.table({n: pa.repeat(first[n][0], 300_000) for n in table.column_names})
        pq.write_table(many, tmp_path / "rows.parquet")
        long = {n: pa.repeat(first[n][0], 40_000) for n in table.column_names}
        long["comment"] = pa.repeat(pa.scalar("x" * 20_000), 40_000)
        pq.write_table(pa.table(long), tmp_path / "text.parquet")
        for name, said in (("rows", "300,000 rows; at most"), ("text", "when unpacked")):
            assert (tmp_path / f"{name}.parquet").stat().st_size < 2**20
            with pytest.raises(StoreError, match=said):
                store.import_from(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize(
    ("known", "new"),
    [
        ("ann", "Ann"),
        ("ann", "\u0430nn"),
        ("avo", "a\u03bd\u03bf"),
        ("a b", "A  b"),
        ("Max", "\u041cax"),
    ],
)
def test_a_new_rater_who_looks_like_another_is_refused(
    store: Store, ids: list[str], known: str, new: str
) -> None:
    store.submit(Ranking("k1", tuple(ids[:3]), (1, 2, 3), rater=known))
    with pytest.raises(FeedbackError, match="looks the same"):
        store.submit(Ranking("k2", tuple(ids[:3]), (1, 2, 3), rater=new))
    assert store.submit(Ranking("k2", tuple(ids[:3]), (1, 2, 3), rater=f"{known}a"))
    assert [r.rater for r in store.rankings()] == [known, f"{known}a"]


def test_an_account_answers_whatever_it_looks_like(store: Store, ids: list[str]) -> None:
    UserAccounts(store).add("ann", None, "rater", by="test")
    store.submit(Ranking("k1", tuple(ids[:3]), (1, 2, 3), rater="Ann"))
    assert store.submit(Ranking("k2", tuple(ids[:3]), (1, 2, 3), rater="ann"))
