"""Answers given while the server is away: they outlive the tab, and stay their rater's."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from support.browser import (
    PATIENCE,
    needs_browser,
    next_query,
    ready,
    saved,
    visit,
    wait_until,
)
from support.dashboard import Running, dashboard_of, fill_store, start_dashboard

from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts
from tradinghf.serving._access import Identity, SessionTokens, load_secret
from tradinghf.serving._dashboard import COOKIE

pytestmark = needs_browser


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with Store(tmp_path) as store:
        fill_store(store, queries=6, panels=3, bars=20)
        people = UserAccounts(store)
        for name in ("ann", "bob"):
            people.add(name, None, "rater", by="test")
    return tmp_path


def answers(place: Path) -> list[Ranking]:
    with Store(place) as store:
        return store.rankings(include_superseded=True)


def rank(page: Page, keys: str) -> str:
    """Rank the query on the screen; its id."""
    query = ready(page)
    for key in [*keys, "Enter"]:
        page.keyboard.press(key)
    return query


def test_an_answer_outlives_its_tab_and_arrives_once(browser: Browser, place: Path) -> None:
    asked: list[str] = []
    with dashboard_of(place) as running, visit(browser, running.url) as page:
        ready(page)
        page.context.set_offline(True)
        query = rank(page, "213")
        expect(page.locator(".save")).to_contain_text("1 answer waits in this browser")
        page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        with page.expect_event("close"):
            page.close(run_before_unload=True)
        assert answers(place) == []
        page.context.set_offline(False)
        later = page.context.new_page()
        later.goto(running.url, timeout=PATIENCE)
        saved(later)
        assert ready(later) != query
        # With nothing waiting, nothing is asked.
        later.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
        with later.expect_event("close"):
            later.close(run_before_unload=True)
    assert asked == ["beforeunload"]
    assert [(a.query, a.ranks) for a in answers(place)] == [(query, (2, 1, 3))]


def sign_in(context: BrowserContext, running: Running, place: Path, name: str) -> None:
    """As the sign-in page does, without typing."""
    token = SessionTokens(load_secret(place), "login").issue(Identity(name))
    context.add_cookies([{"name": COOKIE, "value": token, "url": running.url}])


def test_who_signs_in_next_neither_sees_nor_sends_them(browser: Browser, place: Path) -> None:
    team = {"auth": "local", "hosts": "127.0.0.1"}
    running = start_dashboard(place, **team)
    with visit(browser, "about:blank") as page:
        sign_in(page.context, running, place, "ann")
        page.goto(running.url)
        first = rank(page, "123")
        next_query(page, first)
        saved(page)
        running.kill()
        second = rank(page, "321")
        expect(page.locator(".save")).to_contain_text("1 answer waits")
        # Ann goes; Bob signs in in the same browser and takes over her tab.
        sign_in(page.context, running, place, "bob")
        with dashboard_of(place, port=running.port, **team):
            page.get_by_role("link", name="My feedback").click()
            expect(page.get_by_text("You have not ranked anything yet")).to_be_visible()
            page.get_by_role("link", name="Rank", exact=True).click()
            expect(page.locator(".goal")).to_have_text("0 / 30")
            expect(page.locator(".save")).to_be_empty()
            wait_until(lambda: len(answers(place)) == 2)
            third = rank(page, "132")
            next_query(page, third)
            saved(page)
    assert [(a.rater, a.query, a.ranks) for a in answers(place)] == [
        ("ann", first, (1, 2, 3)),
        ("ann", second, (3, 2, 1)),
        ("bob", third, (1, 3, 2)),
    ]
    assert len({a.session for a in answers(place)}) == 2


def test_anns_answer_waits_for_ann(browser: Browser, place: Path) -> None:
    team = {"auth": "local", "hosts": "127.0.0.1"}
    with (
        dashboard_of(place, **team) as running,
        visit(browser, "about:blank") as page,
    ):
        context = page.context
        sign_in(context, running, place, "ann")
        page.goto(running.url)
        ready(page)
        context.set_offline(True)
        given = rank(page, "123")
        expect(page.locator(".save")).to_contain_text("1 answer waits")
        page.close()
        context.set_offline(False)
        for name, expected in (("bob", []), ("ann", [("ann", given)])):
            sign_in(context, running, place, name)
            tab = context.new_page()
            tab.goto(running.url, timeout=PATIENCE)
            ready(tab)
            if expected:
                saved(tab)
            else:
                expect(tab.locator(".save")).to_be_empty()
            tab.close()
            assert [(a.rater, a.query) for a in answers(place)] == expected
