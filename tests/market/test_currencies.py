"""Assets of several currencies in one account."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData
from tradinghf.errors import MarketDataError
from tradinghf.market import in_account_currency
from tradinghf.simulation import simulate

DAYS = pd.bdate_range("2024-01-01", periods=3)
RATES = pd.DataFrame({"JPY": [0.010, 0.012, 0.009]}, DAYS)


def _market() -> MarketData:
    yen = pd.DataFrame({"open": [1000.0, 1010, 1100], "close": [1000.0, 1100, 1150]}, DAYS)
    home = pd.DataFrame({"open": [10.0, 10, 11], "close": [10.0, 11, 12]}, DAYS)
    frames = {"TM": yen, "KO": home}
    for frame in frames.values():
        frame["high"], frame["low"] = frame.max(axis=1), frame.min(axis=1)
    return MarketData.from_frames(frames)


def test_a_position_earns_what_asset_and_currency_do() -> None:
    market = in_account_currency(_market(), {"TM": "JPY"}, RATES)
    orders = np.full((3, 2), np.nan)
    orders[0] = 0.5, 0.5
    free = CostModel(fee_bps=0, slippage_bps=0)
    done = simulate(market, orders, fill="close", costs=free, cash=1000.0)
    # 50 shares of TM at 1,000 yen of 0.01, 50 of KO at 10
    expected = [1000, 50 * 1100 * 0.012 + 50 * 11, 50 * 1150 * 0.009 + 50 * 12]
    np.testing.assert_allclose(done.equity, expected, rtol=1e-12)
    assert market.open[:, 0].tolist() == pytest.approx([10.0, 10.10, 13.20])
    assert "JPY" in market.source


def test_no_rate_is_looked_up_ahead() -> None:
    between = pd.DataFrame({"JPY": [0.010, 0.5]}, [DAYS[0], DAYS[1] + pd.Timedelta("1h")])
    market = in_account_currency(_market(), {"TM": "JPY"}, between)
    assert market.close[:2, 0].tolist() == pytest.approx([10.0, 11.0])


@pytest.mark.parametrize(
    ("currencies", "rates", "message"),
    [
        ({"TN": "JPY"}, RATES, "TM"),
        ({"TM": "YEN"}, RATES, "currency 'YEN'"),
        ({"TM": "JPY"}, RATES.iloc[1:], "no rate of JPY at or before 2024-01-01"),
        ({"TM": "JPY"}, -RATES, "above 0"),
        ({"TM": "JPY"}, RATES.reset_index(), "must hold times"),
        ({"TM": "JPY"}, pd.concat([RATES, RATES]), "two rates for 2024-01-01"),
        ({"TM": "JPY"}, pd.concat([RATES, RATES], axis=1), "two columns JPY"),
        ({"TM": "JPY"}, RATES.set_axis(DAYS - pd.Timedelta("200D")), "more than 100 days old"),
    ],
)
def test_missing_rates_are_named(
    currencies: dict[str, str], rates: pd.DataFrame, message: str
) -> None:
    with pytest.raises(MarketDataError, match=message):
        in_account_currency(_market(), currencies, rates)
