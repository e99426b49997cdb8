"""The terms of an account beside its costs: rules, margin, exits, events of its assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import Brackets, Margin, TradingRules, settings_of
from tradinghf.market import Floats, MarketData, session_times

_EVENTS = ("funding", "split", "dividend", "member")


@dataclass(frozen=True, eq=False)
class Terms:
    """What `backtest` takes beside weights and costs; needs the simulator.

    Attributes:
        rules: what orders may do.
        margin: borrowing and its consequences.
        brackets: exits of every position.
        funding, split, dividend, member: [T, A] what happens to the assets; see `simulate`.

    """

    rules: TradingRules = field(default_factory=TradingRules)
    margin: Margin = field(default_factory=Margin)
    brackets: Brackets = field(default_factory=Brackets)
    funding: Any = None
    split: Any = None
    dividend: Any = None
    member: Any = None

    @property
    def events(self) -> dict[str, Any]:
        """What happens to the assets, as options of `simulate`."""
        return {name: getattr(self, name) for name in _EVENTS if getattr(self, name) is not None}

    @property
    def closes_positions(self) -> bool:
        """Positions may end without an order."""
        return self.brackets.any or self.margin.maintenance > 0 or self.member is not None

    @property
    def plain(self) -> bool:
        """Nothing but costs: any engine will do."""
        return not self.events and not self.named

    @property
    def named(self) -> dict[str, Any]:
        """Rules, margin and exits that are not the default, by name."""
        standard = Terms()
        names = [f.name for f in fields(self) if f.name not in _EVENTS]
        return {n: getattr(self, n) for n in names if getattr(self, n) != getattr(standard, n)}

    def of_holding(self) -> Terms:
        """The terms of who only buys and holds: events, no exits, no borrowing."""
        return Terms(**self.events)

    def share_counts(self, market: MarketData) -> tuple[Floats | None, Floats | None]:
        """[T, A] new shares per old one and dividends per share at each open; None is none."""
        split, paid = (_table(getattr(self, name), market) for name in ("split", "dividend"))
        split = None if split is None else np.where(np.isnan(split), 1.0, split)
        return split, None if paid is None else np.nan_to_num(paid)

    def rows(self, first: int, last: int) -> Terms:
        """The terms of bars first <= t < last."""
        cut = {name: _rows(table, first, last) for name, table in self.events.items()}
        return replace(self, **cut)


def _table(given: Any, market: MarketData) -> Floats | None:
    if given is None:
        return None
    if isinstance(given, pd.DataFrame):
        wide = given.set_axis(session_times(given.index).tz_localize("UTC"), axis=0)
        return wide.reindex(market.index)[list(market.symbols)].to_numpy(np.float64)
    array = np.asarray(given, dtype=np.float64)
    return np.broadcast_to(array[:, None] if array.ndim == 1 else array, market.close.shape)


def _rows(table: Any, first: int, last: int) -> Any:
    if isinstance(table, str | Path):  # a file of memberships goes by days
        return table
    if isinstance(table, pd.DataFrame | pd.Series):
        return table.iloc[first:last]
    return np.asarray(table)[first:last]


def as_terms(**given: Any) -> Terms:
    """The terms of what a caller gave; None is the default.

    Raises:
        ConfigError: settings of another kind.

    """
    kinds: dict[str, Any] = {"rules": TradingRules, "margin": Margin, "brackets": Brackets}
    chosen = {k: v for k, v in given.items() if v is not None}
    for name, kind in kinds.items():
        if name in chosen:
            chosen[name] = settings_of(kind, chosen[name], name)
    return Terms(**chosen)


def several_terms(brackets: Any = None, **given: Any) -> tuple[Terms, ...]:
    """Terms for each of several brackets, or for the only ones."""
    several = isinstance(brackets, Sequence) and not isinstance(brackets, Mapping)
    return tuple(as_terms(brackets=each, **given) for each in (brackets if several else [brackets]))
