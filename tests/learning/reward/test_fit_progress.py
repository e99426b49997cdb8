"""How far a fit is: shares by hand, a real fit from end to end, and silence where it is quick."""

from __future__ import annotations

import pytest
from support.episodes import window_groups

from tradinghf.cli._progress import fit_bar
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.reward import RewardModel, _fit_progress, watching
from tradinghf.learning.reward._fit_progress import advance, begin_fit, begin_search


def two_fits() -> None:
    """One of two searches, of which the first ends after half of its rounds; one of a single."""
    begin_fit(2)
    begin_search()
    advance(0.25)
    advance(0.5)
    begin_search()
    advance(0.5)
    begin_fit(1)
    begin_search()
    advance(0.25)
    advance(0.5)


def test_shares_are_of_all_fits_and_never_fall() -> None:
    told: list[tuple[int, int]] = []
    with watching(lambda done, total: told.append((done, total)), fits=2, after=0.0):
        two_fits()
        advance(0.1)
    assert [done for done, _ in told] == [0, 6, 12, 25, 37, 50, 62, 75, 100]
    assert {total for _, total in told} == {100}


def test_more_fits_than_foreseen_end_at_all_of_it() -> None:
    told: list[int] = []
    with watching(lambda done, _: told.append(done), fits=1, after=0.0):
        two_fits()
    assert max(told) == 100
    assert told == sorted(told)


def test_a_quick_fit_is_silent_and_a_slow_one_tells_from_then_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(_fit_progress.time, "monotonic", lambda: now[0])
    told: list[int] = []
    with watching(lambda done, _: told.append(done)):
        two_fits()
    assert told == []
    with fit_bar():
        begin_fit(2)
        begin_search()
        now[0] += 2.5
        advance(0.5)
        begin_search()
    assert capsys.readouterr().err.splitlines() == [
        "fitting 25/100",
        "fitting 50/100",
        "fitting 100/100",
    ]


def test_nobody_is_told_outside_of_the_block_or_after_it_failed() -> None:
    told: list[int] = []
    with pytest.raises(ValueError, match="broken"), watching(lambda done, _: told.append(done)):
        raise ValueError("broken")
    two_fits()
    assert told == []


def test_a_fit_tells_of_all_its_searches() -> None:
    groups = window_groups(9)
    trader = SyntheticTrader("drawdown", "oracle")
    answers = [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]
    told: list[int] = []
    with watching(lambda done, _: told.append(done), after=0.0):
        RewardModel().fit(answers, {e.id: e for group in groups for e in group})
    assert told[-1] == 100
    # One search of all answers and three without a third of them: each begins at a quarter.
    assert {0, 25, 50, 75} <= set(told)
