"""`tradinghf gate` and `monitor`: may a candidate trade, and must a deployed one go back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from tradinghf.cli import _output as output
from tradinghf.cli._options import (
    End,
    InputPath,
    OpenSealed,
    OutputFile,
    Start,
    StrategyFolder,
    TrialStore,
)
from tradinghf.cli._progress import fit_bar
from tradinghf.cli._runs import CONFIG, content_of, read_json
from tradinghf.cli._terms import CostOptions, TaskOptions
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.evaluation import GateConfig, RunStudy, Study
    from tradinghf.loop import RLHF, Contender, Judged, PairedTask
    from tradinghf.market import MarketData

_Trader = Annotated[
    str | None,
    arg(
        metavar="TASTE|FILE.py:FUNCTION|RUN",
        help_behavior_hint="(default: the run's own rankings; of rules, profit alone)",
    ),
]
_RunData = Annotated[
    str | None, arg(help_behavior_hint="(default: the run's test bars; of rules, sp500)")
]
_Candidates = Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(required)")]
_CODES = {"deploy": 0, "keep": 3, "unclear": 4, "stay": 0, "early": 0, "back": 3}
_RULE_WINDOW = 20


def gate(
    *,
    candidate: _Candidates = (),
    baseline: str = "buy_and_hold",
    data: _RunData = None,
    start: Start = None,
    end: End = None,
    trader: _Trader = None,
    harm: float = 0.05,
    margin: float = 0.0,
    utility_margin: float = 0.0,
    worst: float = 0.1,
    window: int = 0,
    in_order: bool = False,
    strategies: StrategyFolder = None,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TaskOptions] = TaskOptions(),  # noqa: B008 (frozen)
    fill: Literal["next_open", "close"] = "next_open",
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    out: OutputFile = None,
) -> int:
    """May a candidate replace what trades now? The chance of letting harm through is bounded.

    Every candidate and the baseline trade the same windows, after costs. A candidate passes where
    it is refuted that on average it is worse by more than the margin, in profit and in the
    trader's utility; all candidates together let harm through with a chance of at most --harm.
    Exit code 0: deploy; 3: keep the baseline; 4: not enough evidence, so keep it.

    Example: `tradinghf gate --candidate runs/mine --baseline sma_cross --harm 0.05`

    Example: `tradinghf gate --candidate momentum mine.py:rule --data sp500 --start 2008`

    Args:
        candidate: One or more run directories, policy files, strategies, or FILE.py:function.
        baseline: What trades now: the same.
        data: Bars that the candidates were neither trained nor chosen on.
        start: First day or year of the windows; earlier bars only warm up.
        end: Last day or year, inclusive.
        trader: Whose utility must not fall either.
        harm: Largest chance of letting any harmful candidate through.
        margin: A mean profit per window lower by up to this is no harm [fraction of equity].
        utility_margin: The same for the utility [its units].
        worst: Loss against the baseline in one window that is held possible unseen [fraction].
        window: Bars of a window; 0: the policy's episodes; of rules, 20.
        in_order: The candidates stand in an order fixed beforehand; tested until the first fails.
        strategies: Folder to look names up in.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules of rules; policies keep those they were trained with.
        fill: When orders of rules fill.
        store: Where openings of sealed bars and questions to the gate are counted.
        open_sealed: Use sealed bars too; this reason is logged.
        out: Write the decision to this file; of one run, also to RUN/deployment.json.

    """
    from tradinghf.evaluation import GateConfig, open_study
    from tradinghf.loop import DEPLOYMENT, PairedTask, load_contender, trader_utility
    from tradinghf.loop import gate as judge

    if not candidate or len(set(candidate)) < len(candidate):
        got = "none" if not candidate else "the same twice"
        raise ConfigError(f"--candidate got {got}; expected one or more different names.")
    config = GateConfig(harm, margin, utility_margin, worst)
    contenders = {name: load_contender(name, strategies) for name in candidate}
    base = load_contender(baseline, strategies)
    data, start = _unseen_bars(candidate, data, start)
    trader = trader or next((name for name in candidate if _is_run(name)), None)
    with fit_bar():
        utility, answers = (None, []) if trader is None else trader_utility(trader)
    with open_study(
        data, None, end, store=store, open_sealed=open_sealed, purpose="gate", notify=output.line
    ) as study:
        market = study.market
        first = 0 if start is None else market.bars - market.between(start).bars
        length = window or _episode_bars([*contenders.values(), base])
        task = PairedTask(market, first, length, costs.model, fill, utility, terms.options)
        judged = judge(task, contenders, base, config, ordered=in_order)
        print_judged(judged, baseline)
        _count_question(study, task, candidate, baseline, config)
    chosen = judged.decision.chosen or candidate[0]
    record = judged.deployment(
        baseline, data=data, candidate=chosen, trader=trader, answers=answers
    )
    files = [Path(chosen) / DEPLOYMENT] if len(candidate) == 1 and _is_run(chosen) else []
    for file in [*files, *([out] if out is not None else [])]:
        record.save(file)
        output.line(f"Decision: {file}; watch it with: tradinghf monitor {file}")
    return _CODES[judged.decision.answer]


def print_judged(judged: Judged, baseline: str) -> None:
    """The gate's numbers and its answer."""
    from tradinghf.evaluation import decision_text, measured_rows

    task = judged.task
    output.table(
        ["candidate", "", "mean difference", "surely above", "p of harm"],
        measured_rows(judged.decision),
        title=(
            f"Less {baseline}, per window of {task.window} bars: {task.windows} windows of "
            f"{task.market.name} from {task.market.index[task.first]:%Y-%m-%d} on, after costs"
        ),
    )
    output.line(decision_text(judged.decision, baseline))


