"""Uploaded bars: named, renamed, replaced by longer files, and known by name to jobs."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest
from support.dashboard import walk

from tradinghf.errors import MarketDataError
from tradinghf.feedback.store import Store
from tradinghf.market import load_market
from tradinghf.serving import BackgroundJobs, Uploads


def text(seed: int, bars: int, *, scale: float = 1.0) -> bytes:
    """A CSV of the first bars of a walk."""
    whole = walk(seed, 199)
    columns = {name: column[:bars] for name, column in whole.items()}
    frame = pd.DataFrame(columns, index=pd.bdate_range("2020-01-01", periods=bars, name="date"))
    frame[["open", "high", "low", "close"]] *= scale
    return frame.to_csv().encode()


def test_files_can_be_looked_at_before_they_are_kept(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    semicolons = text(1, 100).replace(b",", b";")
    assert uploads.look("mine.csv", semicolons, decimal="point").bars == 100
    with pytest.raises(MarketDataError, match=r"^bad\.csv: row 2: 2 cells; the header has 6"):
        uploads.look("bad.csv", b"date,open,high,low,close,volume\n1,2\n" + text(1, 9)[30:])
    assert list(uploads.names()) == []
    assert list(uploads.folder.iterdir()) == []
    uploads.add("mine.csv", text(1, 100))
    assert uploads.look("mine.csv", text(1, 150)).bars == 150  # as when it shall replace the set
    assert uploads.load("mine").bars == 100


def test_a_longer_file_takes_the_place_of_a_set_and_is_the_same_to_the_store(
    tmp_path: Path,
) -> None:
    uploads = Uploads(tmp_path)
    uploads.add("mine.csv", text(1, 100))
    with Store(tmp_path / "store") as store:
        before = store.recognise(uploads.load("mine"))
        with pytest.raises(MarketDataError, match="already"):
            uploads.add("mine.csv", text(1, 150))
        uploads.add("mine.txt", text(1, 150), replace=True)
        assert uploads.load("mine").bars == 150
        assert [path.name for path in uploads.names().values()] == ["mine.txt"]
        assert store.recognise(uploads.load("mine")).id == before.id


@pytest.mark.parametrize(
    ("data", "message"),
    [(text(2, 150), "do not continue mine"), (text(1, 60), "ends on 2020-03-24, before")],
)
def test_other_or_shorter_bars_replace_nothing(tmp_path: Path, data: bytes, message: str) -> None:
    uploads = Uploads(tmp_path)
    uploads.add("mine.csv", text(1, 100))
    with pytest.raises(MarketDataError, match=message):
        uploads.add("mine.csv", data, replace=True)
    assert uploads.load("mine").bars == 100
    assert len(list(uploads.folder.iterdir())) == 1


def test_a_renamed_set_has_the_same_bars_and_is_read_as_before(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    german = text(1, 100).decode().replace(",", ";").replace(".", ",").encode()
    uploads.add("dax.csv", german, decimal="comma")
    before = uploads.load("dax")
    assert uploads.rename("dax", "My DAX!") == "my-dax"
    assert list(uploads.names()) == ["my-dax"]
    after = uploads.load("my-dax")
    assert after.sha256 == before.sha256
    assert after.symbols == ("dax",)
    for new, message in (("sp500", "already"), ("!!", "expected letters")):
        with pytest.raises(MarketDataError, match=message):
            uploads.rename("my-dax", new)
    uploads.delete("my-dax")
    assert list(uploads.folder.iterdir()) == []
    with pytest.raises(MarketDataError, match="uploaded set"):
        uploads.delete("my-dax")


def test_terminals_and_jobs_know_uploaded_bars_by_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(tmp_path / "runs")
    name, market = uploads.add("three_symbols.csv", text(1, 100))
    monkeypatch.chdir(tmp_path)
    # A folder of that name beside it hides nothing.
    Path(name).mkdir()
    assert load_market(name).sha256 == market.sha256
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code = f"from tradinghf.market import load_market; print(load_market({name!r}).sha256)"
    job = BackgroundJobs(tmp_path / "runs").start("look", "look", ["-c", code])
    while job.status == "running":
        time.sleep(0.05)
    assert job.output().strip() == market.sha256


def test_what_a_job_said_holds_no_path_and_its_last_progress(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    code = f"print('fit 1/4\\ncollect 1,500/2,000 profit\\nall in {runs}/mine')"
    job = BackgroundJobs(runs).start("look", "look", ["-c", code])
    while job.status == "running":
        time.sleep(0.05)
    assert job.progress() == (0.75, "collect 1,500 of 2,000 profit")
    assert str(tmp_path) not in job.said()
    assert "all in mine" in job.said()
