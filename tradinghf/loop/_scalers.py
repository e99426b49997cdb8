"""Whether policies see features in the units that they learned in."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from tradinghf.market import FeatureScaler
from tradinghf.simulation import MarketEnv


def scaler_of(actors: Iterable[Any]) -> FeatureScaler | None:
    """The scaler that the first of several actors' policies learned with; None: none says so."""
    found = (getattr(actor.policy, "scaler", None) for actor in actors)
    return next((scaler for scaler in found if scaler is not None), None)


def check_scaler(env: MarketEnv, actor: Any) -> None:
    """Warn where an actor's policy would see its features in other units than it learned in."""
    own = scaler_of([actor])
    if own is not None and own != env.scaler:
        warnings.warn(
            f"The policy of {actor.name!r} learned with features scaled by other bars than those "
            f"of this environment of {env.market.name}: it sees other numbers here. Make it by "
            "training_env.like(market, num_envs=...) or MarketEnv(..., scaler=policy.scaler).",
            stacklevel=4,
        )
