"""What a reward model believes, in words and plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from tradinghf.learning.aspect_head import AspectPosterior

if TYPE_CHECKING:
    from tradinghf.learning.reward_model import RewardModel

SHOWN = 0.25  # thresholds and conditions less probable than this are not worth a line


def value_rows(model: RewardModel, posterior: AspectPosterior) -> list[dict[str, Any]]:
    """What is valued, most important first: `RewardModel.explain`.

    Thresholds of the same kind on the same aspect are one finding, named after the likeliest.
    """
    units = torch.tensor([term.unit for term in model.terms], dtype=torch.float64)
    worth = model.draws * units
    anchor = worth[:, 0].abs().clamp(min=1e-12)
    chances = posterior.inclusion()
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, term in enumerate(model.terms):
        groups.setdefault((term.base, term.form, term.state), []).append(i)
    rows = []
    for members in groups.values():
        chance = min(float(chances[members].sum()), 1.0)
        if members[0] >= len(model.aspects) and chance < SHOWN:
            continue
        term = model.terms[max(members, key=lambda i: float(chances[i]))]
        # Point and interval are of one distribution; profit is the yardstick of both.
        ratio = worth[:, members].sum(-1) / anchor
        quantiles = ratio.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64))
        low, mean, high = (1.0, 1.0, 1.0) if members[0] == 0 else quantiles.tolist()
        row = {
            "name": term.name,
            "says": term.says,
            "weight": mean,
            "low": low,
            "high": high,
            "probability": chance,
            "share": float((model.weights[members] * model.scale[members]).abs().sum()),
        }
        rows.append(row | {"sentence": _sentence(row)})
    return sorted(rows, key=lambda r: (r["name"] != "profit", -r["probability"] * r["share"]))


def _sentence(row: Mapping[str, Any]) -> str:
    """One finding in words."""
    if row["name"] == "profit":
        return "1 % of profit is the yardstick."
    if row["probability"] < 0.5:
        return f"No clear sign that {row['name'].replace('_', ' ')} matters beyond profit."
    says = row["says"]
    verb = "costs" if row["weight"] < 0 else "is worth"
    low, high = sorted((abs(row["low"]), abs(row["high"])))
    return (
        f"{says[0].upper()}{says[1:]} {verb} you as much as {abs(row['weight']):.2g} % of profit "
        f"(90 % sure: {low:.2g} to {high:.2g} %)."
    )
