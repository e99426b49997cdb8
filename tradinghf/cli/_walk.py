"""`tradinghf walkforward`: choose or train on the past, trade what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from tradinghf.cli import _output as output
from tradinghf.cli._files import write_files
from tradinghf.cli._objective import Objective, read_objective
from tradinghf.cli._options import (
    End,
    OpenSealed,
    OutputFile,
    SpreadOver,
    Start,
    StrategyFolder,
    TrialStore,
)
from tradinghf.cli._progress import ProgressCall, progress
from tradinghf.cli._research import ParamValues, parse_values
from tradinghf.cli._terms import CostOptions, TermOptions
from tradinghf.errors import ConfigError, check_setting, said_once

if TYPE_CHECKING:
    import pandas as pd

    from tradinghf.config import CostModel, EnvConfig
    from tradinghf.evaluation import CrossValidation, PolicyTrainer, Report, Study
    from tradinghf.strategies import Strategy

_VALIDATION_PARTS = 5
"""The last of so many parts of a training window chooses among a policy's checkpoints."""


def walkforward(
    strategy: Positional[str] = "sma_cross",
    /,
    *,
    param: ParamValues = (),
    train_policy: bool = False,
    reward: Literal["pnl", "ranked"] = "pnl",
    steps: int = 200_000,
    envs: int = 256,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    strategies: StrategyFolder = None,
    train_bars: int = 1000,
    test_bars: int = 250,
    purge: int = 0,
    anchored: bool = False,
    folds: int = 0,
    test_folds: int = 2,
    embargo: int = 0,
    metric: str = "sharpe_annual",
    objective: Objective = None,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TermOptions] = TermOptions(),  # noqa: B008 (frozen)
    fill: Literal["next_open", "close"] = "next_open",
    cash: float = 100_000.0,
    seed: int = 0,
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    executor: SpreadOver = "local",
    out: OutputFile = None,
    trades: OutputFile = None,
    json: OutputFile = None,
    report: OutputFile = None,
) -> None:
    """Choose parameters, or train a policy, on each past, and trade the bars that follow it.

    The test windows join to one account that no choice has seen. With --folds, combinatorial
    purged cross-validation instead: every choice of test folds, joined to several histories.

    Example: `tradinghf walkforward sma_cross --param fast=5:50:5 --param slow=20:200:20`

    Example: `tradinghf walkforward --train-policy --train-bars 2000 --test-bars 500 --purge 10`

    Example: `tradinghf walkforward sma_cross --param slow=20:200:20 --folds 10 --embargo 20`

    Example: `tradinghf walkforward sma_cross --param slow=20:200:20 --objective learned:runs/mine`

    Args:
        strategy: A strategy's name, or FILE.py, or FILE.py:function; not with --train-policy.
        param: Values of one parameter: FIRST:LAST:STEP with both ends, or a list: a,b,c.
        train_policy: Train a policy by PPO in each window, instead of choosing parameters.
        reward: What policies learn from: sparse PnL, or also the rankings in the store about
            episodes that end before the window's training does.
        steps: Environment steps of PPO, per window.
        envs: Environments that step in parallel.
        data: A data set, or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        strategies: Folder to look the name up in.
        train_bars: Length of each training window [bars]; of a policy's, the last fifth chooses.
        test_bars: Length of each test window [bars].
        purge: Bars left out between training and test, and before a policy's validation.
        anchored: Training starts at the first bar and grows, instead of rolling along.
        folds: Cut the bars into this many folds for cross-validation; 0 walks forward.
        test_folds: How many of the folds are tests at a time.
        embargo: Bars left out of training after a test, beside the purge; only with --folds.
        metric: What the chosen parameters have the highest of in training.
        objective: Choose by what a run's rankings value instead: learned:RUN, learned+pnl:RUN, or
            learned+keep:RUN, by taste among those that surely cost no more than 0.25 % of equity a
            window against the strategy with its own parameters.
            The taste and the profit of the joined test windows are shown beside those of the
            default parameters.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules; policies are trained with them too.
        fill: Fill at the open after the decision, or at the very close it was taken on.
        cash: Starting equity [currency].
        seed: Of the policies.
        store: Where trials are counted and rankings are: a folder, a .db file, or a URL.
        open_sealed: Use sealed bars too; this reason is logged.
        executor: Where policies are trained: local (this process), processes (one per processor,
            or processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        out: Write the windows to this Parquet file (or .csv).
        trades: Write the round trips of the joined test windows to this CSV file.
        json: Write every number, note and trade of them to this JSON file.
        report: Write a tear sheet of the joined test windows, or a page of the histories of
            --folds, to this HTML file.

    """
    from tradinghf.config import EnvConfig
    from tradinghf.evaluation import cross_validation_page, judge, open_study, write_table
    from tradinghf.strategies import load_strategy

    if train_policy == bool(param):
        raise ConfigError(
            "walkforward needs either --param NAME=VALUES (what to choose from), or --train-policy."
        )
    if train_policy:
        task = EnvConfig()
        least = _VALIDATION_PARTS * (task.lookback + task.horizon)
        check_setting(train_bars >= least, "--train-bars", train_bars, f"at least {least}")
    if (folds or embargo) and (train_policy or not folds):
        raise ConfigError(
            "walkforward: --embargo concerns training bars after a test, which only --folds has; "
            "--folds goes with --param, not with --train-policy."
        )
    if objective is not None and train_policy:
        raise ConfigError(
            "walkforward: --objective chooses parameters, and goes with --param; policies learn "
            "from rankings with --train-policy --reward ranked."
        )
    taste, metric = read_objective(objective, metric)
    name = f"ppo {reward}" if train_policy else strategy
    if train_policy and terms.member is not None:
        raise ConfigError(
            "walkforward: --member goes with --param; policies are trained on assets that are "
            "listed all the time."
        )
    if executor != "local" and not train_policy:
        raise ConfigError(
            "walkforward: --executor spreads the trainings of --train-policy; the backtests of "
            "--param take seconds here."
        )
    if folds and (trades is not None or json is not None):
        raise ConfigError(
            "walkforward: --folds has several histories and no one account; --trades and --json go "
            "without it. --out has its splits."
        )
    model = costs.model
    account: dict[str, Any] = {"costs": model, "fill": fill, "cash": cash}
    grid = said_once((parse_values(item) for item in param), "--param", ConfigError)
    what = f"{'folds' if folds else 'walkforward'} {name}"
    opened = open_study(
        data, start, end, store=store, open_sealed=open_sealed, purpose=what, notify=output.line
    )
    by: dict[str, Any] = {"metric": metric} if taste is None else {"objective": taste}
    cut: dict[str, Any]
    if folds:
        cut = {"folds": folds, "test_folds": test_folds, "purge": purge, "embargo": embargo}
        with opened as study, progress() as tell:
            rule = load_strategy(strategy, strategies)
            crossed = _cross_validate(study, rule, grid, account | terms.options | cut | by, tell)
            counted = study.trials_text()
        windows = crossed.splits
    else:
        cut = {
            "train_bars": train_bars,
            "test_bars": test_bars,
            "purge": purge,
            "anchored": anchored,
        }
        with opened as study, progress() as tell:
            if train_policy:
                here = tell if executor == "local" else None
                task = terms.given_to(EnvConfig())
                train = _Trainer(
                    reward, steps, envs, task, model, seed, study.store_name or None, here
                )
                options = account | terms.options | cut
                windows, joined = _walk_policies(study, train, name, options, executor, tell)
            else:
                rule = load_strategy(strategy, strategies)
                walked = _walk_parameters(
                    study, rule, grid, account | terms.options | cut | by, tell
                )
                windows, joined = walked.windows, walked.report
            counted = study.trials_text()
    # Files first: a reader of the output may be gone before its end.
    written = []
    if out is not None:
        written.append(f"Windows: {write_table(windows, out)}")
    if trades is not None or json is not None:
        verdict = judge(joined, joined.buy_and_hold(), trials=joined.trials)
        written += write_files(joined, verdict, trades=trades, json=json)
    if report is not None:
        page = cross_validation_page(report, crossed) if folds else joined.save(report)
        written.append(f"Report: {page}")
    if folds:
        _print_folds(crossed, counted)
    else:
        _print_walk(windows, joined, counted)
        if taste is not None:
            _print_taste(walked, taste.window)
    for text in written:
        output.line(text)


