"""Davidson's model of pairwise comparisons with ties, fitted for many weightings at once.

P(i beats j) : P(j beats i) : P(tie) = s_i : s_j : nu * sqrt(s_i * s_j). Without ties it is the
Bradley-Terry model. The log-likelihood is concave in log s and log nu, so Newton's method finds
the one maximum. (evalica.newman fits the same model by a fixed point, which oscillates when there
are no ties; the tests use it as the oracle where it converges.)

Source: Davidson 1970, JASA 65(329).
"""

from __future__ import annotations

import numpy as np

from tradinghf.episodes import Floats

_ITERATIONS = 200
_TOLERANCE = 1e-10
_LARGEST_STEP = 2.0
_RIDGE = 1e-10  # the level of log s is free without a prior
_LIMIT = 30.0  # separated data without a prior have no maximum; exp(30) is "always wins"


def fit_davidson(wins: Floats, ties: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Maximum likelihood for a batch of B weightings of the same comparisons.

    Args:
        wins: [B, S, S] weight of wins of row over column.
        ties: [B, S, S] weight of ties, symmetric.
        prior: [B, S, 2] weight of a win and of a loss of each source against an opponent of
            strength 1.

    Returns:
        [B, S] log strengths (natural logarithm; mean 0 without a prior), [B] nu.

    """
    batch, size = wins.shape[:2]
    tied = bool(ties.any())
    theta = np.zeros((batch, size))
    eta = np.zeros(batch)  # log nu
    free = size + tied
    for _ in range(_ITERATIONS):
        gradient, hessian = _derivatives(theta, eta, wins, ties, prior)
        hessian = hessian[:, :free, :free] + _RIDGE * np.eye(free)
        step = np.linalg.solve(hessian, gradient[:, :free, None])[..., 0]
        largest = np.abs(step).max(axis=1, keepdims=True)
        step *= np.minimum(1.0, _LARGEST_STEP / np.maximum(largest, _TOLERANCE))
        theta = np.clip(theta + step[:, :size], -_LIMIT, _LIMIT)
        if tied:
            eta = np.clip(eta + step[:, size], -_LIMIT, _LIMIT)
        if np.abs(step).max(initial=0.0) < _TOLERANCE:
            break
    return theta, np.exp(eta) if tied else np.zeros(batch)


def _derivatives(
    theta: Floats, eta: Floats, wins: Floats, ties: Floats, prior: Floats
) -> tuple[Floats, Floats]:
    """Gradient [B, S+1] and minus Hessian [B, S+1, S+1] of the log-likelihood in (theta, eta)."""
    batch, size = theta.shape
    games = wins + wins.swapaxes(1, 2) + ties
    half = (theta[:, :, None] - theta[:, None, :]) / 2
    up, down = np.exp(half), np.exp(-half)
    nu = np.exp(eta)[:, None, None] if ties.any() else np.zeros((batch, 1, 1))
    total = up + down + nu
    win, tie = up / total, nu / total
    # Score of row i in a game: 1 for a win, 1/2 for a tie; its mean and (co)variances.
    mean = win + tie / 2
    variance = games * (win + tie / 4 - mean**2)
    with_tie = games * (tie / 2 - mean * tie)
    virtual = prior.sum(axis=2)
    against = 1.0 / (1.0 + np.exp(-theta))
    gradient = np.zeros((batch, size + 1))
    gradient[:, :size] = (wins + ties / 2 - games * mean).sum(axis=2)
    gradient[:, :size] += prior[:, :, 0] - virtual * against
    gradient[:, size] = (ties - games * tie).sum(axis=(1, 2)) / 2
    hessian = np.zeros((batch, size + 1, size + 1))
    hessian[:, :size, :size] = -variance
    index = np.arange(size)
    diagonal = variance.sum(axis=2) + virtual * against * (1 - against)
    hessian[:, index, index] += diagonal
    hessian[:, :size, size] = hessian[:, size, :size] = with_tie.sum(axis=2)
    hessian[:, size, size] = (games * tie * (1 - tie)).sum(axis=(1, 2)) / 2
    return gradient, hessian
