"""Features of an episode that were learned from a population of made-up traders.

Where no aspect, threshold or condition says what a trader values, a combination of these mostly
do. They were trained (`scripts/tastes/train.py`) so that Bayesian linear regression on them, from
a few episodes, foresees the tastes of that population: their scale is the prior. A feature is the
mean over the bars of one network of the bar's facts, or another network of the last bar's facts,
which is paid as it changes; so both are causal rewards of single bars.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import linear, silu

from tradinghf.learning.reward._facts import bar_facts
from tradinghf.learning.reward._paths import TradePaths, increments

WEIGHTS = Path(__file__).with_name("tastes.safetensors")
NETWORKS = ("flow", "state")
LAYERS = 3


@lru_cache(maxsize=1)
def taste_weights() -> dict[str, Tensor]:
    """The trained networks: "NETWORK.LAYER.weight" and ".bias", and the "scale" of each feature."""
    return load_file(WEIGHTS)


def taste_count() -> int:
    """Number of the features D."""
    return len(taste_weights()["scale"])


def facts_tensor(paths: TradePaths, volatility: float) -> Tensor:
    """[B, L, F] the facts of each bar."""
    return torch.stack(tuple(bar_facts(paths, volatility).values()), dim=-1)


def network(facts: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """[..., D'] what one of the networks makes of facts [..., F]."""
    for layer in range(LAYERS):
        part = f"{name}.{layer}"
        facts = linear(facts, weights[f"{part}.weight"], weights[f"{part}.bias"])
        facts = silu(facts) if layer < LAYERS - 1 else facts
    return facts


def taste_totals(facts: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """[B, D] features of episodes, from the facts of their bars [B, L, F]."""
    flow = network(facts, weights, "flow").mean(-2)
    return torch.cat([flow, network(facts[..., -1, :], weights, "state")], -1) * weights["scale"]


@lru_cache(maxsize=4)
def _weights_on(device: str, kind: torch.dtype) -> dict[str, Tensor]:
    """`taste_weights` where they are used, copied there once: a GPU waits for each copy."""
    return {name: w.to(device=device, dtype=kind) for name, w in taste_weights().items()}


@torch.no_grad()
def taste_rewards(paths: TradePaths, volatility: float) -> Tensor:
    """[B, L, D] what each feature pays in each bar; the sums are the episode's features.

    Args:
        paths: B paths.
        volatility: of one bar in the ranked episodes.

    """
    weights = _weights_on(str(paths.equity.device), paths.equity.dtype)
    facts = facts_tensor(paths, volatility)
    flow = network(facts, weights, "flow") / paths.bars
    state = increments(network(facts, weights, "state").mT).mT
    return torch.cat([flow, state], dim=-1) * weights["scale"]