def _cross_validate(
    study: Study,
    rule: Strategy,
    grid: Mapping[str, list[Any]],
    options: Mapping[str, Any],
    tell: ProgressCall,
) -> CrossValidation:
    """Out-of-sample histories of a cross-validation."""
    from tradinghf.evaluation import cross_validate_parameters

    return cross_validate_parameters(
        rule,
        study.market,
        grid,
        record=study,
        progress=lambda done, total: tell("combinations", done, total, {}),
        **options,
    )


def _print_folds(found: CrossValidation, counted: str) -> None:
    """Every split, and how the out-of-sample histories spread."""
    output.frame(found.splits, title=f"{found.strategy}: {len(found.splits)} splits")
    output.line(found.summary)
    output.line(counted)


def _walk_parameters(
    study: Study,
    rule: Strategy,
    grid: Mapping[str, list[Any]],
    options: Mapping[str, Any],
    tell: ProgressCall,
) -> Any:
    """Windows and joined account of parameters chosen on each past."""
    from tradinghf.evaluation import walk_forward

    return walk_forward(
        rule,
        study.market,
        grid,
        record=study,
        progress=lambda done, total: tell("windows", done, total, {}),
        **options,
    )


def _print_taste(walked: Any, window: int) -> None:
    """Taste and profit out of sample, against the default parameters."""
    assert walked.out_of_sample is not None
    assert walked.taste_gain is not None
    title = f"Out of sample: taste of a window of {window} bars on average, and profit"
    output.frame(walked.out_of_sample, title=title)
    gain, low, high = walked.taste_gain
    said = (
        "too few windows for an interval"
        if low != low
        else f"95 % interval {low:+.3f} to {high:+.3f}"
    )
    output.line(f"Taste, chosen less default: {gain:+.3f} a window ({said}).")


