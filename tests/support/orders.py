"""One order through `backtesting.py`, to compare with ours."""

from __future__ import annotations

import warnings

import pandas as pd
from support.markets import Rows

CALM = (100.0, 101.0, 99.0, 100.0)


def backtesting_fills(rows: Rows, size: float, **options: float) -> list[tuple[int, float, float]]:
    """The same order given at the first close to backtesting.py."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backtesting import Backtest, Strategy

        class Once(Strategy):  # type: ignore[misc]
            done = False

            def init(self) -> None:
                pass

            def next(self) -> None:
                if not self.done:
                    self.done = True
                    (self.buy if size > 0 else self.sell)(size=abs(size), **options)

        # backtesting.py acts from the second row on, and its last bar must not close the trade.
        padded = [CALM, *rows, rows[-1]]
        index = pd.date_range("2024-01-01", periods=len(padded))
        frame = pd.DataFrame(padded, index=index, columns=["Open", "High", "Low", "Close"])
        trades = Backtest(frame, Once, cash=10_000).run()
    found = []
    strategy = trades["_strategy"]
    last = len(rows) - 1
    for t in [*strategy.closed_trades, *strategy.trades]:
        found.append((t.entry_bar - 1, float(t.size), float(t.entry_price)))
        if t.exit_bar is not None:
            found.append((t.exit_bar - 1, float(-t.size), float(t.exit_price)))
    return [f for f in found if f[0] <= last]
