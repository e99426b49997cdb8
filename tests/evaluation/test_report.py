"""The pages that clients see: self-contained, safe, complete, and true to the numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.evaluation import make_market

from tradinghf import CostModel, MarketData, MarketEnv, Policy, backtest, load_market
from tradinghf.config import Brackets, Margin
from tradinghf.errors import ConfigError
from tradinghf.evaluation import Report, comparison_report
from tradinghf.evaluation._charts import Series, bars_to_draw, line_chart, log_ticks, nice_ticks
from tradinghf.evaluation._page import number
from tradinghf.learning.policy import ActorCritic
from tradinghf.market import save_market
from tradinghf.strategies import load_strategy

CHROMIUM = Path("/usr/bin/chromium")
VOID = {"meta", "link", "br", "line", "path", "circle", "rect", "img"}
VALUES = [
    {"name": "profit", "sentence": "1 % of profit is the yardstick.", "weight": 1.0}
    | {"low": 1.0, "high": 1.0},
    {"name": "drawdown", "sentence": "Deeper falls are disliked.", "weight": -1.4}
    | {"low": -1.8, "high": -1.1, "probability": 1.0},
    {"name": "holding_losers", "sentence": "No sign.", "weight": 0.0}
    | {"low": -0.1, "high": 0.1, "probability": 0.04},
]
HELD_OUT = {
    "accuracy": 0.87,
    "accuracy_interval": (0.81, 0.92),
    "precision": 0.85,
    "recall": 0.84,
    "f1": 0.845,
    "pairs": 480,
    "held_out_rankings": 80,
}


class Reader(HTMLParser):
    """Balanced tags, visible text, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, k, v or "") for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.text += " " + data


def saved(report: Report, folder: Path, trials: int = 1) -> Reader:
    return Reader(report.save(folder / "deep" / "r.html", trials=trials).read_text("utf-8"))


@pytest.fixture(scope="module")
def report() -> Report:
    market = make_market(900, seed=5, drift=0.0003)
    return backtest("sma_cross", market, costs=CostModel(fee_bps=2), fast=5, slow=30)


