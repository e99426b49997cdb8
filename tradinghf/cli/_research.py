"""`tradinghf sweep`, `check`, `signal`, `export` and `seal`: what research on strategies needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from tradinghf._outside_text import defused_table
from tradinghf.cli import _output as output
from tradinghf.cli._files import write_files
from tradinghf.cli._objective import Objective, read_objective
from tradinghf.cli._options import (
    End,
    InputPath,
    OpenSealed,
    OutputFile,
    Settings,
    SpreadOver,
    Start,
    StoreName,
    StrategyFolder,
    TrialStore,
    parse_settings,
)
from tradinghf.cli._progress import progress
from tradinghf.cli._terms import CostOptions, SweptOptions, TermOptions
from tradinghf.durable import atomic_path
from tradinghf.errors import ConfigError, check_memory, check_setting, said_once

if TYPE_CHECKING:
    from tradinghf.evaluation import Sweep

ParamValues = UseAppendAction[
    Annotated[
        tuple[str, ...], arg(metavar="NAME=VALUES", help_behavior_hint="(required; repeatable)")
    ]
]
_Seal = Annotated[str | None, arg(help_behavior_hint="(default: only say what is sealed)")]
_SHOWN = ("total_return_pct", "sharpe_annual", "max_drawdown_pct", "turnover_per_year")


def sweep(
    strategy: Positional[str],
    /,
    *,
    param: ParamValues = (),
    data: tuple[str, ...] = ("sp500",),
    start: Start = None,
    end: End = None,
    strategies: StrategyFolder = None,
    terms: OmitArgPrefixes[SweptOptions] = SweptOptions(),  # noqa: B008 (frozen)
    fill: Literal["next_open", "close"] = "next_open",
    metric: str = "sharpe_annual",
    objective: Objective = None,
    optuna: int = 0,
    executor: SpreadOver = "local",
    seed: int = 0,
    store: TrialStore = None,
    open_sealed: OpenSealed = None,
    out: OutputFile = None,
    trades: OutputFile = None,
    json: OutputFile = None,
    report: OutputFile = None,
) -> None:
    """Backtest every combination of parameters, data and costs, and say what the best one proves.

    Every combination counts as a trial, and the verdict is deflated by all of them.

    Example: `tradinghf sweep sma_cross --param fast=5:50:5 --param slow=20:200:10 --report s.html`

    Example: `tradinghf sweep rsi_reversion --param period=7,14 --data sp500 nasdaq --fee-bps 1 5`

    Example: `tradinghf sweep sma_cross --param fast=2:100:1 --param slow=20:400:5 --optuna 200`

    Example: `tradinghf sweep sma_cross --param slow=20:200:10 --objective learned:runs/reward`

    Args:
        strategy: A strategy's name (`tradinghf strategies list`), or FILE.py, or FILE.py:function.
        param: Values of one parameter: FIRST:LAST:STEP with both ends, or a list: a,b,c.
        data: One or more data sets, or CSV or Parquet files.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        strategies: Folder to look the name up in.
        terms: Costs, exits, margin and order rules.
        fill: Fill at the open after the decision, or at the very close it was taken on.
        metric: What the best has the highest of.
        objective: Choose by what a run's rankings value instead: learned:RUN, learned+pnl:RUN, or
            learned+keep:RUN, by taste among those that surely cost no more than 0.25 % of equity a
            window against the strategy with its own parameters.
        optuna: Let Optuna choose this many combinations; 0 runs all.
        executor: Where backtests run: local (this process), processes (one per processor, or
            processes:N), or a Ray cluster: ray:auto, ray:local, ray:ray://HOST:10001.
        seed: Of Optuna's choices.
        store: Where trials are counted: a folder, a .db file, or a postgresql:// URL.
        open_sealed: Use sealed bars too; this reason is logged.
        out: Write the results to this Parquet file (or .csv), a row per backtest.
        trades: Write the round trips of the best one on the first data set to this CSV file.
        json: Write every number, note and trade of that one to this JSON file.
        report: Write a page with heatmaps to this HTML file.

    """
    import pandas as pd

    from tradinghf.evaluation import open_study, search, sweep_page, write_table
    from tradinghf.evaluation import sweep as run
    from tradinghf.executors import as_executor
    from tradinghf.strategies import load_strategy

    rule = load_strategy(strategy, strategies)
    taste, metric = read_objective(objective, metric)
    grid = said_once((parse_values(item) for item in param), "--param", ConfigError)
    check_setting(optuna >= 0, "--optuna", optuna, "a number of combinations, or 0 for all")
    if optuna and executor != "local":
        raise ConfigError(
            "--optuna proposes combinations from the results so far, a few at a time; "
            "that gains nothing from --executor. Use one of the two."
        )
    where = as_executor(executor)
    found: list[Sweep] = []
    counted: list[str] = []
    what = f"sweep {rule.name}"
    for name in data:
        opened = open_study(
            name, start, end, store=store, open_sealed=open_sealed, purpose=what, notify=output.line
        )
        with opened as study, progress() as tell:
            options: dict[str, Any] = {
                **terms.options,
                "fill": fill,
                "objective": taste,
                "record": study,
                "progress": lambda done, all_, name=name: tell(f"sweep {name}", done, all_, {}),
            }
            if optuna:
                options |= {"limit": optuna, "seed": seed}
                options |= {"metric": metric} if taste is None else {}
            else:
                options["executor"] = where
            found.append((search if optuna else run)(rule, study.market, grid, **options))
            counted.append(study.trials_text())
    # Files first: a reader of the output may be gone before its end.
    written = []
    if out is not None:
        tables = [item.table.assign(data=name) for item, name in zip(found, data, strict=True)]
        written.append(f"Results: {write_table(pd.concat(tables, ignore_index=True), out)}")
    if trades is not None or json is not None:
        best = found[0].best(metric)
        written += write_files(best, found[0].verdict(metric), trades=trades, json=json)
    if report is not None:
        written.append(f"Report: {sweep_page(report, found, metric=metric)}")
    for item, said in zip(found, counted, strict=True):
        _print_sweep(item, metric)
        output.line(said)
    for text in written:
        output.line(text)


def parse_values(item: str) -> tuple[str, list[Any]]:
    """("fast", [5, 10, 15]) from "fast=5:15:5"; ("kind", ["a", "b"]) from "kind=a,b".

    Raises:
        ConfigError: neither a range nor a list.

    """
    import numpy as np

    name, equals, text = item.partition("=")
    parts = text.split(":")
    try:
        if not (name and equals and text) or len(parts) not in (1, 2, 3):
            raise ValueError
        if len(parts) == 1:
            return name, text.split(",")
        first, last, step = (float(x) for x in (*parts, "1")[:3])
        if not (step > 0 and last >= first and np.isfinite([first, last, step]).all()):
            raise ValueError
        steps = int(np.floor((last - first) / step + 1e-9)) + 1
        check_memory(4096.0 * steps, f"--param {item} of {steps:,} values")
        found = [float(f"{first + k * step:.12g}") for k in range(steps)]
    except ConfigError:
        raise
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"--param got {item!r}; expected NAME=FIRST:LAST:STEP such as fast=5:50:5, "
            "or NAME=a,b,c."
        ) from error
    whole = all(value == int(value) for value in found)
    return name, [int(value) for value in found] if whole else found


def _print_sweep(found: Sweep, metric: str) -> None:
    """The best ten combinations, and the verdict on the first."""
    columns = [str(name) for name in found.table]
    cut = columns.index("total_return_pct")
    shown = [*columns[:cut], *dict.fromkeys([metric, *_SHOWN])]
    verdict = found.verdict(metric)
    best = found.table.sort_values(metric, ascending=False, na_position="last").head(10)
    where = f"{found.market.name}, {output.span(found.market)}"
    output.frame(best[shown], title=f"Best of {found.trials:,} on {where}")
    if found.left_out:
        output.line(
            f"{found.left_out:,} combinations were left out: {found.strategy.name} requires "
            f"{found.strategy.requires}."
        )
    output.line(f"The best one: {verdict.headline}")
    if found.taste is not None:
        output.line(
            f"Taste is what the rankings value, a window of {found.taste.window} bars on average, "
            "on the bars that were searched; walkforward says what it is out of sample."
        )


def check(
    strategy: Positional[str],
    /,
    *,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    params: Settings = (),
    strategies: StrategyFolder = None,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TermOptions] = TermOptions(),  # noqa: B008 (frozen)
    fill: Literal["next_open", "close"] = "next_open",
    points: int = 20,
    seed: int = 0,
) -> int:
    """Prove that a strategy does not look ahead, and name what else flatters its backtest.

    After random bars, bars with an order and ends of periods the future is removed, and separately
    replaced; every weight up to there must stay the same. Files that it reads while it decides are
    named. Exit code 2 when the strategy cannot be trusted; doubts are warnings.

    Example: `tradinghf check mine.py`

    Example: `tradinghf check sma_cross --data bars.csv --set fast=5 --points 50`

    Args:
        strategy: FILE.py, FILE.py:function, or a strategy's name.
        data: Bars to test on: a data set, or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive.
        params: Parameters of the strategy, such as fast=10 slow=100.
        strategies: Folder to look the name up in.
        costs: What trading and holding costs.
        terms: Exits, margin and order rules.
        fill: When your backtest fills.
        points: Bars of each kind after which the future is changed.
        seed: Of their choice.

    """
    from tradinghf.evaluation import check_strategy
    from tradinghf.market import load_market
    from tradinghf.strategies import load_strategy

    check_setting(points >= 1, "--points", points, "at least 1")
    rule = load_strategy(strategy, strategies)
    settings: dict[str, Any] = dict(parse_settings(params))
    market = load_market(data).between(start, end)
    check_setting(points <= market.bars, "--points", points, f"at most its {market.bars:,} bars")
    found = check_strategy(
        rule,
        market,
        costs=costs.model,
        **terms.options,
        fill=fill,
        points=points,
        seed=seed,
        **settings,
    )
    if found:
        output.table(["", "what", "details"], [(f.severity, f.kind, f.message) for f in found])
    errors = sum(f.severity == "error" for f in found)
    if errors:
        output.line(f"{rule.name}: not to be trusted, {errors} error{'s' if errors > 1 else ''}.")
        return 2
    count = len(found)
    output.line(f"{rule.name}: no look-ahead, {count} warning{'' if count == 1 else 's'}.")
    return 0


def signal(
    strategy: Positional[str],
    /,
    *,
    data: str = "sp500",
    start: Start = None,
    end: End = None,
    params: Settings = (),
    strategies: StrategyFolder = None,
    costs: OmitArgPrefixes[CostOptions] = CostOptions(),  # noqa: B008 (frozen)
    terms: OmitArgPrefixes[TermOptions] = TermOptions(),  # noqa: B008 (frozen)
    fill: Literal["next_open", "close"] = "next_open",
    cash: float = 100_000.0,
    out: OutputFile = None,
) -> None:
    """Print what is to be held or ordered after the last bar, and what of it is new.

    A policy sees its own account, so it trades through all the bars first, from flat: give it the
    bars since you have been following it.

    Example: `tradinghf signal sma_cross --data bars.csv`

    Example: `tradinghf signal runs/first --data bars.csv --start 2024 --out today.csv`

    Args:
        strategy: A strategy, a policy.safetensors, or a run directory: what its gate let trade.
        data: Bars up to the last one that has closed: a data set, or a CSV or Parquet file.
        start: First day or year, inclusive.
        end: Last day or year, inclusive: the signal of that day.
        params: Parameters of the strategy, such as fast=10 slow=100.
        strategies: Folder to look the name up in.
        costs: What trading and holding costs in the account that a policy sees.
        terms: Exits, margin and order rules.
        fill: When orders fill.
        cash: Starting equity of that account [currency].
        out: Also write the weights to this CSV file.

    """
    from tradinghf.cli._gate import deployed_name
    from tradinghf.evaluation import load_tradable, trial_name
    from tradinghf.evaluation import signal as weights
    from tradinghf.market import load_market

    rule = load_tradable(deployed_name(strategy), strategies)
    market = load_market(data).between(start, end)
    options: dict[str, Any] = dict(parse_settings(params)) | terms.options_for(rule)
    found = weights(rule, market, costs=costs.model, fill=fill, cash=cash, **options)
    moment = f"{market.index[-1]:%Y-%m-%d %H:%M} UTC"
    if out is not None:  # before anything is printed: a reader may be gone before the end
        with atomic_path(out) as draft:
            told = defused_table(found.assign(bar=market.index[-1].isoformat()))
            told.to_csv(draft, index=False)
    output.frame(found, title=f"{trial_name(rule)} on {market.name}, after the close of {moment}")
    if out is not None:
        output.line(f"Weights: {out}")


def export(policy: Positional[InputPath], /, *, out: OutputFile = None) -> None:
    """Write a trained policy as an ONNX file, for programs without Python.

    Input: float32 observations [N, D]; output: the deterministic action. How an observation is
    made (features, scaler, account) is in the file's metadata, key "tradinghf".

    Example: `tradinghf export runs/first --out policy.onnx`

    Args:
        policy: A policy.safetensors, or a run directory with one.
        out: The .onnx file to write, instead of one beside the policy.

    """
    from tradinghf.evaluation import WEIGHTS
    from tradinghf.learning.policy import Policy, export_onnx

    source = policy / WEIGHTS if policy.is_dir() else policy
    target = source.with_suffix(".onnx") if out is None else out
    check_setting(target.suffix == ".onnx", "--out", str(target), "a file that ends in .onnx")
    output.line(f"ONNX: {export_onnx(Policy.load(source), target)}")


def seal(data: Positional[str], /, *, start: _Seal = None, store: StoreName = "store") -> None:
    """Seal the last bars of a data set: later commands leave them out, and log who opens them.

    The seal lives in the store. `backtest`, `sweep` and `walkforward` with that store cut the bars
    off; with --open-sealed "why" they use them, and the opening is logged with user and time.

    Example: `tradinghf seal sp500 --start 2015`

    Args:
        data: A data set, or a CSV or Parquet file.
        start: First sealed day or year.
        store: Where the seal and its openings are kept.

    """
    from tradinghf.cli._feedback import open_store
    from tradinghf.evaluation import first_sealed_day
    from tradinghf.market import load_market

    data_set = load_market(data)
    with open_store(store, must_exist=start is None) as bank:
        known = bank.recognise(data_set)
        if start is not None:
            first = f"{data_set.between(start).index[0]:%Y-%m-%d}"
            bank.count_trial("seal", first, data_set.sha256)
        if known.said:
            output.line(known.said)
        since = first_sealed_day(data_set, bank)
        notes = bank.trial_log(data_set.sha256, "opening")
    sealed = "not sealed" if since is None else f"sealed from {since} on"
    output.line(f"{data_set.name}: {sealed}; {times_opened(len(notes))}.")
    if notes:
        rows = [(n.params["at"][:16], n.params["who"], n.name, n.params["reason"]) for n in notes]
        output.table(["when (UTC)", "who", "what", "why"], rows)


def times_opened(count: int) -> str:
    """How often bars were opened, in words."""
    return {0: "never opened", 1: "opened once"}.get(count, f"opened {count:,} times")
