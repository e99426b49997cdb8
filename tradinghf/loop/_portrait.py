"""What a training's policy became, in words that are kept with the run: RUN/policy.json."""

from __future__ import annotations

from typing import Any

from tradinghf.learning.policy import Policy
from tradinghf.loop._character import character
from tradinghf.loop._collect import Actor, env_like, episode_batch
from tradinghf.loop._departures import departures
from tradinghf.market import MarketData
from tradinghf.simulation import MarketEnv

_EPISODES = 256


def portrait(policy: Policy, env: MarketEnv, market: MarketData, seed: int = 0) -> dict[str, Any]:
    """How a policy trades a market, as JSON values that pages read without torch.

    Args:
        policy: what was trained.
        env: its training environment.
        market: bars; better those that it was not trained on.
        seed: of the windows.

    Returns:
        `text`, one paragraph; `checked`, how far its last sentence holds; `character`, see
        `tradinghf.loop._character.character`; and of an overlay `departures`, see
        `tradinghf.loop._departures.departures`.

    """
    batch = episode_batch(env_like(env, market, _EPISODES), Actor("policy", policy=policy), seed)
    found: dict[str, Any] = {"character": character(batch), "departures": None}
    if policy.config.overlay is not None and not policy.config.portfolio:
        found["departures"] = departures(policy, env, market, seed)
    said = [part["text"] for part in found.values() if part is not None]
    checked = (found["departures"] or {}).get("checked", "")
    return {"text": " ".join(said), "checked": checked} | found
