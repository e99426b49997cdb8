"""Contracts of a future as one series, and what an account through the rolls earns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData
from tradinghf.errors import MarketDataError
from tradinghf.market import roll_contracts
from tradinghf.simulation import simulate

DAYS = pd.bdate_range("2024-01-01", periods=8)


def _contract(closes: list[float], first: int) -> MarketData:
    days = DAYS[first : first + len(closes)]
    frame = pd.DataFrame({k: closes for k in ("open", "high", "low", "close")}, days)
    return MarketData.from_frame(frame)


CONTRACTS = {
    "H": _contract([50.0, 51.0, 52.0, 53.0], 0),
    "M": _contract([60.0, 65.0, 66.0, 64.0], 2),
    "U": _contract([32.0, 33.0, 30.0, 31.0], 4),
}
ROLLS = [DAYS[3], "2024-01-09"]  # M from the fourth bar, U from the seventh


def _held(method: Any, side: float) -> tuple[Any, Any]:
    rolled = roll_contracts(CONTRACTS, ROLLS, method=method, offset=200.0)
    orders = np.full(rolled.quoted.bars, np.nan)
    orders[0] = side
    free = CostModel(fee_bps=0, slippage_bps=0)
    done = simulate(rolled.quoted, orders, fill="close", costs=free, cash=1000.0, **rolled.events)
    return rolled, done


def test_quoted_prices_are_those_of_the_contract_of_the_day() -> None:
    rolled = roll_contracts(CONTRACTS, ROLLS)
    assert "".join(rolled.contract) == "HHHMMMUU"
    assert rolled.quoted.close[:, 0].tolist() == [50, 51, 52, 65, 66, 64, 30, 31]


def test_ratios_keep_returns_and_the_value_of_a_position() -> None:
    rolled, done = _held("ratio", 1.0)
    # 52 / 50 in H, 64 / 60 in M from its close on the roll's eve, 31 / 33 in U
    growth = 52 / 50 * 64 / 60 * 31 / 33
    assert done.equity[-1] == pytest.approx(1000 * growth, rel=1e-12)
    adjusted = rolled.adjusted.close[:, 0] - rolled.adjusted.lift
    assert adjusted[-1] / adjusted[0] == pytest.approx(growth, rel=1e-12)
    np.testing.assert_allclose(1000 * adjusted / adjusted[0], done.equity, rtol=1e-12)


@pytest.mark.parametrize("side", [1.0, -0.5])
def test_differences_keep_the_number_of_contracts(side: float) -> None:
    rolled, done = _held("difference", side)
    units = side * 1000 / 50
    gained = (52 - 50) + (64 - 60) + (31 - 33)
    assert done.equity[-1] == pytest.approx(1000 + units * gained, rel=1e-12)
    assert done.shares[-1, 0] == pytest.approx(units)
    adjusted = rolled.adjusted.close[:, 0] - rolled.adjusted.lift
    np.testing.assert_allclose(adjusted - adjusted[0], (done.equity - 1000) / units, atol=1e-9)


@pytest.mark.parametrize(
    ("rolls", "options", "message"),
    [
        ([DAYS[3]], {}, "3 contracts and 1 rolls"),
        ([DAYS[1], DAYS[6]], {}, "the roll from 'H' to 'M' needs a close of both at 2024-01-01"),
        ([DAYS[6], DAYS[3]], {}, "needs a close of both|no bar between its rolls"),
        (ROLLS, {"method": "panama"}, "method is 'panama'"),
        ([DAYS[3], DAYS[7]], {}, "the roll from 'M' to 'U' needs a close of both"),
    ],
)
def test_what_cannot_be_rolled_says_why(rolls: Any, options: Any, message: str) -> None:
    contracts = CONTRACTS | {"M": _contract([60.0, 65.0, 66.0], 2)}
    with pytest.raises(MarketDataError, match=message):
        roll_contracts(contracts, rolls, **options)
