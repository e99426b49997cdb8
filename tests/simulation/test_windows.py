"""Windows: which ones a market has, which are drawn, and which overlap in time."""

from __future__ import annotations

import pytest

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, random_windows

ENV = EnvConfig(horizon=16, lookback=2)
MARKET = synthetic(seed=3, bars=400, assets=4)


def test_the_first_and_the_last_window_are_drawn_and_can_be_traded() -> None:
    """They never were: the draw began one bar late, and ended one bar early."""
    short = MARKET.rows(0, 20)
    found = random_windows(short, ENV, 1_000, seed=0)
    assert len(found) == 3 * 4, "three starts of each of four assets"
    assert set(found.start.tolist()) == {1, 2, 3}
    env = MarketEnv(short, num_envs=len(found), config=ENV)
    _, info = env.reset(options={"asset": found.asset, "start": found.start})
    assert info["start"].tolist() == found.start.tolist()
    with pytest.raises(ConfigError, match="expected 1 to 3"):
        env.reset(options={"start": 4})


@pytest.mark.parametrize("bars", [17, 18])
def test_a_market_has_windows_where_its_environment_has(bars: int) -> None:
    market = MARKET.rows(0, bars)
    if bars == 18:
        MarketEnv(market, config=ENV)
        assert random_windows(market, ENV, 9, seed=0).start.tolist() == [1] * 4
        return
    for attempt in (
        lambda: MarketEnv(market, config=ENV),
        lambda: random_windows(market, ENV, 9, 0),
    ):
        with pytest.raises(ConfigError, match="needs lookback"):
            attempt()
