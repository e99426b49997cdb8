"""Orders decided bar by bar by something that sees its account, kept as tables to trade again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tradinghf.config import CostModel, EnvConfig, Fill
from tradinghf.errors import ConfigError, unknown_name
from tradinghf.market import Floats, MarketData
from tradinghf.simulation._bars import Bars, Extras
from tradinghf.simulation._cost_tables import CostTables, plain_costs
from tradinghf.simulation._ledger import Tape
from tradinghf.simulation._program_kernel import KINDS
from tradinghf.simulation._programs import TABLES, ProgramAccount, program_covers
from tradinghf.simulation._setup import Setup
from tradinghf.simulation._step import trade_at_close, trade_through_bar
from tradinghf.simulation._working_orders import BarOrders


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
    setup = Setup.of(
        config,
        plain_costs(costs),
        bars_per_year=market.bars_per_year,
        funding=events.get("funding") is not None,
        waits=True,
        exits=True,
    )
    setup = replace(setup, skips=True)
    extras = Extras.of(market, **events)
    kept = {name: np.full(market.close.shape, np.nan) for name in TABLES}
    kinds = ["target_percent"] * market.bars
    compiled = not costs.varies and program_covers(setup, extras, ())
    account: ProgramAccount | _TensorAccount = (
        ProgramAccount(market, setup, extras, cash)
        if compiled
        else _TensorAccount(market, setup, extras, cash, costs)
    )
    with torch.inference_mode():
        for t in range(market.bars):
            if t:
                account.carry(t, kinds[t - 1], _row(kept, t - 1))
            decided = decide(
                t, AccountState(account.cash, account.equity, account.shares, account.waiting)
            )
            if decided is not None:
                kinds[t] = _known(decided[0])
                for name, values in decided[1].items():
                    kept[name][t] = values
            if fill == "close":
                if extras.member is not None:
                    kept["size"][t][~extras.member[t]] = np.nan
                account.fill_at_close(t, kinds[t], _row(kept, t))
    return tuple(kinds), kept


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(unknown_name("kind of an order that may wait", kind, KINDS))
    return kind


def _row(tables: Mapping[str, Floats], bar: int) -> Floats:
    """[5, A] the orders of a bar."""
    return np.stack([tables[name][bar] for name in TABLES])


class _TensorAccount:
    """One account in tensor steps, for what the compiled one does not know."""

    def __init__(
        self, market: MarketData, setup: Setup, extras: Extras, cash: float, costs: CostModel
    ) -> None:
        """Open it, flat, at the first close."""
        like: dict[str, Any] = {"dtype": torch.float64, "device": torch.device("cpu")}
        self._bars = Bars.of(market, extras, portfolio=True, **like)
        self._setup, self._zero = setup, torch.zeros(1, dtype=torch.int64)
        self._tables = CostTables.of(setup, costs, market, like) if costs.varies else None
        self._traded: list[Tensor] = []
        first = self._bars.at(self._zero)
        self._ledger = setup.open(torch.full_like(first.close[:, :1], cash), first)
        self._tape = Tape.blank(first.close)

    def carry(self, bar: int, kind: str, orders: Floats) -> None:
        """Through a bar, with `orders` [5, A] for its open."""
        self._count(bar)
        now = _bar_orders(kind, orders) if self._setup.fill == "next_open" else None
        self._tape = Tape.blank(self._ledger.close)
        self._ledger, self._tape = trade_through_bar(
            self._ledger, self._tape, self._bars.at(self._zero + bar), self._setup, now
        )

    def fill_at_close(self, bar: int, kind: str, orders: Floats) -> None:
        """Fill `orders` [5, A] at a bar's close."""
        if not bar:
            self._count(bar)
        self._ledger, self._tape = trade_at_close(
            self._ledger, self._tape, _bar_orders(kind, orders), self._setup
        )

    def _count(self, bar: int) -> None:
        """Take the costs of a bar, which may depend on what was traded before."""
        if self._tables is not None:
            if bar:
                self._traded.append(self._tape.notional.sum(1, keepdim=True))
            self._setup = self._tables.at(bar, self._traded)

    @property
    def cash(self) -> float:
        """[currency]."""
        return float(self._ledger.account.cash)

    @property
    def equity(self) -> float:
        """At the last close [currency]."""
        return float(self._ledger.equity)

    @property
    def shares(self) -> Floats:
        """[A] held."""
        return self._ledger.account.shares[0].numpy().copy()

    @property
    def waiting(self) -> Floats:
        """[A] signed shares of orders that wait."""
        working = self._ledger.working
        return self.shares * 0 if working is None else working.size[0].numpy().copy()


def _bar_orders(kind: Any, orders: Floats) -> BarOrders:
    named = zip(TABLES, orders, strict=True)
    return BarOrders(kind=kind, **{name: torch.tensor(row[None]) for name, row in named})
