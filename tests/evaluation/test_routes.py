"""Scripts and notebooks: every route counts its trials, and none passes a seal."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.evaluation import make_market
from support.versions import with_close

from tradinghf import CostModel, EnvConfig, MarketData, backtest, load_market, strategy
from tradinghf.errors import ConfigError, MarketDataWarning
from tradinghf.evaluation import (
    Study,
    cross_validate_parameters,
    open_study,
    search,
    sweep,
    walk_forward,
    walk_forward_policy,
)
from tradinghf.feedback.store import Store

DATA = "synthetic:bars=300,assets=1,seed=2"
MARKET = make_market(400, seed=7)
LAST_DAY = str(MARKET.index[394].date())
GRID = {"fast": [3, 5], "slow": [10, 20]}
WALK: dict[str, Any] = {"train_bars": 150, "test_bars": 100}
RULE = '''
from tradinghf import strategy
import numpy as np

@strategy
def mine(market, *, size: float = 0.5):
    """Hold.

    Args:
        size: share of the equity.
    """
    return np.full(market.bars, {body})
'''


class Level:
    """A policy that holds a share of the equity; it has no fingerprint."""

    def __init__(self, level: float) -> None:
        self.config, self.level = EnvConfig(lookback=2, actions="continuous"), level

    def act(self, obs: Any, deterministic: bool = True) -> Any:
        return obs.new_full((len(obs), 1), self.level)


def _backtest(market: MarketData, **how: Any) -> Any:
    return backtest("sma_cross", market, **how)


def _sweep(market: MarketData, **how: Any) -> Any:
    return sweep("sma_cross", market, GRID, **how)


def _search(market: MarketData, **how: Any) -> Any:
    return search("sma_cross", market, GRID, limit=3, **how)


def _walk(market: MarketData, **how: Any) -> Any:
    return walk_forward("sma_cross", market, GRID, **WALK, **how)


def _walk_policies(market: MarketData, **how: Any) -> Any:
    return walk_forward_policy(lambda *_: Level(0.5), market, **WALK, **how)


def _folds(market: MarketData, **how: Any) -> Any:
    return cross_validate_parameters("sma_cross", market, GRID, folds=4, test_folds=1, **how)


ROUTES = [(_backtest, 1), (_sweep, 4), (_search, 3), (_walk, 1), (_walk_policies, 1), (_folds, 4)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


_NEEDING = [
    pytest.param(route, marks=pytest.mark.extra("optuna")) if route[0] is _search else route
    for route in ROUTES
]


@pytest.fixture(params=_NEEDING, ids=lambda route: route[0].__name__)
def route(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], int]:
    """What is run, and how many trials it is."""
    return request.param


def trials(market: MarketData, kind: str | None = None, name: str = "store") -> int:
    """How many are counted in the store."""
    with Store(name) as store:
        store.recognise(market)
        return store.trials(market.sha256, kind=kind)


def seal(market: MarketData, bar: int, name: str = "store") -> str:
    """Seal a market from a bar on; the first sealed day."""
    day = str(market.index[bar].date())
    with Store(name) as store:
        store.recognise(market)
        store.count_trial("seal", day, market.sha256)
    return day


def test_every_route_counts_where_a_store_is(route: tuple[Callable[..., Any], int]) -> None:
    run, count = route
    run(MARKET)
    assert list(Path().iterdir()) == [], "no store: nothing is written"
    Store("store").close()
    run(MARKET, record=False)
    assert trials(MARKET) == 0
    for _ in range(2):
        run(MARKET.rows(0, 395))
        assert trials(MARKET) == count, "the same again is no new trial"
    run(MARKET, record="bank")
    assert trials(MARKET, name="bank") == count


@pytest.mark.parametrize("record", [True, False, "bank"])
def test_every_route_refuses_sealed_bars(
    route: tuple[Callable[..., Any], int], record: bool | str
) -> None:
    run, _ = route
    where = record if isinstance(record, str) else "store"
    seal(MARKET, 395, where)
    for market in (MARKET, MARKET.rows(10, 396)):
        with pytest.raises(ConfigError, match=rf'sealed. market.between\(None, "{LAST_DAY}"\)'):
            run(market, record=record)
    with pytest.raises(ConfigError, match="is empty; expected words for the log"):
        run(MARKET, record=record, open_sealed=" ")
    assert trials(MARKET, "opening", where) == 0
    run(MARKET.between(None, LAST_DAY), record=record)
    with pytest.warns(MarketDataWarning, match="Opening 1 of the bars"):
        run(MARKET, record=record, open_sealed="the final look")
    assert trials(MARKET, "opening", where) == 1


@pytest.mark.parametrize("run", [_backtest, _sweep, _folds])
def test_the_same_on_appended_bars_is_no_new_trial(run: Callable[..., Any]) -> None:
    Store("store").close()
    run(MARKET.rows(0, 395))
    before = trials(MARKET)
    run(MARKET)
    assert trials(MARKET) == before
    run(MARKET.rows(50, 395))
    assert trials(MARKET) == 2 * before, "another window is"


def test_reports_are_deflated_by_what_was_counted(tmp_path: Path) -> None:
    Store("store").close()
    assert backtest("sma_cross", MARKET, record=False).trials == 1
    swept = sweep("sma_cross", MARKET, GRID)
    report = backtest("rsi_reversion", MARKET)
    assert (swept.counted, report.trials) == (4, 5)
    assert sweep("sma_cross", MARKET, {"fast": [3], "slow": [10]}).verdict().trials == 5
    assert "5 trials" in report.save(tmp_path / "r.html").read_text()
    assert "9 trials" in report.save(tmp_path / "r.html", trials=9).read_text()
    assert walk_forward("sma_cross", MARKET, GRID, **WALK).report.trials == 6


def test_a_changed_past_is_warned_about_and_seals_hold() -> None:
    Store("store").close()
    backtest("sma_cross", MARKET)
    seal(MARKET, 395)
    restated = with_close(MARKET, 50)
    said = f"1 bar is different, the first on {MARKET.index[50]:%Y-%m-%d}"
    with pytest.warns(MarketDataWarning, match=said):
        report = backtest("sma_cross", restated.rows(0, 380))
    assert report.trials == 2, "another window"
    with pytest.raises(ConfigError, match="sealed"):
        backtest("sma_cross", restated)


def test_what_has_no_name_is_told_apart_by_its_orders() -> None:
    Store("store").close()

    def table(level: float, market: MarketData = MARKET) -> pd.DataFrame:
        return pd.DataFrame(level, index=market.index, columns=list(market.symbols))

    for level, wanted in ((0.2, 1), (0.3, 2), (0.2, 2)):
        assert backtest(table(level), MARKET).trials == wanted
    for level, wanted in ((0.2, 3), (0.3, 4), (0.2, 4)):
        rule = lambda m, x=level: np.full(m.bars, x)  # noqa: E731 (a notebook's rule)
        assert backtest(rule, MARKET).trials == wanted
    for level, wanted in ((0.2, 5), (0.3, 6), (0.2, 6)):
        assert backtest(Level(level), MARKET).trials == wanted
    early = MARKET.rows(0, 300)
    assert backtest(table(0.3, early), early, record="bank").trials == 1
    assert backtest(table(0.3), MARKET, record="bank").trials == 1, "only bars were appended"


def test_an_edited_rule_is_another_trial_and_a_comment_is_none() -> None:
    Store("store").close()
    for body, wanted in (("size", 1), ("size  # all of it\n    ", 1), ("size / 2", 2)):
        Path("mine.py").write_text(RULE.format(body=body))
        assert backtest("mine.py", MARKET).trials == wanted
    assert sweep("mine.py", MARKET, {"size": [0.1, 0.2]}).counted == 4

    @strategy
    def here(market: MarketData) -> Any:
        """Hold."""
        return np.ones(market.bars)

    assert backtest(here, MARKET).trials == 5


def test_costs_and_fills_make_other_trials() -> None:
    Store("store").close()
    variants: list[dict[str, Any]] = [{}, {"costs": CostModel(fee_bps=9)}, {"fill": "close"}]
    assert [backtest("sma_cross", MARKET, **how).trials for how in variants] == [1, 2, 3]


def test_an_open_study_keeps_its_seal() -> None:
    whole = load_market(DATA)
    seal(whole, 200, "bank")
    with open_study(DATA, store="bank", purpose="x", notify=lambda _: None) as study:
        report = backtest("sma_cross", study.market, record=study)
        assert (report.market.bars, report.trials) == (200, 1)
        with pytest.raises(ConfigError, match="sealed"):
            backtest("sma_cross", whole, record=study)
    assert backtest("sma_cross", whole, record=Study.uncounted(whole)).market.bars == 300


def test_a_strategy_run_as_a_script_counts_and_leaves_sealed_bars_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    day = seal(load_market(DATA), 200, "bank")
    script = str(root / "strategies" / "sma_cross.py")
    args = [script, "--data", DATA, "--store", "bank", "--report", "r.html"]
    for more, wanted in (
        ([], f"Bars from {day} on are sealed and left out"),
        (["--open-sealed", "the final look"], f"Opening 1 of the bars from {day} on"),
    ):
        monkeypatch.setattr("sys.argv", [*args, *more])
        runpy.run_path(script, run_name="__main__")
        assert wanted in capsys.readouterr().out
    assert trials(load_market(DATA), name="bank") == 2
