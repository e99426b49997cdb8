"""A browser and a dashboard for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.browser import chromium, ready, visit
from support.dashboard import Running, dashboard_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def live(place: Path) -> Iterator[Running]:
    """A dashboard over the store that the module fills."""
    with dashboard_of(place) as running:
        yield running


@pytest.fixture
def page(browser: Browser, live: Running) -> Iterator[Page]:
    """Its Rank page, with a question painted."""
    with visit(browser, live.url) as opened:
        ready(opened)
        yield opened
