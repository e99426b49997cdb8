"""Instruments whose price may be zero or negative: crude oil on 20 April 2020, and spreads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tradinghf import CostModel, MarketData, MarketEnv, backtest, load_market
from tradinghf.cli import main
from tradinghf.config import EnvConfig
from tradinghf.errors import MarketDataError
from tradinghf.evaluation import Orders
from tradinghf.market import save_market

CLOSES = [19.87, 18.27, -37.63, 10.01, 13.78, 16.50]
FREE = CostModel(fee_bps=0, slippage_bps=0)


def oil() -> pd.DataFrame:
    """Six sessions of the May future around 20 April 2020."""
    close = np.array(CLOSES)
    index = pd.bdate_range("2020-04-16", periods=len(close))
    first = np.concatenate([close[:1], close[:-1]])
    low, high = np.minimum(first, close) - 1, np.maximum(first, close) + 1
    return pd.DataFrame(dict(open=first, high=high, low=low, close=close), index=index)


@pytest.mark.parametrize("lowest", [-37.63, 0.0])
def test_without_the_option_the_way_out_is_named(lowest: float) -> None:
    frame = oil().clip(lower=lowest - 1.0 * (lowest < 0))
    with pytest.raises(MarketDataError, match=r"expected more than 0.*offset="):
        MarketData.from_frame(frame, symbol="CL")


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (30.0, r"'CL' falls to -38\.63; expected an offset of more than 38\.63, got 30"),
        (-1.0, "expected a number of 0 or more"),
        ({"CLX": 100.0}, "Did you mean 'CL'"),
    ],
)
def test_offsets_that_do_not_do_are_refused(offset: object, said: str) -> None:
    with pytest.raises(MarketDataError, match=said):
        MarketData.from_frame(oil(), symbol="CL", offset=offset)  # type: ignore[arg-type]


def test_a_contract_pays_the_difference_of_its_prices() -> None:
    market = MarketData.from_frame(oil(), symbol="CL", offset=100.0)
    held = np.full((6, 1), np.nan)
    held[0] = 10.0
    report = backtest(
        Orders(size=held, kind="amount"), market, costs=FREE, fill="close", cash=10_000.0
    )
    difference = 10 * (np.array(CLOSES) - CLOSES[0])
    np.testing.assert_allclose(report.equity, 10_000 + difference, rtol=1e-12)
    full = np.full((6, 1), np.nan)
    full[0] = 1.0  # all of the equity is collateral: a return is the difference per price + offset
    weights = pd.DataFrame(full, index=market.index, columns=["CL"])
    for engine in ("simulator", "vectorbt"):
        whole = backtest(weights, market, costs=FREE, fill="close", engine=engine)  # type: ignore[arg-type]
        expected = 1 + (np.array(CLOSES) - CLOSES[0]) / (CLOSES[0] + 100)
        np.testing.assert_allclose(whole.equity / 100_000, expected, rtol=1e-12)
        assert "CL 100" in " ".join(whole.remarks)
    short = backtest(-weights, market, costs=FREE, fill="close").equity / 100_000
    np.testing.assert_allclose(short, 2 - expected, rtol=1e-12)


def test_an_environment_trades_through_the_fall() -> None:
    before = np.full(70, 18.27)
    close = np.concatenate([before, CLOSES[2:], np.full(20, 16.5)])
    frame = pd.DataFrame(
        dict(open=close, high=close, low=close, close=close),
        index=pd.bdate_range("2020-01-14", periods=len(close)),
    )
    market = MarketData.from_frame(frame, symbol="CL", offset=100.0)
    env = MarketEnv(market, num_envs=1, config=EnvConfig(horizon=5, fill="close"), costs=FREE)
    env.reset(options={"start": [69], "asset": [0]})
    found = env.step([0])[4]  # short
    assert float(found["equity"][0]) == pytest.approx(1 + (18.27 + 37.63) / 118.27, rel=1e-5)


def test_only_the_assets_named_are_lifted() -> None:
    stock = oil() + 100.0
    market = MarketData.from_frames({"CL": oil(), "S": stock}, offset={"CL": 100.0})
    assert market.offsets == (100.0, 0.0)
    assert market.select(["S"]).offsets == (0.0,)
    np.testing.assert_allclose(market.close[:, 0], market.close[:, 1])


def test_files_keep_quoted_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_market(MarketData.from_frame(oil(), symbol="CL", offset=100.0), "cl.csv")
    np.testing.assert_allclose(pd.read_csv("cl.csv")["close"], CLOSES)
    again = load_market("cl.csv:offset=100")
    np.testing.assert_allclose(again.close[:, 0], np.array(CLOSES) + 100)
    assert load_market(again.source.split("; ")[0]).sha256 == again.sha256
    assert main(["data", "check", "cl.csv"]) == 2
    assert main(["data", "check", "cl.csv:offset=100"]) == 0
    assert main(["data", "show", "cl.csv:offset=100"]) == 0
    assert "-37.63" in capsys.readouterr().out
    report = ["--data", "cl.csv:offset=100", "--report", "page.html", "--per-share-fee", "0.01"]
    assert main(["backtest", "buy_and_hold", *report]) == 0
    assert "load_market(&#x27;cl.csv:offset=100" in Path("page.html").read_text()
