"""Other answers than rankings are learned from, and survive the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.episodes import random_episode, window_groups

from tradinghf.cli import main
from tradinghf.errors import FeedbackError
from tradinghf.feedback import SyntheticTrader, rankings_from, read_answers
from tradinghf.feedback.store import Store
from tradinghf.learning.config import AspectConfig, RewardConfig
from tradinghf.learning.reward import RewardModel
from tradinghf.learning.reward._protocol import NEVER_TIED

HEAD = AspectConfig(shapes=0, conditions=0, thresholds=0, levels=0, whiles=0)
PLAIN = RewardConfig(learned=0.0, head=HEAD)
GROUPS, HELD = window_groups(20, length=32), window_groups(40, length=32, seed=1)
EVERYONE = {e.id: e for group in GROUPS + HELD for e in group}
TRADER = SyntheticTrader("time_in_market")


def accuracy(model):
    right = []
    for group in HELD:
        truth, scores = TRADER.utilities(group), model.score(group).double().numpy()
        i, j = np.triu_indices(len(group), 1)
        right += list(np.sign(scores[i] - scores[j]) == np.sign(truth[i] - truth[j]))
    return np.mean(right)


def by_profit():
    right = []
    for group in HELD:
        truth, profit = TRADER.utilities(group), np.array([e.net_return for e in group])
        i, j = np.triu_indices(len(group), 1)
        right += list(np.sign(profit[i] - profit[j]) == np.sign(truth[i] - truth[j]))
    return np.mean(right)


def test_labels_alone_teach():
    typical = np.median([u for g in GROUPS for u in TRADER.utilities(g)])
    answers = [
        ranking
        for i, g in enumerate(GROUPS)
        for ranking in rankings_from(
            "labels", g, [bool(u > typical) for u in TRADER.utilities(g)], session=f"s{i}"
        )
    ]
    model = RewardModel(PLAIN).fit(answers, EVERYONE)
    assert accuracy(model) >= 0.9
    assert accuracy(model) > by_profit() + 0.02
    assert float(model.log_tie) == NEVER_TIED  # two good ones are not told to be equal
    assert not model.warnings


def test_demonstrations_teach():
    answers = []
    for group in GROUPS:
        own = int(np.argmax(TRADER.utilities(group)))
        answers += rankings_from("best", group, own, rater="ann")
    assert len(answers) == 4 * len(GROUPS)
    model = RewardModel(PLAIN).fit(answers, EVERYONE)
    assert accuracy(model) >= 0.9


def test_what_cannot_be_compared_is_refused():
    first, other = GROUPS[0][0], GROUPS[1][0]
    with pytest.raises(FeedbackError, match="episodes of one window"):
        rankings_from("best", [first, other], 0)
    with pytest.raises(FeedbackError, match="compares no two episodes"):
        rankings_from("best", [first, first], 0)
    with pytest.raises(FeedbackError, match="expected 2 to"):
        rankings_from("labels", [first], [True])
    with pytest.raises(FeedbackError, match=r"is no 'best' of 5 episodes .*The place"):
        rankings_from("best", GROUPS[0], 5)
    with pytest.raises(FeedbackError, match="Did you mean 'labels'"):
        rankings_from("labelz", GROUPS[0], [])


def test_the_store_keeps_labels_and_the_same_label_twice_is_one_answer(tmp_path):
    group = [random_episode(i, window=1) for i in range(3)]
    (said,) = rankings_from("labels", group, [True, False, False], rater="ann")
    with Store(tmp_path / "store") as store:
        store.add_episodes(group)
        assert store.submit(said)
        (again,) = rankings_from("labels", group, [True, False, False], rater="ann")
        assert not store.submit(again)
        kept = store.rankings()
    assert [r.ratings for r in kept] == [(5, 1, 1)]
    assert kept[0].key == said.key


def test_a_type_of_ones_own_is_imported_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names its function in a file, and answers come as JSON lines."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from tradinghf.feedback._answer_types import Comparison\n\n"
        "def worst(shown, said):\n"
        "    for i, other in enumerate(shown):\n"
        "        if i != said:\n"
        "            yield Comparison((other, shown[said]), ranks=(1, 2))\n"
    )
    group = GROUPS[0][:3]
    rows = [
        {"episodes": [e.id for e in group], "answer": said, "rater": "ann"} for said in (2, " ")
    ]
    Path("said.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with Store("store") as store:
        store.add_episodes(group)
    for new in (2, 0):
        assert main(["feedback", "import", "said.jsonl", "--format", "mine.py:worst"]) == 0
        assert f"{new} new rankings of 2" in capsys.readouterr().out
    with Store("store") as store:
        kept = store.rankings()
        assert [(r.episodes, r.ranks) for r in kept] == [
            ((e.id, group[2].id), (1, 2)) for e in group[:2]
        ]
        Path("said.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        with pytest.raises(FeedbackError, match=r"said\.jsonl, line 2: The answer ' ' is no"):
            read_answers("said.jsonl", "best", store.episode)
        Path("said.jsonl").write_text('{"episodes": []}')
        with pytest.raises(FeedbackError, match=r'line 1: KeyError: .*"episodes", ids of stored'):
            read_answers("said.jsonl", "best", store.episode)
    assert main(["feedback", "import", "said.jsonl", "--format", "bets"]) == 2
    assert "Did you mean 'best'" in capsys.readouterr().err
