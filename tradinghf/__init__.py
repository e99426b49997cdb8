"""tradinghf: reinforcement learning from human feedback for algorithmic-trading backtesting."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Without a log of their own, people are not written to: errors reach them as exceptions.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_EXPORTS = {
    "CostModel": "tradinghf.config",
    "EnvConfig": "tradinghf.config",
    "Episode": "tradinghf.episodes",
    "MarketData": "tradinghf.market.data",
    "MarketEnv": "tradinghf.simulation.env",
    "Policy": "tradinghf.learning.policy.saved",
    "RLHF": "tradinghf.loop.rlhf",
    "RewardModel": "tradinghf.learning.reward.model",
    "backtest": "tradinghf.evaluation.backtest",
    "load_market": "tradinghf.market.sources",
    "run_script": "tradinghf.cli.script",
    "strategy": "tradinghf.strategies",
}

if TYPE_CHECKING:
    from tradinghf.cli.script import run_script
    from tradinghf.config import CostModel, EnvConfig
    from tradinghf.episodes import Episode
    from tradinghf.evaluation.backtest import backtest
    from tradinghf.learning.policy.saved import Policy
    from tradinghf.learning.reward.model import RewardModel
    from tradinghf.loop.rlhf import RLHF
    from tradinghf.market.data import MarketData
    from tradinghf.market.sources import load_market
    from tradinghf.simulation.env import MarketEnv
    from tradinghf.strategies import strategy

__all__ = [
    "RLHF",
    "CostModel",
    "EnvConfig",
    "Episode",
    "MarketData",
    "MarketEnv",
    "Policy",
    "RewardModel",
    "backtest",
    "load_market",
    "run_script",
    "strategy",
]


def __getattr__(name: str) -> object:
    """Import public names on first use, so that `import tradinghf` stays fast (PEP 562)."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'tradinghf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


if "gymnasium" in sys.modules:  # so that `import gymnasium, tradinghf` is enough to make one
    importlib.import_module("tradinghf.simulation")
