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

import pandas as pd

from tradinghf.config import CostModel
from tradinghf.evaluation.backtest import backtest
from tradinghf.feedback.store import Store
from tradinghf.feedback.store.blobs import write_atomic
from tradinghf.learning.policy import Policy
from tradinghf.market.sources import load_market


def main(request_file: str, folder: str) -> None:
    """Trade and write."""
    request = json.loads(Path(request_file).read_text())
    run = Path(folder)
    run.mkdir(parents=True, exist_ok=True)
    market = load_market(request["data"]).between(request["start"], request["end"])
    traded = Policy.load(request["policy"]) if request["policy"] else request["strategy"]
    report = backtest(
        traded,
        market,
        costs=CostModel(**request["costs"]),
        fill=request["fill"],
        engine=request["engine"],
        **request["params"],
    )
    about = {k: request[k] for k in ("params", "costs", "fill", "engine", "start", "end")}
    with Store(request["store"]) as store:
        name = request["policy"] or request["strategy"]
        store.count_trial("backtest", str(name), market.sha256, about)
        trials = store.trials(market.sha256)
    held = market.close[:, 0] / market.close[0, 0] * float(report.cash)
    curves = pd.DataFrame(
        {
            "equity": report.equity,
            "drawdown": report.drawdown,
            "position": report.positions.sum(axis=1),
            "held": held,
        }
    )
    curves.to_parquet(run / "curves.parquet")
    report.save(run / "report.html", trials=max(trials, 1))
    found = {"request": request, "metrics": dict(report.metrics), "trials": trials}
    write_atomic(run / "backtest.json", json.dumps(found, indent=1, default=str).encode())
    print(f"Traded {market.name}.")  # noqa: T201 - the job's output


if __name__ == "__main__":
    main(*sys.argv[1:])
