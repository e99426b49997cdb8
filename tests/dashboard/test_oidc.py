"""Sign-in at an identity provider (`--auth oidc`), against one on this machine."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from playwright.sync_api import Browser, expect
from support.browser import needs_browser, ready, saved, settled, visit
from support.dashboard import Running, dashboard_of, fill_store, free_port, request
from support.oidc import Provider, provider, signed

from tradinghf.feedback.store import Store
from tradinghf.serving import UserAccounts

pytestmark = needs_browser
ANN = {"sub": "1", "email": "ann@example.org", "email_verified": True}
LEA = {"sub": "2", "email": "lea@example.org", "email_verified": True}
GONE = {"sub": "3", "email": "gone@example.org", "email_verified": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("authlib", reason="NO AUTHLIB: OIDC is not tested")
    folder = tmp_path_factory.mktemp("oidc")
    with Store(folder) as store:
        fill_store(store, queries=4, panels=3, bars=20)
        people = UserAccounts(store)
        people.add("boss@example.org", None, "admin", by="test")
        people.add("lea@example.org", None, "lead", by="test")
        people.add("gone@example.org", None, "rater", by="test")
        people.change("gone@example.org", by="test", active=False)
    return folder


@pytest.fixture(scope="module")
def authority() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def live(place: Path, authority: Provider) -> Iterator[Running]:
    port = free_port()
    (place / ".streamlit").mkdir()
    secrets = authority.secrets_file(f"http://127.0.0.1:{port}")
    (place / ".streamlit" / "secrets.toml").write_text(secrets)
    with dashboard_of(place, port=port, auth="oidc", hosts="127.0.0.1") as running:
        yield running


def test_nobody_answers_without_a_sign_in(browser: Browser, live: Running) -> None:
    assert request(live.url, "/tradinghf/api/query")[0] == 401
    with visit(browser, live.url) as page:
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert page.locator(".rank").count() == 0
        page.goto(f"{live.url}/leaderboard")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert page.locator("[data-testid=stDataFrame]").count() == 0


def test_a_verified_address_ranks_under_its_own_name_as_a_rater(
    browser: Browser, live: Running, authority: Provider, place: Path
) -> None:
    authority.person = ANN
    with visit(browser, live.url) as page:
        page.get_by_role("button", name="Sign in").click()
        query = ready(page)
        for key in ("2", "1", "3", "Enter"):
            page.keyboard.press(key)
        saved(page)
        page.goto(f"{live.url}/admin")
        settled(page)
        expect(page.get_by_text("This page is for the role")).to_be_visible()
    assert authority.problems == []
    assert authority.sign_ins == 1
    with Store(place) as store:
        (answer,) = store.rankings()
    assert (answer.rater, answer.query, answer.ranks) == ("ann@example.org", query, (2, 1, 3))


def test_an_account_of_that_name_gives_it_a_role(
    browser: Browser, live: Running, authority: Provider
) -> None:
    authority.person = LEA
    with visit(browser, f"{live.url}/training") as page:
        page.get_by_role("button", name="Sign in").click()
        ready(page)
        page.goto(f"{live.url}/training")
        expect(page.get_by_role("button", name="Train on")).to_be_visible()


@pytest.mark.parametrize(
    ("person", "words"),
    [
        (GONE, "switched off"),
        ({**ANN, "email_verified": False}, "no verified e-mail"),
    ],
)
def test_people_switched_off_or_unverified_stay_outside(
    browser: Browser, live: Running, authority: Provider, person: dict[str, object], words: str
) -> None:
    authority.person = person
    with visit(browser, live.url) as page:
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text(words)).to_be_visible()
        assert page.locator(".rank").count() == 0


@pytest.mark.parametrize(
    ("claims", "signing"),
    [
        pytest.param({"exp": 1_700_000_000, "iat": 1_699_999_000}, {}, id="expired"),
        pytest.param({"aud": "another client"}, {}, id="audience"),
        pytest.param({"aud": ["another", "third"]}, {}, id="audiences"),
        pytest.param({"iss": "http://127.0.0.1:9"}, {}, id="issuer"),
        pytest.param({"nonce": "of another sign-in"}, {}, id="nonce"),
        pytest.param({"nonce": None}, {}, id="no-nonce"),
        pytest.param({}, {"key": b"a key that the provider never published"}, id="key"),
        pytest.param({}, {"algorithm": "none"}, id="unsigned"),
    ],
)
def test_a_token_that_was_not_made_for_this_sign_in_opens_nothing(
    live: Running,
    place: Path,
    authority: Provider,
    claims: dict[str, object],
    signing: dict[str, Any],
) -> None:
    """The steps of a browser, without one: to the provider and back."""
    secret = tomllib.loads((place / ".streamlit" / "secrets.toml").read_text())["auth"]
    pressed = signed(
        {"provider": "default", "exp": int(time.time()) + 60}, secret["cookie_secret"].encode()
    )
    began = authority.sign_ins
    for person, options, enters in ((LEA, {}, True), (LEA | claims, signing, False)):
        authority.person, authority.signing = person, options
        jar = CookieJar()
        opener = build_opener(HTTPCookieProcessor(jar))
        try:
            opener.open(f"{live.url}/auth/login?provider={pressed}", timeout=30).close()
        finally:
            authority.signing = {}
        kept = [cookie for cookie in jar if cookie.name.startswith("_streamlit_user")]
        assert bool(kept) is enters
    assert (authority.sign_ins, authority.problems) == (began + 2, [])
