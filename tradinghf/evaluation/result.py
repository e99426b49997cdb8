"""`Report`: everything a backtest found, as tables, numbers, a figure and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel, Fill
from tradinghf.evaluation.engines import Account, Engine, Floats
from tradinghf.evaluation.metrics import Metrics, summary
from tradinghf.evaluation.trades import round_trips
from tradinghf.market.data import MarketData

if TYPE_CHECKING:
    import plotly.graph_objects


@dataclass(frozen=True, eq=False)
class Report:
    """The result of one backtest.

    Attributes:
        name: what was traded.
        params: its parameters, defaults included.
        market: the bars it was traded on.
        account: the engine's raw arrays.
        targets: [T, A] the target weights ordered at each close; NaN is no order.
        costs, fill, engine, cash: how it was traded.
        expression: Python for the first argument of `backtest`.

    """

    name: str
    params: dict[str, Any]
    market: MarketData
    account: Account
    targets: Floats
    costs: CostModel
    fill: Fill
    engine: Engine
    cash: float
    expression: str

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
    def orders(self) -> pd.DataFrame:
        """One row per fill.

        Columns: timestamp, symbol, side ("buy" or "sell"), size [units], price [currency, after
        slippage], fee [currency], slippage [currency lost against the reference price], bar.
        """
        fills = self.account.fills
        bar, asset = fills["bar"].to_numpy(), fills["asset"].to_numpy()
        reference = (self.market.close if self.fill == "close" else self.market.open)[bar, asset]
        return pd.DataFrame(
            {
                "timestamp": self.market.index[bar],
                "symbol": np.asarray(self.market.symbols, dtype=object)[asset],
                "side": np.where(fills["side"].to_numpy() > 0, "buy", "sell"),
                "size": fills["size"].to_numpy(),
                "price": fills["price"].to_numpy(),
                "fee": fills["fee"].to_numpy(),
                "slippage": np.abs(fills["price"].to_numpy() - reference)
                * fills["size"].to_numpy(),
                "bar": bar,
            }
        )

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per round trip: from flat (or a change of side) to flat (or the next change).

        Columns: symbol, side ("long" or "short"), entry, exit (timestamps; exit of an open trade
        is the last bar), bars, pnl [currency, after costs], fees, return_pct, open.
        """
        return round_trips(self.account.fills, self.market)

    @cached_property
    def metrics(self) -> Metrics:
        """Headline numbers; units are in the names, None where undefined (docs/metrics.md)."""
        return summary(self)

    @property
    def portfolio(self) -> Any:
        """The `vectorbt.Portfolio`, or None for the simulator."""
        return self.account.portfolio

    def renamed(self, name: str) -> Report:
        """The same report under another name, for comparisons."""
        return replace(self, name=name)

    def plot(self) -> plotly.graph_objects.Figure:
        """Equity, drawdown and exposure as an interactive plotly figure."""
        from tradinghf.evaluation.figure import report_figure

        return report_figure(self)

    def save(
        self, path: Path | str, *, trials: int = 1, standing: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the tear sheet: one page that needs nothing else.

        Args:
            path: where to; .html, or .pdf or .png where Chromium is installed.
            trials: how many variants were tried before this one; the verdict is deflated by it.
            standing: the strategy's row of the raters' leaderboard, as a mapping.

        Raises:
            ConfigError: another suffix, or no browser for a PDF or PNG.

        """
        from tradinghf.evaluation.export import write_page
        from tradinghf.evaluation.tearsheet import tear_sheet

        return write_page(tear_sheet(self, trials=trials, standing=standing), path)

    def __str__(self) -> str:
        m = self.metrics
        sharpe = "undefined" if m["sharpe_annual"] is None else f"{m['sharpe_annual']:.2f}"
        return (
            f"{self.name} on {self.market.name}: return {m['total_return_pct']:.2f} %, "
            f"Sharpe {sharpe}, max drawdown {m['max_drawdown_pct']:.2f} %, "
            f"turnover {m['turnover_per_year']:.1f}/year, {m['trades']} trades"
        )


__all__ = ["Report"]
