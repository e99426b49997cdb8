"""tradinghf: reinforcement learning from human feedback for algorithmic-trading backtesting."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING

from tradinghf.workers import wait_asleep

__version__ = "0.1.0"

# Without a log of their own, people are not written to: errors reach them as exceptions.
logging.getLogger(__name__).addHandler(logging.NullHandler())

wait_asleep()  # before anything imports torch

_EXPORTS = {
    "CostModel": "tradinghf.config",
    "EnvConfig": "tradinghf.config",
    "Episode": "tradinghf.episodes",
    "MarketData": "tradinghf.market",
    "MarketEnv": "tradinghf.simulation",
    "Policy": "tradinghf.learning.policy",
    "RLHF": "tradinghf.loop",
    "RewardModel": "tradinghf.learning.reward",
    "backtest": "tradinghf.evaluation",
    "load_market": "tradinghf.market",
    "run_script": "tradinghf.cli",
    "strategy": "tradinghf.strategies",
}

if TYPE_CHECKING:
    from tradinghf.cli import run_script
    from tradinghf.config import CostModel, EnvConfig
    from tradinghf.episodes import Episode
    from tradinghf.evaluation import backtest
    from tradinghf.learning.policy import Policy
    from tradinghf.learning.reward import RewardModel
    from tradinghf.loop import RLHF
    from tradinghf.market import MarketData, load_market
    from tradinghf.simulation import MarketEnv
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
