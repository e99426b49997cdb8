"""What a fitted model says of itself: the answers it fits worst, and the reward of each bar."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from tradinghf.cli._reward import reward_show
from tradinghf.errors import CheckpointError
from tradinghf.learning.reward import reward_figure, worst_rows

NAMES = [f"{i}" * 12 for i in range(3)]
WORST = [
    {
        "key": "k",
        "rater": "ann",
        "query": "0123456789abcdef",
        "episodes": NAMES,
        "ranks": [3, 1, 2],
        "scores": [2.0, 1.0, 0.5],
        "chance": 0.12,
        "pairs": 3,
        "otherwise": 2,
    }
]


def rewards():
    rng = np.random.default_rng(0)
    drift = np.array([1.0, 0.5, -0.5])
    return {
        name: np.stack(
            [(drift[i] * 0.02 + rng.normal(0, 0.3, 64)).cumsum(), 0.05 * np.arange(1, 65) ** 0.7]
        ).astype(np.float32)
        for i, name in enumerate(NAMES)
    }


def test_worst_rows_set_the_answer_beside_what_was_foreseen():
    assert worst_rows(WORST) == [("ann", "0123456789ab", "3 1 2", "1 2 3", 0.12, "2 of 3")]
    assert worst_rows(WORST, most=0) == []


def test_the_figure_shows_each_episode_with_its_band_best_first():
    paid = rewards()
    figure = reward_figure(paid, WORST[0], "percent of profit")
    lines = [trace for trace in figure.data if trace.showlegend is not False]
    assert [line.name for line in lines] == [
        "ranked 1: 11111111",
        "ranked 2: 22222222",
        "ranked 3: 00000000",
    ]
    np.testing.assert_allclose(lines[0].y, paid[NAMES[1]][0])
    band = next(trace for trace in figure.data if trace.fill == "toself")
    np.testing.assert_allclose(band.y[:64] - band.y[64:][::-1], 3.28 * paid[NAMES[1]][1], rtol=1e-4)


def test_reward_show_prints_the_worst_fits_and_writes_the_page(tmp_path, capsys):
    values = [{"name": "profit", "sentence": "1 % of profit is the yardstick.", "probability": 1.0}]
    found = {"values": values, "worst": WORST, "bar_unit": "percent of profit"}
    (tmp_path / "reward.json").write_text(json.dumps(found))
    page = tmp_path / "reward.html"
    with pytest.raises(CheckpointError, match="reward fit"):
        reward_show(tmp_path, plot=page)
    save_file(rewards(), tmp_path / "bar_rewards.safetensors")
    reward_show(tmp_path, plot=page)
    printed = capsys.readouterr().out
    assert "The answers that it fits worst" in printed
    assert "2 of 3" in printed
    assert "ranked 1: 11111111" in page.read_text()
