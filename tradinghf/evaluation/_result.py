"""`BacktestResult`: everything a backtest found, as tables and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from tradinghf._intervals import Interval
from tradinghf.config import CostModel, Fill
from tradinghf.evaluation._engines import (
    BacktestAccount,
    EngineName,
    run_engine,
    run_orders,
    vectorbt_expresses,
)
from tradinghf.evaluation._metrics import Metrics, return_metrics, trade_metrics
from tradinghf.evaluation._order_tables import OrderTables
from tradinghf.evaluation._own_metrics import OwnMetrics, own_values
from tradinghf.evaluation._terms import Terms
from tradinghf.evaluation._track_record import sharpe_interval
from tradinghf.evaluation._trades import round_trips
from tradinghf.market import Floats, MarketData


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """What one backtest found, without its pages: `Report` adds them.

    Attributes:
        name: what was traded.
        params: its parameters, defaults included.
        market: the bars it was traded on.
        account: the engine's raw arrays.
        targets: [T, A] the target weights ordered at each close; NaN is no order.
        costs, fill, engine, cash: how it was traded.
        expression: Python for the first argument of `backtest`.
        trials: how many trials of these bars were counted, this one included.
        terms: rules, margin, exits and events.
        notes: sentences that a reader of the numbers should know.
        yardstick: what it is compared with; None is buying and holding.
        given: further arguments of the backtest, such as finer bars, as they were given.
        own_metrics: functions of the result by name, for `metrics`.
        riskless: [T] what cash would earn over each bar; None is nothing.
        prices: [T, A] limit, stop and exit prices of the orders, by name.
        kind: what `targets` mean where they are no target weights, as in `Orders`.
        seen: share of the bars that what was traded had been trained or chosen on.

    """

    name: str
    params: dict[str, Any]
    market: MarketData
    account: BacktestAccount
    targets: Floats
    costs: CostModel
    fill: Fill
    engine: EngineName
    cash: float
    expression: str
    trials: int = 1
    terms: Terms = field(default_factory=Terms)
    notes: tuple[str, ...] = ()
    prices: Mapping[str, Floats] = field(default_factory=dict)
    kind: str | tuple[str, ...] = "target_percent"
    seen: float = 0.0
    yardstick: BacktestResult | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    own_metrics: OwnMetrics = field(default_factory=dict)
    riskless: Floats | None = None

    def benchmark(self) -> BacktestResult:
        """What it is compared with: `yardstick`, or else buying and holding all assets."""
        return self.buy_and_hold() if self.yardstick is None else self.yardstick

    @property
    def remarks(self) -> tuple[str, ...]:
        """`notes`, and how much rests on what happened inside single bars."""
        account = self.account
        if not account.ambiguous:
            return self.notes
        share = 100.0 * account.optimistic_gain / self.cash
        return (
            *self.notes,
            f"{account.ambiguous} of {len(account.fills)} fills were ambiguous inside their bar "
            "and read pessimistically; the optimistic reading would earn "
            f"{share:.2f} % of the start more.",
        )

    @cached_property
    def equity(self) -> pd.Series:
        """[T] account value at each close [currency]."""
        return pd.Series(self.account.equity, index=self.market.index, name="equity")

    @cached_property
    def returns(self) -> pd.Series:
        """[T] simple return of each bar, after costs; the first one is against the cash."""
        before = np.concatenate([[self.cash], self.account.equity[:-1]])
        values = np.zeros(len(before))
        np.divide(self.account.equity, before, out=values, where=before > 0)
        return pd.Series(
            np.where(before > 0, values - 1.0, 0.0), index=self.market.index, name="return"
        )

    @cached_property
    def excess(self) -> Floats:
        """[T] returns less what cash would earn, for ratios of return and risk."""
        returns = self.returns.to_numpy()
        return returns if self.riskless is None else returns - self.riskless

    @cached_property
    def drawdown(self) -> pd.Series:
        """[T] fall from the highest equity so far, as a fraction in [0, 1]."""
        peak = np.maximum(np.maximum.accumulate(self.account.equity), self.cash)
        return pd.Series(1.0 - self.account.equity / peak, self.market.index, name="drawdown")

    @cached_property
    def positions(self) -> pd.DataFrame:
        """[T, A] signed fraction of the equity in each asset at the close."""
        value = self.account.shares * self.market.close
        equity = self.account.equity[:, None]
        share = np.zeros_like(value)
        np.divide(value, equity, out=share, where=equity > 0)
        return pd.DataFrame(share, index=self.market.index, columns=list(self.market.symbols))

    @cached_property
    def contributions(self) -> pd.DataFrame:
        """[T, A] profit of each asset in each bar, after its fees [currency].

        What was held earns the move from close to close and its dividends; what was traded, from
        its price on. They sum to the change of the equity, interest and funding aside.
        """
        market, fills = self.market, self.account.fills
        split, dividend = self.terms.share_counts(market)
        before = np.vstack([market.close[:1], market.close[:-1]])
        held = np.vstack([np.zeros((1, market.assets)), self.account.shares[:-1]])
        if split is not None:
            held, before = held * split, before / split
        earned = held * (market.close - before + (0.0 if dividend is None else dividend))
        bar, asset = fills["bar"].to_numpy(), fills["asset"].to_numpy()
        size = (fills["side"] * fills["size"]).to_numpy()
        since = size * (market.close[bar, asset] - fills["price"].to_numpy())
        np.add.at(earned, (bar, asset), since - fills["fee"].to_numpy())
        return pd.DataFrame(earned, index=market.index, columns=list(market.symbols))

    @cached_property
    def orders(self) -> pd.DataFrame:
        """One row per fill.

        Columns: timestamp, symbol, side ("buy" or "sell"), size [units], price [currency, after
        slippage], fee [currency], slippage [currency lost against the reference price], bar.
        """
        fills = self.account.fills
        bar, asset = fills["bar"].to_numpy(), fills["asset"].to_numpy()
        reference = (self.market.close if self.fill == "close" else self.market.open)[bar, asset]
        lost = np.abs(fills["price"].to_numpy() - reference) * fills["size"].to_numpy()
        return pd.DataFrame(
            {
                "timestamp": self.market.index[bar],
                "symbol": np.asarray(self.market.symbols, dtype=object)[asset],
                "side": np.where(fills["side"].to_numpy() > 0, "buy", "sell"),
                "size": fills["size"].to_numpy(),
                "price": fills["price"].to_numpy(),
                "fee": fills["fee"].to_numpy(),
                "slippage": fills["slippage"].to_numpy() if "slippage" in fills else lost,
                "bar": bar,
            }
        )

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per round trip: from flat (or a change of side) to flat (or the next change).

        Columns: symbol, side ("long" or "short"), entry, exit (timestamps; exit of an open trade
        is the last bar), bars, pnl [currency, after costs], fees, return_pct, open.
        """
        return round_trips(self.account.fills, self.market, *self.terms.share_counts(self.market))

    @cached_property
    def turnover(self) -> pd.Series:
        """[T] traded notional / equity just before the trade; a round trip of everything is 2."""
        market, account, fills = self.market, self.account, self.account.fills
        reference = market.close if self.fill == "close" else market.open
        held = np.vstack([np.zeros((1, market.assets)), account.shares[:-1]])
        split, _ = self.terms.share_counts(market)
        held = held if split is None else held * split
        before = np.concatenate([[self.cash], account.cash[:-1]]) + (held * reference).sum(axis=1)
        notional = np.zeros(market.bars)
        np.add.at(notional, fills["bar"].to_numpy(), (fills["size"] * fills["price"]).to_numpy())
        share = np.zeros(market.bars)
        np.divide(notional, before, out=share, where=before > 0)
        return pd.Series(share, index=market.index, name="turnover")

    @cached_property
    def metrics(self) -> Metrics:
        """Headline numbers; units are in the names, None where undefined (docs/metrics.md)."""
        market, orders = self.market, self.orders
        years = market.bars / market.bars_per_year
        weights = self.positions.to_numpy()
        gross = np.abs(weights).sum(axis=1)
        fees, slippage = float(orders["fee"].sum()), float(orders["slippage"].sum())
        financing = self.account.financing
        carry = 0.0 if financing is None else float(financing.sum())
        found: Metrics = {
            **return_metrics(self.returns.to_numpy(), market.bars_per_year, self.excess),
            "final_equity": float(self.account.equity[-1]),
            "turnover_per_year": float(self.turnover.sum()) / years,
            "exposure_pct": 100.0 * float(np.mean(gross > 1e-12)),
            "gross_exposure_pct": 100.0 * float(gross.mean()),
            "net_exposure_pct": 100.0 * float(weights.sum(axis=1).mean()),
            **trade_metrics(self.trades),
            "fills": len(orders),
            "fees": fees,
            "slippage": slippage,
            "financing": carry,
            "costs_pct_of_start": 100.0 * (fees + slippage + carry) / self.cash,
            "bars": market.bars,
            "start": str(market.index[0].date()),
            "end": str(market.index[-1].date()),
        }
        return found | own_values(self, found)

    @cached_property
    def sharpe_interval(self) -> Interval:
        """Annual Sharpe ratio with its 95 % interval."""
        return sharpe_interval(self.excess, self.market.bars_per_year)

    @cached_property
    def portfolio(self) -> Any:
        """The `vectorbt.Portfolio` of the same weights; None where vectorbt cannot express them.

        Raises:
            StrategyError: the account was ruined, which vectorbt does not liquidate.

        """
        if self.account.portfolio is not None:
            return self.account.portfolio
        plain = self.terms.plain and vectorbt_expresses(self.costs) and self.costs.fee_bps >= 0
        if self.prices or self.kind != "target_percent" or not plain:
            return None
        how = (self.costs, self.fill, self.cash)
        return run_engine("vectorbt", self.market, self.targets, *how).portfolio

    def _first_bought(self, listed: Any) -> Any:
        """[A] bool, what can be bought with the first order."""
        return listed[0] if self.fill == "close" else listed[1]

    def renamed(self, name: str) -> Self:
        """The same result under another name, for comparisons."""
        return replace(self, name=name)

    def buy_and_hold(self) -> Self:
        """Equal parts of every asset bought once, at the same costs and over the same bars.

        Assets that are listed later are left out.
        """
        weights = np.full_like(self.targets, np.nan)
        listed = self.market.listed
        there = np.ones(self.market.assets, bool) if listed is None else self._first_bought(listed)
        weights[0, there] = 1.0 / max(int(there.sum()), 1)
        how = (self.costs, self.fill, self.cash)
        account = (
            run_orders(self.market, OrderTables(weights), *how, self.terms.of_holding())
            if self.engine == "simulator"
            else run_engine(self.engine, self.market, weights, *how)
        )
        return replace(
            self,
            name="buy and hold",
            params={},
            account=account,
            targets=weights,
            expression="weights",
            terms=self.terms.of_holding(),
            notes=(),
            prices={},
            kind="target_percent",
        )

    def __str__(self) -> str:
        m = self.metrics
        sharpe = "undefined" if m["sharpe_annual"] is None else f"{m['sharpe_annual']:.2f}"
        return (
            f"{self.name} on {self.market.name}: return {m['total_return_pct']:.2f} %, "
            f"Sharpe {sharpe}, max drawdown {m['max_drawdown_pct']:.2f} %, "
            f"turnover {m['turnover_per_year']:.1f}/year, {m['trades']} trades"
        )
