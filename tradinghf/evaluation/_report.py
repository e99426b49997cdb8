"""`Report`: what `backtest` returns, the result of a backtest with its figure and its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradinghf.evaluation._result import BacktestResult

if TYPE_CHECKING:
    import plotly.graph_objects


@dataclass(frozen=True, eq=False)
class Report(BacktestResult):
    """The result of one backtest: tables, numbers, a figure and a page.

    Attributes: those of `BacktestResult`.
    """

    def plot(self) -> plotly.graph_objects.Figure:
        """Equity, drawdown and exposure as an interactive plotly figure."""
        from tradinghf.evaluation._figure import report_figure

        return report_figure(self)

    def save(
        self, path: Path | str, *, trials: int = 0, standing: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the tear sheet: one page that needs nothing else.

        Args:
            path: where to; .html, or .pdf or .png where Chromium is installed.
            trials: how many variants were tried, this one included, where that is more than the
                store has counted; the verdict is deflated by the larger.
            standing: the strategy's row of the raters' leaderboard, as a mapping.

        Raises:
            ConfigError: another suffix, or no browser for a PDF or PNG.

        """
        from tradinghf.evaluation._export import write_page
        from tradinghf.evaluation._tearsheet import tear_sheet

        tried = max(self.trials, trials)
        return write_page(tear_sheet(self, trials=tried, standing=standing), path)
