"""Two engines side by side: random orders to both, everything that they tell compared."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from tradinghf.market import MarketData, synthetic
from tradinghf.simulation import MarketEnv


def same(a: Any, b: Any, path: str = "", rtol: float = 0.0) -> None:
    """Equal tensors (NaN equals NaN) all through nested dataclasses and dicts.

    `rtol`: what numbers may differ by, of their size or of 1.
    """
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, path
        assert torch.equal(a.isnan(), b.isnan()), path
        a, b = a.nan_to_num(nan=7.0), b.nan_to_num(nan=7.0)
        if rtol and a.is_floating_point():
            torch.testing.assert_close(a, b, rtol=rtol, atol=rtol, msg=lambda m: f"{path}: {m}")
        else:
            assert torch.equal(a, b), path
    elif is_dataclass(a) and not isinstance(a, type):
        for f in fields(a):
            same(getattr(a, f.name), getattr(b, f.name), f"{path}.{f.name}", rtol)
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for name in a:
            same(a[name], b[name], f"{path}[{name}]", rtol)
    elif isinstance(a, tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{path}[{i}]", rtol)
    else:
        assert a == b, path


def pair(market: MarketData, **settings: Any) -> list[MarketEnv]:
    """The same environment by both engines."""
    return [MarketEnv(market, engine=engine, **settings) for engine in ("tensor", "fused")]


def walk(
    envs: list[MarketEnv], steps: int, seed: int, *, empty: float = 0.3, rtol: float = 0.0
) -> None:
    """Random target weights, some beyond what cash allows, some absent; everything compared."""
    rng = np.random.default_rng(seed)
    shape: Any = envs[0].num_envs
    if envs[0].config.portfolio:
        shape = (shape, envs[0].market.assets)
    first, second = (env.reset(seed=seed) for env in envs)
    same(first[0], second[0], rtol=rtol)
    for step in range(steps):
        weights = rng.uniform(-1.5, 1.5, shape)
        weights[rng.random(shape) < empty] = np.nan
        weights[rng.random(shape) < 0.2] = 0.0
        a, b = (env.step_weights(weights) for env in envs)
        for x, y, name in zip(a, b, ("obs", "reward", "end", "cut", "info"), strict=True):
            same(x, y, f"step {step} {name}", rtol)
        same(envs[0].state, envs[1].state, f"step {step} state", rtol)


def crashing(bars: int = 220, assets: int = 1) -> MarketData:
    """Bars that double or halve: shorts are ruined, longs nearly so."""
    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.choice([-0.7, 0.0, 0.75], (bars, assets)), axis=0))
    opened = close * np.exp(rng.normal(0, 0.3, close.shape))
    return replace(
        synthetic(0, bars, assets),
        open=opened,
        high=np.maximum(opened, close) * 1.05,
        low=np.minimum(opened, close) * 0.95,
        close=close,
        name="crashing",
    )
