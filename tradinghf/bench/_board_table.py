"""The leaderboard from its cells: after costs, over seeds, deflated by all that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tradinghf.bench._board_cells import columns_of
from tradinghf.market import Floats

Row = dict[str, Any]
_HEAD = (
    "| contender | seeds | Sharpe | 95 % interval | worst to best seed | growth a year | "
    "deepest fall | turnover a year | DSR | DSR of the best seed |"
)


def board_of(cells: Sequence[Mapping[str, Any]], bars_per_year: float) -> dict[str, Any]:
    """The table of one data set, and what all contenders together prove.

    Of something trained, the row is that of its median seed by Sharpe ratio; the best seed stands
    beside it, since that is what gets published. Every seed of every contender is one trial.

    Args:
        cells: of the data set (`measure_cell`).
        bars_per_year: of its bars.

    Returns:
        rows, the best Sharpe ratio first; trials; spa_p, whether any beats buy and hold; superior
        and in_confidence_set, contenders of which a seed is; pbo; bars; bars_per_year.

    """
    from tradinghf.evaluation import overfitting_probability, select

    columns = columns_of(list(cells))
    labels = [name for name, rows in columns.items() for _ in rows]
    returns = np.stack([row["returns"] for rows in columns.values() for row in rows], axis=1)
    held = np.array(columns["buy_and_hold"][0]["returns"])
    rows = [_row(name, rows, len(labels), bars_per_year, held) for name, rows in columns.items()]
    rows.sort(key=lambda row: -np.inf if row["sharpe"] is None else row["sharpe"], reverse=True)
    tests = select(returns, held)
    return {
        "rows": rows,
        "trials": len(labels),
        "spa_p": tests.spa_p,
        "superior": sorted({labels[i] for i in tests.superior}),
        "in_confidence_set": sorted({labels[i] for i in tests.confidence_set}),
        "pbo": overfitting_probability(returns),
        "bars": len(returns),
        "bars_per_year": bars_per_year,
    }


def _row(
    name: str, seeds: Sequence[Mapping[str, Any]], trials: int, bars_per_year: float, held: Floats
) -> Row:
    from tradinghf.evaluation import deflated_sharpe, excess_growth, track_intervals

    tracks = [np.array(row["returns"]) for row in seeds]
    ratios = [track_intervals(track, bars_per_year)["sharpe_annual"].value for track in tracks]
    order = np.argsort([-np.inf if ratio is None else ratio for ratio in ratios], kind="stable")
    middle, best = order[(len(order) - 1) // 2], order[-1]  # of an even number the lower one
    track = tracks[middle]
    found = track_intervals(track, bars_per_year)
    above = excess_growth(track, held, bars_per_year)
    wealth = np.cumprod(1 + track)
    peak = np.maximum(np.maximum.accumulate(wealth), 1.0)
    sharpe = found["sharpe_annual"]
    return {
        "contender": name,
        "seeds": len(tracks),
        "sharpe": sharpe.value,
        "interval": [sharpe.low, sharpe.high],
        "sharpe_of_seeds": ratios,
        "growth_pct": found["cagr_pct"].value,
        "above_buy_and_hold_pct": [above.value, above.low, above.high],
        "max_drawdown_pct": 100 * float((1 - wealth / peak).max()),
        "turnover_per_year": float(seeds[middle]["turnover"]),
        "deflated": deflated_sharpe(track, trials),
        "deflated_best_seed": deflated_sharpe(tracks[best], trials),
    }


def board_markdown(
    boards: Mapping[str, Mapping[str, Any]],
    remains: Mapping[str, Any],
    left_out: Mapping[str, str],
) -> str:
    """All tables and what they say, and which data sets have none and why, as Markdown."""
    parts = [_section(name, board) for name, board in boards.items()]
    if left_out:
        told = [f"- {name}: {why}." for name, why in left_out.items()]
        parts.append("\n".join(["## Not run", "", *told, ""]))
    return "\n".join([*parts, _published(remains)])


def _section(name: str, board: Mapping[str, Any]) -> str:
    lines = [f"## {name}, {board['bars']:,} sealed bars", "", _HEAD]
    lines.append("|---|" + "---:|" * (_HEAD.count("|") - 2))
    for row in board["rows"]:
        seeds = [r for r in row["sharpe_of_seeds"] if r is not None]
        several = row["seeds"] > 1 and seeds
        cells = [
            row["contender"].replace("_", " "),
            str(row["seeds"]),
            _number(row["sharpe"]),
            _ends(row["interval"]),
            f"{min(seeds):.2f} to {max(seeds):.2f}" if several else "",
            _number(row["growth_pct"], " %"),
            _number(row["max_drawdown_pct"], " %"),
            _number(row["turnover_per_year"]),
            _number(row["deflated"]),
            _number(row["deflated_best_seed"]) if several else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    beaten = ", ".join(n.replace("_", " ") for n in board["superior"]) or "none"
    proven = [r["contender"] for r in board["rows"] if (r["deflated"] or 0) > 0.95]
    lines += [
        "",
        f"{board['trials']} trials. Beats buy and hold, family-wise at 5 %: {beaten} (SPA p = "
        f"{board['spa_p']:.2f}). Probability that the best of them was chosen by luck (PBO): "
        f"{_number(board['pbo'])}. Median seeds with a deflated Sharpe ratio above 0.95: "
        f"{', '.join(n.replace('_', ' ') for n in proven) or 'none'}.",
        "",
    ]
    return "\n".join(lines)


def _published(remains: Mapping[str, Any]) -> str:
    lines = [
        "## Published Sharpe ratios of one year of the DJ30",
        "",
        "| method | published | 95 % interval of one year | DSR, 1 trial | 10 trials | 50 trials | "
        "years to be sure | buy and hold reaches it | no skill reaches it | after costs | "
        "best of 10 seeds, after costs |",
        "|---|" + "---:|" * 10,
    ]
    for row in remains["claims"]:
        years = row["years_to_be_sure"]
        cells = [
            row["method"],
            f"{row['sharpe']:.2f}",
            _ends(row["interval"]),
            *(_number(row["deflated"][n]) for n in ("1", "10", "50")),
            "never" if years is None else f"{years:.1f}",
            *(f"{100 * row[key]:.0f} %" for key in ("held", "free", "paid", "best_paid")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"{remains['years']} years of {remains['data']}, {remains['accounts']} accounts; costs of "
        f"{remains['fee_bps']:.0f} bp. Lowest return of any account, of three times its equity "
        f"too: {remains['worst_return_pct']:.1f} %.",
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None, unit: str = "") -> str:
    return "n/a" if value is None else f"{value:.2f}{unit}"


def _ends(ends: Sequence[float | None]) -> str:
    low, high = ends
    return "n/a" if low is None or high is None else f"{low:.2f} to {high:.2f}"
