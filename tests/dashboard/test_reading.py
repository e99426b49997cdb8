"""How a file is read, asked on the page Data: columns, dates, decimals, zones; own and served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tradinghf.feedback.store import Store
from tradinghf.market import load_market
from tradinghf.resources import resource_dir
from tradinghf.serving import Uploads, ui
from tradinghf.serving._access import Identity
from tradinghf.serving._dashboard import _open_dashboard

DAYS = pd.date_range("2023-01-03", periods=9)
ODD = "Wann;Erster Kurs x;Oben;Unten;Preis x\n" + "".join(
    f"{day:%Y-%m-%d};{10 + i};{12 + i};{9 + i};{11 + i}\n" for i, day in enumerate(DAYS)
)
OPEN_DATES = "date,open,high,low,close\n" + "".join(
    f"{i:02d}/03/2023,{10 + i},{12 + i},{9 + i},{11 + i}\n" for i in range(1, 10)
)
HOURS = "time,open,high,low,close\n" + "".join(
    f"2023-01-03 {i:02d}:00,{10 + i},{12 + i},{9 + i},{11 + i}\n" for i in range(9, 18)
)
BELOW_ZERO = "date,open,high,low,close\n" + "".join(
    f"{day:%Y-%m-%d},{i - 4},{i - 2},{i - 5},{i - 3}\n" for i, day in enumerate(DAYS)
)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page Data beside a folder of files."""
    folder = tmp_path / "bars"
    folder.mkdir()
    for name, text in (
        ("odd", ODD),
        ("open_dates", OPEN_DATES),
        ("hours", HOURS),
        ("spread", BELOW_ZERO),
    ):
        (folder / f"{name}.csv").write_text(text)
    monkeypatch.setenv("TRADINGHF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TRADINGHF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TRADINGHF_DATA_FOLDER", str(folder))
    _open_dashboard.cache_clear()
    with Store(tmp_path / "store"):
        yield AppTest.from_file(str(resource_dir("dashboard") / "views" / "data.py"),
                                default_timeout=60).run()  # fmt: skip
    _open_dashboard.cache_clear()


def take(page: AppTest, name: str) -> None:
    """Choose a file of the server's folder."""
    page.multiselect[0].set_value([name]).run()
    assert not page.exception


def keep(page: AppTest) -> str:
    next(b for b in page.button if b.label == "Check and keep").click().run()
    assert not page.exception
    return "\n".join(str(part.value) for part in (*page.success, *page.error, *page.text))


def test_columns_are_chosen_from_the_files_own(page: AppTest, tmp_path: Path) -> None:
    take(page, "odd.csv")
    said = "\n".join(str(text.value) for text in page.text)
    assert "missing columns" in said
    assert "or say here which is which." in said
    assert "columns=" not in said
    assert str(tmp_path) not in said
    fields = {field.label: field for field in page.selectbox}
    assert fields["Close"].options == ["Wann", "Erster Kurs x", "Oben", "Unten", "Preis x"]
    chosen = {"Time": 1, "Open": 2, "High": 3, "Low": 4, "Close": 5}
    for label, place in chosen.items():
        next(f for f in page.selectbox if f.label == label).set_value(place)
    page.run()
    assert "Kept as odd: 9 bars" in keep(page)
    market = Uploads(tmp_path / "runs").load("odd")
    assert market.close[:, 0].tolist() == [11.0 + i for i in range(9)]
    beside = json.loads(next((tmp_path / "runs" / "uploads").glob("*.json")).read_text())
    assert (
        beside["columns"] == "timestamp=Wann;open=Erster Kurs x;high=Oben;low=Unten;close=Preis x"
    )


def test_only_admins_see_the_servers_files(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    label = "Or take files from the server's folder"
    assert label in [field.label for field in page.multiselect]
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("lea", "lead"))
    assert label not in [field.label for field in page.run().multiselect]


def test_dates_of_two_readings_are_shown_and_asked(page: AppTest, tmp_path: Path) -> None:
    take(page, "open_dates.csv")
    said = "\n".join(str(text.value) for text in page.text)
    assert "1 March 2023" in said
    assert "3 January 2023" in said
    next(r for r in page.radio if r.label == "Dates").set_value("false").run()
    assert "Kept as open_dates: 9 bars" in keep(page)
    first = Uploads(tmp_path / "runs").load("open_dates").index[0]
    assert (first.month, first.day) == (1, 3)


def test_times_of_day_ask_for_their_zone(page: AppTest, tmp_path: Path) -> None:
    take(page, "hours.csv")
    next(f for f in page.selectbox if f.label.startswith("Zone")).set_value("Europe/Berlin").run()
    assert "Kept as hours: 9 bars" in keep(page)
    assert Uploads(tmp_path / "runs").load("hours").index[0].hour == 8
    assert load_market(tmp_path / "bars" / "hours.csv").index[0].hour == 9


def test_prices_below_zero_ask_for_their_collateral(page: AppTest, tmp_path: Path) -> None:
    take(page, "spread.csv")
    said = "\n".join(str(text.value) for text in page.text)
    assert "expected more than 0" in said
    assert "or say below what a unit takes as collateral beyond its price." in said
    assert "more problems)" in said
    assert "tradinghf data" not in said
    field = next(f for f in page.number_input if f.label.startswith("Collateral of a unit"))
    field.set_value(100).run()
    assert "Kept as spread: 9 bars" in keep(page)
    market = Uploads(tmp_path / "runs").load("spread")
    assert market.close[:, 0].tolist() == [97.0 + i for i in range(9)]
