"""Event-driven rules: a class with `next(bar, account)`, stepped through the bars, kept as orders.

A rule sees one bar after the other, and its own account at each close::

    class Dip:
        depth = 0.05

        def init(self, market):
            self.mean = pd.Series(market.close[:, 0]).rolling(20).mean()

        def next(self, bar, account):
            if not account.shares and bar.close < (1 - self.depth) * self.mean[bar.number]:
                account.target(1.0, stop_loss=0.9 * bar.close)

What `init` computes from the whole market may look ahead; `check` tests that it does not.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel, EnvConfig, Fill
from tradinghf.errors import StrategyError, unknown_name
from tradinghf.evaluation._order_tables import PRICES, OrderTables
from tradinghf.evaluation._terms import Terms
from tradinghf.market import FIELDS, Floats, MarketData
from tradinghf.strategies import Strategy

if TYPE_CHECKING:
    from tradinghf.simulation import AccountState


def is_event_rule(x: Any) -> bool:
    """A class, or an object, with `next(bar, account)`."""
    return not isinstance(x, Strategy) and callable(getattr(x, "next", None))


@dataclass(frozen=True, eq=False)
class RuleBar:
    """The bar that has just closed.

    Attributes:
        number: t.
        market: all bars; `past` looks back only.

    """

    number: int
    market: MarketData

    def __getattr__(self, name: str) -> Any:
        """open, high, low, close or volume: a number, or one per symbol."""
        if name not in FIELDS:
            raise AttributeError(unknown_name("field of a bar", name, FIELDS))
        return _by_symbol(getattr(self.market, name)[self.number], self.market)

    @property
    def time(self) -> pd.Timestamp:
        """When the bar began (daily bars: its day)."""
        return self.market.index[self.number]

    def past(self, name: str, bars: int) -> Floats:
        """[up to `bars`] or [.., A] last values of a field, this bar's included."""
        rows: Floats = getattr(self.market, name)[max(self.number + 1 - bars, 0) : self.number + 1]
        return rows[:, 0] if self.market.assets == 1 else rows


@dataclass(eq=False)
class RuleAccount:
    """The rule's account at a close, and what it orders there.

    `target`, `buy`, `sell` and `close` replace an order that waits in the same asset.

    Attributes:
        state: money and shares.
        market: the bars.
        number: t.

    """

    state: AccountState
    market: MarketData
    number: int
    kind: str = ""
    tables: dict[str, Floats] = field(default_factory=dict)

    @property
    def cash(self) -> float:
        """[currency]."""
        return self.state.cash

    @property
    def equity(self) -> float:
        """Cash and positions at the close [currency]."""
        return self.state.equity

    @property
    def shares(self) -> Any:
        """Held: a number, or one per symbol; shorts are negative."""
        return _by_symbol(self.state.shares, self.market)

    @property
    def weight(self) -> Any:
        """Signed fraction of the equity that is held, as `shares`."""
        value = self.state.shares * self.market.close[self.number]
        return _by_symbol(value / max(self.state.equity, 1e-12), self.market)

    @property
    def waiting(self) -> Any:
        """Signed shares of orders that wait, as `shares`."""
        return _by_symbol(self.state.waiting, self.market)

    def target(self, weight: float, symbol: str | None = None, **prices: float) -> None:
        """Order to hold a fraction of the equity; `prices` are limit, stop, stop_loss ..."""
        self.order(weight, symbol, kind="target_percent", **prices)

    def buy(self, shares: float, symbol: str | None = None, **prices: float) -> None:
        """Order to buy so many shares."""
        self.order(abs(shares), symbol, kind="amount", **prices)

    def sell(self, shares: float, symbol: str | None = None, **prices: float) -> None:
        """Order to sell so many shares, short beyond what is held."""
        self.order(-abs(shares), symbol, kind="amount", **prices)

    def close(self, symbol: str | None = None) -> None:
        """Order to hold nothing."""
        kind = self.kind if self.kind.startswith("target") else ""
        if self.kind == "amount":
            self.order(-self.state.shares[self._column(symbol)], symbol, kind="amount")
        else:
            self.order(0.0, symbol, kind=kind or "target_percent")

    def cancel(self, symbol: str | None = None) -> None:
        """Take back the order that waits."""
        self.order(0.0, symbol, kind="amount")

    def order(
        self, size: float, symbol: str | None = None, *, kind: str = "amount", **prices: float
    ) -> None:
        """An order of any kind of size that `Orders` has.

        Raises:
            StrategyError: another kind than an earlier order of this bar, an unknown price or
                symbol, or a size that is no number.

        """
        for name in prices:
            if name not in PRICES:
                raise StrategyError(unknown_name("price of an order", name, PRICES))
        if self.kind not in ("", kind):
            raise StrategyError(
                f"Bar {self.number} has orders of kind {self.kind!r} and {kind!r}; expected one "
                "kind a bar. Give all as targets, or all as amounts."
            )
        if not np.isfinite(size):
            raise StrategyError(f"Bar {self.number}: an order of size {size}; expected a number.")
        self.kind, column = kind, self._column(symbol)
        for name, value in {"size": size, **prices}.items():
            table = self.tables.setdefault(name, np.full(self.market.assets, np.nan))
            table[column] = value

    def _column(self, symbol: str | None) -> int:
        symbols = self.market.symbols
        if symbol is None and len(symbols) > 1:
            raise StrategyError(f"Name the symbol of an order: one of {', '.join(symbols)}.")
        if symbol is not None and symbol not in symbols:
            raise StrategyError(unknown_name("symbol", symbol, symbols))
        return 0 if symbol is None else symbols.index(symbol)


