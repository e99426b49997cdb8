"""Can its numbers be trusted? Planted leaks, an agent that sees the future, and pure noise.

The planted files are data (`benchmarks/leaks`): put another checker through them by the same rule.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tradinghf.config import CostModel, EnvConfig
from tradinghf.evaluation import check_strategy, sweep
from tradinghf.learning.config import PPOConfig, RLHFConfig
from tradinghf.learning.ppo import env_reward
from tradinghf.loop import Actor, episode_batch, train_baseline
from tradinghf.market import Floats, MarketData, feature, feature_names, synthetic
from tradinghf.resources import resource_dir
from tradinghf.simulation import MarketEnv

Row = dict[str, Any]
_CAUGHT = ("look-ahead", "answers from a file")
_FEATURE = "next_move"
_PROMISE = 0.05


def leak_table(market: MarketData, *, points: int = 10, every: int = 1) -> list[Row]:
    """Which of the planted and of the honest strategies our check calls leaking.

    Args:
        market: bars to check on.
        points: bars of each kind, as for `check_strategy`.
        every: only every so many files, for a quick look.

    """
    rows = []
    for kind in ("planted", "honest"):
        for file in sorted((resource_dir("leaks") / kind).glob("*.py"))[::every]:
            found = check_strategy(str(file), market, points=points)
            errors = [f.kind for f in found if f.severity == "error"]
            flagged = any(name in _CAUGHT for name in errors)
            rows.append({"file": f"{kind}/{file.name}", "planted": kind == "planted"})
            rows[-1] |= {"flagged": flagged, "errors": errors}
    return rows


def leak_summary(rows: list[Row]) -> Row:
    """Counts of a `leak_table`."""
    planted, honest = ([r for r in rows if r["planted"] is p] for p in (True, False))
    return {
        "planted": len(planted),
        "caught": sum(r["flagged"] for r in planted),
        "honest": len(honest),
        "flagged": sum(r["flagged"] for r in honest),
    }


def oracle_share(steps: int, seed: int = 0) -> Row:
    """How much of what perfect foresight of the next bar earns PPO learns to earn.

    The observation holds the move that a decision is paid by, so following its sign is the best
    policy. Both trade the same windows of bars that training did not see, without costs.
    """
    _see_the_future()
    config = EnvConfig(horizon=32, lookback=1, features=(_FEATURE,), levels=(-1.0, 0.0, 1.0))
    free = CostModel(fee_bps=0, slippage_bps=0)
    train, test = (synthetic(seed + i, 1024, 8) for i in (0, 1_000_000))
    env = MarketEnv(train, num_envs=256, config=config, costs=free)
    loop = RLHFConfig(steps=steps, ppo=PPOConfig(hidden=(32, 32)), seed=seed)
    policy = train_baseline(env, "oracle", env_reward, loop)
    unseen = MarketEnv(test, num_envs=512, config=config, costs=free, scaler=env.scaler)
    best = Actor("best", weights=np.sign(_next_moves(test)))
    earned = {
        name: float(np.log(episode_batch(unseen, actor, seed).equity[:, -1]).mean())
        for name, actor in (("policy", Actor("policy", policy=policy)), ("best", best))
    }
    share = earned["policy"] / earned["best"]
    return {"seed": seed, "steps": steps, **earned, "share": share, "holds": share >= 0.98}


def _next_moves(market: MarketData) -> Floats:
    """[T, A] log return from the fill of bar t's order to the next one; 0 at the end."""
    moves = np.zeros_like(market.open)
    moves[:-2] = np.log(market.open[2:] / market.open[1:-1])
    return moves


def _see_the_future() -> None:
    """Register the planted feature; it exists for this benchmark alone."""
    if _FEATURE not in feature_names():
        feature(_FEATURE)(_next_moves)


def noise_claims(worlds: int, seed: int = 0) -> Row:
    """How often the best of 16 moving averages on pure noise gets a verdict that it is proven."""
    grid = {"fast": [5, 10, 20, 40], "slow": [60, 90, 120, 150]}
    passed = [
        bool(sweep("sma_cross", _noise(seed + i), grid, record=False).verdict().passed)
        for i in range(worlds)
    ]
    error = (_PROMISE * (1 - _PROMISE) / worlds) ** 0.5
    claims = float(np.mean(passed))
    about = {"worlds": worlds, "claims": claims, "standard_error": error}
    return about | {"holds": claims <= _PROMISE + 2 * error}


def _noise(seed: int) -> MarketData:
    """Independent daily returns without drift."""
    rng = np.random.default_rng((seed, 7))
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal((750, 1)), axis=0))
    opening = np.vstack([[[100.0]], close[:-1]])
    return MarketData(
        open=opening,
        high=np.maximum(opening, close),
        low=np.minimum(opening, close),
        close=close,
        volume=np.ones_like(close),
        timestamps=synthetic(0, 750, 1).timestamps,
        symbols=("NOISE",),
        name="noise",
    )


def measure_trust(*, quick: bool = False, seed: int = 0) -> Row:
    """All three: leaks, the oracle, noise.

    Args:
        quick: a part of each: shows that it works, not how well.
        seed: of markets and of training.

    """
    rows = leak_table(synthetic(seed + 1, 500, 3, "mixed"), points=6, every=12 if quick else 1)
    return {
        "leaks": leak_summary(rows),
        "oracle": oracle_share(100_000 if quick else 1_000_000, seed),
        "noise": noise_claims(4 if quick else 200, seed),
        "files": rows,
    }
