"""Orders of several windows as those of one account."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradinghf.errors import StrategyError
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.market import Floats
from tradinghf.strategies import held_targets, target_changes


def restarted(orders: OrderTables, window: slice) -> OrderTables:
    """The orders of a window for an account that is flat before it.

    Target weights begin with what is held there. Of other orders nothing is made up: a position
    that was opened before the window is missed, until the next order.
    """
    if orders.are_weights:
        return _joined_weights([(orders, window)])
    return orders.rows(window.start, window.stop)


def _joined_weights(parts: Sequence[tuple[OrderTables, slice]]) -> OrderTables:
    """Every window's own orders; its first row is the target that stands there, where it is new."""
    changes = target_changes(np.concatenate([held_targets(o.size)[w] for o, w in parts]))
    sizes = np.concatenate([orders.size[window] for orders, window in parts])
    lengths = [window.stop - window.start for _, window in parts]
    first = np.cumsum([0, *lengths[:-1]])
    sizes[first] = changes[first]
    return OrderTables(sizes)


def joined_windows(parts: Sequence[tuple[OrderTables, slice]]) -> OrderTables:
    """One account's orders from those of windows that follow each other.

    Args:
        parts: orders over all bars, and the window that they are traded in.

    Raises:
        StrategyError: sizes that say what to trade and sizes that say what to hold are mixed.

    """
    if all(orders.are_weights for orders, _ in parts):
        return _joined_weights(parts)
    names = sorted({name for orders, _ in parts for name in orders.prices})
    sizes: list[Floats] = []
    kinds: list[str] = []
    prices: dict[str, list[Floats]] = {name: [] for name in names}
    before: OrderTables | None = None
    for orders, window in parts:
        size = orders.size[window].copy()
        kind = _kinds(orders)[window]
        if before is not None and before is not orders:
            _close_foreign(size, kind)
        sizes.append(size)
        kinds += kind
        for name in names:
            table = orders.prices.get(name)
            none = np.full(size.shape, np.nan)
            prices[name].append(none if table is None else table[window])
        before = orders
    one = kinds[0] if len(set(kinds)) == 1 else tuple(kinds)
    return OrderTables(
        np.concatenate(sizes), one, {name: np.concatenate(part) for name, part in prices.items()}
    )


def _kinds(orders: OrderTables) -> list[str]:
    return [orders.kind] * len(orders.size) if isinstance(orders.kind, str) else list(orders.kind)


def _close_foreign(size: Floats, kind: list[str]) -> None:
    """Close, at the first bar of a window, what other parameters opened."""
    quiet = np.isnan(size[0])
    if not quiet.any():
        return
    if kind[0] != "signal" and not kind[0].startswith("target_"):
        if not quiet.all():
            raise StrategyError(
                f"walk-forward: the first bar of a window orders {kind[0]!r} in some assets; the "
                "others cannot be closed there. Give sizes as targets."
            )
        kind[0] = "target_percent"
    size[0] = np.where(quiet, 0.0, size[0])
