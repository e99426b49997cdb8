"""A portfolio's orders in compiled code: what `ActionMap` does where only the gross cap holds.

The tensor code stays the definition, as of `_order_kernel`; sums over assets run in float64.
"""

from __future__ import annotations

from typing import Any

from tradinghf.simulation._order_kernel import small, stage


@small
def _scale(total: Any, room: Any, numbers: Any) -> Any:
    """The factor that brings weights of a total within the room."""
    _, one, least = numbers[:3]
    part = room / (least if total < least else total)
    return one if part > one else part


@stage
def scale_to_cap(weights: Any, numbers: Any) -> None:
    """Scale weights [N, A] down to the leverage in place; see `ActionMap.within_cap`.

    `numbers` are 0, 1, the least total, the leverage and what counts as above it, in the
    precision of the weights.
    """
    zero, leverage = numbers[0], numbers[3]
    for n in range(len(weights)):
        asked, total = weights[n], 0.0
        for a in range(len(asked)):
            total += abs(asked[a]) if asked[a] == asked[a] else zero
        scale = _scale(type(zero)(total), leverage, numbers)
        for a in range(len(asked)):
            asked[a] *= scale


@stage
def order(weights: Any, held: Any, last: Any, numbers: Any, none: Any) -> None:
    """Make weights [N, A] orders in place; see `ActionMap.orders`.

    Args:
        weights: wanted; NaN keeps what is held.
        held: [N, A] weights now.
        last: [N, A] targets before, or empty.
        numbers: as for `scale_to_cap`.
        none: NaN.

    """
    zero, leverage, above = numbers[0], numbers[3], numbers[4]
    for n in range(len(weights)):
        asked, own, gross, kept, total = weights[n], held[n], 0.0, 0.0, 0.0
        for a in range(len(asked)):
            gross += abs(own[a])
        over = type(zero)(gross) > above
        for a in range(len(asked)):
            want = asked[a]
            if over:
                want = own[a] if want != want else want
            elif len(last) and want == last[n, a]:
                want = none
            asked[a] = want
            kept += abs(own[a]) if want != want else zero
            total += zero if want != want else abs(want)
        room = leverage - type(zero)(kept)
        scale = _scale(type(zero)(total), zero if room < zero else room, numbers)
        for a in range(len(asked)):
            asked[a] *= scale
