"""Aspects of portfolios: each is what its name says, causal, and absent where one asset trades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.episodes import random_episode

from tradinghf.config import CostModel, EnvConfig
from tradinghf.episodes import Episode, EpisodeBatch
from tradinghf.errors import EpisodeError
from tradinghf.feedback import SyntheticTrader
from tradinghf.learning.reward import RewardModel, TradePaths
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._book_aspects import plain_aspects, rare_aspects
from tradinghf.loop import Actor, collect
from tradinghf.market import synthetic
from tradinghf.simulation import MarketEnv, random_windows

MARKET = synthetic(3, 400, 5)
TASK = EnvConfig(horizon=20, portfolio=True, actions="continuous", dtype="float64")
OF_BOOKS = [name for name in ASPECTS if ASPECTS[name].portfolio]


def books(costs: CostModel | None = None) -> list[Episode]:
    """Episodes of random weights, one of them flat, one in a single name."""
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(-1, 1, (MARKET.bars, 5)) * (rng.random(5) < 0.7) for _ in range(6)]
    single = np.zeros((MARKET.bars, 5))
    single[:, 2] = 0.8
    rows = [*drawn, 0 * single, single]
    actors = [Actor(f"book {i}", weights=w) for i, w in enumerate(rows)]
    windows = random_windows(MARKET, TASK, 4, seed=0)
    env = MarketEnv(MARKET, num_envs=4, config=TASK, costs=costs)
    return [e for row in collect(MARKET, actors, windows, env=env) for e in row]


EPISODES = books()


def totals(names: list[str], episodes: list[Episode]) -> np.ndarray:
    paths = TradePaths.from_episodes(episodes)
    return torch.stack([ASPECTS[n].values(paths).sum(-1) for n in names], -1).numpy()


def test_totals_are_what_their_names_say() -> None:
    wanted = []
    for e in EPISODES:
        assert e.weights is not None
        assert e.gains is not None
        size = np.abs(e.weights)
        gross = size.sum(1)
        shares = size / np.where(gross > 0, gross, 1)[:, None]
        lost = np.maximum(-e.gains.cumsum(0), 0)
        final = lost[-1]
        row = {
            "gross_exposure": gross.mean(),
            "net_exposure": np.abs(e.weights.sum(1)).mean(),
            "largest_name": size.max(1).mean(),
            "concentration": np.square(shares).sum(1).mean(),
            "names_held": (size > 1e-3).sum(1).mean(),
            "single_name_loss": lost.max(),
            "single_name_share": final.max() / final.sum() if final.sum() > 0 else 0.0,
        }
        wanted.append([row[name] for name in OF_BOOKS])
    np.testing.assert_allclose(totals(OF_BOOKS, EPISODES), wanted, atol=2e-4)
    short = [np.maximum(-e.book, 0).sum(1).mean() for e in EPISODES]
    np.testing.assert_allclose(totals(["short_exposure"], EPISODES)[:, 0], short, atol=1e-5)


def test_they_never_look_ahead() -> None:
    paths = TradePaths.from_episodes(EPISODES)
    values = {name: ASPECTS[name].values(paths) for name in OF_BOOKS}
    generator = torch.Generator().manual_seed(1)
    for t in range(1, TASK.horizon):
        bumped = {}
        for name in ("close", "position", "equity", "turnover", "costs", "weights", "gains"):
            array = getattr(paths, name).clone()
            after = array[:, t + 1 :] if array.shape[1] == TASK.horizon + 1 else array[:, t:]
            after.mul_(1 + 0.1 * torch.rand(after.shape, generator=generator))
            bumped[name] = array
        changed = TradePaths(**bumped)
        for name, before in values.items():
            assert torch.equal(ASPECTS[name].values(changed)[:, :t], before[:, :t]), name


def test_gains_of_the_assets_sum_to_the_profit_before_fees() -> None:
    for costs in (CostModel(fee_bps=0, slippage_bps=5), CostModel(fee_bps=0, slippage_bps=0)):
        for e in books(costs):
            assert e.gains is not None
            np.testing.assert_allclose(e.gains.sum(1), np.diff(e.equity), atol=1e-12)


def test_an_account_of_one_asset_is_asked_about_no_book() -> None:
    assert not set(OF_BOOKS) & {*plain_aspects(), *rare_aspects()}
    assert "time_in_market" not in plain_aspects(portfolio=True)
    together = {*plain_aspects(portfolio=True), *rare_aspects(portfolio=True)}
    assert together == set(ASPECTS) - {"time_in_market"}
    alone = TradePaths.from_episodes([random_episode(0)])
    assert alone.weights is None
    torch.testing.assert_close(
        ASPECTS["gross_exposure"].values(alone).sum(), alone.position.abs().mean()
    )


def test_a_fear_of_large_names_is_learned_from_rankings() -> None:
    shown = {e.id: e for e in EPISODES}
    groups = [EPISODES[8 * w + i : 8 * w + i + 5] for w in range(4) for i in range(3)]
    trader = SyntheticTrader("concentration_averse")
    answers = [trader.rank(group, f"q{i}") for i, group in enumerate(groups)]
    model = RewardModel().fit(answers, shown)
    assert "largest_name" in model.aspects
    scores, truth = model.score(EPISODES).numpy(), trader.utilities(EPISODES)
    assert np.corrcoef(scores, truth)[0, 1] > 0.9
    feared = {row["name"]: row["weight"] for row in model.explain()}
    assert any(feared.get(name, 0) < 0 for name in ("largest_name", "concentration"))
    alone = [[random_episode(i, window=w) for i in range(9 * w, 9 * w + 4)] for w in range(4)]
    again = model.blank().fit(
        [trader.rank(g, f"s{i}") for i, g in enumerate(alone)], {e.id: e for g in alone for e in g}
    )
    assert not set(OF_BOOKS) & set(again.aspects), "an earlier fit leaves nothing behind"


def test_episodes_keep_their_book() -> None:
    first = EPISODES[0]
    again = Episode.from_bytes(first.to_bytes(), expect_id=first.id)
    assert again.assets == MARKET.symbols
    np.testing.assert_array_equal(again.weights, first.weights)
    tail = first.tail(0.5)
    assert tail.weights is not None
    tail.check()
    np.testing.assert_allclose(tail.gains.sum(1) * first.equity[10], first.gains[10:].sum(1))
    batch = EpisodeBatch.stack(EPISODES[:3])
    assert batch.first(7).book.shape == (3, 7, 5)
    np.testing.assert_array_equal(batch.episodes()[1].gains, EPISODES[1].gains)
    with pytest.raises(EpisodeError, match="assets"):
        EpisodeBatch.stack([first, replace(first, weights=None, gains=None, assets=())])
    with pytest.raises(EpisodeError, match="weights"):
        replace(first, assets=first.assets[:3]).check()


def test_an_episode_of_one_asset_is_written_as_it_always_was() -> None:
    """Stored episodes are named by their bytes: those of earlier versions stay what they are."""
    data = random_episode(1).to_bytes()
    assert b"assets" not in data
    assert b"weights" not in data
    assert Episode.from_bytes(data).assets == ()
