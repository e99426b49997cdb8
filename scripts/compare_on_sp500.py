r"""Every shipped strategy, PPO on PnL, and RLHF, on the same unseen bars of the S&P 500.

    tradinghf rlhf --data sp500 --train-end 2012 --test-start 2015 --rankings 60 --rounds 3 \
        --steps 300000 --envs 256 --test-episodes 1024 --out runs/sp500
    python scripts/compare_on_sp500.py runs/sp500

Writes docs/reports/sp500.html and docs/reports/sp500.md, whatever they say. Strategies trade with
their default parameters: nothing was chosen on the test bars.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tradinghf import CostModel, MarketData, Policy, backtest
from tradinghf._intervals import Interval
from tradinghf.evaluation import Report, Verdict, comparison_report, judge
from tradinghf.loop import Experiment, split_market
from tradinghf.resources import code_version
from tradinghf.strategies import strategy_names

OUT = Path(__file__).resolve().parent.parent / "docs" / "reports"
POLICIES = {"policy": "RLHF", "pnl": "PPO on PnL alone", "true": "PPO on the true utility"}
BENCHMARK = "buy_and_hold"
HEAD = (
    "| | return | a year [95 % interval] | Sharpe [95 % interval] | deepest fall | turnover a year "
    "| costs | timing, % of shifts beaten | p | above buy and hold, points a year |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


def reports_of(run: Path, test: MarketData, costs: CostModel) -> dict[str, Report]:
    """Backtests over the test bars by display name; policies first, the benchmark last."""
    files = {label: run / f"{name}.safetensors" for name, label in POLICIES.items()}
    found = {
        label: backtest(Policy.load(path), test, costs=costs)
        for label, path in files.items()
        if path.is_file()
    }
    for name in (n for n in strategy_names() if n != BENCHMARK):
        found[name.replace("_", " ")] = backtest(name, test, costs=costs)
    return found | {"buy and hold": backtest(BENCHMARK, test, costs=costs)}


def spread(interval: Interval, digits: int = 1) -> str:
    """Value and interval; n/a where undefined."""
    if interval.value is None:
        return "n/a"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.{digits}f}"
    low, high = (f"{end:.{digits}f}" for end in (interval.low, interval.high))
    return f"{interval.value:.{digits}f} [{low}, {high}]"


def row(name: str, report: Report, verdict: Verdict) -> str:
    """One line of the table."""
    m = report.metrics
    timing = verdict.timing.percentile
    cells = [
        name,
        f"{m['total_return_pct']:.1f} %",
        f"{spread(verdict.intervals['cagr_pct'])} %",
        spread(verdict.sharpe, 2),
        f"{m['max_drawdown_pct']:.1f} %",
        f"{m['turnover_per_year']:.1f}",
        f"{m['costs_pct_of_start']:.1f} %",
        "n/a" if timing is None else f"{timing:.0f}",
        "n/a" if verdict.timing_p is None else f"{verdict.timing_p:.2f}",
        spread(verdict.excess),
    ]
    return f"| {' | '.join(cells)} |"


def markdown(
    found: Mapping[str, Report], verdicts: Mapping[str, Verdict], facts: Mapping[str, object]
) -> str:
    """The same comparison as text."""
    first = next(iter(found.values()))
    passed = [name for name, verdict in verdicts.items() if verdict.passed]
    told = f"{', '.join(passed)}." if passed else "none of them."
    lines = [row(name, report, verdicts[name]) for name, report in found.items()]
    known = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return (
        "# Strategies and policies on unseen bars of the S&P 500\n\n"
        f"Written by `scripts/compare_on_sp500.py`; the page is [sp500.html](sp500.html). Bars "
        f"{first.metrics['start']} to {first.metrics['end']}, fills at the next open, fees "
        f"{first.costs.fee_bps:g} bps and slippage {first.costs.slippage_bps:g} bps a fill. "
        "Strategies trade with their default parameters; nothing was chosen on these bars. "
        f"Columns are explained in [metrics](../metrics.md); p is corrected for "
        f"{len(found)} trials, one a row.\n\n"
        f"{HEAD}" + "\n".join(lines) + "\n\n"
        f"Better than random timing, with a proven Sharpe ratio, after {len(found)} trials: "
        f"{told}\n\n"
        f"The run, one of one seed, and its reward model:\n\n{known}\n"
    )


def main() -> None:
    """Read the run, trade everything, write both files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="run directory of `tradinghf rlhf`")
    run = parser.parse_args().run
    config = json.loads((run / "config.json").read_text())
    result = json.loads((run / "result.json").read_text())
    settings = config["experiment"]
    names = ("trader", "data", "train_end", "test_start", "seed")
    experiment = Experiment(**{name: settings[name] for name in names})
    test = split_market(experiment).test
    costs = replace(experiment.costs, **settings["costs"])
    found = reports_of(run, test, costs)
    held = next(iter(found.values())).buy_and_hold()
    verdicts = {name: judge(report, held, trials=len(found)) for name, report in found.items()}
    learned = result["reward_model"]
    facts = {
        "rankings of": f"{settings['trader']} ({result['rankings']}, {result['bits']} bits)",
        "environment steps": f"{result['env_steps']:,}",
        "S": round(result["S"], 3),
        "G": round(result["G"], 3) if result["G"] is not None else "n/a",
        "accuracy on held-out rankings": round(learned["accuracy"], 3),
        "seed": settings["seed"],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    page = comparison_report(
        OUT / "sp500.html",
        title="Strategies and policies on unseen bars of the S&P 500",
        verdict="",
        reports=found,
        values=result["values"],
        held_out=learned,
        facts=facts,
        provenance={
            "data": f"{settings['data']}, test sha256 {test.sha256[:12]}",
            "train until": settings["train_end"],
            "seed": settings["seed"],
            "code of the comparison": code_version(),
            "code of the training": config["code"],
        },
        trials=len(found),
    )
    (OUT / "sp500.md").write_text(markdown(found, verdicts, facts))
    kilobytes = page.stat().st_size / 1000
    print(f"{page}: {kilobytes:.0f} kB")  # noqa: T201 (a script's output)


if __name__ == "__main__":
    main()
