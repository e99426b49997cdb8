"""The simulator: accounting of orders and costs, rewards, and the vectorised environment.

Importing this package registers the Gymnasium ids; it loads torch only when one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradinghf._exports import on_first_use
from tradinghf.workers import use_one_thread_in_forks

if TYPE_CHECKING:
    from tradinghf.simulation._edits import Change, edited_episode
    from tradinghf.simulation._env import MarketEnv
    from tradinghf.simulation._hooks import BarFills
    from tradinghf.simulation._plain_orders import trade_weights
    from tradinghf.simulation._rewards import Transition, reward
    from tradinghf.simulation._sampling import LabelledWindows
    from tradinghf.simulation._simulate import simulate
    from tradinghf.simulation._stepped import AccountState, decide_stepwise
    from tradinghf.simulation._torchrl import torchrl_env
    from tradinghf.simulation._windows import Windows, random_windows, splitmix64

from typing import Any

import gymnasium

_ENV_IDS: dict[str, dict[str, Any]] = {
    "tradinghf/Market-v0": {},
    "tradinghf/MarketContinuous-v0": {"actions": "continuous"},
    "tradinghf/Portfolio-v0": {
        "market": "synthetic:bars=1024,assets=4",
        "actions": "continuous",
        "portfolio": True,
    },
}

use_one_thread_in_forks()

for _id, _settings in _ENV_IDS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            entry_point="tradinghf.simulation._gym:TradingEnv",
            vector_entry_point="tradinghf.simulation._gym:TradingVectorEnv",
            kwargs=dict(_settings),
        )

__all__ = [
    "AccountState",
    "BarFills",
    "Change",
    "LabelledWindows",
    "MarketEnv",
    "Transition",
    "Windows",
    "decide_stepwise",
    "edited_episode",
    "random_windows",
    "reward",
    "simulate",
    "splitmix64",
    "torchrl_env",
    "trade_weights",
]

__getattr__ = on_first_use(
    __name__,
    {
        "AccountState": "tradinghf.simulation._stepped",
        "decide_stepwise": "tradinghf.simulation._stepped",
        "Change": "tradinghf.simulation._edits",
        "edited_episode": "tradinghf.simulation._edits",
        "BarFills": "tradinghf.simulation._hooks",
        "LabelledWindows": "tradinghf.simulation._sampling",
        "MarketEnv": "tradinghf.simulation._env",
        "torchrl_env": "tradinghf.simulation._torchrl",
        "Transition": "tradinghf.simulation._rewards",
        "reward": "tradinghf.simulation._rewards",
        "simulate": "tradinghf.simulation._simulate",
        "trade_weights": "tradinghf.simulation._plain_orders",
        "Windows": "tradinghf.simulation._windows",
        "random_windows": "tradinghf.simulation._windows",
        "splitmix64": "tradinghf.simulation._windows",
    },
)
