"""The Rank page in a real Chromium: keyboard, drag, tap, offline, kill -9, blindness, axe."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import PAGES, PATIENCE, needs_browser, next_query, ready, saved, settled, visit
from support.dashboard import SOURCES, Running, fill_store, start_dashboard

from tradinghf.feedback import Ranking, aspects_of
from tradinghf.feedback.store import Store
from tradinghf.serving._service import panel_order

pytestmark = needs_browser
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> **bold** too much drawdown"
COLOURED_UNDER_LABELS = """() => {
  const root = document.querySelector(".host")?.getRootNode() || find(document);
  function find(node) {
    for (const e of node.querySelectorAll("*"))
      if (e.shadowRoot?.querySelector(".pane-label")) return e.shadowRoot;
    return node;
  }
  const scope = root.querySelector(".pane-label") ? root : find(document);
  return [...scope.querySelectorAll(".pane-label")].map((label) => {
    const box = label.getBoundingClientRect();
    let found = 0;
    for (const canvas of label.parentElement.querySelectorAll("canvas")) {
      const at = canvas.getBoundingClientRect();
      const scale = canvas.width / at.width;
      const [x, y] = [(box.left - at.left) * scale, (box.top - at.top) * scale];
      if (x < 0 || y < 0 || x >= canvas.width || y >= canvas.height) continue;
      const size = [Math.ceil(box.width * scale), Math.floor((box.height - 2) * scale)];
      const { data } = canvas.getContext("2d").getImageData(x, y, ...size);
      for (let i = 0; i < data.length; i += 4) {
        const [r, g, b, a] = data.slice(i, i + 4);
        if (a > 40 && Math.max(r, g, b) - Math.min(r, g, b) > 60) found += 1;
      }
    }
    return found;
  });
}"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with Store(folder) as store:
        fill_store(store, queries=60, panels=4, bars=60)
    return folder


def answers(place: Path, query: str | None = None) -> list[Ranking]:
    with Store(place) as store:
        found = store.rankings(include_superseded=True)
    return [r for r in found if query in (None, r.query)]


