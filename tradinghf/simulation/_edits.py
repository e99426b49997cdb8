"""`edited_episode`: an episode as it would have gone had its position been another for some bars.

The costs that an episode paid are found from its own fills, so nothing beside it is needed, and
neither is torch: the dashboard computes an edit while the trader drags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tradinghf.episodes import Episode, Floats
from tradinghf.errors import EpisodeError

_SAME = 1e-6  # relative; an episode whose equity is not found again so closely is not edited
_NO_TRADE = 1e-9
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12  # those of tolerance.py in float64


@dataclass(frozen=True)
class Change:
    """Hold another position from one bar to another.

    Attributes:
        first, last: bars, 1 to L, both inclusive; the order fills in the first.
        position: signed fraction of equity when it fills.

    """

    first: int
    last: int
    position: float


@dataclass(frozen=True)
class PaidCosts:
    """What trading cost in an episode.

    Attributes:
        fee: of the notional.
        slippage: of the price.
        at_close: orders fill at the close of the decision's bar, not at the next open.

    """

    fee: float = 1e-4
    slippage: float = 1e-4
    at_close: bool = False


def edited_episode(
    episode: Episode, changes: Iterable[Change], *, like: Sequence[Episode] = (), source: str = ""
) -> Episode:
    """Trade an episode again with changes of its position; later orders are as they were.

    After a change the account goes back to the fraction of equity that the episode held there.

    Args:
        episode: what was traded.
        changes: in the order in which they were made; later ones win where they overlap.
        like: episodes that paid the same costs, where this one never traded.
        source: of the result; by default the episode's.

    Raises:
        EpisodeError: a change lies outside, or the episode's own trades cannot be found again at
            constant costs (financing, margin, exits, or trades made elsewhere), or it is of a
            portfolio.

    """
    if episode.breadth:
        raise EpisodeError(
            f"An episode of a portfolio ({episode.breadth} assets) cannot be edited by its net "
            "position. Rank it instead."
        )
    done = list(changes)
    for change in done:
        _check(change, episode)
    terms, gap = _terms_of(episode, like)
    if not gap <= _SAME:
        raise EpisodeError(
            "This episode cannot be edited: its trades are not found again at constant costs "
            f"(equity differs by {100 * gap:.3g} %). Financing, margin, exits and trades made "
            "elsewhere are not recomputed. Edit another panel."
        )
    if not done:
        return replace(episode, source=source or episode.source)
    orders, shares = _orders(episode, terms)
    held = _fractions(episode, shares, shares, terms)
    for change in done:
        orders[change.first : change.last + 1] = np.nan
        orders[change.first] = change.position
        after = change.last + 1
        if after <= episode.bars and np.isnan(orders[after]):
            orders[after] = held[after]
    found = _traded(episode, orders, terms)
    about = {"edited": episode.id, "changes": [[c.first, c.last, c.position] for c in done]}
    return replace(
        episode,
        **found,
        source=source or episode.source,
        meta={**episode.meta, **about},
    )


def _check(change: Change, episode: Episode) -> None:
    inside = 1 <= change.first <= change.last <= episode.bars
    if not inside or not -1.0 <= change.position <= 1.0:
        raise EpisodeError(
            f"A change holds {change.position:g} from bar {change.first} to {change.last}; "
            f"expected a position in [-1, 1] and bars from 1 to {episode.bars}."
        )


def _terms_of(episode: Episode, like: Sequence[Episode]) -> tuple[PaidCosts, float]:
    """What trading cost, and how far the episode's equity is from what it comes to at that cost."""
    guesses = [terms for one in (episode, *like) for terms in _terms(one)] or [PaidCosts()]
    found = []
    for terms in guesses:
        orders, _ = _orders(episode, terms)
        again = _traded(episode, orders, terms)["equity"]
        found.append((float(np.abs(again / episode.equity - 1.0).max()), terms))
        if found[-1][0] <= _SAME and np.isfinite(episode.price).any():
            break
    gap, terms = min(found, key=lambda one: one[0])
    return terms, gap


