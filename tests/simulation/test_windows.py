"""Windows: which ones a market has, which are drawn, and which overlap in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tradinghf.config import EnvConfig
from tradinghf.errors import ConfigError
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, random_windows
from tradinghf.simulation._windows import spawned

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


def test_neighbouring_seeds_share_no_environment() -> None:
    """By seed + i, environment i of seed 7 was environment i - 1 of seed 8."""
    count = 64
    every = np.concatenate([spawned(seed, count).numpy() for seed in range(50)])
    assert len(np.unique(every)) == 50 * count
    assert every.min() >= 0
    assert spawned(7, 8)[:3].equal(spawned(7, 3))  # however many there are
    places = []
    for seed in (7, 8):
        env = MarketEnv(MARKET, num_envs=count, config=ENV)
        _, told = env.reset(seed=seed)
        places.append(list(zip(told["asset"].tolist(), told["start"].tolist(), strict=True)))
        single = MarketEnv(MARKET, num_envs=1, config=ENV)
        for i in (0, 5):
            _, alone = single.reset(seed=int(spawned(seed, count)[i]))
            assert (int(alone["asset"]), int(alone["start"])) == places[-1][i]
        assert int(spawned(seed, count)[0]) == seed
    # As many as chance has it: two draws of 64 among some 1,500 windows.
    assert len(set(places[0]) & set(places[1])) <= 10


def test_seeds_one_after_another_are_still_a_range() -> None:
    env = MarketEnv(MARKET, num_envs=3, config=ENV)
    _, one = env.reset(seed=range(4, 7))
    _, two = env.reset(seed=[4, 5, 6])
    assert torch.equal(one["start"], two["start"])
    with pytest.raises(ConfigError, match="expected one number, or 3"):
        env.reset(seed=range(4, 9))