def gate_run(agent: RLHF, study: RunStudy, out: Path, baseline: str, config: GateConfig) -> None:
    """Let the gate judge what a run has trained, and keep what it found."""
    judged = agent.gate(config)
    keys = [ranking.key for ranking in agent.rankings] if agent.reward_model.fitted else []
    keep_decision(judged, study, out, baseline, keys)


def keep_decision(
    judged: Judged, study: RunStudy, out: Path, baseline: str, answers: Sequence[str] = ()
) -> None:
    """Say what the gate found about a run's policy, and write it to RUN/deployment.json.

    Args:
        judged: the decision.
        study: of the run.
        out: the run directory.
        baseline: its name.
        answers: keys of those that the utility was learned from; none: profit alone was judged.

    """
    from tradinghf.loop import DEPLOYMENT

    print_judged(judged, baseline)
    trader = str(out) if answers else None
    record = judged.deployment(
        baseline, data=study.data, candidate=str(out), trader=trader, answers=answers
    )
    record.save(out / DEPLOYMENT)
    output.line(f"`tradinghf signal {out}` trades {record.deployed}.")


def deployed_name(name: str) -> str:
    """What is to trade under a name: a run whose gate kept the baseline stands for that."""
    from tradinghf.loop import DEPLOYMENT, Deployment

    if not (Path(name) / DEPLOYMENT).is_file():
        return name
    record = Deployment.load(Path(name))
    if record.answer == "deploy":
        return name
    output.line(f"{name}: {record.text} Name its policy.safetensors to trade it all the same.")
    return record.baseline


def _is_run(name: str) -> bool:
    return (Path(name) / CONFIG).is_file()


