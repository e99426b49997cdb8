"""Every page but Rank, driven by Streamlit's AppTest: content, roles, effects in the store."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest
from support.dashboard import fill_store, trade, walk

from tradinghf.feedback import Query, Ranking
from tradinghf.feedback.store import Store
from tradinghf.market import load_market
from tradinghf.resources import resource_dir
from tradinghf.serving import (
    BackgroundJobs,
    RunFolder,
    Uploads,
    UserAccounts,
    list_runs,
    source_label,
    tables,
    ui,
)
from tradinghf.serving._access import Identity
from tradinghf.serving._dashboard import _open_dashboard, current_dashboard
from tradinghf.serving._source_names import source_kind
from tradinghf.strategies import load_strategy

VIEWS = resource_dir("dashboard") / "views"
PAGES = sorted(path.stem for path in VIEWS.glob("*.py"))
HOSTILE = "=cmd|'/c calc'!A1 <img src=x onerror=alert(1)> ![x](http://evil.example/x.png)"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("TRADINGHF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("TRADINGHF_RUNS", str(tmp_path / "runs"))
    _open_dashboard.cache_clear()
    with Store(tmp_path / "store") as opened:
        yield opened
    _open_dashboard.cache_clear()


def ranked(store: Store, rater: str = "local", count: int = 6) -> list[Query]:
    """Answers that always prefer the last panel, the first and second tied."""
    asked = fill_store(store, queries=count, panels=3, bars=20)
    for i, query in enumerate(asked):
        store.submit(
            Ranking(
                f"{rater}-{i}", query.episodes, (2, 2, 1), query.id, rater, "s", seconds=1.0 + i,
                comment=HOSTILE if i == 0 else "",
            )
        )  # fmt: skip
    return asked


def page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(VIEWS / f"{name}.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    return app.run()


def texts(app: AppTest) -> str:
    parts = [*app.title, *app.caption, *app.info, *app.warning, *app.error, *app.text, *app.success]
    return "\n".join(str(part.value) for part in parts)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "rank"])
def test_every_page_opens_on_an_empty_store(store: Store, name: str) -> None:
    app = page(name)
    assert not app.exception
    assert app.title[0].value


@pytest.mark.parametrize("name", [name for name in PAGES if name != "rank"])
def test_every_page_opens_with_answers(store: Store, name: str) -> None:
    ranked(store)
    app = page(name)
    assert not app.exception
    assert not app.error


def test_empty_store_offers_samples(store: Store) -> None:
    app = page("rank")
    assert not app.exception
    assert [button.label for button in app.button] == [
        "Use your own data", "Load sample episodes"
    ]  # fmt: skip


def test_own_bars_become_questions_of_the_terminal(store: Store, tmp_path: Path) -> None:
    bars = pd.DataFrame(walk(3, 299), pd.bdate_range("2015-01-01", periods=300, name="date"))
    Uploads(tmp_path / "runs").add("mine.csv", bars.to_csv().encode())
    app = page("data")
    assert app.selectbox[0].value == "mine"
    assert "--data mine" in texts(app)
    app.number_input[0].set_value(5)
    app.multiselect[0].set_value(["momentum", "sma_cross"])
    next(b for b in app.button if b.label == "Collect questions").click().run()
    assert not app.exception
    (job,) = BackgroundJobs(tmp_path / "runs").list("questions")
    words = ["--windows", "5", "--size", "4", "--horizon", "64", "--seed", "0"]
    assert job.option("--data") == "mine"
    assert job.option("--end") == "2015-10-21"  # the 210th of 300 bars
    assert list(job.command[-11:]) == [*words, "--strategies", "momentum", "sma_cross"]
    job.stop()


def test_a_download_asks_for_its_symbol_and_days_are_picked(store: Store) -> None:
    app = page("data")
    labels = {field.label for field in app.date_input}
    assert labels == {"From", "To"}
    app.selectbox[0].set_value("yfinance").run()
    assert not app.exception
    assert "Say what to download." in texts(app)
    assert any(field.label.startswith("Symbols at Yahoo") for field in app.text_input)
    assert not app.date_input  # nothing to collect from yet


def test_a_window_too_short_for_its_rule_says_from_when_on_it_counts(tmp_path: Path) -> None:
    bars = pd.DataFrame(walk(3, 299), pd.bdate_range("2015-01-01", periods=300, name="date"))
    file = tmp_path / "mine.csv"
    bars.to_csv(file)
    cold_start = runpy.run_path(str(VIEWS.parent / "workers" / "backtest.py"))["cold_start"]
    rule, market = load_strategy("sma_cross"), load_market(file)
    request = {"data": str(file), "end": None, "params": {}, "store": str(tmp_path / "store")}
    late = market.between(market.index[200], None)
    (said,) = cold_start(rule, late, request | {"start": str(market.index[200].date())})
    assert "The window begins cold: in" in said
    assert cold_start(rule, market, request | {"start": None}) == []


def test_my_feedback_shows_own_answers_only(store: Store) -> None:
    asked = ranked(store)
    ranked_by_other = asked[0]
    store.submit(Ranking("bob-0", ranked_by_other.episodes, (1, 2, 3), ranked_by_other.id, "bob"))
    app = page("feedback")
    frame = app.dataframe[0].value
    assert len(frame) == 6
    assert f"\u200b{HOSTILE}" in set(frame["comment"])  # no formula when it is saved
    assert [m.value for m in app.metric][:2] == ["6", "0"]


def test_leaderboard_ranks_the_preferred_source_first(store: Store) -> None:
    ranked(store, count=12)
    app = page("leaderboard")
    frame = app.dataframe[0].value
    assert frame["who"][0] == "rsi reversion"
    assert set(frame["what"]) == {"Shipped strategies"}
    assert set(frame["to the next"][1:2]) == {"too close to call"}


def test_nobody_leads_who_was_not_compared_with_what_is_rated_above(store: Store) -> None:
    """A policy beats one strategy; always flat beats another one, and is rated above both."""
    pairs = [("policy:first-0-0", "momentum"), ("hold_+0", "sma_cross")]
    for number in range(12):
        walked = walk(number, 20)
        best, worst = pairs[number % 2]
        shown = [trade(walked, 2 * number + k, who) for k, who in enumerate((best, worst))]
        query = Query.of(store.add_episodes(shown))
        store.add_queries([query])
        store.submit(Ranking(f"k{number}", query.episodes, (1, 2), query.id, "local"))
    assert page("leaderboard").metric[0].value == "nobody yet"
    walked = walk(99, 20)
    both = [trade(walked, 900 + k, who) for k, who in enumerate(("hold_+0", "policy:first-0-0"))]
    query = Query.of(store.add_episodes(both))
    store.add_queries([query])
    store.submit(Ranking("last", query.episodes, (1, 1), query.id, "local"))
    assert page("leaderboard").metric[0].value == "policy first"


def test_unseen_figures_stand_beside_earlier_policies_and_yardsticks(tmp_path: Path) -> None:
    names = ("mean_return", "mean_max_drawdown", "mean_exposure", "win_rate")
    figures = dict.fromkeys(names, 0.01)
    for name, data in (("first", "mine"), ("second", "mine"), ("other", "sp500")):
        run = tmp_path / name
        run.mkdir()
        (run / "config.json").write_text(json.dumps({"experiment": {"data": data}}))
        result = figures | {"yardsticks": {"buy_and_hold": figures}}
        (run / "result.json").write_text(json.dumps(result))
    runs = list_runs(tmp_path, "result.json")
    frame = tables.unseen_table(RunFolder(tmp_path / "second"), runs)
    assert list(frame["who"]) == ["second", "buy and hold", "first"]
    assert set(frame["profit %"]) == {1.0}


def test_comparisons_count_answers_alone(store: Store) -> None:
    for number, ranks in enumerate([(1, 2), (1, 1), None]):
        walked = walk(number, 20)
        both = enumerate(("policy:a-0-0", "momentum"))
        shown = [trade(walked, 3 * number + k, who) for k, who in both]
        query = Query.of(store.add_episodes(shown), purpose="test", note="a / momentum")
        store.add_queries([query])
        if ranks:
            store.submit(Ranking(f"k{number}", query.episodes, ranks, query.id, "local"))
    (row,) = tables.comparisons(store).to_dict("records")
    said = {"compared": "a / momentum", "pairs": 3, "ranked": 2}
    preferred = "momentum: 0.5, policy a: 1.5"
    assert row == said | {"preferred": preferred, "so far": "policy a is ahead: too few to tell"}


@pytest.mark.parametrize(
    ("won", "said"),
    [
        ({}, ""),
        ({"a": 2.0, "b": 2.0}, "equal so far"),
        ({"a": 5.0}, "a is ahead: too few to tell"),  # 2 / 2**5 = 6 %
        ({"a": 6.0}, "a is preferred"),  # 2 / 2**6 = 3 %
        ({"a": 5.5, "b": 0.5}, "a is ahead: too few to tell"),
        ({"b": 10.0, "a": 2.0}, "b is preferred"),  # 79 * 2 / 2**12 = 3.9 %
        ({"b": 9.0, "a": 3.0}, "b is ahead: too few to tell"),  # 14.6 %
    ],
)
def test_a_comparison_says_whether_it_tells_anything(won: dict[str, float], said: str) -> None:
    assert tables._verdict(won) == said


def test_raters_page_flags_hasty_answers(store: Store) -> None:
    ranked(store, count=3)
    app = page("raters")
    assert "within 2 s: local" in texts(app)


def test_episode_is_shown_by_permalink_and_only_after_the_vote(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ranked(store, rater="ann", count=2)
    fill_store(store, queries=4, panels=3, bars=20)
    seen = asked[0].episodes[0]
    unseen = next(i.id for i in store.episode_infos() if all(i.id not in q.episodes for q in asked))
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("ann", "rater"))
    app = page("episodes", episode=seen)
    assert app.metric[0].value == source_label(store.episode(seen).source)
    assert len(app.dataframe[0].value) == 6
    app = page("episodes", episode=unseen)
    assert "cannot see that episode" in texts(app)
    assert not app.metric
    app = page("episodes", episode="../../etc/passwd")
    assert "cannot see that episode" in texts(app)


def test_episodes_are_counted_filtered_dated_and_paged(store: Store) -> None:
    ranked(store, count=9)  # 27 episodes, of three sources
    app = page("episodes")
    every = len(store.episode_infos())
    frame = app.dataframe[0].value
    assert f"{every} episodes; 1 to 20 shown" in texts(app)
    assert (len(frame), set(frame["from"]), set(frame["to"])) == (
        20, {"2011-01-03"}, {"2011-01-23"},
    )  # fmt: skip
    app.number_input[0].set_value(2).run()
    assert len(app.dataframe[0].value) == every - 20
    app = page("episodes")
    next(s for s in app.selectbox if s.label == "Result").select("lost").run()
    lost = [info for info in store.episode_infos() if info.net_return < 0]
    assert 0 < len(lost) < every
    assert f"{len(lost)} of {every} episodes" in texts(app)


def test_who_leads_or_works_alone_stays_blind_until_asking(store: Store) -> None:
    asked = fill_store(store, queries=2, panels=3, bars=20)
    seen = asked[0].episodes
    store.submit(Ranking("a", seen, (), asked[0].id, "local", outcome="skipped"))
    app = page("episodes", episode=seen[0])  # a skip shows nothing
    assert not app.metric
    assert not app.dataframe
    app.toggle[0].set_value(True).run()
    assert app.metric[0].value == source_label(store.episode(seen[0]).source)
    assert len(app.dataframe[0].value) == 6


def test_an_admin_hears_of_questions_that_cannot_be_shown(store: Store) -> None:
    (lost, whole) = fill_store(store, queries=2, panels=2, bars=20)
    next(Path(store.location.folder).glob(f"episodes/*/{lost.episodes[0]}.safetensors")).unlink()
    shown = current_dashboard().service.next_query("local")
    assert shown is not None
    assert shown["query"] == whole.id
    app = page("admin")
    next(button for button in app.button if button.label == "Verify everything").click().run()
    said = f"A question is passed over: The file of episode {lost.episodes[0][:12]} is missing"
    assert said in texts(app)


def test_no_cell_of_a_shown_table_is_a_formula_when_it_is_saved(store: Store) -> None:
    """The table's own button saves it as CSV, as it is shown."""
    (query,) = fill_store(store, queries=1, panels=2, bars=20)
    notes = "=1+1", "-2.5 %"
    store.submit(Ranking("a", query.episodes, (1, 2), query.id, "local", comment=notes[0]))
    store.submit(Ranking("b", query.episodes, (1, 2), "", "local", comment=notes[1]))
    cells = page("feedback").dataframe[0].value.to_numpy().ravel().tolist()
    assert f"\u200b{notes[0]}" in cells
    assert notes[0] not in cells
    assert notes[1] in cells  # a number, and no formula


