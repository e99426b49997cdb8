"""Accessibility: axe-core finds nothing serious on any page, dark and light, nor on a phone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import AXE, PAGES, PHONE, needs_browser, ready, settled, visit
from support.dashboard import (
    Running,
    dashboard_of,
    fill_policy,
    fill_runs,
    fill_store,
    start_dashboard,
)

from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts

pytestmark = [
    *needs_browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not AXE.exists(),
        reason="NO AXE: accessibility is not tested; run scripts/fetch_assets.py --tests",
    ),
]
STEPS = 5
MENU_OF_A_RATER = (
    "Rank", "My feedback", "Leaderboard", "Episodes", "Reward model", "Account",
)  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A dashboard with something on every page, and the id of an episode that was ranked."""
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        fill_store(store, queries=8, panels=4, bars=60)
        fill_runs(store, folder / "runs")
        fill_policy(store, folder / "runs")
        episode = store.rankings()[0].episodes[0]
    running = start_dashboard(folder)
    yield running, episode
    running.kill()


def serious(page: Page) -> list[dict[str, Any]]:
    """What axe calls serious or critical."""
    page.add_script_tag(path=str(AXE))
    report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        {"page": page.url, "rule": v["id"], "nodes": [n["html"][:300] for n in v["nodes"]][:4]}
        for v in report["violations"]
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious_on_any_page(
    browser: Browser, shown: tuple[Running, str], scheme: str
) -> None:
    live, episode = shown
    with visit(browser, live.url, color_scheme=scheme, bypass_csp=True) as page:
        ready(page)
        for key in ("2", "1", "n"):
            page.keyboard.press(key)
        found = serious(page)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.get_by_role("dialog").wait_for()
        found += serious(page)
        page.keyboard.press("Escape")
        page.keyboard.press(",")
        page.locator("dialog summary").click()
        found += serious(page)
        for name in PAGES:
            wanted = f"?episode={episode}" if name == "episodes" else ""
            page.goto(f"{live.url}/{name}{wanted}")
            settled(page)
            assert page.get_by_role("heading", level=1).count() == 1
            expect(page.locator(".st-key-guide a")).to_have_count(STEPS)
            found += serious(page)
    assert not found, json.dumps(found, indent=1)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [390, 720])
def test_axe_finds_nothing_serious_on_a_phone_or_a_tablet(
    browser: Browser, shown: tuple[Running, str], scheme: str, width: int
) -> None:
    live, episode = shown
    held = PHONE | {"viewport": {"width": width, "height": 844}}
    with visit(browser, live.url, color_scheme=scheme, bypass_csp=True, **held) as page:
        ready(page)
        page.locator("article:nth-of-type(1) .pick").tap()
        found = serious(page)
        for name in PAGES:
            wanted = f"?episode={episode}" if name == "episodes" else ""
            page.goto(f"{live.url}/{name}{wanted}")
            settled(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            expect(page.locator(".st-key-guide a")).to_have_count(STEPS)
            for step in page.locator(".st-key-guide a").all():  # none is out of sight
                box = step.bounding_box()
                assert box is not None
                assert box["x"] + box["width"] <= width
            found += serious(page)
    assert not found, json.dumps(found, indent=1)


def test_axe_finds_nothing_serious_where_people_sign_in(browser: Browser, tmp_path: Path) -> None:
    password = "correct horse battery"
    with Store(tmp_path) as store:
        UserAccounts(store).add("ann", password, "rater", by="test")
    found = []
    with dashboard_of(tmp_path, auth="local", hosts="127.0.0.1") as live:
        for scheme in ("dark", "light"):
            with visit(browser, live.url, color_scheme=scheme, bypass_csp=True) as page:
                page.get_by_label("Name").fill("ann")
                page.get_by_label("Password").fill("wrong")
                page.get_by_role("button", name="Sign in").click()
                expect(page.get_by_role("alert")).to_be_visible()
                found += serious(page)
                page.get_by_label("Name").fill("ann")
                page.get_by_label("Password").fill(password)
                page.get_by_role("button", name="Sign in").click()
                expect(page.get_by_text("Nothing to rank yet")).to_be_visible()
                settled(page)
                found += serious(page)
                # The menu offers what a rater may open, and the way out.
                links = page.get_by_role("navigation").get_by_role("link").all_inner_texts()
                assert links == [*MENU_OF_A_RATER]
                page.get_by_role("link", name="Account").click()
                expect(page.get_by_text("ann, rater")).to_be_visible()
                settled(page)
                found += serious(page)
                page.get_by_role("link", name="Sign out").click()
                expect(page.get_by_label("Password")).to_be_visible()
                assert page.url.endswith("/login")
    assert not found, json.dumps(found, indent=1)


def test_axe_finds_nothing_serious_on_a_report_with_a_wide_heatmap(
    browser: Browser, tmp_path: Path
) -> None:
    report = tmp_path / "wide.html"
    command = [sys.executable, "-m", "tradinghf", "sweep", "sma_cross", "--param", "fast=2:40:1"]
    command += ["--param", "slow=170,200", "--start", "2014", "--report", str(report)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    found = []
    for scheme in ("dark", "light"):
        for held in ({}, PHONE):
            with visit(
                browser, report.as_uri(), color_scheme=scheme, bypass_csp=True, **held
            ) as page:
                expect(page.get_by_text("39 columns: it scrolls sideways.")).to_be_visible()
                found += serious(page)
    assert not found, json.dumps(found, indent=1)
