"""The Rank page's habits in a real Chromium: tiles, corrections, two tabs, reloads, settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import (
    PHONE,
    needs_browser,
    next_query,
    ready,
    saved,
    settled,
    visit,
    wait_until,
)
from support.dashboard import Running, dashboard_of, fill_store, window

from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store

pytestmark = needs_browser
AT_200_PERCENT = {"viewport": {"width": 720, "height": 450}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        fill_store(store, queries=40, panels=3, bars=40)
    return folder


def answers(place: Path, query: str) -> list[Ranking]:
    with Store(place) as store:
        return [r for r in store.rankings(include_superseded=True) if r.query == query]


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def order(page: Page) -> list[str]:
    return page.locator(".track .group").all_inner_texts()


def test_half_made_picks_survive_a_reload_and_tiles_can_be_pressed(page: Page) -> None:
    query = ready(page)
    page.get_by_role("button", name="Pick panel 2").click()
    page.get_by_role("button", name="Pick panel 3").click()
    page.get_by_role("button", name="Take panel 2 out of the ranking").click()
    page.get_by_label("Rate panel 1: 4 of 5").click()
    press(page, "n")
    page.keyboard.type("too much drawdown")
    page.reload()
    assert ready(page) == query
    assert order(page) == ["3"]
    expect(page.get_by_label("Rate panel 1: 4 of 5")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Note on this ranking")).to_have_value("too much drawdown")
    press(page, "2 Enter")
    following = next_query(page, query)
    saved(page)
    page.reload()
    assert ready(page) == following
    assert order(page) == []


def test_corrections_can_be_left_and_skips_overwrite_and_count_nothing(
    page: Page, place: Path
) -> None:
    ranked = ready(page)
    press(page, "1 2 Enter")
    skipped = next_query(page, ranked)
    press(page, "s")
    third = next_query(page, skipped)
    expect(page.locator(".goal")).to_contain_text("1 / 30")
    # The skip becomes a ranking: that one counts.
    press(page, "u")
    assert next_query(page, third) == skipped
    press(page, "3 1 Enter")
    assert next_query(page, skipped) == third
    expect(page.locator(".goal")).to_contain_text("2 / 30")
    # Three ways to leave an answer as it was: the button, Esc, and the key to skip.
    for leave in ("button", "Escape", "s"):
        press(page, "u")
        assert next_query(page, third) == skipped
        expect(page.get_by_role("button", name="Skip")).to_be_hidden()
        press(page, "Backspace Backspace")
        if leave == "button":
            page.get_by_role("button", name="Cancel").click()
        else:
            press(page, leave)
        assert next_query(page, skipped) == third
        expect(page.locator(".message")).to_have_text("That answer stays as it was.")
    # Two steps back, and both can be left.
    press(page, "u u")
    expect(page.locator(".rank")).to_have_attribute("data-query", ranked)
    press(page, "Escape")
    assert next_query(page, ranked) == third
    page.get_by_role("button", name="All bad").click()
    next_query(page, third)
    saved(page)
    assert [a.ranks for a in answers(place, ranked)] == [(1, 2, 3)]
    assert [a.outcome for a in answers(place, skipped)] == ["skipped", "ranked"]
    (bad,) = answers(place, third)
    assert (bad.ranks, bad.ratings) == ((1, 1, 1), (1, 1, 1))


def test_two_tabs_on_one_question_ask_which_answer_counts(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "2 1")
    # The other tab is of another browser session: only the server knows of its answer.
    with visit(page.context.browser, page.url) as other:  # type: ignore[arg-type]
        assert ready(other) == query
        press(other, "3 2 Enter")
        next_query(other, query)
        saved(other)
        press(page, "Enter")
        dialog = page.get_by_role("dialog", name="Answered in another tab")
        expect(dialog).to_contain_text("Here you say 2 > 1 > 3.")
        page.reload()  # not decided yet: it asks again
        dialog.get_by_role("button", name="Replace it by this one").click()
        wait_until(lambda: len(answers(place, query)) == 2)
    first, second = answers(place, query)
    assert (first.ranks, second.ranks, second.supersedes) == ((3, 2, 1), (2, 1, 3), first.key)
    # A tab of the same browser hears at once; with nothing begun here it just goes on.
    both = ready(page)
    tab = page.context.new_page()
    tab.goto(page.url)
    assert ready(tab) == both
    press(tab, "1")
    press(page, "3 1 Enter")
    keep = tab.get_by_role("button", name="Keep the other answer")
    keep.click()
    third = next_query(tab, both)
    expect(page.locator(".rank")).to_have_attribute("data-query", third)
    press(page, "1 2 Enter")
    expect(tab.locator(".message")).to_contain_text("answered in another tab")
    wait_until(lambda: bool(answers(place, third)))
    assert [a.ranks for a in answers(place, both)] == [(2, 3, 1)]
    assert [a.ranks for a in answers(place, third)] == [(1, 2, 3)]
    tab.close()


def test_settings_say_what_they_do_and_stay(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "1")
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog", name="Settings")
    dialog.get_by_label("Green up, red down").check()
    dialog.get_by_label("Stay blind").check()
    dialog.locator("summary").click()
    dialog.get_by_role("button", name="Key to skip this question").click()
    press(page, "w")
    expect(dialog.get_by_role("status")).to_have_text("W: skip this question.")
    dialog.get_by_label("Light", exact=True).click()  # the page is loaded again
    expect(dialog).to_have_count(0)
    assert ready(page) == query
    app = page.locator("[data-testid=stApp]")
    expect(app).to_have_css("background-color", "rgb(247, 248, 250)")
    assert order(page) == ["1"]
    expect(page.locator(".summary dd").first).to_have_text("hidden")
    page.goto(page.url.rstrip("/") + "/feedback")
    expect(app).to_have_css("background-color", "rgb(247, 248, 250)")
    page.go_back()
    assert ready(page) == query
    press(page, "s")  # no longer a key
    expect(page.get_by_role("button", name="Skip")).to_contain_text("W")
    press(page, "w")
    next_query(page, query)
    saved(page)
    assert [a.outcome for a in answers(place, query)] == ["skipped"]


def test_heads_stay_in_sight_at_200_percent_and_fingers_find_their_targets(
    browser: Browser, live: Running
) -> None:
    with visit(browser, live.url, **AT_200_PERCENT) as page:
        ready(page)
        for part in (".pick", ".summary", ".action.primary", ".track", ".goal"):
            box = page.locator(part).first.bounding_box()
            assert box is not None
            assert box["y"] >= 52
            assert box["y"] + box["height"] <= 450
    with visit(browser, live.url, **PHONE) as page:
        query = ready(page)
        for part, least in ((".dot", 24), (".chip", 44), (".action", 44), (".icon", 44)):
            box = page.locator(f"{part}:visible").first.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= least, part
        page.get_by_role("button", name="Pick panel 2").tap()
        assert order(page) == ["2"]
        page.get_by_role("button", name="Take panel 2 out of the ranking").tap()
        assert order(page) == []
        assert ready(page) == query


def test_the_goal_and_an_empty_queue_say_where_to_go_on(browser: Browser, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        fill_store(store, queries=2, panels=3, bars=20)
        pair = Query.of(store.add_episodes(window(9, panels=2, bars=20)))
        store.add_queries([pair])
    with dashboard_of(tmp_path, goal="2") as live, visit(browser, live.url) as page:
        goal = page.locator(".goal")
        both_bad = page.get_by_role("button", name="Both bad")
        for done in range(2):
            query = ready(page)
            expect(both_bad).to_have_count(int(query == pair.id))
            expect(goal.get_by_role("link")).to_have_count(0)
            press(page, "b")
            next_query(page, query)
            expect(goal).to_contain_text("1 / 2" if done == 0 else "Goal reached · 2")
        assert goal.get_by_role("link").all_inner_texts() == ["See what it learned", "Train"]
        saved(page)
        goal.get_by_role("link", name="Train").click()
        settled(page)
        expect(page.get_by_role("button", name="Train on 2 rankings")).to_be_visible()
        page.go_back()
        ready(page)
        press(page, "b")
        expect(page.get_by_text("All queries are ranked")).to_be_visible()
        saved(page)
        page.get_by_role("link", name="Collect more questions").click()
        settled(page)
        expect(page.get_by_role("button", name="Collect questions")).to_be_visible()