def stored(place: Path, query: str) -> None:
    """Wait until the store holds an answer to ``query``."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not answers(place, query):
        assert time.monotonic() < deadline, f"no answer to {query} reached the store"
        time.sleep(0.1)


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def test_keyboard_ranks_with_a_tie(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "3 1 = 4 Backspace = 2 Enter")
    next_query(page, query)
    saved(page)
    (stored,) = answers(place, query)
    assert stored.ranks == (2, 2, 1, 3)
    assert stored.seconds is not None
    assert stored.seconds > 0
    assert page.locator(".goal").inner_text() == "1 / 30"


def test_enter_asks_for_missing_ranks_and_places_the_last_panel(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "Enter")
    expect(page.locator(".message")).to_contain_text("best first")
    press(page, "2 Enter")
    expect(page.locator(".message")).to_contain_text("3 panels have no rank")
    assert ready(page) == query
    press(page, "4 1 Enter")
    next_query(page, query)
    saved(page)
    assert answers(place, query)[0].ranks == (3, 1, 4, 2)


def test_double_enter_stores_one_answer(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "1 2 3 4 Enter Enter Enter")
    following = next_query(page, query)
    saved(page)
    assert len(answers(place, query)) == 1
    assert answers(place, following) == []


def test_drag_orders_and_ties(page: Page, place: Path) -> None:
    query = ready(page)

    def drag(source: str, target: str) -> None:
        start = page.locator(source).bounding_box()
        end = page.locator(target).bounding_box()
        assert start is not None
        assert end is not None
        page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
        page.mouse.down()
        page.mouse.move(start["x"] + 40, start["y"] - 20, steps=4)
        page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=4)
        page.mouse.up()

    drag(".pool [data-drag='2']", ".slot")
    drag("article:nth-of-type(1) .head", ".slot")
    drag(".pool [data-drag='3']", "[data-drop='into:1']")
    drag(".pool [data-drag='1']", "[data-drop='before:0']")
    assert page.locator(".track .group").all_inner_texts() == ["2", "3", "1\n4"]
    drag(".group [data-drag='2']", "[data-drop='before:0']")
    assert page.locator(".track .group").all_inner_texts() == ["3", "2", "1\n4"]
    page.locator(".action.primary").click()
    next_query(page, query)
    saved(page)
    assert answers(place, query)[0].ranks == (3, 2, 1, 3)


def test_tap_on_a_phone(browser: Browser, live: Running, place: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(browser, live.url, **phone) as page:
        query = ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for panel in (2, 4, 1):
            page.locator(f"article:nth-of-type({panel}) .pick").tap()
        box = page.locator(".action.primary").bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 844
        page.locator(".action.primary").tap()
        next_query(page, query)
        saved(page)
    assert answers(place, query)[0].ranks == (3, 1, 4, 2)


def test_skip_and_cant_tell(page: Page, place: Path) -> None:
    first = ready(page)
    press(page, "s")
    second = next_query(page, first)
    press(page, "x")
    next_query(page, second)
    saved(page)
    assert [answers(place, q)[0].outcome for q in (first, second)] == ["skipped", "cant_tell"]


def test_undo_opens_the_last_answer_and_supersedes_it(page: Page, place: Path) -> None:
    query = ready(page)
    press(page, "1 2 3 4 Enter")
    following = next_query(page, query)
    press(page, "u")
    assert next_query(page, following) == query
    assert page.locator(".track .group").all_inner_texts() == ["1", "2", "3", "4"]
    press(page, "Backspace Backspace 4 3 Enter")
    assert next_query(page, query) == following
    saved(page)
    old, new = answers(place, query)
    assert (old.ranks, new.ranks, new.supersedes) == ((1, 2, 3, 4), (1, 2, 4, 3), old.key)
    assert page.locator(".goal").inner_text() == "1 / 30"


def test_rating_note_and_chips(page: Page, place: Path) -> None:
    query = ready(page)
    page.get_by_label("Rate panel 2: 4 of 5").click()
    press(page, "n")
    page.keyboard.type(HOSTILE)
    chip = page.get_by_role("button", name="About drawdown: remove")
    chip.wait_for()
    page.locator(".note select").select_option("turnover")
    chip.click()
    press(page, "Escape")
    press(page, "1 2 3 4")
    page.locator(".action.primary").click()
    next_query(page, query)
    saved(page)
    (stored,) = answers(place, query)
    assert stored.ratings == (None, 4, None, None)
    assert "onerror" in stored.comment
    assert [m.aspect for m in aspects_of(stored.comment)] == ["turnover"]
    page.goto(page.url.rstrip("/") + "/feedback")
    settled(page)
    assert page.title() != "hacked"
    assert page.locator("img[src=x]").count() == 0


def test_keys_typed_in_a_note_do_not_rank(page: Page) -> None:
    ready(page)
    press(page, "n")
    page.keyboard.type("1 2 3 s x")
    assert page.locator(".track .group").count() == 0


def test_help_opens_and_closes_by_keyboard(page: Page) -> None:
    ready(page)
    press(page, "?")
    expect(page.get_by_role("dialog")).to_contain_text("Backspace")
    expect(page.get_by_role("button", name="Close")).to_be_focused()
    press(page, "1 Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.locator(".track .group").count() == 0


def test_first_visit_practises_and_stores_nothing(
    browser: Browser, live: Running, place: Path
) -> None:
    before = len(answers(place))
    with visit(browser, live.url, practised=False) as page:
        page.get_by_role("button", name="Try two practice queries").click()
        expect(page.locator(".context")).to_contain_text("Practice 1 of 2")
        press(page, "2 1 Enter")
        expect(page.locator(".message")).to_have_text(
            "Right, and easy. One more. Press Enter to go on."
        )
        # The verdict is read beside the panels that it is about, which nothing changes any more.
        expect(page.locator(".context")).to_contain_text("Practice 1 of 2")
        press(page, "Backspace 1")
        assert page.locator(".track .group").all_inner_texts() == ["2", "1", "3"]
        press(page, "Enter")
        expect(page.locator(".context")).to_contain_text("Practice 2 of 2")
        expect(page.locator(".message")).to_be_empty()
        press(page, "2 = 3 1 Enter")
        expect(page.locator(".message")).to_contain_text("that is how ties work")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".context")).to_contain_text("Rank 4, best first")
        page.reload()
        ready(page)
        assert page.get_by_role("dialog").count() == 0
    assert len(answers(place)) == before


def test_nothing_names_a_strategy_before_the_vote(browser: Browser, live: Running) -> None:
    bodies: list[str] = []
    with visit(browser, "about:blank") as page:
        page.on("response", lambda r: bodies.append(r.text()) if "/api/query" in r.url else None)
        page.on(
            "websocket", lambda ws: ws.on("framereceived", lambda data: bodies.append(str(data)))
        )
        page.goto(live.url)
        ready(page)
        bodies.append(page.content())
        bodies.append(page.locator(".rank").inner_text())
    assert any('"panels"' in body for body in bodies)
    for body in bodies:
        for secret in (*SOURCES, "SPX", "2011-0", "net_return", "pnl"):
            assert secret.lower() not in body.lower()


def test_no_request_leaves_this_machine(browser: Browser, live: Running) -> None:
    asked: set[str] = set()
    with visit(browser, "about:blank") as page:
        page.on("request", lambda r: asked.add(r.url))
        blocked: list[str] = []
        page.on(
            "console", lambda m: blocked.append(m.text) if "Content Security" in m.text else None
        )
        for name in ("", *PAGES):
            page.goto(f"{live.url}/{name}")
            settled(page)
    outside = [u for u in asked if not u.startswith((live.url, "data:", "blob:", "about:"))]
    assert not outside
    assert not blocked


def test_dashboard_process_has_loaded_neither_torch_nor_vectorbt(live: Running) -> None:
    maps = Path(f"/proc/{live.process.pid}/maps")
    if not maps.exists():
        pytest.skip("the system does not show what a process has loaded")
    loaded = maps.read_text()
    assert "numpy" in loaded
    assert not [name for name in ("libtorch", "llvmlite", "numba") if name in loaded]


def test_everything_fits_1440_by_900(page: Page) -> None:
    ready(page)
    size = page.locator(".rank").evaluate(
        "e => [e.scrollHeight - e.clientHeight, e.scrollWidth - e.clientWidth]"
    )
    assert max(size) <= 0
    assert page.evaluate("document.documentElement.scrollHeight") <= 900
    for part in (".context", ".panels", ".track", ".action.primary", ".goal"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900


@pytest.mark.parametrize(
    ("scheme", "background"), [("dark", "rgb(14, 18, 24)"), ("light", "rgb(247, 248, 250)")]
)
def test_theme_follows_the_system(
    browser: Browser, live: Running, scheme: str, background: str
) -> None:
    with visit(browser, live.url, color_scheme=scheme) as page:
        ready(page)
        colour = page.locator("[data-testid=stApp]").evaluate(
            "e => getComputedStyle(e).backgroundColor"
        )
        assert colour == background


def test_each_panel_is_summed_up_and_values_go_with_the_pointer(page: Page, place: Path) -> None:
    query = ready(page)
    with Store(place) as store:
        shown = panel_order(query, "local", store.query(query).episodes)
        episodes = store.episodes(shown)
    for number, episode in enumerate(episodes, start=1):
        panel = page.locator(f"article:nth-of-type({number})")
        net, fall, trades, held = panel.locator(".summary dd").all_inner_texts()
        assert net == f"{100 * episode.net_return:+.1f} %".replace("-", "\u2212")
        assert fall == f"\u2212{100 * episode.drawdown.max():.1f} %"
        assert int(trades) == np.isfinite(episode.price).sum()
        assert held == f"{100 * np.mean(np.abs(episode.position) >= 0.001):.0f} %"
        assert panel.locator(".pane-label b").all_inner_texts() == [""] * 4
    box = page.locator("article:nth-of-type(1) .plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 120, box["y"] + 60)
    expect(page.locator("article:nth-of-type(3) .pane-label b").first).not_to_be_empty()
    shown_at_bar = [
        page.locator(f"article:nth-of-type({i}) .pane-label b").first.inner_text()
        for i in range(1, 5)
    ]
    assert len(set(shown_at_bar)) == 1
    page.mouse.move(box["x"] + 120, box["y"] - 20)
    expect(page.locator(".pane-label b")).to_have_text([""] * 16)


def test_labels_cover_no_curve(page: Page) -> None:
    """In the strip of each label, the canvas holds no colour of a curve."""
    ready(page)
    page.wait_for_timeout(300)
    coloured = page.evaluate(COLOURED_UNDER_LABELS)
    assert coloured == [0, 0, 0, 0] * 4


def test_answers_survive_a_reload_while_the_server_is_away(page: Page, place: Path) -> None:
    query = ready(page)
    page.context.set_offline(True)
    press(page, "2 1 3 4 Enter")
    expect(page.locator(".save")).to_contain_text("1 answer waits")
    page.context.set_offline(False)
    page.reload()
    # The old page may have sent it just before the reload: then the new one has nothing to report.
    stored(place, query)
    assert [r.ranks for r in answers(place, query)] == [(2, 1, 3, 4)]
    assert ready(page) != query


def test_killed_server_loses_and_doubles_nothing(browser: Browser, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        fill_store(store, queries=8, panels=3, bars=20)
    running = start_dashboard(tmp_path)
    given: list[str] = []
    try:
        with visit(browser, running.url) as page:
            for round_ in range(5):
                query = ready(page)
                given.append(query)
                press(page, "1 2 3 Enter")
                if round_ == 1:
                    running.kill()  # while the answer is on its way, and before the next ones
                if round_ < 3:
                    next_query(page, query)
                if round_ == 3:
                    expect(page.locator(".save")).to_contain_text("wait")
                    running = start_dashboard(tmp_path, port=running.port)
                    next_query(page, query)
            saved(page)
    finally:
        running.kill()
    stored = answers(tmp_path)
    assert sorted(r.query for r in stored) == sorted(given)
    assert all(r.ranks for r in stored)
