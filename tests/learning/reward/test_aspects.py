"""Aspects: each is what its name says, causal, and exact in single precision."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from support.episodes import random_episode, window_groups

from tradinghf.episodes import EpisodeBatch
from tradinghf.feedback import LEXICON, SyntheticTrader
from tradinghf.feedback._traders import open_profit
from tradinghf.learning.config import AspectConfig
from tradinghf.learning.reward import TradePaths
from tradinghf.learning.reward._answers import AnswerTable
from tradinghf.learning.reward._aspects import ASPECTS
from tradinghf.learning.reward._book_aspects import plain_aspects, rare_aspects

LENGTH = 24
EPISODES = [random_episode(seed) for seed in range(40)]
PATHS = TradePaths.from_episodes(EPISODES)


def per_bar(paths, names):
    return torch.stack([ASPECTS[name].values(paths) for name in names], dim=-1)


def test_every_aspect_is_plain_or_rare():
    alone = [name for name in ASPECTS if not ASPECTS[name].portfolio]
    assert sorted((*plain_aspects(), *rare_aspects())) == alone
    assert {"profit", "giving_back"} < set(plain_aspects())
    assert {"skew", "longest_trade"} < set(rare_aspects())


def test_the_best_open_profit_of_many_trades_is_exact_in_single_precision():
    """A new trade every few bars: what is given back is small, and the trades are many."""
    episodes = [random_episode(seed, length=2000) for seed in range(3)]
    paths = TradePaths.from_episodes(episodes)
    got = ASPECTS["giving_back"].values(paths).double().sum(-1)
    for row, paid in enumerate(got.tolist()):
        equity = paths.equity[row].double().tolist()
        side = np.sign(paths.position[row].numpy())
        total, entry, best = 0.0, 0.0, 0.0
        for t, now in enumerate(side):
            if t == 0 or now != side[t - 1]:
                entry, best = np.log(equity[t]), 0.0
            if now:
                profit = np.log(equity[t + 1]) - entry
                best = max(best, profit)
                total += best - profit if best > 0 else 0.0
        assert abs(paid - total / len(side)) < 1e-6


def test_open_profit_of_tensors_equals_the_loop():
    batch = EpisodeBatch.stack(EPISODES)
    profit, best = open_profit(batch)
    got_profit, got_best = PATHS.open_profit, PATHS.best_open_profit
    np.testing.assert_allclose(got_profit.numpy(), profit, atol=1e-5)
    np.testing.assert_allclose(got_best.numpy(), best, atol=1e-5)


def test_aspect_totals_are_what_their_names_say():
    batch = EpisodeBatch.stack(EPISODES)
    profit, best = open_profit(batch)
    trend = [
        np.mean(
            [e.position[t] * np.sign(e.close[t] - e.close[max(t - 10, 0)]) for t in range(LENGTH)]
        )
        for e in EPISODES
    ]
    expected = {
        "profit": batch.net_return,
        "max_drawdown": batch.drawdown.max(-1),
        "average_drawdown": batch.drawdown[:, 1:].mean(-1),
        "turnover": batch.turnover.sum(-1),
        "trades": (batch.turnover > 1e-3).sum(-1),
        "time_in_market": np.abs(batch.position).mean(-1),
        "short_exposure": np.maximum(-batch.position, 0).mean(-1),
        "variance": np.square(batch.returns).sum(-1),
        "downside_variance": np.square(np.minimum(batch.returns, 0)).sum(-1),
        "worst_bar": np.maximum(-batch.returns, 0).max(-1),
        "holding_losers": np.maximum(-profit, 0).mean(-1),
        "giving_back": np.where(best > 0, best - profit, 0).mean(-1),
        "trend_riding": trend,
    }
    assert set(expected) == set(plain_aspects())
    totals = per_bar(PATHS, list(expected)).sum(-2)
    for column, (name, value) in enumerate(expected.items()):
        np.testing.assert_allclose(totals[:, column], value, atol=3e-5, err_msg=name)


def test_aspects_never_look_ahead():
    """What happens after bar t changes no value up to t, bit for bit."""
    names = [*plain_aspects(), *rare_aspects()]
    values = per_bar(PATHS, names)
    generator = torch.Generator().manual_seed(1)
    for t in range(1, LENGTH):
        bumped = {}
        for name in ("close", "position", "equity", "turnover", "costs"):
            array = getattr(PATHS, name).clone()
            after = array[:, t + 1 :] if array.shape[1] == LENGTH + 1 else array[:, t:]
            after.mul_(1 + 0.1 * torch.rand(after.shape, generator=generator))
            bumped[name] = array
        changed = per_bar(TradePaths(**bumped), names)
        assert torch.equal(changed[:, :t], values[:, :t])


def test_what_decided_counts_twice_what_is_only_written_about():
    episodes = window_groups(3)
    shown = {e.id: e for group in episodes for e in group}
    trader = SyntheticTrader("drawdown")
    plain = [trader.rank(group, f"q{i}") for i, group in enumerate(episodes)]
    said = [dataclasses.replace(r, comment=c) for r, c in zip(plain, _COMMENTS, strict=True)]
    table = AnswerTable.of(said, shown)
    (column, *_) = LEXICON["drawdown"].columns
    assert table.mentioned[column] == 3, "once in words, and a tag"
    assert table.mentioned["turnover"] == 0
    head = AspectConfig()
    chances = [head.chance(n) for n in range(9)]
    assert chances[:2] == [head.inclusion, head.mentioned]
    assert chances == sorted(chances)
    assert chances[-1] == head.surest


_COMMENTS = ("the drawdown is too deep", "#drawdown", "")
