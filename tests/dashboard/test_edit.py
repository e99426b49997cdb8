"""Editing an episode in a real Chromium: drag, keys, touch, undo; what is stored and learned."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import AXE, PHONE, needs_browser, ready, visit, wait_until
from support.dashboard import Running

from tradinghf.config import EnvConfig
from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.learning.reward import RewardModel
from tradinghf.loop import collect, constant_actor
from tradinghf.market import synthetic
from tradinghf.serving._service import RankingService, panel_order
from tradinghf.simulation import Windows

pytestmark = needs_browser
BARS = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions about rising windows: the whole account, half of it, and nothing."""
    folder = tmp_path_factory.mktemp("store")
    market = synthetic(seed=11, bars=1200, assets=1)
    gains = market.close[BARS:, 0] / market.close[:-BARS, 0]
    rising = np.flatnonzero(gains > 1.05)[::25][:12]
    actors = [constant_actor(market, level) for level in (1.0, 0.5, 0.0)]
    windows = Windows(np.zeros(len(rising), np.int64), rising)
    config = EnvConfig(lookback=1, horizon=BARS)
    rows = collect(market, actors, windows, config=config)
    with Store(folder) as store:
        for row in rows:
            store.add_episodes(row)
        store.add_queries([Query.of([e.id for e in row]) for row in rows])
        # Somebody who wants profit: the whole account is best where prices rise.
        for number, row in enumerate(rows):
            ids = tuple(e.id for e in row)
            store.submit(Ranking(f"{number:032x}", ids, (1, 2, 3), rater="before"))
    return folder


def panel_of(place: Path, query: str, source: str) -> tuple[int, str]:
    """Number of the panel that shows a source's episode, from 1, and the episode's id."""
    with Store(place) as store:
        order = panel_order(query, "local", store.query(query).episodes)
        named = store.sources()
    number = next(i for i, name in enumerate(order) if named[name] == source)
    return number + 1, order[number]


def edits(place: Path) -> list[Ranking]:
    with Store(place) as store:
        return [r for r in store.rankings("local") if not r.query]


def begin(page: Page, place: Path) -> tuple[dict[str, float], str, str]:
    """Open the panel that holds the whole account: where its position is drawn, query, episode."""
    query = ready(page)
    number, episode = panel_of(place, query, "hold_+1")
    page.locator(f"article:nth-of-type({number}) .edit").click()
    expect(page.locator(".edit-status")).to_contain_text("Drag the position line")
    box: Any = page.locator(".edit-pad").bounding_box()
    wait_until(lambda: box == (again := page.locator(".edit-pad").bounding_box()) or not again)
    return box, query, episode


def height(box: dict[str, float], position: float) -> float:
    """About where the position pane shows a position: it is -1 to 1, with margins."""
    return box["y"] + box["height"] * (0.52 - 0.4 * position)


def drag_down(page: Page, box: dict[str, float], first: float, last: float) -> None:
    """Drag down from the top of the position pane, from one share of its width to another."""
    x, end = (box["x"] + box["width"] * share for share in (first, last))
    page.mouse.move(x, height(box, 1.0))
    page.mouse.down()
    page.mouse.move(x, height(box, 0.7), steps=4)
    page.mouse.move(end, height(box, 0.4), steps=8)
    page.mouse.up()


def score(model: RewardModel, store: Store, better: str, worse: str) -> float:
    """How much the model thinks one episode is worth more than another [log-odds]."""
    return float(model.member_scores(store.episodes([better, worse])).mean(0).diff()[0]) * -1


def test_dragging_stores_an_edit_and_the_reward_model_follows(page: Page, place: Path) -> None:
    box, query, episode = begin(page, place)
    drag_down(page, box, 0.5, 0.5)
    expect(page.locator(".edit-status")).to_contain_text("(was")
    told = page.locator(".edit-status").inner_text()
    assert "Bars 1 to 40" in told
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".message")).to_contain_text("Saved: your version is preferred")
    assert ready(page) == query
    (answer,) = edits(place)
    edited, original = answer.episodes
    assert original == episode
    assert answer.ranks == (1, 2)
    with Store(place) as store:
        drawn = store.episode(edited)
        assert drawn.source == "edited:local"
        assert 0.15 < drawn.position[0] < 0.75
        assert f"{drawn.position[0]:.1f}" != "1.0"
        before = [r for r in store.rankings() if r.rater == "before"]
        episodes = {e.id: e for e in store.episodes()}
        # The trader says it in as many windows as somebody said the opposite.
        said = [answer, *other_edits(store, answer, before)]
        old = RewardModel().fit(before, episodes)
        episodes |= {e.id: e for e in store.episodes()}
        new = RewardModel().fit([*before, *said, *said], episodes)
        assert score(old, store, edited, original) < 0
        assert score(new, store, edited, original) > score(old, store, edited, original)


