"""The simulator: accounting of orders and costs, rewards, and the vectorised environment.

Importing this package registers the Gymnasium ids; it loads torch only when one is made.
"""

from __future__ import annotations

from typing import Any

import gymnasium

ENV_IDS: dict[str, dict[str, Any]] = {
    "tradinghf/Market-v0": {},
    "tradinghf/MarketContinuous-v0": {"actions": "continuous"},
    "tradinghf/Portfolio-v0": {
        "market": "synthetic:bars=1024,assets=4",
        "actions": "continuous",
        "portfolio": True,
    },
}

for _id, _settings in ENV_IDS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(
            _id,
            entry_point="tradinghf.simulation.gym:TradingEnv",
            vector_entry_point="tradinghf.simulation.gym:TradingVectorEnv",
            kwargs=dict(_settings),
        )

__all__ = ["ENV_IDS"]