def test_the_page_asks_for_nothing_and_allows_nothing(report: Report, tmp_path: Path) -> None:
    page = saved(report, tmp_path)
    for _, name, value in page.attributes:
        assert name not in ("src", "href", "srcset", "action"), value
        assert "://" not in value
        assert not name.startswith("on")
    policy = next(v for _, k, v in page.attributes if k == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    programs = [s for s in page.scripts if not s.lstrip().startswith("{")]
    (program,) = programs
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    text = (tmp_path / "deep" / "r.html").read_text("utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert len(text) < 500_000


def test_the_verdict_comes_first_and_counts_trials(report: Report, tmp_path: Path) -> None:
    text = saved(report, tmp_path, trials=37).text
    assert text.index("after 37 trials.") < text.index("Growth of 1")
    assert text.index("after 37 trials.") < text.index("Sharpe ratio", 0, 2000)
    assert "deflated Sharpe ratio" in text


def test_numbers_on_the_page_are_the_reports(report: Report, tmp_path: Path) -> None:
    text = re.sub(r"\s+", " ", saved(report, tmp_path).text)
    m = report.metrics
    for name, shown in {
        "max drawdown [%]": number(m["max_drawdown_pct"]),
        "sharpe annual": number(m["sharpe_annual"]),
        "turnover per year": number(m["turnover_per_year"]),
        "trades": number(m["trades"]),
        "final equity": number(m["final_equity"]),
    }.items():
        assert f"{name} {shown}" in text, name
    assert f"{len(report.trades[~report.trades['open'].astype(bool)]):,} closed" in text
    for needed in (report.market.sha256, "source ", "fast=5", "fee_bps=2", "next bar's open"):
        assert needed in text, needed


_RULE = '''
from tradinghf import strategy

@strategy
def turn(market, *, every: int = 9):
    """In and out.

    Args:
        every: length of a cycle [bars].
    """
    import numpy as np
    return np.where(np.arange(market.bars) % every < 4, 1.0, 0.0)
'''


@pytest.mark.parametrize("case", ["plain", "file", "policy"])
def test_the_code_on_the_page_runs_as_pasted(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    market = load_market("synthetic:seed=3,bars=300,assets=2")
    how: dict[str, Any] = {"costs": CostModel(fee_bps=0), "lookback": 20}
    what: Any = "momentum"
    if case == "file":
        Path("turn.py").write_text(_RULE)
        save_market(market.select([market.symbols[0]]), "bars.csv")
        save_market(market.select([market.symbols[1]]), "other.csv")
        market = load_market("bars.csv").between("2000-02", "2000-12")
        what = load_strategy("turn.py", None)
        how = {
            "costs": CostModel(
                by_asset={market.symbols[0]: {"fee_bps": 7.0}}, fee_tiers=((5e4, 1.0),)
            ),
            "brackets": Brackets(stop_loss=0.02),
            "margin": Margin(leverage=2.0),
            "benchmark": "other.csv",
            "cash": 1234567.25,
            "every": 7,
        }
    if case == "policy":
        env = MarketEnv(market, num_envs=1)
        torch.manual_seed(0)
        network = ActorCritic(env.obs_dim, int(env.single_action_space.n), 1, (8,), True)
        Policy(network, env.config, env.scaler).save(Path("mine/policy.safetensors"))
        what, how = "mine", {}
    report = backtest(what, market, **how)
    text = saved(report, tmp_path).text
    lines = text[text.index("from tradinghf import") :]
    program = lines[: lines.index(")", lines.index("report.save")) + 1]
    scope: dict[str, Any] = {}
    exec(program, scope)
    np.testing.assert_array_equal(scope["report"].equity, report.equity)
    assert Path("report.html").is_file()


def test_what_cannot_be_named_is_said_to_be_needed(tmp_path: Path) -> None:
    def mine(market: MarketData) -> np.ndarray:
        return np.where(np.arange(market.bars) % 9 < 4, 1.0, 0.0)

    text = saved(backtest(mine, make_market(90)), tmp_path).text
    assert "# mine: the object that was backtested" in text
    assert "backtest(mine, market" in text


def test_a_comparison_draws_every_report(tmp_path: Path) -> None:
    market = make_market(200)
    rules = {f"rule {k}": backtest("sma_cross", market, fast=2 + k, slow=20) for k in range(9)}
    path = comparison_report(
        tmp_path / "many.html",
        title="Nine",
        verdict="",
        reports=rules,
        values=[],
        held_out={},
        facts={},
        provenance={},
    )
    page = path.read_text("utf-8")
    growth = page[page.index("Growth of 1") : page.index("Drawdown: fall")]
    looks = re.findall(r'<path class="line ([^"]+)"', growth)
    assert len(looks) == len(set(looks)) == 9


def test_monthly_returns_compound_to_the_total(report: Report, tmp_path: Path) -> None:
    page = (report.save(tmp_path / "r.html")).read_text("utf-8")
    heat = page[page.index('class="heat"') : page.index("</table>", page.index('class="heat"'))]
    years = [
        float(v.replace("−", "-")) for v in re.findall(r'class="year"[^>]*>([^<]+)</td>', heat)
    ]
    total = np.prod(1 + np.array(years) / 100) - 1
    assert 100 * total == pytest.approx(report.metrics["total_return_pct"], abs=0.3)
    assert re.findall(r'scope="row">(\d{4})', heat) == ["2010", "2011", "2012"]


def test_text_from_outside_is_only_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    market = make_market(120)
    bad = MarketData(**{**vars_of(market), "name": evil, "symbols": ("</script><b>",)})
    report = backtest("sma_cross", bad, fast=3, slow=9).renamed(evil)
    page = Reader(report.save(tmp_path / "a.html").read_text("utf-8"))
    assert ("b", "", "") not in page.attributes
    assert len([s for s in page.scripts if not s.lstrip().startswith("{")]) == 1
    values = [{"name": evil, "sentence": evil, "weight": 1.0, "low": 0.5, "high": 2.0}]
    target = comparison_report(
        tmp_path / "b.html",
        title=evil,
        verdict=evil,
        reports={evil: report, "hold": report},
        values=values,
        held_out=HELD_OUT,
        facts={evil: evil},
        provenance={evil: evil},
    )
    page = Reader(target.read_text("utf-8"))
    assert len([s for s in page.scripts if not s.lstrip().startswith("{")]) == 1
    assert page.text.count("alert(1)") >= 5


def vars_of(market: MarketData) -> dict[str, object]:
    names = ("open", "high", "low", "close", "volume", "timestamps", "symbols", "bars_per_year")
    return {name: getattr(market, name) for name in names}


@pytest.mark.parametrize("bars", [2, 5, 30, 80])
@pytest.mark.parametrize("kind", ["flat", "hold", "active"])
def test_short_and_idle_histories_still_have_a_page(bars: int, kind: str, tmp_path: Path) -> None:
    market = make_market(bars, assets=2, seed=bars)
    rules = {
        "flat": lambda m: np.zeros((m.bars, 2)),
        "hold": lambda m: np.full((m.bars, 2), 0.5),
        "active": lambda m: np.where(np.arange(m.bars)[:, None] % 2, 0.5, -0.2) * np.ones((1, 2)),
    }
    text = saved(backtest(rules[kind], market, fill="close"), tmp_path).text
    assert "nan" not in text.lower().replace("finance", "").replace("financing", "")
    assert not re.search(r"\binf\b", text)


def test_ruin_has_a_page(tmp_path: Path) -> None:
    market = make_market(60, seed=1, sigma=0.2)
    weights = pd.DataFrame(-3.0, index=market.index, columns=["A0"])
    report = backtest(weights, market, engine="simulator")
    assert report.equity.iloc[-1] <= 0
    assert "Lost all of the money." in saved(report, tmp_path).text


def test_comparison_says_what_was_learned_and_how_well(report: Report, tmp_path: Path) -> None:
    hold = backtest("buy_and_hold", report.market, costs=report.costs)
    other = backtest("momentum", report.market, costs=report.costs)
    path = comparison_report(
        tmp_path / "new" / "cmp.html",
        title="Trained from 150 rankings",
        verdict="Not better than buy and hold.",
        reports={"RLHF policy": report, "buy & hold": hold, "PPO on PnL": other},
        values=VALUES,
        held_out=HELD_OUT,
        facts={"rankings": 150, "S": 0.9612, "converged": True},
        provenance={"command": "tradinghf rlhf --seed 0", "seed": 0},
        trials=3,
        became="Stays out of the market.",
    )
    first_view = re.sub(r"<details>.*?</details>", "", path.read_text("utf-8"), flags=re.S)
    said = re.sub(r"\s+", " ", Reader(first_view).text)
    assert "You mind drawdown most." in said
    assert "The policy became: stays out of the market." in said
    assert "It calls 87 of 100 unseen pairs as the traders did (95 % sure: 81 to 92)" in said
    assert not re.search("nats|brier|yardstick|log loss|volatility squared", said, re.IGNORECASE)
    text = re.sub(r"\s+", " ", Reader(path.read_text("utf-8")).text)
    for needed in (
        "Not better than buy and hold.",
        "Deeper falls are disliked.",
        "No clear sign that these matter beyond profit: holding losers.",
        "accuracy 0.870 0.810 to 0.920",
        "f1 0.845",
        "480 pairs of 80 rankings",
        "S 0.9612",
        "converged yes",
        "tradinghf rlhf --seed 0",
        report.market.sha256,
    ):
        assert needed in text, needed
    # The benchmark is drawn last (grey), whatever its place in the dictionary.
    table = text[text.index("Side by side") : text.index("After fees")]
    assert table.index("RLHF policy") < table.index("PPO on PnL") < table.index("buy & hold")


def test_a_leaderboard_row_becomes_a_section(report: Report, tmp_path: Path) -> None:
    from dataclasses import asdict

    from tradinghf.feedback._ratings import Standing

    row = Standing(
        source="sma_cross", rating=0.4, low=0.1, high=0.7, elo=1620,
        wins=30, losses=10, ties=8, place=2, best_place=1, worst_place=3, too_close=True,
    )  # fmt: skip
    path = report.save(tmp_path / "r.html", standing=asdict(row))
    text = re.sub(r"\s+", " ", Reader(path.read_text("utf-8")).text)
    assert "Preferred in 30 of 48 blind comparisons, tied in 8" in text
    assert "71 % with ties as halves. Place 2 (anything from 1 to 3 is likely), too close" in text
    unseen = asdict(row) | {"wins": 0, "losses": 0, "ties": 0}
    page = report.save(tmp_path / "n.html", standing=unseen).read_text("utf-8")
    assert "No rater has compared it" in page


def test_comparison_refuses_different_windows(report: Report, tmp_path: Path) -> None:
    shorter = backtest("buy_and_hold", report.market.rows(0, 500))
    empty: dict[str, Report] = {}
    for reports in (empty, {"a": report, "b": shorter}):
        with pytest.raises(ConfigError):
            comparison_report(
                tmp_path / "x.html",
                title="",
                verdict="",
                reports=reports,
                values=[],
                held_out={},
                facts={},
                provenance={},
            )


def test_charts_keep_extremes_when_thinned() -> None:
    values = np.zeros(50_000)
    values[[12_345, 40_001]] = [9.0, -7.0]
    bars = bars_to_draw([Series("a", values)])
    assert {0, 12_345, 40_001, 49_999} <= set(bars.tolist())
    assert len(bars) < 3000
    index = pd.date_range("2000-01-01", periods=50_000, freq="1h", tz="UTC")
    chart = line_chart(index, [Series("a", values)], label="x", show=lambda v: f"{v:.1f}")
    data = json.loads(re.search(r'json">(.*?)</script>', chart)[1])  # type: ignore[index]
    assert "9.0" in data["series"][0]["values"]
    assert data["labels"][0] == "2000-01-01 00:00"
    assert len(chart) < 200_000


def test_gaps_are_not_bridged() -> None:
    index = pd.date_range("2020-01-01", periods=6, tz="UTC")
    values = np.array([np.nan, 1.0, 2.0, np.nan, 3.0, 4.0])
    chart = line_chart(index, [Series("a", values)], label="x", show=str)
    path = re.search(r'class="line[^"]*" d="([^"]+)"', chart)[1]  # type: ignore[index]
    assert path.count("M") == 2
    assert path.count("L") == 2


def test_ticks_are_round_and_inside() -> None:
    assert nice_ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert nice_ticks(-37, 12) == pytest.approx([-30, -20, -10, 0, 10])
    assert log_ticks(0.5, 200) == pytest.approx([1, 3, 10, 30, 100])
    for low, high in ((0.9, 40.0), (1e-3, 1e4), (1.0, 1.001)):
        ticks = log_ticks(low, high)
        assert 2 <= len(ticks) <= 8
        assert all(low <= t <= high * (1 + 1e-9) for t in ticks)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 2, "n/a"),
        (1234.567, 1, "1,234.6"),
        (-0.001, 2, "0.00"),
        (-2.5, 1, "−2.5"),
        (7, 2, "7"),
        ("x", 2, "x"),
    ],
)
def test_numbers_for_people(value: float | str | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")
def test_pdf_and_png_show_the_whole_page(report: Report, tmp_path: Path) -> None:
    from PIL import Image

    pdf = report.save(tmp_path / "r.pdf")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.stat().st_size > 50_000
    with Image.open(report.save(tmp_path / "r.png")) as picture:
        assert picture.width == 1180
        assert 3000 < picture.height < 12_000
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    assert len(colours) > 50


def test_unknown_formats_and_missing_browsers_are_said(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"'\.docx'"):
        report.save(tmp_path / "r.docx")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Chromium"):
        report.save(tmp_path / "r.pdf")


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")
def test_in_a_browser_themes_switch_and_charts_answer(report: Report, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    path = report.save(tmp_path / "r.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark", viewport={"width": 1180, "height": 900})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: problems.append(r.url) if "r.html" not in r.url else None)
        page.goto(path.as_uri())
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(14, 18, 24)"
        page.click("button[data-toggle]")
        assert page.evaluate(background) == "rgb(255, 255, 255)"
        page.hover("svg.chart >> nth=0")
        tip = page.locator(".tip >> nth=0")
        assert tip.is_visible()
        assert "sma_cross" in tip.inner_text()
        for width in (1180, 390):
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, "the page itself must not scroll sideways"
        browser.close()
    assert problems == []


# Rehearsals, and shares that divide by noise


def test_a_synthetic_market_never_passes(tmp_path: Path) -> None:
    """A strategy that is often right passes on bars as loaded, and rehearses on made-up ones."""
    from dataclasses import replace

    from tradinghf.evaluation import judge

    made = make_market(600, seed=2)
    knows = np.sign(np.vstack([np.diff(made.close, axis=0), np.zeros((1, 1))]))
    knows *= np.where(np.random.default_rng(0).random(knows.shape) < 0.3, -1.0, 1.0)
    table = pd.DataFrame(knows, index=made.index, columns=list(made.symbols))
    for market, wanted in ((made, True), (replace(made, source="synthetic:seed=2"), None)):
        report = backtest(table, market, fill="close")
        verdict = judge(report, report.buy_and_hold(), draws=50)
        assert verdict.passed is wanted
        assert verdict.headline.startswith("Rehearsal") is (wanted is None)
        page = report.save(tmp_path / "r.html").read_text()
        assert ('class="verdict pass"' in page) is (wanted is True)
        assert (">Rehearsal</p>" in page) is (wanted is None)


def test_a_share_has_an_interval_only_where_its_denominator_is_clear() -> None:
    from tradinghf._intervals import clusters
    from tradinghf.loop import attained

    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 5)
    blocks = clusters(groups)
    luck = rng.normal(size=100)[groups]  # the window's, the same for all
    bottom, top = luck + rng.normal(0, 0.1, 500), luck + 1 + rng.normal(0, 0.1, 500)
    own = 0.25 * bottom + 0.75 * top
    found = attained(own, top, bottom, blocks)
    assert found.share == pytest.approx(0.75)
    assert found.interval is not None
    assert found.interval[0] - 1e-9 <= 0.75 <= found.interval[1] + 1e-9
    assert found.gap == pytest.approx(1, abs=0.05)
    noise = attained(own, bottom + rng.normal(0, 1, 500), bottom, blocks)
    assert noise.interval is None
    assert noise.gap_interval[0] < 0 < noise.gap_interval[1]
    assert set(noise.result("G")) == {"G", "G_interval", "G_gap_interval"}
    few = attained(own[:20], top[:20], bottom[:20], clusters(groups[:20]))
    assert (few.interval, few.gap_interval) == (None, None)


def test_who_is_preferred_window_by_window() -> None:
    from tradinghf._intervals import clusters
    from tradinghf.loop import preferred

    own, other = np.array([1.0, 2.0, 3.0, 0.0]), np.array([0.0, 2.0, 1.0, 5.0])
    blocks = clusters(np.arange(4))
    share, (low, high) = preferred(own, other, blocks)
    assert share == pytest.approx(2.5 / 4)
    assert low < share < high
    share, (low, high) = preferred(own, own - 1, blocks)
    assert (share, high) == (1.0, 1.0)
    assert 0.4 < low < 0.7


def test_every_metric_belongs_to_one_group(report: Report) -> None:
    from tradinghf.evaluation import headline
    from tradinghf.evaluation._headline import GROUPS

    assert sorted(key for keys in GROUPS.values() for key in keys) == sorted(report.metrics)
    rows = {name: cells for name, *cells in headline(report, report.buy_and_hold())}
    assert rows["growth a year"][0] == number(report.metrics["cagr_pct"], 1, " %")
    assert rows["growth a year"][2] == "0.0 %"
