"""A month in the browser: from one's own file to a policy that the gate judged, without a terminal.

Everything a trader does is a click, a tap or a key on a page; only the answers come from a taste.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from support.browser import (
    PATIENCE,
    chromium,
    needs_browser,
    next_query,
    ready,
    saved,
    settled,
    visit,
)
from support.dashboard import dashboard_of

from tradinghf.feedback.store import Store
from tradinghf.serving import RunFolder, tables
from tradinghf.serving._service import panel_order

pytestmark = [*needs_browser, pytest.mark.slow]
STEPS = 10_000
NAME = "eurusd_daily"


def metatrader(path: Path, bars: int = 900) -> Path:
    """Daily bars of a market with a trend, as MetaTrader 5 exports them."""
    rng = np.random.default_rng(5)
    drift = np.where(np.arange(bars) // 60 % 2 == 0, 0.0015, -0.001)
    close = 1.1 * np.exp(np.cumsum(drift + 0.006 * rng.standard_normal(bars)))
    open_ = np.concatenate([[1.1], close[:-1]]) * np.exp(0.0005 * rng.standard_normal(bars))
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    frame = pd.DataFrame(
        {
            "<DATE>": pd.bdate_range("2019-01-01", periods=bars).strftime("%Y.%m.%d"),
            "<OPEN>": open_,
            "<HIGH>": top * (1 + 0.002 * rng.random(bars)),
            "<LOW>": bottom * (1 - 0.002 * rng.random(bars)),
            "<CLOSE>": close,
            "<TICKVOL>": rng.integers(10_000, 90_000, bars),
            "<VOL>": 0,
            "<SPREAD>": rng.integers(1, 20, bars),
        }
    )
    frame.to_csv(path, sep="\t", index=False, float_format="%.5f")
    return path


def go(page: Page, name: str) -> None:
    """Follow a link of the menu, as a person does."""
    page.get_by_role("link", name=name, exact=True).first.click()


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def fill(page: Page, label: str, number: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(number))
    field.press("Tab")


def rank(page: Page, place: Path, count: int) -> None:
    """Rank as somebody who minds the deepest fall, best first, by keyboard."""
    with Store(place) as store:
        for _ in range(count):
            query = ready(page)
            shown = store.episodes(panel_order(query, "local", store.query(query).episodes))
            order = sorted(range(len(shown)), key=lambda i: float(shown[i].drawdown.max()))
            for panel in order:
                page.keyboard.press(str(panel + 1))
            page.keyboard.press("Enter")
            next_query(page, query)
        saved(page)


def train(page: Page, name: str, answers: int, ask: int) -> None:
    go(page, "Training")
    settled(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Name", exact=True).press("Tab")
    fill(page, "Steps", STEPS)
    fill(page, "Questions afterwards", ask)
    click(page, f"Train on {answers} rankings")
    done = re.compile(rf"✓ done\s+{name}:")
    expect(page.get_by_text(done)).to_be_visible(timeout=3 * PATIENCE)
    expect(page.get_by_text("The policy became")).to_be_visible()
    expect(page.get_by_text("May it trade?")).to_be_visible()


def test_a_month_from_the_own_file_to_the_gate(tmp_path: Path) -> None:
    file = metatrader(tmp_path / "EURUSD_Daily.csv")
    place = tmp_path / "store"
    place.mkdir()
    runs = place / "runs"
    with (
        chromium() as browser,
        dashboard_of(place) as running,
        visit(browser, running.url) as page,
    ):
        settled(page)
        click(page, "Use your own data")
        page.locator("input[type=file]").set_input_files(file)
        click(page, "Check and keep")
        expect(page.get_by_text("Kept as eurusd_daily")).to_be_visible()
        fill(page, "Questions", 32)
        click(page, "Collect questions")
        page.get_by_role("link", name="Rank them").click()

        rank(page, place, 30)
        train(page, "first", 30, ask=16)
        assert RunFolder(runs / "first").document("config.json")["experiment"]["data"] == NAME

        go(page, "Rank")
        rank(page, place, 15)
        train(page, "second", 45, ask=0)

        go(page, "Compare")
        settled(page)
        page.get_by_label("With", exact=True).click()
        page.get_by_role("option", name="buy and hold").click()
        fill(page, "Pairs", 2)
        click(page, "Queue the pairs")
        page.get_by_role("link", name="Rank them").click()
        rank(page, place, 2)
        with Store(place) as store:
            (compared,) = tables.comparisons(store).to_dict("records")
        assert compared["compared"] == "second / buy_and_hold"
        assert compared["pairs"] == compared["ranked"] == 2

        go(page, "Backtest")
        settled(page)
        click(page, "Run backtest")
        expect(page.get_by_text("None of these bars were seen in training")).to_be_visible()
        expect(page.get_by_text("Verdict.")).to_be_visible()
        written = runs / "second" / "deployment.json"
        before = written.stat().st_mtime_ns
        click(page, "Ask the gate")
        deadline = time.monotonic() + 240
        while written.stat().st_mtime_ns == before and time.monotonic() < deadline:
            page.wait_for_timeout(500)
        expect(page.get_by_text("To trade:")).to_be_visible()
        settled(page)
        assert written.stat().st_mtime_ns != before, "the gate was not asked"
    decided = RunFolder(runs / "second").document("deployment.json")
    assert decided["answer"] in ("deploy", "keep", "unclear")
