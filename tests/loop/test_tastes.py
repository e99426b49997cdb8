"""Tastes measured without training on each: what is learned is worth more, and runs continue."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tradinghf.loop.labels import TasteBench, run_tastes, taste_table
from tradinghf.loop.labels._tastes import choice, rank_correlation


def test_a_choice_is_worth_what_it_truly_is_in_each_window():
    truth = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    assert choice(truth, truth) == 1.0
    assert choice(-truth, truth) < 0
    upside_down = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert choice(upside_down, truth) == pytest.approx((1.0 - 1.0) / (2.5 - 1.0))
    assert choice(truth, np.ones((2, 3))) == 1.0  # nothing to choose


def test_the_order_is_compared_within_windows():
    truth = np.array([[1.0, 2.0, 3.0], [30.0, 20.0, 10.0], [5.0, 5.0, 5.0]])
    assert rank_correlation(truth + 100 * np.array([[1.0], [2.0], [0.0]]), truth) == 1.0
    assert rank_correlation(-truth, truth) == -1.0
    assert rank_correlation(np.zeros((3, 3)), truth) == 0.0


@pytest.mark.slow
def test_a_taste_in_the_span_is_learned_and_a_run_goes_on(tmp_path):
    bench = TasteBench(
        traders=("drawdown",),
        markets=("momentum",),
        seeds=1,
        rankings=(1, 12),
        windows=6,
        stand_ins=4,
        steps=8192,
    )
    rows = run_tastes(bench, tmp_path)
    assert [row["rankings"] for row in rows] == [1, 12]
    assert rows[1]["accuracy"] > 0.9
    assert rows[1]["rank_unseen"] > 0.9
    assert rows[1]["log_loss"] < rows[0]["log_loss"]
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps([rows[0] | {"accuracy": 0.5}]))
    again = run_tastes(bench, tmp_path)
    assert [row["accuracy"] for row in again] == [0.5]  # what is there is not measured again
    assert "| in span | oracle | 1 |" in taste_table(again)