def test_learned_reward_is_read_without_torch(store: Store, tmp_path: Path) -> None:
    asked = ranked(store, count=1)
    episode = asked[0].episodes[0]
    run = tmp_path / "runs" / "reward-1"
    write_reward(store, run, bar_unit="percent of profit")
    save_file({episode: np.full((2, 20), 0.5, np.float32)}, run / "bar_rewards.safetensors")
    app = page("episodes", episode=episode)
    assert not app.exception
    assert app.subheader[0].value == "Learned reward, in percent of profit"
    assert "+0.50 ± 1.00 for the whole episode" in texts(app)


def write_reward(store: Store, folder: Path, **found: object) -> None:
    """A fitted model of this store's answers, as a run leaves it."""
    folder.mkdir(parents=True)
    row = {"name": "max_drawdown", "sentence": "Drawdown costs you.", "weight": -1.5}
    value = row | {"low": -2.0, "high": -1.0, "probability": 0.99}
    health = store.health()
    answers = {"head": health["head"], "count": health["rankings"]}
    about = {"values": [value], "rankings": 25, "answers": answers}
    (folder / "reward.json").write_text(json.dumps(about | found))


def test_what_was_learned_is_one_paragraph_and_figures_are_for_experts(
    store: Store, tmp_path: Path
) -> None:
    asked = ranked(store)
    store.submit(Ranking("skip", asked[0].episodes, (), "", "bob", outcome="skipped"))
    held_out = {"accuracy": 0.81, "accuracy_interval": [0.7, 0.9], "f1": 0.7, "pairs": 60}
    run = tmp_path / "runs" / "a"
    chance = "The 25 rankings are explained no better than chance: they contradict."
    found = {"held_out": held_out, "profit_correlation": -0.4, "warnings": [chance]}
    write_reward(store, run, **found)
    portrait = {
        "text": "Stays out of the market. It departs from buy_and_hold in 3 % of bars.",
        "checked": "This condition foresees 80 % of bars.",
    }
    (run / "policy.json").write_text(json.dumps(portrait))
    (run / "metrics.jsonl").write_text('{"step": 1, "pnl": 0.01, "kl": 0.1, "entropy": 1.0}\n')
    app = page("reward")
    assert not app.exception
    assert app.markdown[0].value == (
        "**You mind deep falls from a peak most. The policy became: stays out of the market.**"
    )
    assert (
        "81 of 100 unseen pairs (95 % sure: 70 to 90) as you did; a coin" in app.markdown[2].value
    )
    # How it trades stands below, in names that a trader reads, without figures about figures.
    assert app.markdown[1].value == "It departs from buy and hold in 3 % of bars."
    assert app.button[0].label == "Fit to all 6 rankings"
    assert app.button[0].help == "6 rankings count. Not counted: 1 skipped."
    assert "runs against profit" in app.error[0].value
    # What is foreseen is no chance, so nothing beside it says so.
    assert not app.warning
    assert not app.metric
    app.toggle[0].set_value(True).run()
    assert "Drawdown costs you." in texts(app)
    assert (app.metric[0].label, app.metric[0].value) == ("Calls right", "81 % (70 to 90)")
    assert app.markdown[1].value.endswith("bars. This condition foresees 80 % of bars.")
    app = page("training")
    curves = "".join(str(text.value) for text in app.markdown)
    assert "You mind deep falls" in curves
    assert "KL" not in curves
    app.toggle[0].set_value(True).run()
    assert any("KL" in str(text.value) for text in app.markdown)
    # Where it may be luck, the caution stays, and the sentence agrees with it.
    held_out["accuracy_interval"] = [0.45, 0.9]
    (run / "reward.json").unlink()
    run.rename(run.with_name("b"))
    write_reward(store, run, **found)
    app = page("reward")
    assert app.warning[0].value == chance
    assert "may still be luck" in app.markdown[1].value


