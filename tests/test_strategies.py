"""The strategy registry, and the six shipped rules against independent scalar oracles."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.evaluation import from_closes, make_market

from tradinghf.errors import StrategyError
from tradinghf.market import MarketData, assert_causal, load_market
from tradinghf.strategies import Floats, load_strategy, strategy, strategy_names, target_changes

SHIPPED = ["buy_and_hold", "donchian_breakout", "momentum", "rsi_reversion", "sma_cross"]
SHIPPED += ["vol_target"]


@strategy
def tilt(market: MarketData, *, size: float = 0.5, bars: int = 3, on: bool = True) -> Floats:
    """Hold a constant share.

    Args:
        size: share of the equity [0 to 1].
        bars: unused length [bars].
        on: whether to hold at all.

    """
    return np.full((market.bars, market.assets), size if on else 0.0)


def test_shipped_strategies_are_listed_and_documented() -> None:
    assert strategy_names() == SHIPPED
    for name in SHIPPED:
        found = load_strategy(name)
        assert found.name == name
        assert len(found.doc) > 30
        for parameter in found.parameters:
            assert "[" in parameter.doc or parameter.type is bool, f"{name}.{parameter.name}: unit"


def test_parameters_come_from_the_signature_and_docstring() -> None:
    size, bars, on = tilt.parameters
    assert (size.name, size.type, size.default) == ("size", float, 0.5)
    assert size.doc == "share of the equity [0 to 1]."
    assert (bars.parse("7"), size.parse("0.25"), on.parse("no")) == (7, 0.25, False)
    assert bars.parse(4.0) == 4


@pytest.mark.parametrize(
    ("name", "value"),
    [("bars", "x"), ("bars", 2.5), ("bars", "inf"), ("size", "a"), ("on", "perhaps"), ("bars", "")],
)
def test_bad_parameter_values_name_the_parameter(name: str, value: object) -> None:
    with pytest.raises(StrategyError, match=f"'{name}'"):
        tilt(make_market(5), **{name: value})


def test_a_plain_function_is_told_to_be_decorated() -> None:
    def plain(market: MarketData) -> Floats:
        return np.zeros(market.bars)

    with pytest.raises(StrategyError, match=r"plain is no strategy; .*decorated with @strategy"):
        load_strategy(plain)  # type: ignore[arg-type]


def test_unknown_names_suggest_close_matches(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="Did you mean 'sma_cross'"):
        load_strategy("sma_cros")
    with pytest.raises(StrategyError, match="Did you mean 'size'"):
        tilt(make_market(5), sise=1)
    with pytest.raises(StrategyError, match="does not exist"):
        load_strategy(str(tmp_path / "none.py"))
    with pytest.raises(StrategyError, match="does not exist"):
        load_strategy("x", folder=tmp_path / "nowhere")


def test_decorator_refuses_what_it_cannot_document() -> None:
    def undocumented(market: MarketData, *, speed: int = 1) -> Floats:
        """Say nothing about the parameter."""
        return market.close * speed

    def without_default(market: MarketData, *, speed: int) -> Floats:
        """Forget the default.

        Args:
            speed: how fast [bars].

        """
        return market.close * speed

    def odd_type(market: MarketData, *, speed: list[int] = []) -> Floats:  # noqa: B006
        """Use a list.

        Args:
            speed: how fast [bars].

        """
        return market.close * len(speed)

    for function in (undocumented, without_default, odd_type, lambda market: market.close):
        with pytest.raises(StrategyError):
            strategy(function)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.zeros(4), "shape"),
        (np.zeros((5, 2)), "shape"),
        (np.array([0, 0, np.inf, 0, 0]), "bar 2"),
    ],
)
def test_malformed_weights_are_refused(weights: Floats, match: str) -> None:
    @strategy
    def broken(market: MarketData) -> Floats:
        """Return what the test asks for."""
        return weights

    with pytest.raises(StrategyError, match=match):
        broken(make_market(5))


def test_errors_inside_a_strategy_name_it_and_its_parameters() -> None:
    @strategy
    def dividing(market: MarketData, *, by: int = 1) -> Floats:
        """Divide.

        Args:
            market: bars.
            by: what.

        """
        return np.full(market.bars, 1 // by)

    with pytest.raises(StrategyError, match=r"'dividing' failed.*'by': 0"):
        dividing(make_market(100), by=0)
    with pytest.raises(StrategyError, match=r"'fast' is -5; expected .* 1 or more"):
        load_strategy("sma_cross")(make_market(100), fast=-5)
    with pytest.raises(StrategyError, match="step is 0"):
        load_strategy("vol_target")(make_market(100), step=0)


def test_changes_orders_only_when_the_target_moves() -> None:
    nan = np.nan
    given = np.array([[nan, 0.0], [nan, 0.5], [1.0, 0.5], [1.0, nan], [nan, 0.5], [0.0, -0.5]])
    wanted = np.array([[nan, nan], [nan, 0.5], [1.0, nan], [nan, nan], [nan, nan], [0.0, -0.5]])
    np.testing.assert_array_equal(target_changes(given), wanted)


def test_user_files_load_by_path_and_reload_when_edited(tmp_path: Path) -> None:
    source = (
        "import numpy as np\nfrom tradinghf.strategies import strategy\n"
        "@strategy\ndef {}(market):\n    '''Hold {}.'''\n    return np.full(market.bars, {})\n"
    )
    path = tmp_path / "mine.py"
    path.write_text(source.format("half", "half", 0.5))
    assert load_strategy(str(path))(make_market(4))[0, 0] == 0.5
    path.write_text(source.format("half", "less", 0.25))
    assert load_strategy("half", folder=tmp_path)(make_market(4))[0, 0] == 0.25
    path.write_text(source.format("half", "half", 0.5) + source.format("full", "all", 1.0))
    with pytest.raises(StrategyError, match=r"name one: mine\.py:full"):
        load_strategy(str(path))
    assert load_strategy(f"{path}:full")(make_market(4))[0, 0] == 1.0
    (tmp_path / "again.py").write_text(source.format("full", "all", 1.0))
    with pytest.raises(StrategyError, match="registered already"):
        strategy_names(tmp_path)
    path.write_text("import no_such_module_here\n")
    with pytest.raises(StrategyError, match="no_such_module_here"):
        load_strategy(str(path))


def test_buy_and_hold_orders_once() -> None:
    orders = load_strategy("buy_and_hold").orders(make_market(20, assets=4))
    assert (orders[0] == 0.25).all()
    assert np.isnan(orders[1:]).all()


def test_sma_cross_on_a_known_path() -> None:
    market = from_closes([10, 10, 10, 12, 14, 12, 8, 6, 6, 6, 6, 9])
    # fast(2) - slow(4) at bars 3..11: .5, 1.5, 1, -1.5, -3, -2, -.5, 0, .75
    held = load_strategy("sma_cross")(market, fast=2, slow=4)[:, 0]
    np.testing.assert_array_equal(held[3:], [1, 1, 1, 0, 0, 0, 0, 0, 1])
    assert np.isnan(held[:3]).all()
    short = load_strategy("sma_cross")(market, fast=2, slow=4, short=True)[:, 0]
    np.testing.assert_array_equal(short[3:], [1, 1, 1, -1, -1, -1, -1, -1, 1])


def test_momentum_decides_every_few_bars_only() -> None:
    market = make_market(100, seed=3)
    weights = load_strategy("momentum")(market, lookback=10, every=7, short=True)[:, 0]
    for bar in range(100):
        if bar < 10 or (bar - 10) % 7:
            assert np.isnan(weights[bar])
        else:
            rose = market.close[bar, 0] > market.close[bar - 10, 0]
            assert weights[bar] == (1.0 if rose else -1.0)


def test_rsi_reversion_equals_a_scalar_wilder_loop() -> None:
    market = make_market(400, seed=5)
    period, close = 14, market.close[:, 0]
    rise = fall = 0.0
    held, last = [], 0.0
    for bar in range(1, 400):
        up, down = max(close[bar] - close[bar - 1], 0), max(close[bar - 1] - close[bar], 0)
        rise = up if bar == 1 else rise + (up - rise) / period
        fall = down if bar == 1 else fall + (down - fall) / period
        rsi = 100 * rise / (rise + fall)
        if bar >= period:
            last = 1.0 if rsi < 30 else 0.0 if rsi > 50 else last
        held.append(last)
    orders = load_strategy("rsi_reversion").orders(market)[:, 0]
    ours = pd.Series(orders).ffill().fillna(0.0).to_numpy()
    np.testing.assert_array_equal(ours[1:], held)
    assert 0 < ours.sum() < 400


def test_rsi_reversion_stays_out_of_a_market_that_does_not_move() -> None:
    assert np.nansum(load_strategy("rsi_reversion").orders(from_closes([5.0] * 60))) == 0


def test_donchian_breakout_equals_a_scalar_loop() -> None:
    market = make_market(300, seed=7, sigma=0.02)
    held, last = [], 0.0
    for bar in range(300):
        close = market.close[bar, 0]
        if bar >= 20 and close > market.high[bar - 20 : bar, 0].max():
            last = 1.0
        elif bar >= 10 and close < market.low[bar - 10 : bar, 0].min():
            last = 0.0
        held.append(last)
    orders = load_strategy("donchian_breakout").orders(market, enter=20, leave=10)[:, 0]
    np.testing.assert_array_equal(pd.Series(orders).ffill().fillna(0.0), held)
    assert 0 < sum(held) < 300


def test_vol_target_holds_less_when_risk_is_higher() -> None:
    calm, wild = make_market(300, sigma=0.005, seed=1), make_market(300, sigma=0.03, seed=1)
    target = load_strategy("vol_target")
    held = [np.nanmean(target(m, target_pct=10.0)) for m in (calm, wild)]
    # 10 % a year over sigma sqrt(252) = 7.9 % and 47.6 %: all of it, and about a fifth.
    assert held[0] > 0.95
    assert held[1] == pytest.approx(10 / 47.6, abs=0.05)
    steps = target(calm, step=0.25)[20:] / 0.25
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_use_the_equity_at_most_once(name: str) -> None:
    weights = load_strategy(name)(make_market(400, assets=3, seed=2))
    assert np.nansum(np.abs(weights), axis=1).max() <= 1 + 1e-12


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("data", ["sp500", "synthetic:seed=2,bars=600,assets=3,regime=jumps"])
def test_no_shipped_strategy_sees_the_future(name: str, data: str) -> None:
    found, market = load_strategy(name), load_market(data)
    market = market.rows(0, 600)
    assert_causal(found, market, name=name)
    assert_causal(found.orders, market, name=name, points=5)


@pytest.mark.parametrize(
    "leak",
    [
        lambda m: np.roll(m.close, -1, axis=0),  # tomorrow's close
        lambda m: m.close / m.close.max(),  # scaled by the whole history
        lambda m: m.close - pd.DataFrame(m.close).rolling(5, center=True).mean(),
        lambda m: pd.DataFrame(m.close).bfill().diff(-1).to_numpy(),
        lambda m: np.full(m.close.shape, m.close[-1] > m.close[0], dtype=float),
    ],
)
def test_planted_leaks_are_caught(leak: Callable[[MarketData], Floats]) -> None:
    with pytest.raises(AssertionError, match="looks ahead"):
        assert_causal(leak, make_market(200, assets=2))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_file_runs_as_a_script(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = "synthetic:seed=1,bars=300,assets=2"
    monkeypatch.setattr(sys, "argv", [name, "--data", data, "--fee-bps", "2"])
    runpy.run_path(str(root / "strategies" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert f"{name} on" in printed
    assert "Sharpe ratio" in printed
    assert "buy and hold" in printed


def test_script_refuses_bad_input_with_status_2_and_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--data", "synthetic:bars=300", "--fast", "ten"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(root / "strategies" / "sma_cross.py"), run_name="__main__")
    assert stop.value.code == 2
    assert "'fast' is 'ten'" in capsys.readouterr().err


def test_a_file_of_an_earlier_version_is_told_where_run_script_went(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text("from tradinghf.strategies import run_script, strategy\n")
    with pytest.raises(StrategyError, match=r"tradinghf\.run_script\(rule\)"):
        load_strategy(str(file))


# Orders of parameters


def test_parameters_in_the_wrong_order_are_refused() -> None:
    market = make_market(60)
    with pytest.raises(StrategyError, match="sma_cross requires fast < slow; got fast 50, slow 20"):
        load_strategy("sma_cross")(market, fast=50, slow=20)
    with pytest.raises(StrategyError, match="enter <= leave"):
        load_strategy("rsi_reversion").bind(enter=60)
    load_strategy("rsi_reversion").bind(enter=50)


def test_a_grid_leaves_out_what_the_strategy_does_not_allow() -> None:
    from tradinghf.evaluation import sweep, walk_forward

    market = make_market(200, seed=3)
    grid = {"fast": iter([5, 10, 20]), "slow": iter([10, 20])}
    found = sweep("sma_cross", market, grid)
    pairs = list(zip(found.table["fast"], found.table["slow"], strict=True))
    assert pairs == [(5, 10), (5, 20), (10, 20)]
    assert found.left_out == 3
    with pytest.raises(StrategyError, match="requires fast < slow"):
        sweep("sma_cross", market, {"fast": [30, 40], "slow": [20]})
    grid = {"fast": [5, 30], "slow": [20]}
    walked = walk_forward("sma_cross", market, grid, train_bars=100, test_bars=50)
    assert set(walked.windows["fast"]) == {5}


@pytest.mark.parametrize("rule", ["size < speed", "size", "size > bars", "size < bars < on"])
def test_an_order_of_unknown_parameters_is_refused(rule: str) -> None:
    with pytest.raises(StrategyError, match="requires"):
        strategy(requires=rule)(tilt.function)
