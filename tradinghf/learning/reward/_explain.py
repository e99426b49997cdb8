"""What a reward model believes, in words and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tradinghf.feedback import PROFIT, USUAL, value_sentence
from tradinghf.learning.reward._terms import Term

if TYPE_CHECKING:
    import plotly.graph_objects as go

_COLOURS = ("#2F81F7", "#E8833A", "#3FA34D", "#9B6DD7", "#8B949E", "#C9A227")
_SETTLED = 0.25  # of its median: profit's worth is at least that, with 97.5 % probability
_SHOWN = 0.25  # thresholds and conditions less probable than this are not worth a line


def value_rows(
    terms: Sequence[Term],
    plain: int,
    chances: Tensor,
    draws: Tensor,
    importance: Tensor,
    *,
    described: bool = True,
) -> list[dict[str, Any]]:
    """What is valued, most important first: `RewardModel.explain`.

    Thresholds of the same kind on the same aspect are one finding, named after the likeliest.

    Args:
        terms: Q of them, profit first, then the other plain aspects.
        plain: number of plain aspects.
        chances: [Q] probability that each matters.
        draws: [M, Q] weights under the posterior, of scores with spread 1 within a question.
        importance: [Q] share of the ranked episodes' spread that each explains.
        described: whether held-out answers bear the terms out. Where they do not, no term is
            right, and an interval around one would be surely wrong: `low` and `high` are None.

    """
    units = torch.tensor([term.unit for term in terms], dtype=torch.float64)
    worth = draws * units
    yardstick, anchor = _yardstick(worth[:, 0])
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, term in enumerate(terms):
        groups.setdefault((term.base, term.form, term.state), []).append(i)
    rows = []
    for members in groups.values():
        chance = min(float(chances[members].sum()), 1.0)
        if members[0] >= plain and chance < _SHOWN:
            continue
        term = terms[max(members, key=lambda i: float(chances[i]))]
        # Point and interval are of one distribution.
        low, middle, high = _quantiles(worth[:, members].sum(-1) / anchor)
        row = {
            "name": term.name,
            "says": term.says,
            "yardstick": yardstick,
            "weight": middle,
            "low": low if described else None,
            "high": high if described else None,
            "probability": chance,
            "share": float(importance[members].sum()),
        }
        rows.append(row | {"sentence": value_sentence(row)})
    return sorted(rows, key=lambda r: (r["name"] != PROFIT, -r["probability"] * r["share"]))


def _yardstick(profit: Tensor) -> tuple[str, Tensor]:
    """What worth is told in percent of: its name, and its size [M] or [1].

    Profit where its own worth is well settled, for a ratio to what may be nothing is not. Else
    the spread of the scores within a question, which every draw has.
    """
    low, middle, _ = _quantiles(profit)
    if low >= _SETTLED * middle > 0:
        return PROFIT, profit.clamp(min=1e-12)
    return USUAL, torch.full_like(profit[:1], 0.01)


def _quantiles(values: Tensor) -> tuple[float, float, float]:
    """Median of draws between the ends of their 95 % interval."""
    low, middle, high = values.quantile(torch.tensor([0.025, 0.5, 0.975]).to(values)).tolist()
    return low, middle, high


def worst_rows(worst: Sequence[Mapping[str, Any]], most: int = 5) -> list[tuple[Any, ...]]:
    """The answers that the model fits worst, as rows of a table.

    Args:
        worst: as `reward.json` has them, the least likely first.
        most: how many.

    Returns:
        (rater, query, ranks as answered, ranks in the model's eyes, mean probability that the
        model gave a pair's outcome, pairs that it would call otherwise).

    """
    rows = []
    for answer in worst[:most]:
        place = np.argsort(np.argsort([-score for score in answer["scores"]])) + 1
        rows.append(
            (
                answer["rater"],
                answer["query"][:12],
                " ".join(str(rank) for rank in answer["ranks"]),
                " ".join(str(rank) for rank in place.tolist()),
                float(answer["chance"]),
                f"{answer['otherwise']} of {answer['pairs']}",
            )
        )
    return rows


def reward_figure(
    rewards: Mapping[str, NDArray[np.float32]], answer: Mapping[str, Any], unit: str
) -> go.Figure:
    """Learned reward over the episodes of one answer, bar by bar, with its uncertainty.

    Args:
        rewards: episode id -> [2, L] reward up to each bar and its standard deviation over the
            posterior (`bar_rewards.safetensors` of a fit).
        answer: `episodes` and `ranks` of the answer, 0 where not ranked; bands are 90 % intervals.
        unit: of the reward.

    """
    import plotly.graph_objects as go

    figure = go.Figure()
    best_first = sorted(zip(answer["ranks"], answer["episodes"], strict=True))
    for colour, (rank, name) in zip(_COLOURS * 4, best_first, strict=False):
        mean, spread = rewards[name].astype(float)
        bars = np.arange(1, len(mean) + 1)
        label = f"ranked {rank}: {name[:8]}" if rank else name[:8]
        edge = np.concatenate([mean + 1.64 * spread, (mean - 1.64 * spread)[::-1]])
        figure.add_trace(
            go.Scatter(
                x=np.concatenate([bars, bars[::-1]]),
                y=edge,
                fill="toself",
                fillcolor=colour,
                opacity=0.15,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=label,
            )
        )
        figure.add_trace(
            go.Scatter(
                x=bars, y=mean, name=label, legendgroup=label, line={"color": colour, "width": 2}
            )
        )
    figure.update_layout(
        title="Learned reward so far, with its 90 % band: episodes of one answer",
        xaxis_title="bar of the episode",
        yaxis_title=f"learned reward [{unit}]",
        hovermode="x unified",
        height=560,
        template="plotly_white",
    )
    return figure