def _by_symbol(values: Floats, market: MarketData) -> Any:
    return float(values[0]) if market.assets == 1 else pd.Series(values, list(market.symbols))


def made_rule(x: Any, params: Mapping[str, Any]) -> Any:
    """An instance of a rule with its parameters set.

    Raises:
        StrategyError: an unknown parameter, or an object that was made already is given some.

    """
    if not isinstance(x, type):
        if params:
            raise StrategyError(
                f"{type(x).__name__} is made already; give its class to set {sorted(params)}."
            )
        return copy.deepcopy(x)  # what a run leaves in it is no part of the next
    accepted = inspect.signature(x).parameters
    rule = x(**{name: value for name, value in params.items() if name in accepted})
    for name, value in params.items():
        if name in accepted:
            continue
        if name.startswith("_") or callable(getattr(x, name, None)) or not hasattr(rule, name):
            known = [
                n for n in dir(rule) if not n.startswith("_") and not callable(getattr(x, n, 0))
            ]
            raise StrategyError(unknown_name(f"parameter of {x.__name__}", name, known))
        setattr(rule, name, value)
    return rule


def rule_orders(
    rule: Any, market: MarketData, *, costs: CostModel, fill: Fill, cash: float, terms: Terms
) -> OrderTables:
    """Step a rule through the bars, and return what it ordered.

    `next` may also return what it wants to hold: a weight, one per symbol, or None for no order;
    as with strategies, only a change of it is an order.

    Raises:
        StrategyError: `next` returned something else, or raised an arithmetic error.

    """
    if hasattr(rule, "init"):
        rule.init(*([market] if inspect.signature(rule.init).parameters else []))
    wanted = np.zeros(market.assets)

    def decide(bar: int, state: AccountState) -> tuple[str, Mapping[str, Floats]] | None:
        nonlocal wanted
        account = RuleAccount(state, market, bar)
        try:
            answer = rule.next(RuleBar(bar, market), account)
        except (ArithmeticError, ValueError, IndexError, KeyError) as error:
            if isinstance(error, StrategyError):
                raise
            raise StrategyError(
                f"{type(rule).__name__}.next failed at bar {bar} ({market.index[bar]}): "
                f"{type(error).__name__}: {error}."
            ) from error
        if answer is not None:
            target = _weights(answer, market, bar, wanted)
            for symbol, new, old in zip(market.symbols, target, wanted, strict=True):
                if new != old:
                    account.target(float(new), symbol)
            wanted = target
        return (account.kind, account.tables) if account.kind else None

    from tradinghf.simulation import decide_stepwise

    config = EnvConfig(rules=terms.rules, margin=terms.margin, brackets=terms.brackets)
    kinds, tables = decide_stepwise(
        market, decide, costs=costs, fill=fill, cash=cash, config=config, **terms.events
    )
    size = tables.pop("size")
    return OrderTables(size, kinds, tables)


def _weights(answer: Any, market: MarketData, bar: int, before: Floats) -> Floats:
    """[A] weights that `next` returned; symbols that are not named keep theirs."""
    if isinstance(answer, Mapping | pd.Series):
        given = dict(answer)
        for symbol in given:
            if symbol not in market.symbols:
                raise StrategyError(unknown_name("symbol", str(symbol), market.symbols))
        items = [given.get(s, old) for s, old in zip(market.symbols, before, strict=True)]
        answer = items
    try:
        found = np.broadcast_to(np.asarray(answer, dtype=np.float64), before.shape).copy()
    except (TypeError, ValueError) as error:
        raise StrategyError(
            f"next returned {answer!r} at bar {bar}; expected None, a weight, or one per symbol."
        ) from error
    if np.isinf(found).any():
        raise StrategyError(f"next returned {answer!r} at bar {bar}; expected finite weights.")
    return np.where(np.isnan(found), before, found)
