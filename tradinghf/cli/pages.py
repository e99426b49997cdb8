"""`tradinghf report`: the page of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from tradinghf.cli import output
from tradinghf.cli.options import Opening, Output
from tradinghf.cli.research import times
from tradinghf.cli.runs import CONFIG, RESULT, REWARD, document, experiment_facts
from tradinghf.cli.study import count_run, ledger, log_look, place

if TYPE_CHECKING:
    pass

LABELS = {"rlhf": "learned from rankings", "ppo_pnl": "PPO on PnL alone"}
RunStore = Annotated[
    str | None,
    arg(
        metavar="FOLDER|URL", help_behavior_hint="(default: ./store, if there is one, or RUN/store)"
    ),
]


def report(
    run: Positional[Path],
    /,
    *,
    out: Output = None,
    store: RunStore = None,
    open_sealed: Opening = None,
) -> None:
    """Write the page of a run: its policy against its baselines on bars that training never saw.

    Each look at the test bars is logged in the store with user and time, and the page says how
    often they were opened. The verdict is deflated by all trials on the data.

    Example: `tradinghf report runs/first`

    Args:
        run: Run directory of `tradinghf rlhf` or `tradinghf train`.
        out: HTML file to write, instead of RUN/report.html.
        store: Where trials and openings are counted: a folder, a .db file, or a URL.
        open_sealed: Show test bars that were sealed since; this reason is logged.

    """
    from tradinghf.evaluation.backtest import backtest
    from tradinghf.evaluation.report import comparison_report
    from tradinghf.learning.policy.saved import Policy
    from tradinghf.loop.experiment import Experiment, split_market

    config, result = document(run, CONFIG), document(run, RESULT)
    settings = config["experiment"]
    names = ("trader", "data", "train_end", "test_start", "end", "seed")
    experiment = Experiment(**{name: settings[name] for name in names if name in settings})
    test = split_market(experiment).test
    bank = ledger(store, run)
    openings = log_look(settings["data"], test, bank, f"report {run.name}", open_sealed)
    costs = replace(experiment.costs, **settings["costs"])
    files = (run / "policy.safetensors", run / "pnl.safetensors")
    policies = [Policy.load(path) for path in files if path.is_file()]
    contenders: dict[str, Any] = {LABELS.get(p.name, p.name): p for p in policies}
    contenders["buy and hold"] = "buy_and_hold"
    reports = {
        label: backtest(x, test, costs=costs, fill=settings["env"]["fill"])
        for label, x in contenders.items()
    }
    trials = count_run(settings["data"], test, bank, policies)
    reward = document(run, REWARD) if (run / REWARD).is_file() else {"values": []}
    page = comparison_report(
        out or run / "report.html",
        title=f"Learned from the rankings of {settings['trader']}",
        verdict="",
        reports=reports,
        values=reward["values"],
        held_out=result.get("reward_model", {}),
        facts=experiment_facts(result)
        | {
            "test bars": times(openings),
            "trials on this data": f"{trials:,}, counted in {place(bank)}",
        },
        trials=trials,
        provenance={
            "market of the run": str(settings["data"]),
            "seed": settings["seed"],
            "code of the run": config.get("code", "unknown"),
            "command": "\n".join(
                [*filter(None, [config.get("command")]), f"tradinghf report {run}"]
            ),
        },
    )
    columns = ["total_return_pct", "max_drawdown_pct", "sharpe_annual", "turnover_per_year"]
    span = f"{test.index[0]:%Y-%m-%d} to {test.index[-1]:%Y-%m-%d}"
    output.table(
        ["", *columns],
        [(label, *(r.metrics[c] for c in columns)) for label, r in reports.items()],
        title=f"{test.name}, {span}, not seen in training",
    )
    output.line(
        f"The test bars were {times(openings)}; trials on this data: {trials:,} "
        f"(counted in {place(bank)})."
    )
    output.line(f"Report: {page}")
