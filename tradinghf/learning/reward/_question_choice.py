"""Which question to ask next: groups of episodes whose ranking would teach the most."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@lru_cache(maxsize=8)
def _remaining(count: int) -> Tensor:
    """[2^K, K!] whether the members of a set, as bits, are what remains at a place of an order."""
    orders = list(itertools.permutations(range(count)))
    found = torch.zeros((2**count, len(orders)), dtype=torch.float64)
    for column, order in enumerate(orders):
        for place in range(count):
            found[sum(1 << member for member in order[place:]), column] = 1.0
    return found


def _log_sums(scores: Tensor) -> Tensor:
    """[..., 2^K] log of the sum of exp(score) over every set of members, as bits; 0 for none."""
    found: list[Tensor] = [torch.zeros_like(scores[..., 0])]
    for members in range(1, 2 ** scores.shape[-1]):
        top = members.bit_length() - 1
        rest = members & ~(1 << top)
        one = scores[..., top]
        found.append(torch.logaddexp(found[rest], one) if rest else one)
    return torch.stack(found, dim=-1)


def information_gain(scores: Tensor) -> Tensor:
    """Expected information of a ranking about which member is right, in nats.

    I(ranking; member) = H(mean over members of p) - mean of H(p), over all K! orderings under
    Plackett-Luce.

    Args:
        scores: [M, B, K] worth under each member, in log-odds units; K <= 6.

    Returns:
        [B] gains in [0, log min(M, K!)].
    Source: Biyik & Sadigh 2019 (arXiv:1910.04365), extended from pairs to rankings.

    """
    # Orders share what remains at their places: 2^K sums serve all K! of them.
    remaining = _remaining(scores.shape[-1]).to(scores)
    log_p: Tensor = scores.sum(-1, keepdim=True) - _log_sums(scores) @ remaining
    mean = log_p.logsumexp(0) - math.log(len(scores))
    entropy_of_mean = -(mean.exp() * mean).sum(-1)
    mean_entropy = -(log_p.exp() * log_p).sum(-1).mean(0)
    return (entropy_of_mean - mean_entropy).clamp(min=0)


@dataclass(frozen=True)
class Group:
    """K episodes of one window.

    Attributes:
        window: row of the pool.
        members: columns of the pool, in random panel order.
        uniform: drawn at random, not chosen: an unbiased test question.
        gain: expected information [bits]; 0 for uniform groups.

    """

    window: int
    members: tuple[int, ...]
    uniform: bool
    gain: float = 0.0


def choose_groups(
    scores: Tensor | None,
    distinct: Sequence[Sequence[int]],
    count: int,
    *,
    size: int,
    uniform: float,
    rng: np.random.Generator,
    tries: int = 24,
    keep: Sequence[int] = (),
) -> list[Group]:
    """Pick questions from a pool of windows.

    Args:
        scores: [M, W, G] member scores of every episode in log-odds units; None before the first
            fit: everything is then drawn at random.
        distinct: per window the columns that may be shown (no two equal episodes).
        count: questions wanted; at most one per window.
        size: K episodes per question.
        uniform: share of questions that are drawn at random.
        rng: of panel order and draws.
        tries: random groups considered per window.
        keep: columns of which at least one must be in every chosen group (the current policy's).

    Returns:
        Up to `count` groups, most informative first.

    """
    windows = [w for w in range(len(distinct)) if len(distinct[w]) >= size]
    rng.shuffle(windows)
    random_count = count if scores is None else round(uniform * count)
    plain = [
        Group(w, tuple(int(g) for g in rng.choice(distinct[w], size, replace=False)), True)
        for w in windows[:random_count]
    ]
    rest = windows[random_count:]
    if scores is None or not rest or random_count >= count:
        return plain
    candidates = [(w, _candidate(distinct[w], size, keep, rng)) for w in rest for _ in range(tries)]
    rows = torch.tensor([w for w, _ in candidates])
    columns = torch.tensor(np.stack([members for _, members in candidates]))
    gains = torch.cat(
        [
            information_gain(scores[:, r[:, None], c])
            for r, c in zip(rows.split(256), columns.split(256), strict=True)
        ]
    )
    best: dict[int, Group] = {}
    for index in gains.argsort(descending=True).tolist():
        window, members = candidates[index]
        if window not in best:
            gain = float(gains[index]) / float(np.log(2))
            best[window] = Group(window, tuple(int(m) for m in members), False, gain)
        if len(best) == count - len(plain):
            break
    return [*best.values(), *plain]


def _candidate(
    columns: Sequence[int], size: int, keep: Sequence[int], rng: np.random.Generator
) -> NDArray[np.int64]:
    """A random group that holds one of `keep` when the window has any."""
    picked = rng.choice(np.array(columns), size, replace=False)
    wanted = [c for c in keep if c in columns]
    if wanted and not np.isin(picked, wanted).any():
        picked[rng.integers(size)] = rng.choice(wanted)
    return picked
