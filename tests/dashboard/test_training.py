"""Training from the browser: start, watch, stop, resume, and the process goes on by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect
from support.browser import PATIENCE, chromium, needs_browser, settled, visit
from support.dashboard import dashboard_of, fill_store, walk

from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving import BackgroundJobs

pytestmark = [*needs_browser, pytest.mark.slow]
LONG = 900_000_000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with four answers, and an uploaded market."""
    with Store(tmp_path) as store:
        for number, query in enumerate(fill_store(store, queries=4, panels=3, bars=20)):
            store.submit(Ranking(f"k{number}", query.episodes, (1, 2, 3), query.id, "local"))
    uploads = tmp_path / "runs" / "uploads"
    uploads.mkdir(parents=True)
    days = pd.bdate_range("2015-01-01", periods=700, name="date")
    pd.DataFrame(walk(3, 699), index=days).to_csv(uploads / "small.csv")
    return tmp_path


def start(page: Page) -> None:
    """Fill in the form and press the button."""
    settled(page)
    page.get_by_role("combobox", name="Data").click()
    page.get_by_role("option", name="small (yours)", exact=True).click()
    page.get_by_label("Steps").fill(str(LONG))
    page.get_by_label("Steps").press("Tab")
    page.get_by_role("button", name="Train on 4 rankings").click()
    expect(page.get_by_text("● running")).to_be_visible()


def steps(run: Path) -> list[float]:
    try:
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + PATIENCE / 1000
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop", exact=True).last.click()
    expect(page.get_by_text("■ stopped")).to_be_visible()


def test_start_stop_resume_and_the_run_outlives_the_server(place: Path) -> None:
    jobs = BackgroundJobs(place / "runs")
    with chromium() as browser:
        with dashboard_of(place) as running, visit(browser, f"{running.url}/training") as page:
            start(page)
            first = jobs.list("train")[0]
            run = Path(first.command[first.command.index("--out") + 1])
            until(lambda: any((run / "checkpoints").glob("[0-9]*/manifest.json")))
            expect(page.get_by_text(f"of {LONG:,} steps")).to_be_visible()
            expect(page.locator(".js-plotly-plot").first).to_be_visible()
            stop(page)
            assert jobs.get(first.name).status == "stopped"
            reached = steps(run)
            page.get_by_role("button", name="Resume").click()
            expect(page.get_by_text("● running")).to_be_visible()
        # The server was killed; what it started goes on, from where it was.
        second = jobs.list("train")[0]
        assert second.command == (*first.command, "--resume")
        until(lambda: steps(run)[-1:] > reached[-1:])
        assert second.status == "running"
        with dashboard_of(place) as running, visit(browser, f"{running.url}/training") as page:
            settled(page)
            expect(page.get_by_text("● running")).to_be_visible()
            stop(page)
    done = steps(run)
    assert done == [done[0] * (i + 1) for i in range(len(done))]
    assert done[: len(reached)] == reached