def _unseen_bars(
    names: Sequence[str], data: str | None, start: str | None
) -> tuple[str, str | None]:
    """The data and the first day on which the candidates may be judged.

    Raises:
        ConfigError: `start` is earlier than the test bars of a run on the same data.

    """
    from tradinghf.loop import Experiment, split_market
    from tradinghf.market import drawn_again

    for run in (Path(name) for name in names if _is_run(name)):
        with content_of(run, CONFIG):
            settings = read_json(run, CONFIG)["experiment"]
            known = ("trader", "data", "train_end", "test_start", "end", "seed")
            experiment = Experiment(**{name: settings[name] for name in known if name in settings})
        if data is not None and data != experiment.data:
            continue
        test = split_market(experiment).test
        if drawn_again(experiment.data):
            data = test.source
            continue
        data, first = experiment.data, f"{test.index[0]:%Y-%m-%d}"
        if start is not None and start < first[: len(start)]:
            raise ConfigError(
                f"--start {start} is before {first}, where the test bars of {run} begin: earlier "
                "bars were trained or chosen on. Give a later day, or other data."
            )
        start = max(start or first, first)
    return data or "sp500", start


def _episode_bars(contenders: Sequence[Contender]) -> int:
    """How long windows are: as the policies' episodes."""
    from tradinghf.learning.policy import Policy

    lengths = [x.config.horizon for x in contenders if isinstance(x, Policy)]
    return lengths[0] if lengths else _RULE_WINDOW


def _count_question(
    study: Study, task: PairedTask, names: Sequence[str], baseline: str, config: GateConfig
) -> None:
    """Count the question; with several on the same bars, say what the chances add up to."""
    if study.store is None:
        return
    about = {
        "baseline": baseline,
        "window": task.window,
        "from": str(task.market.index[task.first]),
    }
    study.count_trials("gate", " ".join(names), [about | asdict(config)])
    asked = len(study.store.trial_log(study.data_set.sha256, "gate"))
    if asked > 1:
        output.line(
            f"This data has been asked {asked} such questions; the chance that any of them let "
            f"harm through adds up to at most {min(100 * asked * config.harm, 100):g} %."
        )


def monitor(
    deployment: Positional[InputPath],
    /,
    *,
    data: _RunData = None,
    strategies: StrategyFolder = None,
    json: bool = False,
) -> int:
    """Must a deployed candidate go back to the baseline? May be asked after every new bar.

    Compares both over the whole windows since the deployment. The evidence of harm is a wealth
    that grows on average only where there is harm: it ever reaches 1 / harm without any with a
    chance of at most the --harm of the gate, however often it is looked at. Exit code 0: stay;
    3: go back.

    Example: `tradinghf monitor runs/mine --data bars.csv`

    Args:
        deployment: The file that `tradinghf gate` or `train` wrote, or the run directory with it.
        data: The same data with newer bars appended, instead of what the gate had.
        strategies: Folder to look names up in.
        json: Print one line of JSON instead, for programs.

    """
    from json import dumps

    from tradinghf.loop import (
        Deployment,
        load_contender,
        since_deployment,
        trader_utility,
        watch,
    )
    from tradinghf.market import load_market

    record = Deployment.load(deployment)
    market: MarketData = load_market(data or record.data)
    utility = None
    if record.trader is not None:
        with fit_bar():
            utility, _ = trader_utility(record.trader, record.answers)
    task = since_deployment(record, market, utility)
    both = [load_contender(name, strategies) for name in (record.candidate, record.baseline)]
    found = watch(record, task, *both)
    if json:
        output.line(dumps(asdict(found)))
    else:
        means = ", ".join(f"{m} {value:+.4g}" for m, value in found.mean.items())
        seen = f"{found.windows} windows since {record.since[:10]}"
        evidence = f"evidence of harm {found.evidence:.3g} of {found.needed:g}"
        output.line(f"{seen}: mean difference {means}; {evidence}." if means else f"{seen}.")
        output.line(
            f"Go back to {record.baseline}: {record.candidate} is shown to be worse, since "
            f"window {found.alarm}."
            if found.verdict == "back"
            else f"Stay with {record.candidate}: no harm is shown."
            if found.verdict == "stay"
            else "Stay: there is not one whole window of new bars yet."
        )
    return _CODES[found.verdict]
