"""`tradinghf report`: the page of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from tradinghf.cli import output
from tradinghf.cli.learn import CONFIG, HEADLINES, RESULT, REWARD, document
from tradinghf.cli.options import Output
from tradinghf.cli.research import times
from tradinghf.cli.study import DEFAULT_STORE, has_store, label, log_opening

if TYPE_CHECKING:
    from tradinghf.learning.policy import Policy
    from tradinghf.market.data import MarketData

LABELS = {"rlhf": "learned from rankings", "ppo_pnl": "PPO on PnL alone"}
RunStore = Annotated[
    str | None,
    arg(
        metavar="FOLDER|URL", help_behavior_hint="(default: ./store, if there is one, or RUN/store)"
    ),
]


def report(run: Positional[Path], /, *, out: Output = None, store: RunStore = None) -> None:
    """Write the page of a run: its policy against its baselines on bars that training never saw.

    Each look at the test bars is logged in the store with user and time, and the page says how
    often they were opened. The verdict is deflated by all trials on the data.

    Example: `tradinghf report runs/first`

    Args:
        run: Run directory of `tradinghf rlhf` or `tradinghf train`.
        out: HTML file to write, instead of RUN/report.html.
        store: Where trials and openings are counted: a folder, a .db file, or a URL.

    """
    from tradinghf.evaluation.backtest import backtest
    from tradinghf.evaluation.report import comparison_report
    from tradinghf.experiment import Experiment, split_market
    from tradinghf.learning.policy import Policy

    config, result = document(run, CONFIG), document(run, RESULT)
    settings = config["experiment"]
    names = ("trader", "data", "train_end", "test_start", "seed")
    experiment = Experiment(**{name: settings[name] for name in names})
    test = split_market(experiment).test
    costs = replace(experiment.costs, **settings["costs"])
    files = (run / "policy.safetensors", run / "pnl.safetensors")
    policies = [Policy.load(path) for path in files if path.is_file()]
    contenders: dict[str, Any] = {LABELS.get(p.name, p.name): p for p in policies}
    contenders["buy and hold"] = "buy_and_hold"
    reports = {
        label: backtest(x, test, costs=costs, fill=settings["env"]["fill"])
        for label, x in contenders.items()
    }
    subject = policies[0] if policies else None
    trials, openings = counted(settings["data"], test, store, run, subject)
    reward = document(run, REWARD) if (run / REWARD).is_file() else {"values": []}
    page = comparison_report(
        out or run / "report.html",
        title=f"Learned from the rankings of {settings['trader']}",
        verdict="",
        reports=reports,
        values=reward["values"],
        held_out=result.get("reward_model", {}),
        facts={
            name.replace("_", " "): output.number(result[name])
            for name in HEADLINES
            if name in result
        }
        | {"test bars": times(openings), "trials on this data": output.number(trials)},
        trials=trials,
        provenance={
            "data": f"{settings['data']}, test {test.sha256[:12]}",
            "seed": settings["seed"],
            "code": config.get("code", "unknown"),
        },
    )
    columns = ["total_return_pct", "max_drawdown_pct", "sharpe_annual", "turnover_per_year"]
    span = f"{test.index[0]:%Y-%m-%d} to {test.index[-1]:%Y-%m-%d}"
    output.table(
        ["", *columns],
        [(label, *(r.metrics[c] for c in columns)) for label, r in reports.items()],
        title=f"{test.name}, {span}, not seen in training",
    )
    output.line(f"The test bars were {times(openings)}; trials on this data: {trials:,}.")
    output.line(f"Report: {page}")


def counted(
    data: str, test: MarketData, store: str | None, run: Path, policy: Policy | None
) -> tuple[int, int]:
    """Count a policy's look at the test bars; trials on its data and openings so far."""
    from tradinghf.cli.market import load
    from tradinghf.feedback.store import Store

    # A synthetic market is drawn again for the test; a real one holds its test bars.
    whole = test if data.partition(":")[0] == "synthetic" else load(data)
    with Store(store or (DEFAULT_STORE if has_store() else run / "store")) as bank:
        if policy is not None:
            window = {"from": str(test.index[0]), "to": str(test.index[-1])}
            bank.count_trial("training", label(policy), whole.sha256, window)
        openings = log_opening(bank, whole, f"report {run.name}", "test bars of a run")
        return max(bank.trials(whole.sha256), 1), openings
