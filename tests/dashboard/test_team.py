"""A team on PostgreSQL: sign in, rank in a browser, kill -9, and a room full of raters."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from support.browser import chromium, needs_browser, next_query, ready, saved, visit
from support.dashboard import Running, fill_store, request, start_dashboard
from support.store import postgres_url

from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts
from tradinghf.serving._access import Identity, SessionTokens, load_secret

pytestmark = [*needs_browser, pytest.mark.slow]
PASSWORD = "correct horse battery"
RATERS = 20
EACH = 3


@pytest.fixture
def team(
    postgres: str,
    migrated: str,
    tmp_path: Path,
) -> Iterator[tuple[Running, str]]:
    """A dashboard with sign-in over an own database; and the store's URL."""
    url = postgres_url(postgres, tmp_path / "store", migrated)
    with Store(url) as store:
        fill_store(store, queries=8, panels=3, bars=20)
        people = UserAccounts(store)
        people.add("ann", PASSWORD, "rater", by="test")
        for number in range(RATERS):
            people.add(f"rater-{number}", None, "rater", by="test")
    running = start_dashboard(url, auth="local", hosts="127.0.0.1", folder=tmp_path)
    holder = [running]
    yield holder, url  # type: ignore[misc]  # the test may put a restarted one into it
    holder[0].kill()


def sign_in(page: Page) -> None:
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_rater_of_the_team_ranks_through_a_kill_of_the_server(team, tmp_path: Path) -> None:
    holder, url = team
    port = holder[0].port
    with chromium() as browser, visit(browser, holder[0].url) as page:
        sign_in(page)
        given = []
        for number in range(4):
            query = ready(page)
            given.append(query)
            if number == 2:
                holder[0].kill()
            for key in ("1", "2", "3", "Enter"):
                page.keyboard.press(key)
            if number == 2:
                expect(page.locator(".save")).to_contain_text("wait")
                holder[0] = start_dashboard(
                    url, port=port, auth="local", hosts="127.0.0.1", folder=tmp_path
                )
            next_query(page, query)
        saved(page)
        page.goto(f"{holder[0].url}/feedback")
        expect(page.get_by_role("heading", name="My feedback")).to_be_visible()
    with Store(url) as store:
        answers = store.rankings("ann")
        assert store.verify().ok
    assert [answer.query for answer in answers] == given


def test_twenty_raters_at_once_lose_and_double_nothing(team, tmp_path: Path) -> None:
    holder, url = team
    tokens = SessionTokens(load_secret(tmp_path / "store"))
    base, sent, failed = holder[0].url, [], []
    together = threading.Barrier(RATERS)

    def rank(rater: str) -> None:
        headers = {"Authorization": f"Bearer {tokens.issue(Identity(rater))}"}
        together.wait()
        for _ in range(EACH):
            status, _, reply = request(base, "/tradinghf/api/query", headers=headers)
            if status != 200:
                failed.append(reply)
                return
            query = reply.decode().split('"query":"', 2)[1].split('"')[0]
            body = {
                "key": uuid.uuid4().hex, "query": query, "ranks": [1, 2, 3], "outcome": "ranked",
                "comment": "", "aspects": None, "ratings": [], "seconds": 3, "session": "s",
                "supersedes": "",
            }  # fmt: skip
            for _ in range(2):  # as a browser whose connection broke after the first
                try:
                    reply = request(
                        base, "/tradinghf/api/answer", method="POST", body=body, headers=headers
                    )
                except (OSError, HTTPException) as error:
                    failed.append(error)
                else:
                    failed.extend([reply] if reply[0] != 200 else [])
            sent.append(body["key"])

    threads = [threading.Thread(target=rank, args=(f"rater-{n}",)) for n in range(RATERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    with Store(url) as store:
        stored = [answer.key for answer in store.rankings()]
        assert store.verify().ok
    assert sorted(stored) == sorted(sent)
    assert len(stored) == RATERS * EACH
