"""What a portfolio's policy is to copy of demonstrations, each of which trades one asset.

Side by side they say what was held of some assets at some bars; of the others nothing is known, and
nothing is copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.config import EnvConfig, Randomisation
from tradinghf.episodes import Episode
from tradinghf.market import Floats, MarketData
from tradinghf.simulation import MarketEnv

_SHARPNESS = 5.0  # of `Allocation.mapping` "softmax"
_FEWEST_BARS = 2


def held_by_hand(own: Sequence[tuple[Episode, int, int]], market: MarketData) -> Floats:
    """[T, A] positions that were demonstrated [fraction of equity]; NaN where nothing was.

    Args:
        own: (episode, asset, first bar), as from `located`.
        market: the bars.

    """
    held = np.full((market.bars, market.assets), np.nan)
    for episode, asset, start in own:
        held[start : start + episode.bars, asset] = episode.position
    return held


def pieces(known: NDArray[np.bool_], most: int) -> list[slice]:
    """Bars on which something is known, in pieces of at most so many bars that share none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    found = [
        slice(start, min(start + most, int(end)))
        for begin, end in edges.reshape(-1, 2)
        for start in range(int(begin), int(end), most)
    ]
    return [piece for piece in found if piece.stop - piece.start >= _FEWEST_BARS]


def scores_of(held: Floats, listed: NDArray[np.bool_], config: EnvConfig) -> Floats:
    """[L, A] actions whose weights are what is held, where limits and caps leave it; 0 unknown.

    Args:
        held: [L, A] fractions of equity; NaN is unknown.
        listed: [L, A].
        config: the task.

    """
    weights, leverage = np.nan_to_num(held), config.margin.leverage
    if config.allocation.mapping == "scaled":
        every: Floats = weights if config.actions == "discrete" else weights / leverage
    else:
        cash = np.maximum(leverage - weights.clip(0).sum(1, keepdims=True), 1e-3)
        share = weights.clip(1e-9) * listed.sum(1, keepdims=True) / cash
        every = np.where(np.isnan(held), 0.0, np.log(share) / _SHARPNESS)
    return every if config.actions == "discrete" else every.clip(-1.0, 1.0)


def book_decisions(
    env: MarketEnv, own: Sequence[tuple[Episode, int, int]]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """[L, D] observations of each piece, [L, A] what to do, and [L, A] where that is known.

    Args:
        env: the task.
        own: (episode, asset, first bar), as from `located`.

    """
    market, config, levels = env.market, env.config, np.array(env.config.levels)
    held = held_by_hand(own, market)
    listed = np.ones(held.shape, dtype=bool) if market.listed is None else market.listed
    for rows in pieces(np.asarray((~np.isnan(held)).any(axis=1)), config.horizon):
        bars = rows.stop - rows.start
        task = dataclasses.replace(
            config, horizon=bars, randomise=Randomisation(), autoreset="disabled"
        )
        one = env.like(num_envs=1, config=task)
        obs, _ = one.reset(seed=0, options={"asset": [0], "start": [rows.start]})
        scores = scores_of(held[rows], listed[rows], config)
        if config.actions == "discrete":
            labels = torch.as_tensor(np.abs(scores[..., None] - levels).argmin(-1))
        else:
            labels = torch.as_tensor(scores.astype(np.float32))
        seen = []
        for label in labels:
            seen.append(one.dense(obs)[0].clone())
            obs, *_ = one.step(label[None])
        yield torch.stack(seen).float(), labels, torch.as_tensor(~np.isnan(held[rows]))
