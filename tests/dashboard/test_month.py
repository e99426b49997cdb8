"""A month in the browser: from one's own file to a policy that the gate judged, without a terminal.

Everything a trader does is a click, a tap or a key on a page; only the answers come from a taste.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect
from support.browser import (
    PATIENCE,
    PHONE,
    TOUCH_AGENT,
    chromium,
    needs_browser,
    next_query,
    ready,
    saved,
    settled,
    visit,
    wait_until,
)
from support.dashboard import dashboard_of

from tradinghf.feedback.store import Store
from tradinghf.serving import RunFolder, tables
from tradinghf.serving._service import panel_order

pytestmark = [*needs_browser, pytest.mark.slow]
STEPS = 10_000
NAME = "eurusd_daily"
ANSWERS = ("deploy", "keep", "unclear")
RESTING = 60
"""For how long a finger keeps still at the end of a drag [ms], twice."""


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


@dataclass
class Trader:
    """Somebody at a page, with a mouse and keys or with a finger.

    Attributes:
        page: open.
        place: the store, which tells what is shown.
        touch: whether it is a phone.

    """

    page: Page
    place: Path
    touch: bool = False

    def press(self, target: Locator) -> None:
        if self.touch:
            target.tap()
        else:
            target.click()

    def go(self, name: str) -> None:
        """Follow a link of the menu, which a phone hides."""
        menu = self.page.get_by_test_id("stExpandSidebarButton")
        if self.touch:
            self.press(menu)
        self.press(self.page.get_by_role("link", name=name, exact=True).first)
        if self.touch:
            expect(menu).to_be_visible()

    def click(self, name: str) -> None:
        self.press(self.page.get_by_role("button", name=name))

    def fill(self, label: str, value: str) -> None:
        field = self.page.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Tab")

    def choose(self, label: str, option: str) -> None:
        self.press(self.page.get_by_label(label, exact=True))
        self.press(self.page.get_by_role("option", name=option))

    def rank_them(self, count: int) -> None:
        """Go from where questions were collected, and rank."""
        self.press(self.page.get_by_role("link", name="Rank them"))
        self.rank(count)

    def rank(self, count: int) -> None:
        """Rank as somebody who minds the deepest fall, best first."""
        page = self.page
        with Store(self.place) as store:
            for number in range(count):
                query = ready(page)
                shown = store.episodes(panel_order(query, "local", store.query(query).episodes))
                order = sorted(range(len(shown)), key=lambda i: float(shown[i].drawdown.max()))
                self.order([panel + 1 for panel in order], dragged=self.touch and number % 3 == 2)
                expect(page.locator(".track .group")).to_have_text([str(p + 1) for p in order])
                if self.touch:
                    self.press(page.locator(".action.primary"))
                else:
                    page.keyboard.press("Enter")
                next_query(page, query)
            saved(page)

    def order(self, panels: list[int], *, dragged: bool) -> None:
        """Place the panels, best first: by keys, or by taps on heads and numbers, or by drags."""
        for place, panel in enumerate(panels):
            if dragged:
                self.drag(panel)
            elif not self.touch:
                self.page.keyboard.press(str(panel))
            elif place % 2:
                self.press(self.page.locator(f"article:nth-of-type({panel}) .pick"))
            else:
                self.click(f"Pick panel {panel}")

    def drag(self, panel: int) -> None:
        """Move the number of a panel with a finger to the end of the ranking."""
        start, end = (
            self.page.locator(target).bounding_box()
            for target in (f".pool [data-drag='{panel - 1}']", ".slot")
        )
        assert start is not None
        assert end is not None
        (x, y), (to_x, to_y) = (
            (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in (start, end)
        )
        finger = self.page.context.new_cdp_session(self.page)
        for step in range(8):
            share = min(step / 5, 1.0)
            # It rests before it lets go: of a throw, Chromium takes the next tap as its end.
            self.page.wait_for_timeout(RESTING if step > 5 else 0)
            at = {"x": x + share * (to_x - x), "y": y + share * (to_y - y)}
            kind = "touchMove" if step else "touchStart"
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        finger.detach()
        expect(self.page.locator(f".pool [data-drag='{panel - 1}']")).to_have_count(0)

    def bring(self, file: Path, questions: int) -> None:
        """From the empty store to the first questions on one's own bars."""
        settled(self.page)
        self.click("Use your own data")
        self.page.locator("input[type=file]").set_input_files(file)
        self.click("Check and keep")
        expect(self.page.get_by_text(f"Kept as {NAME}")).to_be_visible()
        self.fill("Questions", str(questions))
        self.click("Collect questions")

    def train(self, name: str, answers: int, ask: int) -> None:
        self.go("Training")
        settled(self.page)
        self.fill("Name", name)
        self.fill("Steps", str(STEPS))
        self.fill("Questions afterwards", str(ask))
        self.click(f"Train on {answers} rankings")
        done = re.compile(rf"✓ done\s+{name}:")
        expect(self.page.get_by_text(done)).to_be_visible(timeout=3 * PATIENCE)
        expect(self.page.get_by_text("The policy became")).to_be_visible()
        expect(self.page.get_by_text("May it trade?")).to_be_visible()

    def compare(self, name: str) -> None:
        """Two blind pairs of a policy and buy and hold."""
        self.go("Compare")
        settled(self.page)
        self.choose("With", "buy and hold")
        self.fill("Pairs", "2")
        self.click("Queue the pairs")
        self.rank_them(2)
        with Store(self.place) as store:
            (compared,) = tables.comparisons(store).to_dict("records")
        assert compared["compared"] == f"{name} / buy_and_hold"
        assert compared["pairs"] == compared["ranked"] == 2

    def backtest(self) -> None:
        """On bars that the policy has not seen, which is what the page begins with."""
        self.go("Backtest")
        settled(self.page)
        self.click("Run backtest")
        expect(self.page.get_by_text("None of these bars were seen in training")).to_be_visible()
        expect(self.page.get_by_text("Verdict.")).to_be_visible()

    def deploy(self, name: str) -> str:
        """Ask the gate; its answer."""
        run = RunFolder(self.place / "runs" / name)
        written = run.folder / "deployment.json"
        before = written.stat().st_mtime_ns
        self.click("Ask the gate")
        wait_until(lambda: written.stat().st_mtime_ns != before)
        expect(self.page.get_by_text("To trade:")).to_be_visible()
        settled(self.page)
        return str(run.document("deployment.json")["answer"])


@contextmanager
def alone(place: Path, *, touch: bool) -> Iterator[Trader]:
    """A trader before an empty store."""
    place.mkdir()
    held = PHONE | {"user_agent": TOUCH_AGENT} if touch else {}
    with (
        chromium() as browser,
        dashboard_of(place) as running,
        visit(browser, running.url, **held) as page,
    ):
        yield Trader(page, place, touch)


@pytest.mark.parametrize("touch", [False, True], ids=["desktop", "phone"])
def test_a_month_from_the_own_file_to_the_gate(tmp_path: Path, *, touch: bool) -> None:
    with alone(tmp_path / "store", touch=touch) as trader:
        trader.bring(metatrader(tmp_path / "EURUSD_Daily.csv"), 32)
        trader.rank_them(30)
        trader.train("first", 30, ask=16)
        config = RunFolder(tmp_path / "store" / "runs" / "first").document("config.json")
        assert config["experiment"]["data"] == NAME
        trader.go("Rank")
        trader.rank(15)
        trader.train("second", 45, ask=0)
        trader.compare("second")
        trader.backtest()
        assert trader.deploy("second") in ANSWERS
