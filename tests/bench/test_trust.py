"""A part of each trust test, in seconds; the whole is `tradinghf bench trust`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tradinghf.bench import _no_harm as no_harm
from tradinghf.bench import _trust as trust
from tradinghf.evaluation import check_strategy
from tradinghf.market import MarketData, synthetic
from tradinghf.resources import resource_dir

FEW = [
    "month_end_only",
    "answers_in_a_cache",
    "rare_crash_exit",
    "survivors",
    "month_transform_last",
]
SUSPICIOUS = ["turn_of_the_month", "confirmed_pivots", "kept_per_call"]


@pytest.fixture(scope="module")
def market() -> MarketData:
    return synthetic(1, 400, 2, "mixed")


def kinds(file: Path, market: MarketData) -> list[str]:
    return [f.kind for f in check_strategy(str(file), market, points=4) if f.severity == "error"]


def test_there_are_fifty_planted_files_and_thirty_honest_ones() -> None:
    folder = resource_dir("leaks")
    assert len(list((folder / "planted").glob("*.py"))) == 50
    assert len(list((folder / "honest").glob("*.py"))) == 30


@pytest.mark.parametrize("name", FEW)
def test_planted_leaks_that_act_rarely_or_hide_are_caught(name: str, market: MarketData) -> None:
    assert kinds(resource_dir("leaks") / "planted" / f"{name}.py", market) == ["look-ahead"]


@pytest.mark.parametrize("name", SUSPICIOUS)
def test_honest_ones_that_look_suspicious_pass(name: str, market: MarketData) -> None:
    assert kinds(resource_dir("leaks") / "honest" / f"{name}.py", market) == []


ORACLE = '''
import pandas as pd
from tradinghf import strategy

@strategy
def oracle(market):
    """Long where the file says that the next move is up."""
    known = pd.read_csv("answers.csv", index_col=0, parse_dates=True)["up"]
    held = known.reindex(market.index.tz_localize(None)).fillna(0.0).to_numpy()
    return held[:, None].repeat(market.assets, axis=1) / market.assets
'''


def test_a_file_with_the_answers_is_an_error_and_another_one_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, market: MarketData
) -> None:
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    Path("oracle.py").write_text(ORACLE)
    days = market.index.tz_localize(None)
    up = pd.Series(trust._next_moves(market)[:, 0] > 0, index=days, name="up").astype(float)
    up.to_csv("answers.csv")
    assert "answers from a file" in kinds(Path("oracle.py"), market.select([market.symbols[0]]))
    up.iloc[:] = (days.month < 6).astype(float)  # a calendar: no answers
    up.to_csv("answers.csv")
    found = check_strategy("oracle.py", market, points=4)
    reads = next(f for f in found if f.kind == "reads files")
    assert reads.severity == "warning"
    assert "answers.csv" in reads.message
    assert not [f for f in found if f.severity == "error"]


def test_an_agent_that_sees_the_future_learns_nearly_all_of_it() -> None:
    assert trust.oracle_share(200_000)["share"] > 0.95


def test_noise_is_not_called_proven() -> None:
    assert trust.noise_claims(3)["claims"] == 0.0


@pytest.mark.parametrize("world", [w for w in no_harm.WORLDS if w.assets == 1][:6])
def test_worlds_have_the_mean_difference_that_they_say(world: no_harm.World) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    parts = [p["profit"] for p in no_harm._worlds(world, -0.2, 500, rng)]
    seen = np.concatenate(parts).mean(axis=(1, 2)) / no_harm._SPREAD
    error = seen.std() / len(seen) ** 0.5
    assert abs(seen.mean() + 0.2) < 4 * error + 0.01
