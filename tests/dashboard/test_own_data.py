"""One's own files and further questions, in a real Chromium: several at once, more on request."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, expect
from support.browser import needs_browser, ready, settled, visit
from support.dashboard import Running, fill_store, walk

from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving import BackgroundJobs, Uploads

pytestmark = needs_browser
DONE = ("-m", "tradinghf", "episodes", "collect", "--data", "sp500", "--size", "3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose questions a job of this dashboard collected."""
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        asked = fill_store(store, queries=13, panels=3, bars=20)
        store.submit(Ranking("first", asked[0].episodes, (1, 2, 3), asked[0].id, "local"))
    job = folder / "runs" / "jobs" / "20260101-000000-ab"
    job.mkdir(parents=True)
    about = {"kind": "questions", "title": "13 questions", "command": DONE, "pid": 1}
    (job / "job.json").write_text(json.dumps(about | {"started": time.time()}))
    (job / "output.log").write_text("13 new questions of 3 episodes each.")
    (job / "exit.json").write_text('{"code": 0}')
    return folder


def bars(path: Path, seed: int, factor: float = 1.0) -> Path:
    """A file of two hundred daily bars; from the hundredth on in another unit."""
    frame = pd.DataFrame(walk(seed, 199), pd.bdate_range("2019-01-01", periods=200, name="date"))
    frame.loc[frame.index[100] :, ["open", "high", "low", "close"]] *= factor
    frame.to_csv(path)
    return path


def test_several_files_are_looked_at_and_kept_at_once(
    browser: Browser, live: Running, place: Path, tmp_path: Path
) -> None:
    files = [bars(tmp_path / "one.csv", 1), bars(tmp_path / "two.csv", 2, factor=0.25)]
    with visit(browser, f"{live.url}/data") as page:
        settled(page)
        page.locator("input[type=file]").set_input_files(files)
        # A chart of each, and that of the set below; what is odd about the second.
        expect(page.locator(".js-plotly-plot")).to_have_count(3)
        expect(page.get_by_text("looks like an unadjusted 4:1 split")).to_be_visible()
        page.get_by_role("button", name="Check and keep").click()
        expect(page.get_by_text("Kept as one: 200 bars")).to_be_visible()
        expect(page.get_by_text("Kept as two: 200 bars")).to_be_visible()
    assert sorted(Uploads(place / "runs").names()) == ["one", "two"]


def test_more_questions_are_asked_at_once_on_request(
    browser: Browser, live: Running, place: Path
) -> None:
    jobs = BackgroundJobs(place / "runs")
    with visit(browser, live.url) as page:
        ready(page)
        page.get_by_role("button", name="Ask me more").click()
        expect(page.get_by_text("More are being collected")).to_be_visible()
    job = jobs.list("questions")[0]
    job.stop()
    assert (job.option("--data"), job.option("--size"), job.option("--windows")) == (
        "sp500", "3", "20",
    )  # fmt: skip


def test_an_episode_uses_the_whole_width(browser: Browser, live: Running, place: Path) -> None:
    with Store(place) as store:
        episode = store.rankings()[0].episodes[0]
    with visit(browser, f"{live.url}/episodes?episode={episode}") as page:
        settled(page)
        for part in ("[data-testid=stDataFrame]", ".plot"):
            box = page.locator(part).first.bounding_box()
            assert box is not None
            assert box["width"] > 0.85 * 1440
