"""The label-efficiency benchmark: what is trained, what is summarised, what is continued."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tradinghf.cli import main
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.loop.labels import LabelBench, markdown, run_labels, summarise
from tradinghf.loop.labels._cells import Cell
from tradinghf.loop.labels._summary import iqm, iqm_interval, scored

TINY = LabelBench(
    traders=("drawdown",),
    markets=("momentum",),
    seeds=1,
    rankings=(3,),
    steps=4096,
    envs=32,
    test_episodes=64,
)


def test_iqm_known_answers() -> None:
    assert iqm(np.array([0.0, 1.0, 2.0, 100.0])) == 1.5
    assert iqm(np.arange(8.0)) == 3.5
    # Five values: a quarter is 1.25, so the second and the fourth count three quarters.
    assert iqm(np.array([0.0, 1.0, 2.0, 4.0, 9.0])) == pytest.approx((0.75 + 2 + 3) / 2.5)
    assert iqm(np.array([1.0, 3.0])) == 2.0


def test_the_interval_resamples_within_strata() -> None:
    """Traders that differ do not widen it; seeds that differ do."""
    apart = [np.full(5, 0.2), np.full(5, 0.9)]
    assert iqm_interval(apart) == pytest.approx((0.55, 0.55))
    assert iqm_interval([np.array([0.5]), np.array([0.1, 0.2])]) is None
    rng = np.random.default_rng(0)
    noisy = [rng.normal(0.5, 0.1, 20) for _ in range(4)]
    found = iqm_interval(noisy)
    assert found is not None
    low, high = found
    centre = iqm(np.concatenate(noisy))
    assert low < centre < high
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(80) * 1.2, rel=0.35)


def found(kind: str, utility: float, **about: Any) -> dict[str, Any]:
    base = {"kind": kind, "market": "m", "seed": 0, "trader": "t", "teacher": "oracle"}
    marks = {"rankings": 25, "bits": 172.0, "accuracy": 0.9, "f1": 0.9, "ece": 0.01}
    return {**base, **marks, "utility": utility, **about}


def test_s_g_and_harm() -> None:
    true = found("true", 1.0, utility_random=-1.0, utility_pnl=0.5)
    rows = scored([true, found("rlhf", 0.8), found("rlhf", 0.39, seed=0, rankings=10)])
    good, bad = rows[1], rows[2]
    assert good["S"] == pytest.approx(0.9)
    assert good["G"] == pytest.approx(0.6)
    assert good["S_pnl"] == pytest.approx(0.75)
    assert not good["harm"]
    assert bad["harm"]  # 0.39 < 0.5 - 5 % of 2
    near = found("true", 1.0, utility_random=-1.0, utility_pnl=0.9)
    assert scored([near, found("rlhf", 0.8)])[1]["G"] is None
    assert scored([found("rlhf", 0.8)]) == []


def test_the_best_known_policy_is_the_yardstick() -> None:
    """Where the policy under test, or PPO on PnL, beats PPO on the true utility."""
    true = found("true", 1.0, utility_random=-1.0, utility_pnl=0.5)
    better, worse = scored([true, found("rlhf", 1.5), found("rlhf", 0.5, rankings=10)])[1:]
    assert (better["S"], better["G"]) == (1.0, 1.0)
    assert worse["S"] == pytest.approx(1.5 / 2.5)
    beaten = found("true", 0.4, utility_random=-1.0, utility_pnl=0.5)
    row = scored([beaten, found("rlhf", 0.3)])[1]
    assert row["G"] is None
    assert row["S"] == pytest.approx(1.3 / 1.5)
    assert row["lost"] == pytest.approx(0.2 / 1.5)


def test_a_yardstick_that_still_rises_is_told() -> None:
    flat = [[step, min(step / 4, 1.0)] for step in range(1, 9)]
    rising = [[step, step / 8] for step in range(1, 9)]
    for curve, expected in ((flat, True), (rising, False), ([], False)):
        true = found("true", 1.0, utility_random=0.0, utility_pnl=0.5, curve=curve)
        assert scored([true, found("rlhf", 0.8)])[1]["converged"] is expected


def test_the_mean_of_g_stands_beside_its_worst_cell_and_what_is_lost_elsewhere() -> None:
    rows = []
    for trader, pnl, own in (("a", 0.5, 0.9), ("b", 0.5, 0.7), ("c", 0.95, 0.85)):
        rows.append(found("true", 1.0, utility_random=0.0, utility_pnl=pnl, trader=trader))
        rows.append(found("rlhf", own, trader=trader))
    (row,) = summarise(rows)
    assert row["G_mean"] == pytest.approx(0.6)
    assert row["G_worst"] == pytest.approx(0.4)
    assert row["lost"] == pytest.approx(0.1)
    assert "0.600 (0.40) of 2 | 0.10 |" in markdown([row])


def test_the_summary_names_the_worst_utility() -> None:
    rows = []
    for trader, utility in (("a", 0.9), ("b", 0.2)):
        rows.append(found("true", 1.0, utility_random=0.0, utility_pnl=0.5, trader=trader))
        rows += [found("rlhf", utility, trader=trader, seed=0)]
    (row,) = summarise(rows)
    assert row["worst"] == "b"
    assert row["worst_S"] == pytest.approx(0.2)
    assert row["harmed"] == 1
    assert "0.20 (b)" in markdown([row])


def test_harm_that_the_gate_kept_from_trading_is_told_from_harm_that_it_let_through() -> None:
    true = found("true", 1.0, utility_random=-1.0, utility_pnl=0.5)
    kept = found("rlhf", 0.1, gate="unclear", deployed=None)
    through = found("rlhf", 0.8, gate="deploy", deployed=0.8)
    slipped = found("rlhf", 0.8, gate="deploy", deployed=0.3)
    (row,) = summarise([true, kept, through, slipped])
    assert row["harmed"] == 1
    assert row["gate"] == {"judged": 3, "deployed": 2, "harmed": 1}
    assert summarise([true, found("rlhf", 0.1)])[0]["gate"] is None


def test_cells_are_distinct_and_later_teachers_rank_most_only() -> None:
    bench = LabelBench(teachers=("oracle", "mistakes"), traders=("drawdown", "x/y.py:odd"))
    cells = [cell for phase in bench.cells() for cell in phase]
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    assert all("/" not in name for name in names)
    counts = {c.rankings for c in cells if c.teacher == "mistakes"}
    assert counts == {50}
    assert {c.rankings for c in cells if c.kind == "rlhf"} == {10, 25, 50}
    with pytest.raises(ConfigError, match="at least one"):
        LabelBench(traders=())


@pytest.mark.slow
def test_a_stopped_benchmark_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    first = run_labels(TINY, tmp_path)
    kinds = [row["kind"] for row in first]
    assert kinds == ["pnl", "true", "rlhf", "plain"]
    for row in first[2:]:
        assert row["bits"] == pytest.approx(3 * np.log2(120), abs=1)
        assert 0 <= row["accuracy"] <= 1
        assert row["gate"] in {"deploy", "keep", "unclear"}
        assert (row["deployed"] is not None) == (row["gate"] == "deploy")
    curve = next(row for row in first if row["kind"] == "true")["curve"]
    assert curve[-1][0] == 4096
    lost = tmp_path / f"{Cell('rlhf', 'momentum', 0, 'drawdown', 'oracle', 3).name}.json"
    before = json.loads(lost.read_text())
    lost.unlink()
    again = run_labels(TINY, tmp_path)
    assert again == first
    assert json.loads(lost.read_text()) == before
    with pytest.raises(CheckpointError, match="other settings"):
        run_labels(dataclasses.replace(TINY, steps=8192), tmp_path)


def test_the_command_writes_json_and_markdown(tmp_path: Path) -> None:
    bench = LabelBench(traders=("drawdown",), markets=("momentum",), seeds=1, rankings=(3,))
    out, target = tmp_path / "out", tmp_path / "labels.json"
    out.mkdir()
    for phase in bench.cells():
        for cell in phase:
            row = dataclasses.asdict(cell) | found(cell.kind, 0.5, rankings=cell.rankings)
            row |= {"market": "momentum", "trader": cell.trader, "teacher": cell.teacher}
            row |= {"utility_random": 0.0, "utility_pnl": 0.2} if cell.kind == "true" else {}
            (out / f"{cell.name}.json").write_text(json.dumps(row))
    words = ["--traders", "drawdown", "--markets", "momentum", "--seeds", "1", "--rankings", "3"]
    assert main(["bench", "labels", *words, "--out", str(out), "--json", str(target)]) == 0
    written = json.loads(target.read_text())
    assert written["settings"]["steps"] == 800_000
    assert [row["S"] for row in written["summary"]] == [1.0, 1.0]
    assert "S, IQM" in target.with_suffix(".md").read_text()
