"""`python backtest.py REQUEST.json RUN`: one backtest, counted as a trial, as files.

A process of its own: it loads vectorbt, which the dashboard must not.

    RUN/backtest.json     the request, metrics, market
    RUN/curves.parquet    equity, drawdown, position, close and buy & hold of each bar
    RUN/report.html       the tear sheet
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tradinghf.config import CostModel
from tradinghf.durable import atomic_path, make_folder, write_atomic
from tradinghf.errors import TradingHFError
from tradinghf.evaluation import (
    backtest,
    judge,
    load_tradable,
    open_bars,
    open_study,
    trial_name,
)
from tradinghf.market import MarketData
from tradinghf.strategies import Strategy, held_targets


def cold_start(rule: Any, market: MarketData, request: dict[str, Any]) -> list[str]:
    """A warning where a rule would hold something else if it knew the bars before the window."""
    if not isinstance(rule, Strategy) or not request["start"]:
        return []
    whole = open_bars(request["data"], None, request["end"], store=request["store"])
    alone, known = (
        held_targets(rule(bars, **request["params"]))[-market.bars :] for bars in (market, whole)
    )
    other = (np.nan_to_num(alone) != np.nan_to_num(known)).any(axis=1)
    if not other.any():
        return []
    last = int(np.flatnonzero(other)[-1])
    return [
        f"The window begins cold: in {int(other.sum())} of its {market.bars} bars, the last on "
        f"{market.index[last]:%Y-%m-%d}, the rule holds something else than it would if it knew "
        "the bars before. Begin earlier, or read the figures from there on."
    ]


def main(request_file: str, folder: str) -> None:
    """Trade and write; counted and sealed exactly as `tradinghf backtest` does it."""
    request = json.loads(Path(request_file).read_text())
    run = Path(folder)
    make_folder(run)
    rule = load_tradable(request["policy"] or request["strategy"])
    name, costs = trial_name(rule), CostModel(**request["costs"])
    notes: list[str] = []  # sealed bars left out, a past that changed
    how = {"fill": request["fill"], "engine": request["engine"]}
    with open_study(
        request["data"],
        request["start"],
        request["end"],
        store=request["store"],
        purpose=f"backtest {name}",
        notify=notes.append,
    ) as study:
        market = study.market
        report = backtest(rule, market, costs=costs, record=study, **how, **request["params"])
        standing = study.standing(name)
    notes += cold_start(rule, market, request)
    beside = request.get("beside", "")
    held = market.close[:, 0] / market.close[0, 0] * float(report.cash)
    curves = pd.DataFrame(
        {
            "equity": report.equity,
            "drawdown": report.drawdown,
            "position": report.positions.sum(axis=1),
            "held": held,
            **(
                {"beside": backtest(beside, market, costs=costs, record=False, **how).equity}
                if beside
                else {}
            ),
        }
    )
    with atomic_path(run / "curves.parquet") as draft:
        curves.to_parquet(draft)
    report.save(run / "report.html", standing=standing)
    found = {"request": request, "metrics": dict(report.metrics), "trials": report.trials}
    found |= {"notes": notes, "data_set": study.data_set.sha256}
    verdict = judge(report, report.buy_and_hold(), trials=report.trials)
    found["verdict"] = {
        "label": verdict.label,
        "headline": verdict.headline,
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
    }
    write_atomic(run / "backtest.json", json.dumps(found, indent=1, default=str).encode())
    print(f"Traded {market.name}.")  # noqa: T201 - the job's output


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TradingHFError as error:
        sys.exit(str(error))
