"""A session by keyboard: an empty store, samples, 30 rankings, a policy trained on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.browser import chromium, needs_browser, next_query, ready, saved, visit
from support.dashboard import dashboard_of

from tradinghf.feedback.store import Store

pytestmark = [*needs_browser, pytest.mark.slow]
RANKINGS = 30
ORDERS = ("1 2 3", "4 3 2", "2 = 1 4", "3 1 = 2", "4 2 1")


def test_thirty_rankings_by_keyboard_become_a_policy(tmp_path: Path) -> None:
    given: dict[str, str] = {}
    with (
        dashboard_of(tmp_path) as running,
        chromium() as browser,
        visit(browser, running.url, practised=False) as page,
    ):
        load = page.get_by_role("button", name="Load sample episodes")
        # The first script run replaces the page once more; a key pressed before that is lost.
        app = page.get_by_test_id("stApp")
        expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=60_000)
        load.focus()
        expect(load).to_be_focused()
        page.keyboard.press("Enter")
        start = page.get_by_role("button", name="Start ranking")
        expect(start).to_be_visible(timeout=120_000)
        page.keyboard.press("Tab")
        expect(start).to_be_focused()
        page.keyboard.press("Enter")
        query = ready(page)
        for number in range(RANKINGS):
            order = ORDERS[number % len(ORDERS)]
            given[query] = order
            for key in f"{order} Enter".split():
                page.keyboard.press(key)
            query = next_query(page, query)
        saved(page)
        expect(page.locator(".goal")).to_contain_text("Goal reached")
    with Store(tmp_path) as store:
        stored = {ranking.query: ranking.ranks for ranking in store.rankings()}
    assert {query: ranks_of(order) for query, order in given.items()} == stored

    run = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "tradinghf", "train", "--store", str(tmp_path), "--data", "sp500"),
        *("--train-end", "2012", "--steps", "4096", "--envs", "32", "--out", str(run)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    reward = json.loads((run / "reward.json").read_text())
    held_out = reward.get("held_out", {}).get("held_out_rankings", 0)
    assert reward["rankings"] + held_out == RANKINGS
    assert (run / "policy.safetensors").stat().st_size > 0


def ranks_of(order: str) -> tuple[int, ...]:
    """What the keys mean, worked out independently; the panel left out comes last."""
    ranks, level, tie = {}, 0, False
    for key in order.split():
        if key == "=":
            tie = True
            continue
        level, tie = level + (not tie), False
        ranks[int(key)] = level
    (left,) = {1, 2, 3, 4} - set(ranks)
    return tuple({**ranks, left: level + 1}[panel] for panel in range(1, 5))
