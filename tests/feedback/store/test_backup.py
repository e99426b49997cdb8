"""Export, import, backup, restore."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market
from support.store import make_episode, postgres_url

from tradinghf.errors import FeedbackError, StoreError, TradingHFError
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store, restore
from tradinghf.feedback.store._episode_files import episode_path

NASTY = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1", "\t=1", 'a,b\n"c"', "📉 ok", "'", ""]


@pytest.fixture
def full(store: Store, ids: list[str]) -> Store:
    """A store with all kinds of queries and answers."""
    gold = Query.of(ids[6:9], purpose="gold", answer=(1, 1, 2))
    queries = [Query.of(ids[:3]), Query.of(ids[3:6], purpose="test", round=2, note="=n"), gold]
    store.add_queries(queries[:2])
    store.add_queries(queries[2:], raters=2)
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    for i, text in enumerate(NASTY):
        said = Ranking(f"-k{i}", tuple(ids[2::-1]), (2, 1, 2), comment=text, created=moment)
        store.submit(replace(said, seconds=0.1 * i, ratings=(None, 5, 1), session="=s"))
    store.submit(Ranking("=k", tuple(ids[:3]), (1, 2, 3), queries[0].id, "@bob", supersedes=""))
    skipped = Ranking("skip", tuple(ids[3:6]), (), queries[1].id, "ann", outcome="skipped")
    store.submit(skipped)
    store.submit(
        Ranking("fix", skipped.episodes, (3, 1, 2), skipped.query, "ann", supersedes="skip")
    )
    return store


def everything(store: Store) -> tuple[Any, ...]:
    return (store.rankings(include_superseded=True), store.queries(), store.sources())


def test_jsonl_carries_a_whole_store(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "out" / "feedback.jsonl"
    assert full.export(path) == len(full.rankings(include_superseded=True))
    with Store(tmp_path / "other") as other:
        assert other.import_from(path) == len(NASTY) + 3
        assert everything(other) == everything(full)
        assert other.import_from(path) == 0  # again: nothing new
        assert other.verify().ok
        assert other.episodes()[0].to_bytes() == full.episodes()[0].to_bytes()
        assert other.next_query("zoe") is not None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_carry_the_rankings(full: Store, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rankings{suffix}"
    full.export(path)
    with Store(tmp_path / "other") as other:
        other.add_episodes(full.episodes())
        other.add_queries(full.queries())
        assert other.import_from(path) == len(NASTY) + 3
        assert other.rankings(include_superseded=True) == full.rankings(include_superseded=True)


def test_no_cell_of_the_csv_is_a_formula(full: Store, tmp_path: Path) -> None:
    path = tmp_path / "rankings.csv"
    full.export(path)
    with path.open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any("cmd|" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


def test_tables_can_be_read_by_pandas(full: Store, tmp_path: Path) -> None:
    full.export(tmp_path / "rankings.parquet")
    frame = pd.read_parquet(tmp_path / "rankings.parquet")
    answer = frame[frame.key == "fix"].sort_values("panel")
    assert answer["rank"].tolist() == [3, 1, 2]
    assert answer["source"].tolist() == ["a", "b", "c"]


def lines(store: Store, path: Path) -> list[dict[str, Any]]:
    store.export(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[0].update(format="x"), "line 1: .*expected .*tradinghf-feedback-1"),
        (lambda r: r.append({"what": 1}), "line .*expected"),
        (lambda r: r.append([1]), "JSON object"),
        (lambda r: r[1].update(episode="!!!"), "line 2"),
        (lambda r: r[1].update(episode="AAAA"), "line 2: Not a tradinghf-episode"),
        (lambda r: r[1].update(episode=7), "line 2"),
        (lambda r: r[-1]["ranking"].update(ranks=[0, 1, 2]), "1 = best"),
        (lambda r: r[-1]["ranking"].update(created="yesterday"), "line"),
        (lambda r: r[-1]["ranking"].update(surprise=1), "surprise"),
        (lambda r: r[-1]["ranking"].update(query="gone"), "not in the store"),
        (lambda r: r[-1]["ranking"].pop("rater") and r[-1]["ranking"].pop("key"), "key"),
        (lambda r: r[-3].update(query={"id": "x"}), "line"),
    ],
)
def test_a_malformed_jsonl_names_the_line_and_stores_no_answer(
    tmp_path: Path, change: Any, message: str
) -> None:
    with Store(tmp_path / "one") as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        query = Query.of(ids)
        store.add_queries([query])
        store.submit(Ranking("a", tuple(ids), (1, 2), query.id))
        store.submit(Ranking("b", tuple(ids), (1, 2), query.id, "bob"))
        records = lines(store, tmp_path / "good.jsonl")
    change(records)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("\n".join(json.dumps(record) for record in records))
    with Store(tmp_path / "two") as store:
        with pytest.raises(TradingHFError, match=message) as caught:
            store.import_from(bad)
        assert "bad.jsonl, line " in str(caught.value)
        assert store.rankings() == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("panel", "pannel", "lacks the columns panel"),
        (",1,", ",one,", "expected a whole number"),
        ("ranked", "rankd", "Did you mean"),
        ("a,", "a,b,", "cells"),
    ],
)
def test_a_malformed_csv_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with Store(tmp_path / "one") as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        store.submit(Ranking("a", tuple(ids), (1, 2)))
        store.export(tmp_path / "good.csv")
        text = (tmp_path / "good.csv").read_text()
        (tmp_path / "bad.csv").write_text(text.replace(old, new))
        assert old in text
        with pytest.raises(StoreError, match=message):
            store.import_from(tmp_path / "bad.csv")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl"])
def test_garbage_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xfe\x00garbage")
    with Store(tmp_path / "s") as store:
        with pytest.raises(StoreError):
            store.import_from(tmp_path / name)
        with pytest.raises(StoreError, match="no file"):
            store.import_from(tmp_path / f"missing-{name}")
        with pytest.raises(StoreError, match=r"\.jsonl, \.csv or \.parquet"):
            store.export(tmp_path / "x.xlsx")
        (tmp_path / "y.jsonl").write_text("{}")
        with pytest.raises(FeedbackError, match="line 1"):
            store.import_from(tmp_path / "y.jsonl")


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    """The file with a few bytes changed, removed or inserted."""
    changed = bytearray(data)
    for _ in range(int(generator.choice([1, 1, 3, 20]))):
        at = int(generator.integers(len(changed)))
        match generator.integers(3):
            case 0:
                changed[at] ^= int(generator.integers(1, 256))
            case 1:
                del changed[at : at + int(generator.integers(1, 20))]
            case _:
                changed[at:at] = [b'"', b",", b"\n", b"{", b"\x00", b"9" * 30][
                    generator.integers(6)
                ]
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_damaged_files_never_crash_the_import(tmp_path: Path, suffix: str) -> None:
    """Either an error on purpose, or nothing new (the damage was in a place that says nothing)."""
    generator = np.random.default_rng(7)
    with Store(tmp_path / "one") as store:
        ids = store.add_episodes(make_episode(i, bars=4) for i in range(3))
        query = Query.of(ids)
        store.add_queries([query])
        said = Ranking("k", query.episodes, (1, 2, 2), query.id, comment="hi", seconds=2.0)
        store.submit(said)
        store.export(tmp_path / f"good{suffix}")
        good = (tmp_path / f"good{suffix}").read_bytes()
        bad = tmp_path / f"bad{suffix}"
        refused = 0
        for _ in range(80):
            bad.write_bytes(damaged(good, generator))
            try:
                store.import_from(bad)
            except TradingHFError:
                refused += 1
        assert refused > 40
        assert store.rankings()[0] == said
        assert store.verify().ok


def test_a_backup_is_a_store_and_comes_back(full: Store, tmp_path: Path) -> None:
    before, head = everything(full), full.health()["head"]
    folder = full.backup(tmp_path / "backup")
    assert sorted(p.name for p in folder.iterdir()) == ["episodes", "feedback.db", "manifest.json"]
    full.submit(
        Ranking("later", full.rankings()[0].episodes, (1, 2, 3)[: len(full.rankings()[0].episodes)])
    )
    restore(folder, tmp_path / "restored")
    with Store(tmp_path / "restored") as again:
        assert everything(again) == before
        assert again.verify(anchor=head).ok
        assert again.health()["head"] == head
        assert again.submit(replace(again.rankings()[0], key="new"))
    with pytest.raises(StoreError, match="exists already"):
        restore(folder, tmp_path / "restored")
    with pytest.raises(StoreError, match="new or empty folder"):
        full.backup(tmp_path / "backup")


def test_a_backup_moves_a_store_to_postgresql(tmp_path: Path, postgres: str) -> None:
    with Store(tmp_path / "one") as store:
        ids = store.add_episodes([make_episode(0), make_episode(1)])
        store.add_queries([Query.of(ids)], raters=1)
        store.submit(Ranking("a", tuple(ids), (1, 2)))
        grown = make_market(90, assets=2)
        market = grown.rows(0, 60)
        store.recognise(market)
        store.count_trial("backtest", "x", market.sha256)
        before, head = everything(store), store.health()["head"]
        folder = store.backup(tmp_path / "backup")
    url = postgres_url(postgres, tmp_path / "team")
    restore(folder, url)
    with Store(url) as team:
        assert everything(team) == before
        assert team.verify(anchor=head).ok
        assert team.trials() == 1
        assert team.recognise(market).id == market.sha256
        assert team.recognise(grown.select(["A1"])).said == ""
        assert team.trials(grown.select(["A1"]).sha256) == 1
    with pytest.raises(StoreError, match="empty database"):
        restore(folder, url)


@pytest.mark.parametrize("what", ["database", "episode", "manifest", "nothing there"])
def test_a_damaged_backup_is_refused(tmp_path: Path, what: str) -> None:
    with Store(tmp_path / "one") as store:
        ids = store.add_episodes([make_episode(0)])
        folder = store.backup(tmp_path / "backup")
    files = {
        "database": folder / "feedback.db",
        "episode": episode_path(folder, ids[0]),
        "manifest": folder / "manifest.json",
    }
    if what in files:
        data = bytearray(files[what].read_bytes())
        data[len(data) // 2] ^= 1
        files[what].write_bytes(data[:-1] if what == "manifest" else data)
    else:
        folder = tmp_path / "nowhere"
    with pytest.raises(StoreError, match=r"altered|not a backup"):
        restore(folder, tmp_path / "restored")
    assert not (tmp_path / "restored" / "feedback.db").exists()