def test_reward_page_shows_models_of_this_store_only(store: Store, tmp_path: Path) -> None:
    ranked(store, count=2)
    runs = tmp_path / "runs"
    write_reward(store, runs / "mine")
    write_reward(store, runs / "foreign", answers={"head": "f" * 64, "count": 2})
    write_reward(store, runs / "elsewhere", answers=None)
    write_reward(store, runs / "trained", answers=None)
    for name, trader in (("elsewhere", "drawdown"), ("trained", f"store:{tmp_path / 'store'}")):
        config = {"experiment": {"trader": trader}}
        (runs / name / "config.json").write_text(json.dumps(config))
    ranked(store, rater="bob", count=1)
    app = page("reward")
    assert sorted(app.selectbox[0].options) == [
        "mine · 25 rankings · 1 newer",
        "trained · 25 rankings",
    ]
    assert "2 models of other answers" in texts(app)


def test_worst_explained_answers_have_addresses_and_belong_to_their_rater(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ranked(store, rater="ann", count=2)
    rows = [
        {
            "key": f"{rater}-0", "rater": rater, "query": asked[0].id, "chance": 0.1,
            "episodes": asked[0].episodes, "ranks": [2, 2, 1], "scores": [3.0, 1.0, -1.0],
            "pairs": 3, "otherwise": 2,
        }
        for rater in ("ann", "bob")
    ]  # fmt: skip
    write_reward(store, tmp_path / "runs" / "a", worst=rows)
    app = page("reward", answer="ann-0")
    assert not app.exception
    assert list(app.dataframe[0].value["rater"]) == ["ann", "bob"]
    names = [source_label(store.sources()[name]) for name in asked[0].episodes]
    said = app.dataframe[0].value.iloc[0]
    assert said["answered, best first"] == f"{names[2]} > {names[0]} = {names[1]}"
    assert said["the model would say"] == " > ".join(names)
    assert "Ranked 1, learned reward -1.00" in texts(app)
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("ann", "rater"))
    app = page("reward", answer="bob-0")
    assert list(app.dataframe[0].value["rater"]) == ["ann"]
    assert "Ranked 1" not in texts(app)