def _walk_policies(
    study: Study,
    train: PolicyTrainer,
    name: str,
    options: Mapping[str, Any],
    executor: str,
    tell: ProgressCall,
) -> tuple[pd.DataFrame, Report]:
    """Windows and joined account of policies trained on each past."""
    from tradinghf.evaluation import walk_forward_policy

    share = 1 / _VALIDATION_PARTS
    walked = walk_forward_policy(
        train,
        study.market,
        name=name,
        validation_share=share,
        record=study,
        executor=executor,
        progress=lambda done, total: tell("windows", done, total, {}),
        **options,
    )
    return walked.windows, walked.report


@dataclass(frozen=True)
class _Trainer:
    """What trains the policy of one window: PPO on sparse PnL, or also on the store's rankings.

    Attributes:
        reward: "pnl" or "ranked".
        steps: of PPO.
        envs: N.
        task: what a policy does.
        costs: of the environment.
        seed: of everything random.
        store: where rankings are; opened wherever a window is trained.
        tell: of progress; None where nobody would see it.

    """

    reward: str
    steps: int
    envs: int
    task: EnvConfig
    costs: CostModel
    seed: int
    store: str | None
    tell: ProgressCall | None

    def __post_init__(self) -> None:
        if self.reward == "ranked" and self.store is None:
            raise ConfigError("--reward ranked needs a store with rankings; name it with --store.")

    def __call__(self, past: Any, validation: Any, number: int) -> Any:
        from tradinghf.feedback.store import Store
        from tradinghf.learning.config import RLHFConfig
        from tradinghf.learning.ppo import sparse_pnl
        from tradinghf.loop import RLHF, train_baseline
        from tradinghf.simulation import MarketEnv

        loop = RLHFConfig(rounds=1, steps=self.steps, seed=self.seed)
        env = MarketEnv(past, num_envs=self.envs, config=self.task, costs=self.costs)

        def said(phase: str, *state: Any) -> None:
            if self.tell is not None:
                self.tell(f"window {number + 1} {phase}", *state)

        about: dict[str, Any] = {"progress": said}
        if self.reward == "pnl":
            return train_baseline(env, "pnl", sparse_pnl, loop, validation=validation, **about)
        # Rankings about later windows would tell this policy what is valued there.
        about |= {"validation_market": validation, "until": validation.timestamps[-1]}
        with Store(str(self.store)) as store:
            agent = RLHF(env, store=store, config=loop, **about)
            agent.train()
        return agent.policy


def _print_walk(windows: pd.DataFrame, joined: Report, counted: str) -> None:
    """Every window, the joined account, and its verdict."""
    from tradinghf.evaluation import judge

    shown = windows.copy()
    for name in ("train_start", "train_end", "test_start", "test_end"):
        shown[name] = shown[name].dt.strftime("%Y-%m-%d")
    output.frame(shown, title=joined.name)
    output.line(f"All test windows: {joined}")
    output.verdict(judge(joined, joined.buy_and_hold(), trials=joined.trials), counted)
