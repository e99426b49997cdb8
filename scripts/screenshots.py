"""Take the screenshots of docs/dashboard.md: every page, dark and light, and the phone.

    python scripts/screenshots.py [--only rank,reward]

A store is made for it: shipped strategies on S&P 500 bars, ranked by three synthetic traders; a
reward model, a short training run and a backtest. Needs Chromium and scripts/fetch_assets.py.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from dashboard_browser import chromium, ready, settled, visit  # noqa: E402
from dashboard_support import dashboard_of  # noqa: E402
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tradinghf.feedback.store import Store  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
COLOURS = 160
TALL = {"episodes": 1420, "reward": 1180, "training": 1000, "backtest": 1180}
PAGES = ("feedback", "leaderboard", "episodes", "reward", "training", "backtest", "raters", "admin")


def run(*words: str) -> None:
    """A command of tradinghf, or a worker of the dashboard."""
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT)


def prepare(folder: Path) -> str:
    """Fill a store and its runs; the id of an episode to show."""
    store, runs = str(folder), folder / "runs"
    collect = ("--data", "sp500", "--end", "2012", "--windows", "60", "--horizon", "90")
    run("-m", "tradinghf", "episodes", "collect", "--store", store, *collect)
    for trader, limit in (("drawdown", "40"), ("mean_variance", "24"), ("turnover_averse", "16")):
        run("-m", "tradinghf", "rank", "--trader", trader, "--limit", limit, "--store", store,
            "--teacher", "stochastic")  # fmt: skip
    with Store(folder) as opened:
        for ranking in opened.rankings("synthetic:drawdown/stochastic")[:14]:
            changes = {"key": f"local-{ranking.key[:40]}", "rater": "local", "seconds": 6.5}
            opened.submit(type(ranking)(**{**vars(ranking), **changes}))
        episode = opened.rankings("local")[-1].episodes[0]
    run("dashboard/workers/fit_reward.py", store, str(runs / "reward-20261122"))
    for seed in ("0", "1"):
        run("-m", "tradinghf", "train", "--store", store, "--data", "sp500", "--train-end", "2012",
            "--steps", "150000", "--envs", "128", "--seed", seed,
            "--out", str(runs / f"train-{seed}"))  # fmt: skip
    return episode


def keep(page: Page, name: str) -> None:
    """Save a screenshot with few colours, which a chart does not miss."""
    page.mouse.move(2, 2)
    page.wait_for_timeout(900)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS).save(OUT / f"{name}.png", optimize=True)
    print(name, flush=True)  # noqa: T201 - progress


def shoot(browser: Browser, url: str, scheme: str, episode: str, only: set[str]) -> None:
    """All pages in one theme."""

    def wanted(name: str) -> bool:
        return not only or name in only

    if wanted("rank"):
        with visit(browser, url, color_scheme=scheme) as page:
            ready(page)
            for key in ("3", "1", "="):
                page.keyboard.press(key)
            keep(page, f"rank-{scheme}")
    for name in PAGES:
        if not wanted(name):
            continue
        size = {"width": 1440, "height": TALL.get(name, 900)}
        with visit(browser, url, color_scheme=scheme, viewport=size) as page:
            query = f"?episode={episode}" if name == "episodes" else ""
            page.goto(f"{url}/{name}{query}")
            settled(page)
            if name == "backtest" and scheme == "dark":
                page.get_by_role("button", name="Run backtest").click()
                expect(page.get_by_text("Tear sheet")).to_be_visible(timeout=120_000)
            page.wait_for_timeout(1500)
            settled(page)
            keep(page, f"{name}-{scheme}")


def shoot_phone(browser: Browser, url: str, scheme: str) -> None:
    """The Rank page on a phone, and the first visit."""
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with visit(browser, url, color_scheme=scheme, **phone) as page:
        ready(page)
        page.locator("article:nth-of-type(1) .pick").tap()
        keep(page, f"rank-phone-{scheme}")
    with visit(browser, url, color_scheme=scheme, practised=False) as page:
        page.get_by_role("dialog").wait_for()
        keep(page, f"welcome-{scheme}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default="", help="pages, separated by commas")
    only = {name for name in parser.parse_args().only.split(",") if name}
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        episode = prepare(folder)
        with dashboard_of(folder) as running, chromium() as browser:
            for scheme in ("dark", "light"):
                shoot(browser, running.url, scheme, episode, only)
                if not only:
                    shoot_phone(browser, running.url, scheme)


if __name__ == "__main__":
    main()