def other_edits(store: Store, answer: Ranking, before: list[Ranking]) -> list[Ranking]:
    """The same change of the same panel in other windows, as the page would store it."""
    service, changes = RankingService(store), store.episode(answer.episodes[0]).meta["changes"]
    for number, query in enumerate(store.queries()[1:8]):
        order = panel_order(query.id, "local", query.episodes)
        panel = order.index(query.episodes[0])
        body = {"query": query.id, "panel": panel, "changes": changes}
        service.edit("local", body | {"key": f"{number + 500:032x}", "session": ""})
    return [r for r in store.rankings("local") if not r.query and r.key != answer.key]


def test_a_stretch_is_drawn_undone_and_cancelled(page: Page, place: Path) -> None:
    stored = len(edits(place))
    box, query, _ = begin(page, place)
    drag_down(page, box, 0.3, 0.6)
    expect(page.locator(".edit-status b")).to_have_text(
        re.compile(r"^Bars 1[0-9] to 2[0-9]: \+\d+ %$")
    )
    expect(page.locator(".edit-status")).to_contain_text("(was")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".edit-status")).to_contain_text("Drag the position line")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator(".edit-pad")).to_have_count(0)
    expect(page.locator("article")).to_have_count(3)
    page.keyboard.press("1")
    expect(page.locator("article:nth-of-type(1) .badge")).to_have_text("1st")
    assert ready(page) == query
    assert len(edits(place)) == stored


def test_keys_edit_without_a_mouse(page: Page, place: Path) -> None:
    stored = {r.key for r in edits(place)}
    query = ready(page)
    page.keyboard.press("e")
    expect(page.locator(".edit-pad")).to_be_focused()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "Shift+ArrowLeft", "h", "u", "0", "ArrowUp"):
        page.keyboard.press(key)
    expect(page.locator(".edit-status b")).to_have_text("Bars 1 to 37: +5 %")
    expect(page.locator(".edit-status")).to_contain_text("(was")
    page.keyboard.press("Enter")
    expect(page.locator(".message")).to_contain_text("Saved")
    (new,) = [r for r in edits(place) if r.key not in stored]
    with Store(place) as store:
        drawn, original = store.episodes(new.episodes)
        order = panel_order(query, "local", store.query(query).episodes)
    assert original.id == order[0]
    assert drawn.meta["changes"][-1] == [1, 37, 0.05]


def test_a_finger_edits_on_a_phone(browser: Browser, live: Running, place: Path) -> None:
    stored = {r.key for r in edits(place)}
    with visit(browser, live.url, **PHONE) as page:
        box, _, episode = begin(page, place)
        touch = page.context.new_cdp_session(page)
        x = box["x"] + box["width"] / 2

        def send(kind: str, *points: tuple[float, float]) -> None:
            where = [{"x": px, "y": py} for px, py in points]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

        send("touchStart", (x, height(box, 1.0)))
        for step in range(1, 7):
            send("touchMove", (x, height(box, 1.0 - 0.1 * step)))
        send("touchEnd")
        expect(page.locator(".edit-status")).to_contain_text("(was")
        page.wait_for_timeout(600)  # a tap right after a drag is taken for a part of it
        page.get_by_role("button", name="Save").tap()
        expect(page.locator(".message")).to_contain_text("Saved")
    (new,) = [r for r in edits(place) if r.key not in stored]
    assert new.episodes[1] == episode
    with Store(place) as store:
        assert store.episode(new.episodes[0]).position[5] < 0.8


@pytest.mark.skipif(not AXE.exists(), reason="NO AXE: run scripts/fetch_assets.py --tests")
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_axe_finds_nothing_serious_in_the_editor(
    browser: Browser, live: Running, place: Path, scheme: str
) -> None:
    with visit(browser, live.url, color_scheme=scheme, bypass_csp=True) as page:
        begin(page, place)
        page.add_script_tag(path=str(AXE))
        report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [v for v in report["violations"] if v["impact"] in ("serious", "critical")] == []
