"""Take the screenshots of docs/screenshots: every page, dark and light, desktop and phone.

    python scripts/screenshots.py [--only rank,reward] [--out FOLDER] [--phone] [--keep FOLDER]

A store is made for it: shipped strategies on S&P 500 bars, ranked by three synthetic traders; a
reward model, two short training runs, a comparison and a backtest. `--phone` adds every page at 390
pixels; with `--keep` the store is made in a folder that the next call uses again. Needs Chromium
and scripts/fetch_assets.py.
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

from playwright.sync_api import Browser, Page, expect  # noqa: E402
from support.browser import PAGES, PHONE, chromium, ready, settled, visit  # noqa: E402
from support.dashboard import dashboard_of  # noqa: E402

from tradinghf.feedback import Ranking  # noqa: E402
from tradinghf.feedback.store import Store  # noqa: E402
from tradinghf.serving import UserAccounts  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
COLOURS = 256
TALL = {
    "leaderboard": 1440, "episodes": 1860, "reward": 1000, "training": 1520, "backtest": 1640,
    "data": 1110,
}  # fmt: skip
PASSWORD = "correct horse battery"  # of a store that is thrown away  # nosec B105


def run(*words: str) -> None:
    """A command of tradinghf, or a worker of the dashboard."""
    subprocess.run([sys.executable, *words], check=True, cwd=ROOT)


def prepare(folder: Path) -> None:
    """Fill a store and its runs."""
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
    run("dashboard/workers/fit_reward.py", store, str(runs / "reward-20261122"))
    for seed in ("0", "1"):
        run("-m", "tradinghf", "train", "--store", store, "--data", "sp500", "--train-end", "2012",
            "--steps", "150000", "--envs", "128", "--seed", seed,
            "--out", str(runs / f"train-{seed}"))  # fmt: skip
    compared = [str(runs / f"train-{seed}") for seed in ("1", "0")]
    run("dashboard/workers/compare.py", store, "sp500", "3", "7", *compared, "--start", "2015")
    with Store(folder) as opened:
        for number, query in enumerate(q for q in opened.queries(purpose="test") if q.note):
            opened.submit(
                Ranking(f"pair-{number}", query.episodes, (1, 2), query.id, "local", seconds=5.0)
            )


def keep(page: Page, name: str, out: Path) -> None:
    """Save a screenshot with few colours, which a chart does not miss."""
    page.mouse.move(2, 2)
    page.wait_for_timeout(900)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(
        out / f"{name}.png", optimize=True
    )
    print(name, flush=True)  # noqa: T201 - progress


class Shoot:
    """One theme of one dashboard.

    Args:
        browser: running.
        url: of the dashboard.
        scheme: "dark" or "light".
        out: folder of the images.
        only: names of pages; empty for all.

    """

    def __init__(self, browser: Browser, url: str, scheme: str, out: Path, only: set[str]) -> None:
        self.browser, self.url, self.scheme, self.out, self.only = browser, url, scheme, out, only

    def wanted(self, name: str) -> bool:
        """Whether to take this page."""
        return not self.only or name in self.only

    def rank(self) -> None:
        """The Rank page, in the middle of a ranking, and on the first visit."""
        if self.wanted("rank"):
            with visit(self.browser, self.url, color_scheme=self.scheme) as page:
                ready(page)
                for key in ("3", "1", "="):
                    page.keyboard.press(key)
                keep(page, f"rank-{self.scheme}", self.out)
            with visit(self.browser, self.url, color_scheme=self.scheme, **PHONE) as page:
                ready(page)
                page.locator("article:nth-of-type(1) .pick").tap()
                keep(page, f"rank-phone-{self.scheme}", self.out)
        if self.wanted("welcome"):
            options = {"color_scheme": self.scheme, "practised": False}
            with visit(self.browser, self.url, **options) as page:
                page.get_by_role("dialog").wait_for()
                keep(page, f"welcome-{self.scheme}", self.out)

    def pages(self, episode: str, *, phone: bool = False) -> None:
        """All the others."""
        for name in filter(self.wanted, PAGES):
            desk = {"viewport": {"width": 1440, "height": TALL.get(name, 900)}}
            size = {**PHONE, "viewport": {"width": 390, "height": 2400}} if phone else desk
            with visit(self.browser, self.url, color_scheme=self.scheme, **size) as page:
                query = f"?episode={episode}" if name == "episodes" else ""
                page.goto(f"{self.url}/{name}{query}")
                settled(page)
                if name == "backtest" and page.get_by_text("No backtest yet").count():
                    page.get_by_role("button", name="Run backtest").click()
                    expect(page.get_by_text("Tear sheet (HTML)")).to_be_visible()
                page.wait_for_timeout(1500)
                settled(page)
                where = f"{name}-phone" if phone else name
                keep(page, f"{where}-{self.scheme}", self.out)

    def empty(self) -> None:
        """A dashboard over an empty store, whose users sign in: the sign-in page and the first."""
        if self.wanted("sign-in"):
            with visit(self.browser, self.url, color_scheme=self.scheme) as page:
                keep(page, f"sign-in-{self.scheme}", self.out)
                page.get_by_label("Name").fill("ann")
                page.get_by_label("Password").fill(PASSWORD)
                page.get_by_role("button", name="Sign in").click()
                expect(page.get_by_text("Nothing to rank yet")).to_be_visible()
                settled(page)
                keep(page, f"empty-{self.scheme}", self.out)
                page.get_by_role("link", name="Account").click()
                expect(page.get_by_role("heading", name="Account")).to_be_visible()
                settled(page)
                keep(page, f"account-{self.scheme}", self.out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default="", help="pages, separated by commas")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--keep", type=Path, help="folder of the store, made there once")
    parser.add_argument("--phone", action="store_true", help="every page on a phone, and no other")
    options = parser.parse_args()
    only = {name for name in options.only.split(",") if name}
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        if not (folder / "runs").exists():
            prepare(folder)
        with Store(folder) as store:
            episode = store.rankings("local")[-1].episodes[0]
        empty = Path(name) / "empty"
        with Store(empty) as store:
            UserAccounts(store).add("ann", PASSWORD, "lead", by="local")
        team = {"auth": "local", "hosts": "127.0.0.1"}
        with (
            dashboard_of(folder) as running,
            dashboard_of(empty, **team) as other,
            chromium() as browser,
        ):
            for scheme in ("dark", "light"):
                shoot = Shoot(browser, running.url, scheme, options.out, only)
                if options.phone:
                    shoot.pages(episode, phone=True)
                    continue
                shoot.rank()
                shoot.pages(episode)
                Shoot(browser, other.url, scheme, options.out, only).empty()


if __name__ == "__main__":
    main()
