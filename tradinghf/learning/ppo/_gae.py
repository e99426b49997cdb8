"""Generalised advantage estimation as an associative scan."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def discounted(values: Tensor, decay: Tensor) -> Tensor:
    """y_t = values_t + decay_t * y_{t+1} along the first dimension.

    The maps y -> values_t + decay_t * y compose associatively, so log2(L) passes over all of
    [L, ..] replace L passes over [..]: faster on every device, and without a Python loop.

    Args:
        values: [L, ..].
        decay: [L, ..].

    Source: Hillis and Steele 1986, "Data parallel algorithms".

    """
    total, factor = values.clone(), decay.clone()
    span, length = 1, len(values)
    while span < length:
        total[:-span] += factor[:-span] * total[span:]
        factor[:-span] = factor[:-span] * factor[span:]
        span *= 2
    return total


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    done: Tensor,
    *,
    gamma: float,
    lam: float,
    scan: Callable[[Tensor, Tensor], Tensor] = discounted,
) -> Tensor:
    """Generalised advantage estimate.

    Args:
        rewards: [L, ..] reward of the action taken at step t.
        values: [L, ..] V(s_t).
        next_values: [L, ..] V of the state reached; at a truncation, of the final state.
        terminated: [L, ..] no value beyond this step.
        done: [L, ..] the episode ended here (terminated or truncated); the trace stops.
        gamma, lam: discount and trace decay, in [0, 1].
        scan: computes what `discounted` does.

    Returns:
        [L, ..] advantages, in the units of rewards.
    Source: Schulman et al. 2016, arXiv:1506.02438, eq. 16.

    """
    deltas = rewards + gamma * next_values * (~terminated).to(rewards) - values
    return scan(deltas, gamma * lam * (~done).to(rewards).expand_as(deltas))
