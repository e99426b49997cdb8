"""The leaderboard: what is chosen when, what the tables say, and that a stopped run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tradinghf.bench import BoardBench, measure_board
from tradinghf.bench._board_cells import (
    QUARTER,
    WARM,
    measure_cell,
    quarterly_choice,
    too_short,
    turbulent,
)
from tradinghf.bench._board_published import PUBLISHED, what_remains
from tradinghf.bench._board_table import board_markdown, board_of
from tradinghf.errors import CheckpointError, ConfigError
from tradinghf.feedback.store import Store
from tradinghf.market import load_market, save_market, synthetic


def test_the_ensemble_follows_the_best_of_the_last_quarter_and_no_later_bar() -> None:
    bars = WARM + 2 * QUARTER
    asked = np.full((2, bars, 1), np.nan)
    asked[0, 0], asked[1, 0] = 1.0, -1.0
    rng = np.random.default_rng(0)
    earned = rng.normal(0, 0.01, (bars, 2))
    earned[:WARM, 0] += 0.01
    earned[WARM:, 1] += 0.01
    calm = np.zeros(bars)
    held = quarterly_choice(asked, earned, calm)[:, 0]
    orders = {int(bar): float(held[bar]) for bar in np.flatnonzero(~np.isnan(held))}
    assert orders == {0: 1.0, WARM + QUARTER: -1.0}
    stormy = calm.copy()
    stormy[WARM + 5] = 1
    left = quarterly_choice(asked, earned, stormy)[:, 0]
    assert (left[WARM + 5], left[WARM + 6]) == (0.0, 1.0)
    later = earned.copy()
    later[WARM + QUARTER + 1 :] = rng.normal(0, 0.1, later[WARM + QUARTER + 1 :].shape)
    np.testing.assert_array_equal(quarterly_choice(asked, later, calm)[:, 0], held)


def test_turbulence_is_judged_by_what_was_known() -> None:
    market = synthetic(seed=1, bars=700, assets=3)
    whole = turbulent(market, 490)
    assert 0 < whole[:490].mean() < 0.02
    np.testing.assert_array_equal(turbulent(market.rows(0, 600), 490), whole[:600])


def test_the_table_deflates_by_every_seed_and_knows_the_best() -> None:
    rng = np.random.default_rng(0)
    held = rng.normal(0.0003, 0.01, 600)

    def cell(seed: int | None, **returns: np.ndarray) -> dict[str, object]:
        rows = {name: {"returns": r.tolist(), "turnover": 1.0} for name, r in returns.items()}
        return {"data": "x", "seed": seed, "cpu_seconds": 1.0, "contenders": rows}

    cells = [cell(None, buy_and_hold=held, good=held + rng.normal(0.002, 0.001, 600))]
    cells += [cell(seed, agent=rng.normal(0, 0.01, 600)) for seed in range(5)]
    board = board_of(cells, 252.0)
    rows = {row["contender"]: row for row in board["rows"]}
    assert board["trials"] == 7
    assert board["rows"][0]["contender"] == "good"
    assert board["superior"] == ["good"]
    assert board["spa_p"] < 0.05
    agent = rows["agent"]
    ratios = sorted(agent["sharpe_of_seeds"])
    assert agent["sharpe"] == ratios[2]
    hand = np.sqrt(252) * held.mean() / held.std(ddof=1)
    assert rows["buy_and_hold"]["sharpe"] == pytest.approx(hand)
    assert rows["buy_and_hold"]["above_buy_and_hold_pct"][0] == pytest.approx(0)
    assert agent["deflated_best_seed"] > agent["deflated"]
    remains = {"claims": [], "years": 1, "data": "x", "accounts": 1, "fee_bps": 10.0}
    told = {"y": "too few bars"}
    text = board_markdown({"x": board}, remains | {"worst_return_pct": -1.0}, told)
    assert "## Not run\n\n- y: too few bars.\n" in text
    assert "7 trials. Beats buy and hold, family-wise at 5 %: good" in text


@pytest.mark.slow
def test_published_ratios_are_reached_without_skill(tmp_path: Path) -> None:
    save_market(synthetic(seed=2, bars=1300, assets=6), tmp_path / "bars.csv")
    found = what_remains(str(tmp_path / "bars.csv"), seeds=3)
    assert (found["years"], found["accounts"]) == (5, 15)
    assert [row["method"] for row in found["claims"]] == list(PUBLISHED)
    for row in found["claims"]:
        low, high = row["interval"]
        assert low < 0 < row["sharpe"] < high  # a single year proves none of them
        assert row["deflated"]["1"] > row["deflated"]["10"] > row["deflated"]["50"]
        assert row["best_paid"] >= row["paid"]
        assert row["free"] >= row["paid"]
    assert found["worst_return_pct"] >= -100


@pytest.mark.slow
def test_a_board_is_sealed_goes_on_where_it_stopped_and_reruns_to_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradinghf.bench._board.what_remains", lambda: {
        "claims": [], "years": 0, "data": "", "accounts": 0, "fee_bps": 0.0,
        "worst_return_pct": 0.0,
    })  # fmt: skip
    bars = tmp_path / "bars.csv"
    save_market(synthetic(seed=3, bars=1500, assets=1), bars)
    bench = BoardBench(data=(str(bars),), seeds=1, steps=1024, rankings=3, envs=16)
    first = measure_board(bench, tmp_path / "out")
    rows = {row["contender"] for row in first["boards"][str(bars)]["rows"]}
    assert {"sma_cross, tuned", "PPO on PnL", "RLHF", "ensemble of agents"} <= rows
    market = load_market(str(bars))
    with Store(tmp_path / "out" / "store") as store:
        assert [s.name for s in store.trial_log(market.sha256, "seal")] == [
            f"{market.index[1050]:%Y-%m-%d}"
        ]
        assert len(store.trial_log(market.sha256, "opening")) == 1
    agents = next((tmp_path / "out").glob("*-0.json"))
    kept = json.loads(agents.read_text())
    agents.unlink()
    again = measure_board(bench, tmp_path / "out")
    assert again["markdown"] == first["markdown"]
    assert json.loads(agents.read_text())["contenders"] == kept["contenders"]
    with pytest.raises(CheckpointError, match="other settings"):
        measure_board(BoardBench(data=bench.data, steps=2048), tmp_path / "out")


def test_bars_too_few_for_a_table_are_said(tmp_path: Path) -> None:
    """512 bars before the sealed 30 % are needed: 731 bars are 511, 732 are 512."""
    for bars in (731, 732):
        save_market(synthetic(seed=3, bars=bars, assets=1), tmp_path / f"{bars}.csv")
    assert too_short(str(tmp_path / "732.csv")) is None
    short = str(tmp_path / "731.csv")
    assert too_short(short) == "511 of its 731 bars come before the sealed ones, 512 are needed"
    with pytest.raises(ConfigError, match="511 of its 731 bars"):
        measure_board(BoardBench(data=(short,), seeds=0), tmp_path / "out")
    assert not list((tmp_path / "out").glob("*-rules.json"))


def test_rules_see_no_sealed_bar(tmp_path: Path) -> None:
    """The tuned parameters and all orders up to a bar stay, whatever comes after it."""
    market = synthetic(seed=4, bars=1200, assets=1)
    save_market(market, tmp_path / "a.csv")
    cut = 900
    stretched = market.to_frame()
    stretched.iloc[cut:, :4] *= np.linspace(1, 3, 300)[:, None]
    stretched.to_csv(tmp_path / "b.csv")
    bench = BoardBench(data=("x",), seeds=0)
    one, two = (measure_cell(bench, (str(tmp_path / name), None)) for name in ("a.csv", "b.csv"))
    sealed = int(0.7 * 1200)
    for name, row in one["contenders"].items():
        same = cut - sealed
        np.testing.assert_allclose(
            row["returns"][:same], two["contenders"][name]["returns"][:same], atol=1e-9
        )
