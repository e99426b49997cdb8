"""The page of a cross-validation: how its out-of-sample histories spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tradinghf.evaluation._charts import Series, histogram, line_chart
from tradinghf.evaluation._crossvalidation import CrossValidation
from tradinghf.evaluation._export import write_page
from tradinghf.evaluation._page import kpis, number, page, section, spaced, table, verdict_card

_FEWEST = 3  # Sharpe ratios for a histogram


def cross_validation_page(path: Path | str, found: CrossValidation) -> Path:
    """Write one self-contained page about all histories and all splits.

    Args:
        path: where to; .html, or .pdf or .png where Chromium is installed.
        found: the cross-validation.

    Raises:
        ConfigError: another suffix, or no browser for a PDF or PNG.

    """
    counted = max(found.trials, found.counted)
    reasons = [
        f"Each history joins test bars that its choices have not seen; {found.trials:,} "
        "combinations were chosen from.",
        f"{counted:,} trials of these bars were counted so far.",
        "The histories share bars, so their spread shows luck in the choices, not in the market.",
    ]
    index = found.market.index
    title = f"Cross-validation of {found.strategy} on {found.market.name}"
    span = f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}, {found.market.bars:,} bars, after costs"
    body = [
        verdict_card(found.summary, reasons, None, label="Out of sample"),
        kpis(_numbers(found)),
        _histories(found),
        _spread(found),
        _splits(found),
    ]
    return write_page(page(title, span, body), path)


def _numbers(found: CrossValidation) -> list[tuple[str, str, str]]:
    growth = np.prod(1 + found.paths, axis=0) - 1
    low, middle, high = (100 * q for q in np.quantile(growth, [0.0, 0.5, 1.0]))
    spread = f"from {number(low, 1)} to {number(high, 1, ' %')}"
    return [
        ("Median return", number(middle, 1, " %"), spread),
        ("Histories", number(found.paths.shape[1]), f"of {len(found.splits):,} splits"),
        ("Not positive", number(100 * found.losing_share, 0, " %"), "of the Sharpe ratios"),
    ]


def _histories(found: CrossValidation) -> str:
    growth = np.cumprod(1 + found.paths, axis=0).astype(np.float64)
    best_last = np.argsort(growth[-1])
    named = {0: "worst", len(best_last) // 2: "middle", len(best_last) - 1: "best"}
    lines = [
        Series(
            label,
            growth[:, best_last[rank]],
            colour,
            last=number(100 * (growth[-1, best_last[rank]] - 1), 1, " %"),
        )
        for (rank, label), colour in zip(named.items(), (1, 3, 2), strict=False)
    ]
    chart = line_chart(
        found.market.index,
        lines,
        label="Growth of 1 in out-of-sample histories",
        show=lambda value: number(value, 2),
        include=1,
    )
    note = f"The worst, the middle and the best of {found.paths.shape[1]} histories by return."
    return section("Growth of 1, out of sample, after costs", chart, note=note)


def _spread(found: CrossValidation) -> str:
    known = found.path_sharpes[np.isfinite(found.path_sharpes)]
    if len(known) < _FEWEST:
        return ""
    middle = float(np.median(known))
    chart = histogram(
        known,
        [(middle, f"median {number(middle)}")],
        label="Sharpe ratios of the histories",
        show=lambda value: number(value, 2),
    )
    return section("Sharpe ratios of the histories, annual", chart)


def _splits(found: CrossValidation) -> str:
    head = [spaced(str(name)) for name in found.splits.columns]
    rows = [
        [_cell(value) for value in row] for row in found.splits.itertuples(index=False, name=None)
    ]
    note = "Test: the numbers of the folds that were the test; parameters as chosen on the rest."
    return section(f"All {len(rows)} splits", table(head, rows), note=note)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return number(value if np.isfinite(value) else None)
    return str(value)
