"""What an account may do, and what closes its positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tradinghf.errors import NamedOptions, check_choices, check_range, check_setting

Side = Literal["both", "long", "short"]


@dataclass(frozen=True)
class TradingRules(NamedOptions):
    """What an exchange or a mandate lets an order do.

    Attributes:
        side: "both", "long" (sells stop at flat) or "short" (buys stop at flat).
        lot: orders are rounded down to multiples of this [shares]; 0 trades fractions.
        lot_mode: "exact" keeps decimal multiples whole (3.0 is 30 lots of 0.1); "vectorbt" floors
            in binary as vectorbt does (3.0 becomes 29 lots of 0.1).
        min_size: smaller fills are rejected [shares].
        max_size: larger orders are cut to this [shares per order]; 0 is no limit.
        min_notional: smaller fills are rejected [currency].
        max_position: orders are cut so that they never take a position beyond this [shares];
            0 is no limit.
        participation: an order fills at most this fraction of its bar's volume, the rest waits
            for the next bar; 0 ignores volume.
        allow_partial: False rejects an order that cannot be filled whole.
        lock_cash: True keeps short-sale proceeds and their collateral out of reach of new trades.

    """

    side: Side = "both"
    lot: float = 0.0
    lot_mode: Literal["exact", "vectorbt"] = "exact"
    min_size: float = 1e-8
    max_size: float = 0.0
    min_notional: float = 0.0
    max_position: float = 0.0
    participation: float = 0.0
    allow_partial: bool = True
    lock_cash: bool = False

    def __post_init__(self) -> None:
        check_choices(self)
        check_range(self, "lot min_size min_notional max_size max_position", 0)
        check_range(self, "participation", 0, 1)


@dataclass(frozen=True)
class Margin(NamedOptions):
    """Borrowing and its consequences.

    Attributes:
        leverage: the largest gross exposure that an order may reach [multiple of equity].
        maintenance: the position is liquidated when equity falls below this fraction of gross
            exposure; 0 liquidates only at ruin.
        penalty_bps: extra fee on the liquidated notional [bps].

    """

    leverage: float = 1.0
    maintenance: float = 0.0
    penalty_bps: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "leverage", 1)
        check_range(self, "maintenance", 0, 1)
        check_range(self, "penalty_bps", 0, 9_999)
        check_setting(
            self.maintenance * self.leverage < 1,
            "Margin.maintenance",
            self.maintenance,
            f"below 1/leverage = {1 / self.leverage:g}, or every full position starts in a call",
        )


@dataclass(frozen=True)
class Brackets(NamedOptions):
    """Protective exits of each position, at distances from its entry price; 0 is none.

    Attributes:
        stop_loss: exit after an adverse move of this fraction.
        take_profit: exit after a favourable move of this fraction.
        trailing_stop: exit after a fall of this fraction from the best price since entry.

    """

    stop_loss: float = 0.0
    take_profit: float = 0.0
    trailing_stop: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "stop_loss trailing_stop", 0, 0.999)
        check_range(self, "take_profit", 0)

    @property
    def any(self) -> bool:
        """At least one exit is set."""
        return bool(self.stop_loss or self.take_profit or self.trailing_stop)
