"""Watching a deployed policy: evidence of harm that may be looked at after every new bar."""

from __future__ import annotations

import numpy as np

from tradinghf.market import Floats

_SHARES = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the largest bet that cannot lose everything


def harm_evidence(differences: Floats, margin: float, bound: float) -> Floats:
    """[..., N] e-process against "no window is worse by more than the margin, on average".

    Somebody who holds that belief to be wrong bets a share of what he has on every window; five
    shares are tried at once, and their wealth averaged. Were the belief right, no strategy of
    betting gains on average, so the wealth ever reaches 1 / harm with a chance of at most `harm`,
    however often it is looked at.

    Args:
        differences: [..., N] the policy's result less the baseline's over windows in the order
            of time.
        margin: as for the gate, in the same units.
        bound: differences beyond it count as it, on both sides; fixed before the windows.

    Source: Waudby-Smith and Ramdas 2023, "Estimating means of bounded random variables by
    betting"; Ville 1939.

    """
    lost = -(np.clip(differences, -bound, bound) + margin)
    largest = 1.0 / (bound + margin)
    wealth = [np.cumprod(1.0 + share * largest * lost, axis=-1) for share in _SHARES]
    found: Floats = np.mean(wealth, axis=0)
    return found
