"""A fit as files: what it says of a trader whose taste is known, and of one slip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.dashboard import fill_store

from tradinghf.errors import FeedbackError
from tradinghf.feedback import Ranking
from tradinghf.feedback.store import Store
from tradinghf.learning.reward import _run as reward_run
from tradinghf.learning.reward import fit_reward_run
from tradinghf.learning.reward._held_out import rise
from tradinghf.learning.reward._run import PERCENT, plateau

SLIP = 3


def ranks(scores: list[float]) -> tuple[int, ...]:
    order = np.argsort(np.argsort(-np.array(scores)))
    return tuple(int(place) + 1 for place in order)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """Ann ranks by profit less twice the drawdown, and once the wrong way round; Bob by profit."""
    folder = tmp_path_factory.mktemp("fit")
    store = Store(folder / "store")
    for number, query in enumerate(fill_store(store, queries=16, panels=4, bars=40)):
        episodes = store.episodes(query.episodes)
        scores = [e.net_return - 2 * e.drawdown.max() for e in episodes]
        if number == SLIP:
            scores = [-score for score in scores]
        said = Ranking(f"ann-{number}", query.episodes, ranks(scores), query.id, "ann")
        store.submit(said)
        if number < 8:
            profit = ranks([e.net_return for e in episodes])
            store.submit(Ranking(f"bob-{number}", query.episodes, profit, query.id, "bob"))
    with pytest.MonkeyPatch.context() as patch:
        # Cross-validation fits the model five times more, and has tests of its own.
        patch.setattr(reward_run, "cross_validate", lambda *_, **__: {"accuracy": 1.0})
        told: list[tuple[str, int, int]] = []
        fit_reward_run(store, folder / "run", progress=lambda *row: told.append(row))
    (folder / "told.json").write_text(json.dumps(told))
    return store, folder / "run"


def found(fitted: tuple[Store, Path]) -> dict:
    return json.loads((fitted[1] / "reward.json").read_text())


def test_each_phase_is_told_from_nothing_to_all_of_it(fitted: tuple[Store, Path]) -> None:
    told = json.loads((fitted[1].parent / "told.json").read_text())
    names = list(dict.fromkeys(name for name, _, _ in told))
    judging = "judging it on answers kept back"
    assert names == ["fitting", judging, "what each trader values", "done"]
    for name in names[:3]:
        done = [hundredths for of, hundredths, _ in told if of == name]
        assert (done[0], done[-1]) == (0, 100)
        assert done == sorted(done)
    assert len({done for name, done, _ in told if name == "fitting"}) > 4
    assert {total for _, _, total in told} == {100}


def test_each_trader_is_told_apart(fitted: tuple[Store, Path]) -> None:
    traders = found(fitted)["traders"]
    assert list(traders) == ["ann", "bob"]
    weight = {
        rater: {row["name"]: row for row in about["values"]}["max_drawdown"]
        for rater, about in traders.items()
    }
    assert weight["ann"]["weight"] < -1.0
    assert abs(weight["bob"]["weight"]) < 0.3
    assert weight["ann"]["says"] == "1 % of maximum drawdown"


def test_the_slip_is_the_answer_explained_worst(fitted: tuple[Store, Path]) -> None:
    worst = found(fitted)["worst"]
    assert worst[0]["key"] == f"ann-{SLIP}"
    assert worst[0]["otherwise"] > worst[0]["pairs"] / 2
    assert [row["chance"] for row in worst] == sorted(row["chance"] for row in worst)
    assert all(row["otherwise"] > 0 for row in worst)


def test_bars_are_paid_in_percent_of_profit(fitted: tuple[Store, Path]) -> None:
    store, run = fitted
    about, bars = found(fitted), load_file(run / "bar_rewards.safetensors")
    assert about["bar_unit"] == PERCENT
    assert set(bars) == {info.id for info in store.episode_infos()}
    drawdown = {row["name"]: row["weight"] for row in about["values"]}["max_drawdown"]
    for episode in store.episodes(list(bars)[:8]):
        so_far, spread = bars[episode.id]
        assert so_far.shape == (episode.bars,)
        assert (spread >= 0).all()
        told = 100 * episode.net_return + drawdown * 100 * episode.drawdown.max()
        assert so_far[-1] == pytest.approx(told, abs=4 + 3 * float(spread[-1]))


def test_the_fit_notes_which_answers_it_rests_on(fitted: tuple[Store, Path]) -> None:
    store, _ = fitted
    answers = found(fitted)["answers"]
    assert (answers["head"], answers["count"]) == (store.health()["head"], 24)
    assert 0 <= found(fitted)["disagreement"] < 0.5
    assert found(fitted)["profit_correlation"] > 0.5


def test_nothing_ranked_is_nothing_fitted(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(FeedbackError):
        fit_reward_run(store, tmp_path / "run")


def test_what_more_answers_brought_is_told_with_its_error() -> None:
    sure, unsure = np.array([0.9, 0.05, 0.05]), np.array([0.05, 0.05, 0.9])
    outcomes, owner = np.zeros(8, dtype=np.int64), np.repeat(np.arange(4), 2)
    now, before = np.tile(sure, (8, 1)), np.tile(sure, (8, 1))
    assert rise((now, outcomes, owner), (before, outcomes, owner)) == (0.0, 0.0)
    before[:4] = unsure  # half of the rankings were called wrongly
    gained, error = rise((now, outcomes, owner), (before, outcomes, owner))
    assert gained == 0.5
    assert error == pytest.approx(np.sqrt(4 * 1.0**2) / 8)


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        ({"accuracy": 0.9, "rise": (0.001, 0.01), "held_out_rankings": 40}, True),
        ({"accuracy": 0.9, "rise": (-0.02, 0.01), "held_out_rankings": 40}, True),
        ({"accuracy": 0.9, "rise": (0.03, 0.01), "held_out_rankings": 40}, False),
        ({"accuracy": 0.99, "rise": (0.0, 0.01), "held_out_rankings": 40}, False),
        ({"accuracy": 0.9, "rise": (0.001, 0.01), "held_out_rankings": 10}, False),
        ({"accuracy": 0.9, "held_out_rankings": 40}, False),
        ({}, False),
    ],
)
def test_it_is_said_aloud_when_more_answers_stop_helping(held_out: dict, said: bool) -> None:
    texts = plateau(held_out)
    assert bool(texts) is said
    assert all("stopped rising: 90 %" in text for text in texts)
