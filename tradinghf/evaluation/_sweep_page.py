"""The page of a sweep: what the best combination proves, and where the good ones lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tradinghf.evaluation._export import write_page
from tradinghf.evaluation._page import (
    heat_cell,
    heat_table,
    number,
    page,
    section,
    spaced,
    span_of,
    table,
    verdict_card,
)
from tradinghf.evaluation._sweep import Sweep

_LISTED = 20
_MOST_CELLS = 200  # per side of a heatmap; of more, evenly spaced ones, and the note says so


def sweep_page(
    path: Path | str,
    sweeps: Sequence[Sweep],
    *,
    metric: str = "sharpe_annual",
) -> Path:
    """Write one self-contained page about sweeps of one strategy over one or more data sets.

    Args:
        path: where to; .html, or .pdf or .png where Chromium is installed.
        sweeps: of the same strategy and grid.
        metric: to rank and colour by.

    """
    body = [part for found in sweeps for part in _sections(found, metric)]
    strategy = sweeps[0].strategy
    names = ", ".join(found.market.name for found in sweeps)
    subtitle = f"{strategy.doc} {sum(found.trials for found in sweeps):,} backtests on {names}."
    return write_page(page(f"Sweep of {strategy.name}", subtitle, body), path)


def _sections(found: Sweep, metric: str) -> list[str]:
    best = found.best(metric)
    verdict = found.verdict(metric)
    settings = ", ".join(f"{name} {value}" for name, value in best.params.items())
    headline = f"Best on {found.market.name}: {settings}. {verdict.headline}"
    reasons = list(verdict.reasons)
    reasons.append(_trials_text(found))
    overfit = found.overfitting()
    if overfit is not None:
        reasons.append(
            f"Probability of backtest overfitting: {number(overfit)} (0.5 is what noise gives on "
            "average; single figures scatter widely around it)."
        )
    return [
        verdict_card(headline, reasons, verdict.passed, label=verdict.label),
        _heatmap_section(found, metric),
        _best_section(found, metric, span_of(best.metrics)),
    ]


def _trials_text(found: Sweep) -> str:
    """How many independent trials the rows are worth, and why all of them are counted."""
    worth = number(found.independent_trials, 1)
    proposed = "proposed from each other's results" if found.adaptive else "alike"
    return (
        f"Its {found.trials:,} combinations are {proposed} and worth about {worth} independent "
        "trials; all are counted, so the verdict errs on the careful side."
    )


def _heatmap_section(found: Sweep, metric: str) -> str:
    """The metric over the first two parameters that vary; the mean over everything else."""
    varied = [
        name
        for name in found.table.columns[: list(found.table).index("total_return_pct")]
        if found.table[name].nunique() > 1
    ]
    if not varied:
        return ""
    x, y = varied[0], varied[1] if len(varied) > 1 else None
    rows = found.table[y] if y else pd.Series("", index=found.table.index)
    grid = found.table.pivot_table(index=rows, columns=x, values=metric, aggfunc="mean")
    whole, grid = grid.shape, _thinned(_thinned(grid).T).T
    values = grid.to_numpy(np.float64)
    known = np.abs(values[np.isfinite(values)])
    scale = max(float(np.quantile(known, 0.95)) if len(known) else 0.0, 1e-9)
    cells = [
        [heat_cell(v if np.isfinite(v) else None, scale, digits=2) for v in row] for row in values
    ]
    corner = f"{y} \\ {x}" if y else x
    html = heat_table(corner, grid.columns, zip(grid.index, cells, strict=True))
    rest = ", ".join(spaced(str(name)) for name in varied[2:])
    note = "A broad patch of good cells is worth more than one good cell. "
    note += f"Mean over {rest}. " if rest else ""
    note += "" if grid.shape == whole else f"{grid.size:,} of {whole[0] * whole[1]:,} cells. "
    note += "Empty: it never traded." if not np.isfinite(values).all() else ""
    return section(f"{spaced(metric).capitalize()} on {found.market.name}", html, note=note.strip())


def _thinned(grid: pd.DataFrame) -> pd.DataFrame:
    """At most `_MOST_CELLS` rows, evenly spaced, the first and the last included."""
    if len(grid) <= _MOST_CELLS:
        return grid
    return grid.iloc[np.linspace(0, len(grid) - 1, _MOST_CELLS).round().astype(int)]


def _best_section(found: Sweep, metric: str, span: str) -> str:
    best = found.table.sort_values(metric, ascending=False, na_position="last").head(_LISTED)
    settings = list(found.table).index("total_return_pct")
    head = [spaced(str(name)) for name in best.columns]
    rows = [
        [
            str(value) if column < settings else number(_defined(value))
            for column, value in enumerate(row)
        ]
        for row in best.itertuples(index=False)
    ]
    title = f"The best {len(rows)} of {found.trials:,}"
    return section(title, table(head, rows, text_columns=()), note=f"{span}, after costs.")


def _defined(value: float) -> float | int | None:
    """None for NaN."""
    if not np.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)
