"""A real Chromium for the tests that need one."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.dashboard import OPENED

from tradinghf.resources import resource_dir

_ANY = re.compile(".+")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ASSETS = resource_dir("dashboard") / "component" / "assets" / "lightweight-charts.js"
VIEWS = resource_dir("dashboard") / "views"
PAGES = sorted({path.stem for path in VIEWS.glob("*.py")} - {"rank", "account"})
"""Addresses of the pages that everybody has who is alone, beside Rank."""

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TOUCH_AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
"""Who a phone's browser says it is: by that, Streamlit closes the menu after a tap on a page."""

AXE = Path(__file__).parents[2] / "build" / "assets" / "axe.min.js"
PRACTISED = "if (location.protocol === 'http:') localStorage.setItem('tradinghf.practised', '1')"

PATIENCE = 120_000
"""How long a page may take on a machine that is busy with other things [ms]."""

needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM: the dashboard is not tested"),
    pytest.mark.skipif(
        not ASSETS.exists(),
        reason="NO CHART LIBRARY: the dashboard is not tested; run scripts/fetch_assets.py --tests",
    ),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, url: str, *, practised: bool = True, **options: Any) -> Iterator[Page]:
    """A page in a fresh profile; any error in the page's scripts fails the test."""
    options = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark", **options}
    context = browser.new_context(**options)
    if practised:
        context.add_init_script(PRACTISED)
    for origin, opened in OPENED.items():
        name, _, value = opened.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": origin}])
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_default_timeout(PATIENCE)
    page.set_default_navigation_timeout(PATIENCE)
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert not problems, problems


def ready(page: Page) -> str:
    """Wait until a query is painted and no script run may replace the page; its id."""
    rank = page.locator(".rank")
    app = page.locator("[data-testid=stApp]")
    expect(rank).to_have_attribute("data-query", _ANY, timeout=PATIENCE)
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)
    expect(rank).to_have_attribute("data-query", _ANY, timeout=PATIENCE)
    return str(rank.get_attribute("data-query"))


def next_query(page: Page, before: str) -> str:
    """Wait until another query is painted; its id."""
    rank = page.locator(".rank")
    expect(rank).not_to_have_attribute("data-query", before, timeout=PATIENCE)
    expect(rank).to_have_attribute("data-query", _ANY, timeout=PATIENCE)
    return str(rank.get_attribute("data-query"))


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what no page shows."""
    end = time.monotonic() + PATIENCE / 1000
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def saved(page: Page) -> None:
    """Wait until the server has confirmed every answer."""
    expect(page.locator(".save")).to_have_text("Saved", timeout=PATIENCE)


def settled(page: Page) -> None:
    """Wait until a page of Streamlit has drawn everything and runs nothing.

    While the first script run replaces the page, a click or key on what it replaces is lost.
    """
    page.locator("[data-testid=stMain] h1, .rank").first.wait_for()
    app = page.locator("[data-testid=stApp]")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE)
    expect(page.locator("[data-testid=stStatusWidget]")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0, timeout=PATIENCE)