@pytest.mark.parametrize(
    ("source", "words", "what"),
    [
        ("hold_-1", "always short", "reference"),
        ("hold_+0", "always flat", "reference"),
        ("hold_+0.5", "always 50 % long", "reference"),
        ("random_20", "random (20 bars)", "reference"),
        ("sma_cross", "sma cross", "strategy"),
        ("my_rule", "my rule", "other"),
        ("policy:120-0-0", "policy of step 120", "policy"),
        ("policy:120-2-0.15", "policy of step 120, 2 before, 15 % random", "policy"),
        (f"policy:{'ab12' * 16}-1", "policy ab12ab12, sampled", "policy"),
        ("policy:careful-2-0-0", "policy careful-2", "policy"),
        ("policy:careful-2-1-0.15", "policy careful-2, 1 before, 15 % random", "policy"),
        (f"policy:{'ab12' * 16}-0-1", "policy ab12ab12, sampled", "policy"),
        ("policy:train-20261122-101010", "policy train-20261122-101010", "policy"),
    ],
)
def test_sources_have_names_that_traders_read(source: str, words: str, what: str) -> None:
    assert source_label(source) == words
    assert source_kind(source, {"sma_cross"}) == what


def test_half_written_files_of_a_run_do_not_break_pages(store: Store, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    (run / "reward.json").write_text('{"values": [')
    (run / "metrics.jsonl").write_text('{"step": 1, "pnl": 0.1}\n{"step": 2, "pn')
    for name in ("reward", "training"):
        assert not page(name).exception


def test_training_shows_the_curves_of_a_run(store: Store, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "train-1"
    run.mkdir(parents=True)
    rows = [{"step": s, "pnl": 0.01 * s, "steps_per_s": 230_000.0} for s in range(1, 5)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = page("training")
    assert [text.value for text in app.markdown] == [
        "Profit per episode: **4** %",
        "Speed: **230,000** steps per second",
    ]
    curves = [json.loads(figure.proto.spec)["data"][0] for figure in app.get("plotly_chart")]
    assert len(curves) == 2
    assert all(curve["type"] == "scatter" for curve in curves)


def test_training_needs_answers(store: Store) -> None:
    app = page("training")
    assert app.button[0].disabled


@pytest.mark.parametrize("name", ["training", "compare", "backtest", "raters", "data", "admin"])
def test_raters_do_not_get_the_leads_pages(
    store: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked(store, rater="ann", count=1)
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("ann", "rater"))
    app = page(name)
    assert "This page is for the role" in texts(app)
    assert not app.button
    assert not app.dataframe


def test_leads_do_not_get_the_admins_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("lea", "lead"))
    assert "This page is for the role" in texts(page("admin"))
    assert "This page is for the role" not in texts(page("training"))


def test_team_mode_without_sign_in_shows_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked(store)
    monkeypatch.setenv("TRADINGHF_AUTH", "local")
    for name in PAGES:
        app = page(name)
        assert "signed out" in texts(app)
        assert not app.dataframe
        assert not app.metric


def test_people_change_their_own_password(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    people = UserAccounts(store)
    people.add("ann", "correct horse battery", "rater", by="test")
    monkeypatch.setenv("TRADINGHF_AUTH", "local")
    monkeypatch.setattr(ui, "require_identity", lambda: Identity("ann", "rater"))
    app = page("account")
    for now, new, said in (
        ("wrong", "a better password!", "Wrong name or password"),
        ("correct horse battery", "short", "at least 12"),
        ("correct horse battery", "a better password!", "Changed"),
    ):
        app.text_input[0].input(now)
        app.text_input[1].input(new)
        app.button[0].click().run()
        assert not app.exception
        assert said in texts(app)
    assert people.sign_in("ann", "a better password!") == Identity("ann", "rater")


def test_admin_adds_users_and_the_trail_shows_it(store: Store) -> None:
    app = page("admin")
    app.text_input[0].input("boss")
    app.selectbox[0].select("admin")
    app.text_input[1].input("a long password!")
    next(b for b in app.button if b.label == "Add user").click().run()
    assert not app.exception
    (person,) = UserAccounts(store).everybody()
    assert (person.name, person.role) == ("boss", "admin")
    assert ("local", "add user", "boss as admin") in [
        row[1:] for row in UserAccounts(store).trail()
    ]


def test_admin_changes_and_invites_and_is_told(store: Store) -> None:
    people = UserAccounts(store)
    for name, role in (("ann", "rater"), ("boss", "admin")):
        people.add(name, "correct horse battery", role, by="test")
    app = page("admin")
    change = next(b for b in app.button if b.label == "Change user")
    change.click().run()
    assert "Nothing was chosen" in texts(app)
    next(s for s in app.selectbox if s.label == "User").select("ann")
    next(s for s in app.selectbox if s.label == "New role").select("lead")
    next(b for b in app.button if b.label == "Change user").click().run()
    assert app.success[0].value == "ann was changed; their sign-ins have ended."
    assert people.get("ann").role == "lead"  # type: ignore[union-attr]
    next(b for b in app.button if b.label == "Make a password link").click().run()
    assert "ann's sign-ins have ended. Send them this link" in app.success[0].value
    assert "/invite?token=" in app.success[0].value
    assert ("local", "change user", "ann: role rater -> lead") in [r[1:] for r in people.trail()]


def test_admin_hears_why_a_user_is_refused(store: Store) -> None:
    app = page("admin")
    app.text_input[0].input("boss")
    app.text_input[1].input("short")
    next(b for b in app.button if b.label == "Add user").click().run()
    assert "at least 12" in texts(app)
    assert app.text_input[0].value == "boss"  # what was typed stays


def test_export_defuses_formulas_and_keeps_the_text(store: Store) -> None:
    ranked(store, count=1)
    app = page("admin")
    app.radio[0].set_value("csv")
    next(b for b in app.button if b.label == "Prepare the file").click().run()
    _, content, count = app.session_state["export"]
    assert count == 1
    cells = [cell for line in content.decode().splitlines() for cell in line.split(",")]
    assert any("cmd|" in cell for cell in cells)
    assert not any(cell.lstrip('"').startswith(("=", "+", "@")) for cell in cells)
