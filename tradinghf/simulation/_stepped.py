"""Orders decided bar by bar by something that sees its account, kept as tables to trade again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, Fill
from tradinghf.market import Floats, MarketData
from tradinghf.simulation._bars import Bars, Extras
from tradinghf.simulation._cost_tables import CostTables, plain_costs
from tradinghf.simulation._ledger import Ledger, Tape
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._step import trade_at_close, trade_through_bar
from tradinghf.simulation._working_orders import BarOrders

_TABLES = ("size", "limit", "stop", "stop_loss", "take_profit")


@dataclass(frozen=True, eq=False)
class AccountState:
    """An account at a close, as a rule sees it; arrays [A].

    Attributes:
        cash: [currency].
        equity: cash and positions at the close [currency].
        shares: held [shares].
        waiting: signed shares of the orders that wait [shares].

    """

    cash: float
    equity: float
    shares: Floats
    waiting: Floats


Decide = Callable[[int, AccountState], tuple[str, Mapping[str, Floats]] | None]


def decide_stepwise(
    market: MarketData,
    decide: Decide,
    *,
    costs: CostModel,
    fill: Fill,
    cash: float,
    config: EnvConfig,
    **events: Any,
) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """Ask for orders at every close, trade them, and keep them.

    Args:
        market: the bars.
        decide: from a bar and the account at its close to a kind of size and tables [A] (see
            `simulate`), or None for no order.
        costs, fill, cash, config: as in `simulate`.
        events: funding, split, dividend, member, as there.

    Returns:
        The kind of every bar's orders, and {"size": [T, A], "limit": ...}: `simulate` makes of
        them the very account that `decide` saw.

    """
    config = replace(config, fill=fill, cash=cash, dtype="float64", portfolio=True)
    like: dict[str, Any] = {"dtype": torch.float64, "device": torch.device("cpu")}
    setup = Setup.of(
        config,
        plain_costs(costs),
        bars_per_year=market.bars_per_year,
        funding=events.get("funding") is not None,
        waits=True,
        exits=True,
    )
    setup = replace(setup, skips=True)
    bars = Bars.of(market, Extras.of(market, **events), portfolio=True, **like)
    costly = CostTables.of(setup, costs, market, like) if costs.varies else None
    kept = {name: np.full(market.close.shape, np.nan) for name in _TABLES}
    kinds = ["target_percent"] * market.bars
    zero, traded = torch.zeros(1, dtype=torch.int64), list[Tensor]()
    with torch.inference_mode():
        first = bars.at(zero)
        ledger = setup.open(torch.full_like(first.close[:, :1], cash), first)
        asked = _bar_orders(kinds[0], kept, 0)
        for t in range(market.bars):
            setup = setup if costly is None else costly.at(t, traded)
            tape = Tape.blank(ledger.close)
            if t:
                now = asked if fill == "next_open" else None
                ledger, tape = trade_through_bar(ledger, tape, bars.at(zero + t), setup, now)
            decided = decide(t, _state(ledger))
            if decided is not None:
                kinds[t] = decided[0]
                for name, values in decided[1].items():
                    kept[name][t] = values
            asked = _bar_orders(kinds[t], kept, t)
            if fill == "close":
                ledger, tape = trade_at_close(ledger, tape, asked, setup)
            traded += [tape.notional.sum(1, keepdim=True)] if costly is not None else []
    return tuple(kinds), kept


def _state(ledger: Ledger) -> AccountState:
    waiting = ledger.account.shares * 0 if ledger.working is None else ledger.working.size
    return AccountState(
        float(ledger.account.cash),
        float(ledger.equity),
        ledger.account.shares[0].numpy().copy(),
        waiting[0].numpy().copy(),
    )


def _bar_orders(kind: Any, tables: Mapping[str, Floats], bar: int) -> BarOrders:
    return BarOrders(
        kind=kind, **{name: torch.from_numpy(table[bar][None]) for name, table in tables.items()}
    )
