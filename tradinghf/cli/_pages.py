"""`tradinghf report`: the page of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from tradinghf.cli import _output as output
from tradinghf.cli._options import InputPath, OpenSealed, OutputFile
from tradinghf.cli._research import times_opened
from tradinghf.cli._runs import (
    CONFIG,
    PORTRAIT,
    RESULT,
    REWARD,
    content_of,
    experiment_facts,
    read_json,
)

_LABELS = {"rlhf": "learned from rankings", "ppo_pnl": "PPO on PnL alone"}
_RunStore = Annotated[
    str | None,
    arg(
        metavar="FOLDER|URL", help_behavior_hint="(default: ./store, if there is one, or RUN/store)"
    ),
]


def report(
    run: Positional[InputPath],
    /,
    *,
    out: OutputFile = None,
    store: _RunStore = None,
    open_sealed: OpenSealed = None,
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
    from tradinghf.evaluation import (
        RunStudy,
        Study,
        backtest,
        comparison_report,
        store_for_run,
        store_without_password,
    )
    from tradinghf.learning.policy import Policy
    from tradinghf.loop import Experiment, split_market

    config, result = read_json(run, CONFIG), read_json(run, RESULT)
    with content_of(run, CONFIG):
        settings = config["experiment"]
        names = ("trader", "data", "train_end", "test_start", "end", "seed")
        experiment = Experiment(**{name: settings[name] for name in names if name in settings})
        costs = replace(experiment.costs, **settings["costs"])
        fill = settings["env"]["fill"]
    with content_of(run, RESULT):
        measured = experiment_facts(result)
    test = split_market(experiment).test
    study = RunStudy(experiment.data, store_for_run(store, run), open_sealed)
    counted_in = f"counted in {store_without_password(study.store)}"
    opened = times_opened(study.log_test_opening(test, f"report {run.name}"))
    files = (run / "policy.safetensors", run / "pnl.safetensors")
    policies = [Policy.load(path) for path in files if path.is_file()]
    contenders: dict[str, Any] = {_LABELS.get(p.name, p.name): p for p in policies}
    contenders["buy and hold"] = "buy_and_hold"
    counted = Study.uncounted(test)  # opened above; the policies are counted below
    reports = {
        label: backtest(x, test, costs=costs, fill=fill, record=counted)
        for label, x in contenders.items()
    }
    trials = study.count_policies(test, policies)
    reward = read_json(run, REWARD) if (run / REWARD).is_file() else {"values": []}
    with content_of(run, REWARD):
        values = [dict(value) for value in reward["values"]]
    page = comparison_report(
        out or run / "report.html",
        title=f"Learned from the rankings of {experiment.trader}",
        verdict="",
        reports=reports,
        values=values,
        held_out=result.get("reward_model", {}),
        became=_portrait(run),
        facts=measured | {"test bars": opened, "trials on this data": f"{trials:,}, {counted_in}"},
        trials=trials,
        provenance={
            "market of the run": experiment.data,
            "seed": experiment.seed,
            "code of the run": config.get("code", "unknown"),
            "command": "\n".join(
                [*filter(None, [config.get("command")]), f"tradinghf report {run}"]
            ),
        },
    )
    columns = ["total_return_pct", "max_drawdown_pct", "sharpe_annual", "turnover_per_year"]
    output.table(
        ["", *columns],
        [(label, *(r.metrics[c] for c in columns)) for label, r in reports.items()],
        title=f"{test.name}, {output.span(test)}, not seen in training",
    )
    output.line(f"The test bars were {opened}; trials on this data: {trials:,} ({counted_in}).")
    output.line(f"Report: {page}")


def _portrait(run: Path) -> str:
    """What the policy became, of runs that say it."""
    if not (run / PORTRAIT).is_file():
        return ""
    with content_of(run, PORTRAIT):
        return str(read_json(run, PORTRAIT)["text"])
