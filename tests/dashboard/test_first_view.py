"""What a trader reads at first: one paragraph, one count, no paths, no statistics, no dead ends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from support.dashboard import fill_policy, fill_runs, fill_store, walk

from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.resources import resource_dir
from tradinghf.serving import BackgroundJobs, DashboardSettings, Uploads
from tradinghf.serving._dashboard import _open_dashboard
from tradinghf.serving._guide import guide_steps

VIEWS = resource_dir("dashboard") / "views"
PAGES = sorted(path.stem for path in VIEWS.glob("*.py") if path.stem != "rank")
PARAGRAPH = (
    "You mind deep falls from a peak most: 1 % of drawdown outweighs 1.5 % of profit. The policy "
    "became: stays out of the market."
)
FOR_EXPERTS = re.compile(
    r"yardstick|downside volatility squared|\bnats\b|\bKL\b|brier|log-loss|entropy|calibration",
    re.IGNORECASE,
)
COUNTED = 8  # fill_runs: 6; fill_policy: 1; one more below; a skip is none


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of the runs of a store with something on every page."""
    found = tmp_path / "runs"
    monkeypatch.setenv("TRADINGHF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TRADINGHF_RUNS", str(found))
    _open_dashboard.cache_clear()
    with Store(tmp_path / "store") as store:
        asked = fill_store(store, queries=9, panels=3, bars=20)
        fill_runs(store, found)
        first = asked[7].episodes
        store.submit(Ranking("again", first, (1, 2, 3), asked[7].id, "local"))
        skip = asked[8]
        store.submit(Ranking("s", skip.episodes, (), skip.id, "local", outcome="skipped"))
        fill_policy(store, found)
    yield found
    _open_dashboard.cache_clear()


def page(name: str) -> AppTest:
    app = AppTest.from_file(str(VIEWS / f"{name}.py"), default_timeout=60).run()
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    shown = [*app.title, *app.caption, *app.info, *app.warning, *app.error, *app.text, *app.success]
    shown += [*app.markdown, *app.subheader, *app.code]
    parts = [str(part.value) for part in shown]
    parts += [str(metric.label) + str(metric.value) for metric in app.metric]
    parts += [str(button.label) for button in app.button]
    parts += [str(option) for box in app.selectbox for option in box.options]
    parts += [frame.value.to_csv() for frame in app.dataframe]
    return "\n".join(parts)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_no_path_and_nothing_for_experts_alone(
    runs: Path, name: str, tmp_path: Path
) -> None:
    said = texts(page(name))
    assert str(tmp_path) not in said
    assert str(Path.home()) not in said
    assert FOR_EXPERTS.search(said) is None


@pytest.mark.parametrize("name", ["training", "compare", "backtest"])
def test_the_same_paragraph_stands_wherever_a_policy_does(runs: Path, name: str) -> None:
    assert f"**{PARAGRAPH}**" in [str(text.value) for text in page(name).markdown]


def test_the_page_of_the_reward_begins_with_what_is_minded(runs: Path) -> None:
    (runs / "reward-1" / "reward.json").unlink()
    assert f"**{PARAGRAPH}**" in [str(text.value) for text in page("reward").markdown]


def test_every_page_counts_the_same_rankings(runs: Path, tmp_path: Path) -> None:
    labels = [button.label for name in ("reward", "training") for button in page(name).button]
    assert f"Fit to all {COUNTED} rankings" in labels
    assert f"Train on {COUNTED} rankings" in labels
    assert f"Rankings{COUNTED}" in texts(page("admin"))
    assert f"{COUNTED} rankings count. Not counted: 1 skipped." in texts(page("admin"))
    settings = DashboardSettings(str(tmp_path / "store"), str(runs), goal=4)
    with Store(settings.store) as store:
        assert guide_steps(settings, store)[0].says == f"{COUNTED} rankings"
    assert dict(metric_values("leaderboard"))["Rankings"] == str(COUNTED)


def metric_values(name: str) -> list[tuple[str, str]]:
    return [(str(metric.label), str(metric.value)) for metric in page(name).metric]


def test_a_backtest_names_and_shades_what_was_seen_in_training(runs: Path) -> None:
    app = page("backtest")
    box = next(b for b in app.selectbox if b.label == "Result")
    box.set_value(next(run for run in box.options if "careful" in run)).run()
    assert "50% of these bars were seen in training: there, figures are no evidence." in texts(app)
    assert "**Verdict.** Too few bars." in [str(info.value) for info in app.info]
    (figure,) = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    shaded = [note["text"] for note in figure["layout"]["annotations"]]
    assert shaded == ["trained on", "the policy was chosen on"]
    names = [line["name"] for line in figure["data"]]
    assert names[:3] == ["policy careful", "buy & hold", "momentum"]
    late = next(f for f in app.date_input if f.label == "From")
    assert str(late.value) == Uploads(runs).unseen_from("sp500")[-1][:10]


def test_a_training_never_counts_beyond_what_was_asked(runs: Path) -> None:
    words = ["-c", "import time; time.sleep(60)", "--out", str(runs / "careful")]
    job = BackgroundJobs(runs).start("train", "careful", [*words, "--steps", "60000"])
    try:
        (bar,) = page("training").get("progress")
    finally:
        job.stop()
    # The last update is whole: 65,536 steps were taken.
    assert bar.proto.value == 100
    assert bar.proto.text.startswith("60,000 of 60,000 steps, 900 per second. Judging the policy")


def test_a_fit_says_how_far_it_is(runs: Path) -> None:
    words = ["-c", "import time; print('fitting 1/4', flush=True); time.sleep(60)"]
    job = BackgroundJobs(runs).start("reward", "fit", words)
    try:
        while not job.output():
            pass
        (bar,) = page("reward").get("progress")
    finally:
        job.stop()
    assert bar.proto.value == 25
    assert bar.proto.text.startswith("fitting 1 of 4")


def test_an_uploaded_set_is_renamed_and_deleted_on_the_page(runs: Path) -> None:
    bars = pd.DataFrame(walk(3, 299), pd.bdate_range("2015-01-01", periods=300, name="date"))
    Uploads(runs).add("mine.csv", bars.to_csv().encode())
    app = page("data")
    next(f for f in app.text_input if f.label == "New name").set_value("euro").run()
    next(b for b in app.button if b.label == "Rename it").click().run()
    assert list(Uploads(runs).names()) == ["euro"]
    app = page("data")
    next(b for b in app.button if b.label == "Delete euro").click().run()
    assert not app.exception
    assert list(Uploads(runs).names()) == []


def test_the_action_that_a_page_is_for_looks_primary(runs: Path) -> None:
    wanted = {
        "training": {f"Train on {COUNTED} rankings"},
        "compare": {"Queue the pairs"},
        "backtest": {"Run backtest", "Ask the gate"},
        "data": {"Collect questions"},
    }
    for name, labels in wanted.items():
        found = {b.label for b in page(name).button if b.proto.type == "primary"}
        assert labels <= found, name


def test_what_traders_prefer_is_the_first_to_be_beaten(runs: Path) -> None:
    found = page("leaderboard").dataframe[0].value
    favourite = found.loc[found["what"] == "Shipped strategies", "who"].iloc[0]
    for name, label in (("training", "What trades now"), ("backtest", "What trades now")):
        box = next(b for b in page(name).selectbox if b.label == label)
        assert box.options[0] == favourite
    others = next(b for b in page("compare").selectbox if b.label == "With").options
    assert others[0] == favourite
    assert "buy and hold" in others
