"""Edited episodes: the unedited one is found again, and changes trade as the environment would."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tradinghf.config import CostModel, EnvConfig
from tradinghf.episodes import Episode
from tradinghf.errors import EpisodeError
from tradinghf.loop import Actor, collect, constant_actor, random_actor, strategy_actor
from tradinghf.market import synthetic
from tradinghf.simulation import Change, MarketEnv, Windows, edited_episode

MARKET = synthetic(seed=9, bars=400, assets=1)
COSTS = CostModel(fee_bps=7.0, slippage_bps=4.0, spread_bps=2.0)
CONFIG = EnvConfig(horizon=60, dtype="float64")
START = 200


def traded(weights: np.ndarray, config: EnvConfig = CONFIG, costs: CostModel = COSTS) -> Episode:
    """What these [T] standing targets come to."""
    actor = Actor("drawn", weights[:, None])
    windows = Windows(np.array([0]), np.array([START]))
    env = MarketEnv(MARKET, num_envs=1, config=config, costs=costs)
    return collect(MARKET, [actor], windows, env=env)[0][0]


@pytest.mark.parametrize("fill", ["next_open", "close"])
@pytest.mark.parametrize("costs", [COSTS, CostModel(fee_bps=0.0, slippage_bps=0.0)])
def test_an_episode_is_found_again(fill: str, costs: CostModel) -> None:
    config = replace(CONFIG, fill=fill)
    actors = [
        constant_actor(MARKET, 0.0),
        constant_actor(MARKET, 0.5),
        constant_actor(MARKET, -1.0),
        random_actor(MARKET, config, 3, 6.0),
        strategy_actor("sma_cross", MARKET, fast=3, slow=9),
    ]
    windows = Windows(np.zeros(8, int), np.arange(50, 290, 30))
    env = MarketEnv(MARKET, num_envs=8, config=config, costs=costs)
    for row in collect(MARKET, actors, windows, env=env):
        for episode in row:
            again = edited_episode(episode, [], like=row)
            assert again.id == episode.id
            whole = [Change(1, 60, 0.25), Change(1, 60, 0.0)]
            np.testing.assert_allclose(edited_episode(episode, whole, like=row).equity, 1.0)


def test_a_change_trades_as_the_environment_does() -> None:
    weights = np.zeros(MARKET.bars)
    weights[START + 9 :] = 1.0
    before = traded(weights)
    weights[START + 19 : START + 29] = 0.5
    direct = traded(weights)
    edited = edited_episode(before, [Change(20, 29, 0.5)])
    # Until the change ends; then the account goes back to what was held, not to a new whole.
    for name in ("equity", "position", "turnover", "costs", "price"):
        size = 29 + (name == "equity")
        mine, theirs = getattr(edited, name)[:size], getattr(direct, name)[:size]
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    assert edited.position[29:].min() > 0.98
    assert edited.meta["changes"] == [[20, 29, 0.5]]
    assert edited.meta["edited"] == before.id
    edited.check()


def test_later_orders_stay_and_later_changes_win() -> None:
    weights = np.zeros(MARKET.bars)
    weights[START + 9 : START + 40] = 1.0
    before = traded(weights)
    edited = edited_episode(before, [Change(5, 14, -0.5), Change(12, 20, 0.0)])
    assert edited.position[5] == pytest.approx(-0.5, abs=0.02)
    assert np.abs(edited.position[11:20]).max() == 0.0
    assert edited.position[20] == pytest.approx(before.position[20], abs=1e-3)
    assert np.abs(edited.position[40:]).max() == 0.0
    assert np.flatnonzero(np.isfinite(edited.price)).tolist() == [4, 11, 20, 40]
    assert (edited.costs[[4, 11, 20, 40]] > 0).all()


def test_what_cannot_be_edited_says_why() -> None:
    episode = traded(np.full(MARKET.bars, 1.0))
    for change in (Change(0, 5, 1.0), Change(5, 61, 1.0), Change(9, 8, 1.0), Change(1, 2, 1.5)):
        with pytest.raises(EpisodeError, match="expected a position in"):
            edited_episode(episode, [change])
    odd = replace(episode, equity=episode.equity * np.linspace(1, 0.99, 61))
    with pytest.raises(EpisodeError, match="not found again at constant costs"):
        edited_episode(odd, [Change(3, 9, 0.0)])
    financed = traded(np.full(MARKET.bars, -1.0), costs=replace(COSTS, borrow_rate=0.3))
    with pytest.raises(EpisodeError, match="not found again"):
        edited_episode(financed, [Change(3, 9, 0.0)])


def test_editing_loads_no_torch() -> None:
    code = (
        "import sys; from tradinghf.simulation import edited_episode; "
        "sys.exit(bool({'torch', 'vectorbt', 'numba'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
