"""The terms of an account beside its costs: rules, margin, exits, events of its assets."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from tradinghf.config import Brackets, Margin, TradingRules

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
