"""Costs, financing, margin, lots, corporate actions: `simulate` against hand-computed numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tradinghf.config import CostModel, EnvConfig, Margin, Randomisation, TradingRules
from tradinghf.errors import ConfigError
from tradinghf.market import MarketData, load_market, synthetic
from tradinghf.simulation import simulate
from tradinghf.simulation._bootstrap import bootstrap, stationary_indices, with_bootstrap

FREE = CostModel(fee_bps=0, slippage_bps=0)
NAN = float("nan")


def flat_market(
    closes: list[float], *, opens: list[float] | None = None, assets: int = 1, **arrays: Any
) -> MarketData:
    """Daily bars that open at the previous close unless told, without shadows."""
    close = np.repeat(np.array(closes, dtype=float)[:, None], assets, axis=1)
    opened = np.concatenate([close[:1], close[:-1]])
    if opens is not None:
        opened = np.repeat(np.array(opens, dtype=float)[:, None], assets, axis=1)
    high = np.maximum(opened, close)
    low = np.minimum(opened, close)
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    symbols = tuple(f"S{i}" for i in range(assets))
    fields = {"open": opened, "high": high, "low": low, "close": close}
    fields |= {"volume": np.full_like(close, 1000.0), **arrays}
    return MarketData(**fields, timestamps=stamps, symbols=symbols, bars_per_year=250.0)


def hold(length: int, weight: float, assets: int = 1) -> np.ndarray:
    """One order at the first close."""
    orders = np.full((length, assets), NAN)
    orders[0] = weight
    return orders


# ------------------------------------------------------------------ costs


def test_costs_of_one_round_trip_by_hand() -> None:
    costs = CostModel(fee_bps=10, fixed_fee=1, per_share_fee=0.01, slippage_bps=20, spread_bps=20)
    orders = np.array([10.0, 0.0, NAN])
    result = simulate(
        flat_market([100, 100, 100]), orders, kind="target_amount", costs=costs, cash=5_000
    )
    # Slippage 20 bps and half of the 20 bps spread: buys at 100.3, sells at 99.7.
    assert result.fills["price"].tolist() == pytest.approx([100.3, 99.7], rel=1e-12)
    fees = [1003 * 0.001 + 1 + 0.1, 997 * 0.001 + 1 + 0.1]
    assert result.fills["fee"].tolist() == pytest.approx(fees, rel=1e-12)
    assert result.equity[-1] == pytest.approx(5000 - 1003 + 997 - sum(fees), rel=1e-12)


def test_square_root_impact() -> None:
    market = flat_market([100.0] * 3)
    quiet = simulate(market, hold(3, 40), kind="amount", costs=CostModel(0, 0, 0, impact=0.5))
    # No volatility is known yet: 1 % is assumed; 40 of 1000 shares trade: 0.5 * 0.01 * sqrt(0.04).
    assert quiet.fills["price"][0] == pytest.approx(100 * (1 + 0.5 * 0.01 * 0.2), rel=1e-12)
    four_times = simulate(market, hold(3, 160), kind="amount", costs=CostModel(0, 0, 0, impact=0.5))
    slipped = [float(r.fills["price"][0]) - 100 for r in (quiet, four_times)]
    assert slipped[1] == pytest.approx(2 * slipped[0], rel=1e-9)


@pytest.mark.parametrize("weight", [1.0, 0.3, -1.0])
def test_flat_price_loses_exactly_the_fees(weight: float) -> None:
    result = simulate(
        flat_market([50.0] * 20), hold(20, weight), costs=CostModel(fee_bps=30, slippage_bps=0)
    )
    assert 100_000 - result.equity[-1] == pytest.approx(result.fees.sum(), rel=1e-12)


# ------------------------------------------------------------------ financing


def test_borrow_fee_accrues_on_every_bar_held() -> None:
    """REFERENCE §7, gym-trading-env: a short held 99 bars was charged for one."""
    length = 100
    costs = CostModel(fee_bps=0, slippage_bps=0, borrow_rate=2.5)  # 1 % of 250 bars' year a bar
    result = simulate(
        flat_market([100.0] * length), hold(length, -1.0), costs=costs, cash=1_000_000.0
    )
    short_value = 1_000_000.0
    charged = result.financing[1:]
    np.testing.assert_allclose(charged, short_value * 0.01, rtol=1e-12)
    assert result.equity[-1] == pytest.approx(1_000_000 - 99 * 10_000, rel=1e-9)


def test_funding_is_paid_by_longs_and_received_by_shorts() -> None:
    market = flat_market([100.0] * 5)
    costs = CostModel(fee_bps=0, slippage_bps=0, funding_bps=10)
    long = simulate(market, hold(5, 1.0), costs=costs, cash=1000)
    short = simulate(market, hold(5, -1.0), costs=costs, cash=1000)
    assert long.equity[-1] == pytest.approx(1000 - 4 * 1.0)
    assert short.equity[-1] == pytest.approx(1000 + 4 * 1.0)
    series = np.array([0, 0.001, -0.002, 0, 0.003])
    own = simulate(market, hold(5, 1.0), costs=FREE, cash=1000, funding=series)
    assert own.equity[-1] == pytest.approx(1000 * (1 - 0.001 + 0.002 - 0.003))


def test_cash_earns_and_borrowed_cash_pays_interest() -> None:
    idle = simulate(
        flat_market([100.0] * 3), hold(3, 0.0), costs=CostModel(0, 0, 0, cash_rate=0.05), cash=1000
    )
    assert idle.equity[-1] == pytest.approx(1000 * (1 + 0.05 / 250) ** 2, rel=1e-12)
    config = EnvConfig(margin=Margin(leverage=2))
    levered = simulate(
        flat_market([100.0] * 2),
        hold(2, 2.0),
        costs=CostModel(0, 0, 0, margin_rate=0.10, cash_rate=0.05),
        cash=1000,
        config=config,
    )
    assert levered.cash[-1] == pytest.approx(-1000 * (1 + 0.10 / 250), rel=1e-12)
    short = simulate(
        flat_market([100.0] * 2), hold(2, -1.0), costs=CostModel(0, 0, 0, cash_rate=0.05), cash=1000
    )
    # Of 2000 in cash, 1000 is the value of the short and earns nothing.
    assert short.equity[-1] == pytest.approx(1000 + 1000 * 0.05 / 250, rel=1e-12)


# ------------------------------------------------------------------ margin, liquidation, ruin


def leveraged(leverage: float, maintenance: float, penalty: float = 0.0) -> EnvConfig:
    return EnvConfig(margin=Margin(leverage, maintenance, penalty))


def test_leverage_limits_exposure() -> None:
    market = flat_market([100.0] * 3)
    result = simulate(market, hold(3, 9.0), costs=FREE, cash=1000, config=leveraged(3, 0.1))
    assert result.shares[-1, 0] == pytest.approx(30)
    short = simulate(market, hold(3, -9.0), costs=FREE, cash=1000, config=leveraged(3, 0.1))
    assert short.shares[-1, 0] == pytest.approx(-30)


def test_gross_exposure_of_a_portfolio_is_limited() -> None:
    market = flat_market([100.0] * 3, assets=2)
    orders = np.full((3, 2), NAN)
    orders[0] = [2.0, -2.0]
    result = simulate(market, orders, costs=FREE, cash=1000, config=leveraged(3, 0.1))
    assert np.abs(result.shares[-1]).sum() * 100 == pytest.approx(3000)


def test_liquidation_inside_the_bar_at_the_maintenance_price() -> None:
    # 20 shares at 100 with 1000 of cash borrowed; equity is 10 % of exposure at p = 1000/(20*0.9).
    price = 1000 / 18
    market = flat_market([100, 100, 50, 50])
    result = simulate(
        market, hold(4, 2.0), costs=FREE, cash=1000, config=leveraged(2, 0.1, penalty=100)
    )
    assert result.fills["price"][1] == pytest.approx(price, rel=1e-12)
    penalty = 20 * price * 0.01
    assert result.fills["fee"][1] == pytest.approx(penalty, rel=1e-12)
    assert result.equity[-1] == pytest.approx(20 * price - 1000 - penalty, rel=1e-12)
    assert (result.shares[2:] == 0).all()


def test_liquidation_after_a_gap_fills_at_the_open_and_reports_debt() -> None:
    market = flat_market([100, 100, 40, 40], opens=[100, 100, 40, 40])
    result = simulate(market, hold(4, 2.0), costs=FREE, cash=1000, config=leveraged(2, 0.1))
    assert result.fills["price"][1] == 40
    # 20 shares bring 800 of the 1000 owed.
    assert result.owed[-1] == pytest.approx(200)
    assert (result.equity >= 0).all()
    assert result.equity[-1] == 0


def test_short_blow_up_is_closed_and_its_debt_reported() -> None:
    """REFERENCE §7, vectorbt: a short took equity from 100 to -200 and lived on."""
    market = flat_market([100, 100, 400, 100, 50], opens=[100, 100, 400, 400, 100])
    result = simulate(market, np.array([-1.0, NAN, NAN, 1.0, NAN]), costs=FREE, cash=100)
    assert result.equity.tolist() == pytest.approx([100, 100, 0, 0, 0])
    assert result.owed.tolist() == pytest.approx([0, 0, 200, 200, 200])
    assert (result.shares[2:] == 0).all(), "ruin is absorbing: the later order is refused"


def test_a_stop_before_the_liquidation_price_saves_the_penalty() -> None:
    from tradinghf.config import Brackets

    config = EnvConfig(margin=Margin(2, 0.1, 100), brackets=Brackets(stop_loss=0.2))
    result = simulate(
        flat_market([100, 100, 50, 50]), hold(4, 2.0), costs=FREE, cash=1000, config=config
    )
    assert result.fills["price"][1] == 80
    assert result.fills["fee"][1] == 0


# ------------------------------------------------------------------ rules


def test_exact_lots_lose_none_and_vectorbt_lots_lose_one() -> None:
    """REFERENCE §7, vectorbt: size 3.0 in lots of 0.1 fills 2.9."""
    market = flat_market([100.0] * 2)
    for size in (3.0, 0.3, 0.7, 1.1, 2.2):
        exact = EnvConfig(rules=TradingRules(lot=0.1))
        result = simulate(market, hold(2, size), kind="amount", costs=FREE, config=exact)
        assert result.shares[-1, 0] == pytest.approx(size, rel=1e-12)
    mode = EnvConfig(rules=TradingRules(lot=0.1, lot_mode="vectorbt"))
    lost = simulate(market, hold(2, 3.0), kind="amount", costs=FREE, config=mode)
    assert lost.shares[-1, 0] == pytest.approx(2.9)


@pytest.mark.parametrize(
    ("rules", "asked", "got"),
    [
        (TradingRules(max_size=5), 12, 5),
        (TradingRules(max_position=8), 12, 8),
        (TradingRules(min_notional=1300), 12, 0),
        (TradingRules(min_notional=1200), 12, 12),
        (TradingRules(min_size=13), 12, 0),
        (TradingRules(side="long"), -12, 0),
        (TradingRules(side="short"), 12, -12),
        (TradingRules(lot=5), 12, 10),
        (TradingRules(allow_partial=False, max_size=5), 12, 0),
    ],
)
def test_rules(rules: TradingRules, asked: float, got: float) -> None:
    config = EnvConfig(rules=rules)
    result = simulate(
        flat_market([100.0] * 2), hold(2, asked), kind="amount", costs=FREE, config=config
    )
    assert result.shares[-1, 0] == got


def test_percent_of_zero_is_no_order() -> None:
    result = simulate(flat_market([100.0] * 3), hold(3, 0.0), kind="percent", costs=FREE)
    assert len(result.fills) == 0
    assert (result.cash == 100_000).all()


# ------------------------------------------------------------------ several assets


def test_sells_pay_for_buys() -> None:
    market = flat_market([100.0] * 4, assets=2)
    orders = np.full((4, 2), NAN)
    orders[0], orders[1] = [1.0, 0.0], [0.0, 1.0]
    result = simulate(market, orders, costs=FREE, cash=1000)
    np.testing.assert_allclose(result.shares[-1], [0, 10])
    orders[0], orders[1] = [0.0, 1.0], [1.0, 0.0]
    result = simulate(market, orders, costs=FREE, cash=1000)
    np.testing.assert_allclose(result.shares[-1], [10, 0])


def test_accounts_of_a_batch_do_not_touch_each_other() -> None:
    market = synthetic(3, 60, 3)
    rng = np.random.default_rng(0)
    weights = rng.uniform(-0.5, 0.6, (4, 60, 3))
    together = simulate(market, weights)
    assert together.equity.shape == (4, 60)
    for i in range(4):
        alone = simulate(market, weights[i])
        np.testing.assert_array_equal(together.equity[i], alone.equity)
        mine = together.fills[together.fills["account"] == i].drop(columns="account")
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), alone.fills)


def test_delisted_assets_leave_at_their_last_price_and_take_no_orders() -> None:
    market = flat_market([100, 110, 120, 120, 120])
    member = np.array([True, True, True, False, False])
    weights = np.array([1.0, NAN, NAN, 1.0, NAN])
    result = simulate(market, weights, member=member, costs=FREE, cash=1000)
    assert result.fills[["bar", "side", "price"]].to_numpy().tolist() == [[1, 1, 100], [3, -1, 120]]
    assert (result.shares[3:] == 0).all()


# ------------------------------------------------------------------ corporate actions


def test_raw_prices_with_splits_and_dividends_equal_adjusted_ones() -> None:
    adjusted = flat_market([100, 102, 99, 104, 108, 107])
    ratio = np.array([1, 1, 1, 4, 1, 1.0])
    factor = np.cumprod(ratio)
    raw = flat_market(list(adjusted.close[:, 0] / factor), opens=list(adjusted.open[:, 0] / factor))
    weights = np.array([1.0, NAN, 0.5, NAN, -0.5, NAN])
    a = simulate(adjusted, weights, costs=CostModel())
    b = simulate(raw, weights, costs=CostModel(), split=ratio)
    np.testing.assert_allclose(a.equity, b.equity, rtol=1e-12)
    assert b.shares[3, 0] == pytest.approx(a.shares[3, 0] * 4)


def test_dividends_are_paid_to_longs_and_by_shorts() -> None:
    market = flat_market([100, 100, 98, 98], opens=[100, 100, 98, 98])
    dividend = np.array([0, 0, 2.0, 0])
    for weight in (1.0, -1.0):
        result = simulate(market, hold(4, weight), costs=FREE, cash=1000, dividend=dividend)
        np.testing.assert_allclose(result.equity, 1000.0)


def test_splits_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="splits above 0"):
        simulate(flat_market([1.0, 1.0]), hold(2, 1.0), split=np.array([1.0, 0.0]))


# ------------------------------------------------------------------ bootstrap and calendar


def test_bootstrap_keeps_bars_whole_and_is_seeded() -> None:
    market = load_market("sp500").rows(0, 800)
    one, again, other = (bootstrap(market, seed, 20) for seed in (1, 1, 2))
    assert one.sha256 == again.sha256 != other.sha256
    returns = np.diff(np.log(one.close[:, 0]))
    original = np.diff(np.log(market.close[:, 0]))
    distance = np.abs(returns[:, None] - original[None]).min(axis=1)
    assert distance.max() < 1e-9, "every resampled return is one of the market's"
    both = with_bootstrap(market, EnvConfig().randomise.__class__(bootstrap_paths=2), 5)
    assert both.assets == 3
    np.testing.assert_array_equal(both.close[:, 0], market.close[:, 0])


def test_paths_of_another_regime_keep_the_shape_of_their_bars() -> None:
    market = synthetic(seed=4, bars=2000)
    plain = bootstrap(market, 1, 20)
    other = bootstrap(market, 1, 20, drift=0.1, volatility=2.0)
    one, two = (np.diff(np.log(m.close), axis=0) for m in (plain, other))
    np.testing.assert_allclose(two.std(0), 2 * one.std(0), rtol=1e-9)
    np.testing.assert_allclose(two.mean(0), one.mean(0) + 0.1 * one.std(0), rtol=1e-9)
    np.testing.assert_allclose(np.corrcoef(one[:, 0], two[:, 0])[0, 1], 1.0)
    for name in ("open", "low"):
        assert (getattr(other, name) <= other.high).all()
        assert (getattr(other, name) >= other.low).all()
    np.testing.assert_array_equal(other.volume, plain.volume)
    assert "drift +0.1 spreads, volatility x2" in other.source
    rules = Randomisation(
        bootstrap_paths=8, bootstrap_drift=(-0.1, 0.1), bootstrap_volatility=(0.5, 2.0)
    )
    paths = np.diff(np.log(with_bootstrap(market, rules, 5).close), axis=0)
    own = paths[:, 0]
    drifts = (paths.mean(0) - own.mean()) / own.std()
    factors = paths.std(0) / own.std()
    assert factors[1:].min() < 0.9
    assert factors[1:].max() > 1.4
    assert drifts.min() < -0.02 < 0.02 < drifts.max()
    with pytest.raises(ConfigError, match=r"Randomisation\.bootstrap_volatility"):
        Randomisation(bootstrap_volatility=(0.0, 2.0))


def test_stationary_bootstrap_blocks_have_the_mean_length() -> None:
    index = stationary_indices(200_000, 25.0, np.random.default_rng(0))
    breaks = (np.diff(index) % 200_000 != 1).sum()
    assert 200_000 / breaks == pytest.approx(25.0, rel=0.05)


# ------------------------------------------------------------------ properties


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.5, 2.0), min_size=3, max_size=12),
    st.lists(st.sampled_from([-1.0, -0.4, 0.0, 0.7, 1.0, NAN]), min_size=12, max_size=12),
    st.floats(0, 50),
    st.floats(0, 50),
    st.sampled_from(["next_open", "close"]),
)
def test_cash_and_positions_reconcile(
    moves: list[float], weights: list[float], fee: float, slip: float, fill: Any
) -> None:
    market = flat_market(list(100 * np.cumprod(moves)))
    costs = CostModel(fee_bps=fee, slippage_bps=slip)
    result = simulate(market, np.array(weights[: len(moves)]), costs=costs, fill=fill)
    value = result.cash + (result.shares * market.close).sum(-1)
    np.testing.assert_allclose(result.equity, value, rtol=1e-12)
    if result.owed[-1] == 0:
        # Every change of cash is a fill of the list.
        f = result.fills
        spent = (f["side"] * f["size"] * f["price"] + f["fee"]).groupby(f["bar"]).sum()
        cash = 100_000.0 - spent.reindex(range(len(moves)), fill_value=0.0).cumsum()
        np.testing.assert_allclose(result.cash, cash, rtol=1e-9, atol=1e-6)
    assert (result.equity >= 0).all()


@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}, {"stop_loss": np.full(3, 900.0)}])
def test_a_fill_at_the_close_may_ruin_there(options: dict[str, Any]) -> None:
    """Compiled, by tensors, and by the kernel of programs; the price falls back in vain.

    1,000 sold short at 99.8 leave 200 at 199.6. The order covers all but 200 / 199.6 of them, at
    0.3992 above the close, and what that costs more than 200 is owed.
    """
    market = flat_market([100.0, 199.6, 150.0])
    costs = CostModel(fee_bps=0.0, slippage_bps=20.0)
    found = simulate(market, np.full(3, -1.0), costs=costs, fill="close", **options)
    owed = (1000 - 200 / 199.6) * 0.3992 - 200
    np.testing.assert_allclose(found.equity, [99_800.0, 0.0, 0.0])
    np.testing.assert_allclose(found.owed, [0.0, owed, owed], rtol=1e-4)
    assert (found.shares[1:] == 0).all()
    assert list(found.fills["bar"]) == [0, 1, 1]


@settings(max_examples=40, deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.sampled_from(["float64", "float32"]))
def test_no_nan_at_any_scale(size: float, price: float, dtype: Any) -> None:
    """Sizes and prices from 1e-6 to 1e6."""
    level = 10.0**price
    market = flat_market([level, level * 1.1, level * 0.9, level])
    orders = np.array([10.0**size, -(10.0**size), NAN, NAN])
    result = simulate(market, orders, kind="amount", dtype=dtype, costs=CostModel(fixed_fee=1))
    for values in (result.equity, result.cash, result.shares, result.fees):
        assert np.isfinite(values).all()


def test_zero_weights_keep_the_equity() -> None:
    market = synthetic(1, 50, 2)
    result = simulate(market, np.zeros((50, 2)), costs=CostModel(fixed_fee=5))
    assert (result.equity == 100_000).all()
    assert len(result.fills) == 0


def test_float32_stays_close_to_float64() -> None:
    """REFERENCE §7, torchtrade: float32 flipped a decision."""
    market = synthetic(0, 400, 1)
    weights = np.random.default_rng(0).choice([-1, 0, 0.5, 1, NAN], (400, 1))
    a, b = (simulate(market, weights, dtype=d) for d in ("float64", "float32"))
    np.testing.assert_allclose(a.equity, b.equity, rtol=2e-4)
    assert a.fills[["bar", "side"]].equals(b.fills[["bar", "side"]])


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ConfigError, match=r"weights|size has shape \(3, 1\)"):
        simulate(flat_market([1.0, 1.0]), np.zeros((3, 1)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_equals_cpu() -> None:
    market = synthetic(0, 200, 3)
    weights = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3))
    a, b = (simulate(market, weights, device=d) for d in ("cpu", "cuda"))
    np.testing.assert_allclose(a.equity, b.equity, rtol=1e-9)


def test_waiting_orders_and_exits_follow_a_split() -> None:
    """4 for 1 at bar 2: raw and adjusted prices must trade the same."""
    ratio = np.array([1, 1, 4, 1, 1.0])
    factor = np.cumprod(ratio)
    adjusted = flat_market([100, 104, 103, 97, 92], opens=[100, 101, 104, 103, 97])
    raw = flat_market(list(adjusted.close[:, 0] / factor), opens=list(adjusted.open[:, 0] / factor))
    for price in ({"limit": 98.0}, {"stop": 110.0, "limit": 112.0}):
        given = {k: hold(5, v)[:, 0] for k, v in price.items()}
        a = simulate(adjusted, hold(5, 0.5), costs=FREE, **given)
        b = simulate(raw, hold(5, 0.5), costs=FREE, split=ratio, **given)
        np.testing.assert_allclose(a.equity, b.equity, rtol=1e-12)
    stop = hold(5, 95.0)[:, 0]
    a = simulate(adjusted, hold(5, 0.5), costs=FREE, stop_loss=stop)
    b = simulate(raw, hold(5, 0.5), costs=FREE, stop_loss=stop, split=ratio)
    assert a.fills["bar"].tolist() == b.fills["bar"].tolist() == [1, 4]
    np.testing.assert_allclose(a.equity, b.equity, rtol=1e-12)


def test_locked_cash_survives_financing_dividends_and_ruin() -> None:
    config = EnvConfig(rules=TradingRules(lock_cash=True))
    market = flat_market([100, 100, 100, 100])
    short = simulate(market, np.array([-1.0, NAN, 1.0, NAN]), costs=FREE, cash=1000, config=config)
    assert short.shares[-1, 0] == pytest.approx(10), "covered, and long with what was free"
    greedy = simulate(market, hold(4, -3.0), costs=FREE, cash=1000, config=config)
    assert greedy.shares[-1, 0] == pytest.approx(-10), "proceeds do not pay for more shorts"
    costs = CostModel(0, 0, 0, borrow_rate=1.0)
    paid = simulate(
        market,
        hold(4, -1.0),
        costs=costs,
        cash=1000,
        config=config,
        dividend=np.array([0, 0, 1, 0]),
    )
    assert paid.equity[-1] == pytest.approx(1000 - 10 - 3 * 1000 / 250)
    ruined = simulate(
        flat_market([100, 100, 400, 50]), hold(4, -1.0), costs=FREE, cash=1000, config=config
    )
    assert ruined.equity.tolist() == pytest.approx([1000, 1000, 0, 0])
    assert ruined.owed[-1] == pytest.approx(2000)


def test_fills_at_the_close_use_that_bars_volume() -> None:
    volume = np.array([[20.0], [60.0], [1000.0], [1000.0]])
    market = flat_market([100.0] * 4, volume=volume)
    config = EnvConfig(rules=TradingRules(participation=0.1))
    result = simulate(market, hold(4, 10.0), kind="amount", fill="close", costs=FREE, config=config)
    # 2 of bar 0's 20 at its close; then the rest waits for the opens of the next bars.
    assert result.fills["bar"].tolist() == [0, 1, 2]
    assert result.fills["size"].tolist() == pytest.approx([2, 6, 2])
    impact = simulate(
        market, hold(4, 5.0), kind="amount", fill="close", costs=CostModel(0, 0, 0, impact=1.0)
    )
    assert impact.fills["price"][0] == pytest.approx(100 * (1 + 0.01 * np.sqrt(5 / 20)))