def _terms(episode: Episode) -> list[PaidCosts]:
    """What the fills paid, at the open or at the close before; none if it never traded."""
    at = np.flatnonzero(np.isfinite(episode.price) & (episode.turnover > _NO_TRADE))
    if not len(at):
        return []
    notional, paid = episode.turnover[at] * episode.equity[at], episode.price[at]
    found = []
    for at_close, price in ((False, episode.open[1:][at]), (True, episode.close[:-1][at])):
        lost = notional / paid * np.abs(paid - price)
        fee = float(np.median((episode.costs[at] - lost) / notional))
        slippage = float(np.median(np.abs(paid / price - 1.0)))
        found.append(PaidCosts(max(fee, 0.0), slippage, at_close))
    return found


def _prices(episode: Episode, terms: PaidCosts) -> Floats:
    """[L+1] reference price of the fills of each bar."""
    price = episode.open.astype(np.float64).copy()
    if terms.at_close:
        price[1:] = episode.close[:-1]
    return price


def _orders(episode: Episode, terms: PaidCosts) -> tuple[Floats, Floats]:
    """[L+1] target fractions that lead to the episode's fills, NaN for none; [L+1] shares held."""
    shares = np.concatenate([[0.0], episode.position * episode.equity[1:] / episode.close[1:]])
    traded = np.concatenate([[False], np.isfinite(episode.price)])
    # Between fills the same shares are held; what rounding says otherwise is no order.
    for bar in range(1, len(shares)):
        if not traded[bar]:
            shares[bar] = shares[bar - 1]
    orders = np.full(len(shares), np.nan)
    orders[traded] = _fractions(episode, shares, shares, terms)[traded]
    return orders, shares


def _fractions(episode: Episode, shares: Floats, wanted: Floats, terms: PaidCosts) -> Floats:
    """[L+1] the fraction of equity, at the price of its fill, that `wanted` shares are."""
    price = _prices(episode, terms)
    before = np.concatenate([[0.0], shares[:-1]])
    cash = episode.equity - shares * episode.close
    cash_before = np.concatenate([[1.0], cash[:-1]])
    return wanted * price / (cash_before + before * price)


def _traded(episode: Episode, orders: Floats, terms: PaidCosts) -> dict[str, Any]:
    """Equity, position, turnover, costs and prices of an account that gives these orders.

    The few operations of `account.execute` that one asset at proportional costs needs, in Python:
    a first compilation of the kernel would keep the trader waiting for half a minute.
    """
    price, close = _prices(episode, terms).tolist(), episode.close.tolist()
    cash, shares, before = 1.0, 0.0, 1.0
    rows = np.zeros((len(orders), 5))
    rows[0, 0] = 1.0
    for bar in range(1, len(orders)):
        signed, paid, fees = _filled(float(orders[bar]), cash, shares, price[bar], terms)
        cash = _snapped(cash, -(signed * paid + fees))
        shares = _snapped(shares, signed)
        equity = cash + shares * close[bar]
        if equity <= 0:
            raise EpisodeError(
                "The edited account would lose everything. Choose a smaller position."
            )
        size = abs(signed)
        costs = fees + size * abs(paid - price[bar])
        fill = paid if signed else np.nan
        rows[bar] = equity, shares * close[bar] / equity, size * paid / before, costs, fill
        before = equity
    equities, positions, turnover, costs_paid, fills = rows.T.copy()
    return {
        "equity": equities,
        "position": positions[1:],
        "turnover": turnover[1:],
        "costs": costs_paid[1:],
        "price": fills[1:],
    }


def _filled(
    target: float, cash: float, shares: float, price: float, terms: PaidCosts
) -> tuple[float, float, float]:
    """(signed size, price paid, fee) of an order of a target fraction; NaN is no order."""
    value = cash + shares * price
    if np.isnan(target) or value <= 0:
        return 0.0, price, 0.0
    size = target * value / price - shares
    buying = size > 0
    paid = price * (1.0 + terms.slippage) if buying else price * (1.0 - terms.slippage)
    done = min(abs(size), cash / (1.0 + terms.fee) / paid) if buying else abs(size)
    fee = done * paid * terms.fee
    if done <= _ABSOLUTE or (not buying and done * paid < fee):
        return 0.0, price, 0.0
    return (done if buying else -done), paid, fee


def _snapped(a: float, b: float) -> float:
    """See `tolerance.snapped_sum`."""
    total = a + b
    return 0.0 if abs(total) <= max(abs(a) * _RELATIVE, _ABSOLUTE) else total
