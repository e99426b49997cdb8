"""A person joins the team in a browser: link, first password, ranking; and what the trail says."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from support.browser import needs_browser, ready, settled, visit
from support.dashboard import dashboard_of, fill_store

from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts

pytestmark = needs_browser
PASSWORD = "correct horse battery"


def sign_in(page: Page, name: str, password: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_link_lets_somebody_choose_a_password_once(browser: Browser, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        fill_store(store, queries=2, panels=3, bars=20)
        UserAccounts(store).add("boss", PASSWORD, "admin", by="test")
    with dashboard_of(tmp_path, auth="local", hosts="127.0.0.1") as live:
        with visit(browser, live.url) as page:
            sign_in(page, "boss", PASSWORD)
            ready(page)
            page.goto(f"{live.url}/admin")
            settled(page)
            page.get_by_role("tab", name="Users").click()
            page.get_by_label("Name").fill("no spaces please")
            page.get_by_role("button", name="Add user").click()
            expect(page.get_by_text("is no user name")).to_be_visible()
            expect(page.get_by_label("Name")).to_have_value("no spaces please")
            page.get_by_label("Name").fill("ann")
            page.get_by_role("button", name="Add user").click()
            said = page.get_by_test_id("stAlert").filter(has_text="ann was added as rater.")
            link = said.locator("code").inner_text()
        assert link.startswith(f"{live.url}/invite?token=")
        with visit(browser, link) as page:
            expect(page.get_by_label("Name")).to_have_value("ann")
            for first, second, problem in (
                ("a long password", "another password", "differ"),
                ("short", "short", "at least 12"),
            ):
                page.get_by_label("New password").fill(first)
                page.get_by_label("The same again").fill(second)
                page.get_by_role("button", name="Set the password").click()
                expect(page.get_by_role("alert")).to_contain_text(problem)
            page.get_by_label("New password").fill("a long password")
            page.get_by_label("The same again").fill("a long password")
            page.get_by_role("button", name="Set the password").click()
            ready(page)
        for used in (link, f"{live.url}/invite?token=forged"):
            with visit(browser, used) as page:
                expect(page.get_by_role("alert")).to_contain_text("Ask an admin for a new one")
                expect(page.get_by_label("Password")).to_be_visible()
        with visit(browser, live.url) as page:
            sign_in(page, "ann", "a wrong password")
            expect(page.get_by_role("alert")).to_contain_text("Wrong name or password")
            sign_in(page, "nobody", "a wrong password")
            expect(page.get_by_role("alert")).to_contain_text("Wrong name or password")
    with Store(tmp_path) as store:
        people = UserAccounts(store)
        people.change("ann", role="lead", active=False, by="boss")
        trail = [row[1:] for row in people.trail()]
        assert store.verify().ok
    assert trail[:3] == [
        ("boss", "change user", "ann: role rater -> lead; state active -> switched off"),
        ("somebody", "sign-in refused", "a name that nobody has"),
        ("ann", "sign-in refused", "wrong password"),
    ]
    for expected in (
        ("ann", "invitation accepted", ""),
        ("ann", "change user", "ann: password none -> set"),
        ("boss", "invite", "ann"),
        ("boss", "add user", "ann as rater"),
    ):
        assert expected in trail
