"""`tradinghf episodes import-trades`: a broker's fills as demonstrations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._feedback import open_store
from tradinghf.cli._options import (
    End,
    InputFile,
    InputPath,
    OutputFile,
    Start,
    StoreName,
    StrategyNames,
)
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.feedback import OwnTrades
    from tradinghf.learning.policy import Policy
    from tradinghf.market import MarketData

_SHOWN = 40


def episodes_import_trades(
    fills: Positional[InputPath],
    /,
    *,
    data: str,
    start: Start = None,
    end: End = None,
    store: StoreName = "store",
    trader: str = "local",
    policy: InputFile = None,
    strategies: StrategyNames = (),
    horizon: int = 64,
    questions: bool = True,
    cash: float | None = None,
    holdings: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    splits: tuple[str, ...] = (),
    contract: float = 1.0,
    short: bool | None = None,
    keep_duplicates: bool = False,
    zone: str | None = None,
    dayfirst: bool | None = None,
    decimal: str | None = None,
    date_format: str | None = None,
    report: OutputFile = None,
    check: bool = False,
    seed: int = 0,
) -> int:
    """Turn a broker's fills into episodes on the same bars, as demonstrations.

    Reads statements of Interactive Brokers, histories of MetaTrader 4 and 5, trades of Binance, and
    any table with time, symbol, side, quantity, price and perhaps fee. The account is followed
    through all fills; what does not fit the bars, or differs from what the file says, is listed by
    row. Each episode is preferred to what the policy (or else a rule) does in the same window, and
    later policies begin by copying it. The dashboard asks about the same windows, still blind.

    Example: `tradinghf episodes import-trades fills.csv --data bars.csv --cash 10000`

    Args:
        fills: The file.
        data: A data set (`tradinghf data list`), or a file of bars.
        start: First day or year of the bars, inclusive.
        end: Last day or year of the bars, inclusive.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        trader: Whose trades these are.
        policy: Who else trades the windows: RUN/policy.safetensors; or else buy_and_hold.
        strategies: Rules for the questions of the dashboard; or else all of them.
        horizon: Length of an episode [bars]; a policy's own where one is given.
        questions: Also queue a blind question about each window.
        cash: Before the first fill; or else what the file says or the least that suffices.
        holdings: Held before the first fill: AAPL=20.
        names: What the bars call a symbol: EURUSD.m=EURUSD.
        splits: Splits that the bars are adjusted for and the fills are not: AAPL=2020-08-31:4.
        contract: Units of one lot (MetaTrader: 100000 for currencies).
        short: Whether more may be sold than is held; or else as the broker's accounts do.
        keep_duplicates: Rows that are alike in every field are fills of their own.
        zone: IANA zone of the file's times, where they name none.
        dayfirst: Whether 01/03/2023 is 1 March, where the file leaves it open.
        decimal: point or comma, where the file leaves it open.
        date_format: strftime format of times that are not found by themselves.
        report: Write every finding and the fate of every row to this .csv file.
        check: Only report; store nothing.
        seed: Of the questions.

    """
    from tradinghf.evaluation import open_bars
    from tradinghf.feedback import own_trades
    from tradinghf.learning.policy import Policy

    market = open_bars(data, start, end, store=store, notify=output.line)
    own = Policy.load(policy) if policy is not None else None
    reading = {"zone": zone, "dayfirst": dayfirst, "decimal": decimal, "date_format": date_format}
    trades = own_trades(
        fills,
        market,
        horizon=own.config.horizon if own else horizon,
        trader=trader,
        reading=reading | {"contract": contract},
        cash=cash,
        holdings={k: float(v) for k, v in _pairs("--holdings", holdings, "AAPL=20")},
        names=dict(_pairs("--names", names, "EURUSD.m=EURUSD")),
        splits=_splits(splits),
        short=short,
        keep_duplicates=keep_duplicates,
    )
    _print_report(trades, fills)
    if report is not None:
        _write_report(trades, report)
    if check or not trades.episodes:
        output.line("Nothing was stored." if check else "No episode: see the findings.")
        return 0 if check else 2
    _store(trades, market, own, strategies, store, trader, questions, seed)
    return 0


def _store(
    trades: OwnTrades,
    market: MarketData,
    own: Policy | None,
    strategies: StrategyNames,
    store: str,
    trader: str,
    ask: bool,
    seed: int,
) -> None:
    """Store demonstrations, comparisons and questions, and say what they are."""
    from tradinghf.config import CostModel, EnvConfig
    from tradinghf.feedback import Query
    from tradinghf.loop import Actor, compare_demonstrations, strategy_actor
    from tradinghf.strategies import strategy_names

    notional = float(trades.account.notional.sum())
    costs = CostModel(fee_bps=max(1e4 * float(trades.account.fees.sum()) / notional, 0.0))
    config = own.config if own else EnvConfig(lookback=1)
    first = (
        Actor(f"policy:{own.fingerprint}", policy=own)
        if own
        else strategy_actor("buy_and_hold", market)
    )
    options: dict[str, Any] = {"config": config, "costs": costs, "rater": trader, "seed": seed}
    options["scaler"] = own.scaler if own else None
    others, rankings = compare_demonstrations(trades.episodes, market, first, **options)
    queries = []
    with open_store(store, must_exist=False) as bank:
        bank.add_episodes([*trades.episodes, *others])
        new = sum(bank.submit(ranking) for ranking in rankings)
        if ask:
            rules = [n for n in (strategies or strategy_names()) if n != "buy_and_hold"][:3]
            panels = {e.id: [e] for e in trades.episodes}
            for rule in rules:
                actor = strategy_actor(rule, market)
                shown, _ = compare_demonstrations(trades.episodes, market, actor, **options)
                bank.add_episodes(shown)
                by_window = {e.window: e for e in shown}
                for mine in trades.episodes:
                    if (other := by_window.get(mine.window)) is not None:
                        panels[mine.id].append(other)
            queries = [Query.of([e.id for e in row]) for row in panels.values() if len(row) > 1]
            bank.add_queries(queries)
    output.line(
        f"{len(trades.episodes)} episodes of {trader}, {new} new comparisons with {first.name} and "
        f"{len(queries)} blind questions: {store}"
    )


def _pairs(option: str, given: tuple[str, ...], example: str) -> list[tuple[str, str]]:
    """(name, value) of each "name=value"."""
    pairs = [tuple(text.rsplit("=", 1)) for text in given]
    for text, pair in zip(given, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise ConfigError(f"{option} is {text!r}; expected for example {example}.")
    return [(name, value) for name, value in pairs]


def _splits(given: tuple[str, ...]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for symbol, value in _pairs("--splits", given, "AAPL=2020-08-31:4"):
        day, _, ratio = value.partition(":")
        try:
            found.setdefault(symbol, []).append((day, float(ratio)))
        except ValueError as error:
            raise ConfigError(
                f"--splits is {symbol}={value!r}; expected for example AAPL=2020-08-31:4."
            ) from error
    return found


def _print_report(trades: OwnTrades, fills: Path) -> None:
    """What became of the rows, and what does not fit."""
    fates = Counter(trades.rows.values())
    account = trades.account
    output.pairs(
        {
            "read as": trades.dialect,
            "rows in episodes": fates["episode"],
            "rows in the account only": fates["account"],
            "rows left out": fates["left out"],
            "cash at the start": account.start_cash,
            "cash at the end": float(account.cash[-1]),
            "equity at the end": float(account.equity[-1]),
            "fees": float(account.fees.sum()),
        },
        title=str(fills),
    )
    if not trades.findings:
        output.line("Every fill fits the bars, and the account is what the file says.")
        return
    alike: dict[tuple[str, ...], list[Any]] = {}
    for found in trades.findings:
        about = found.problem.rpartition(": ")[2]
        alike.setdefault((found.rule, found.column, about, found.fix), []).append(found)
    rows = []
    for first, *others in alike.values():
        place = f"{first.place} and {len(others)} more" if others else first.place
        rows.append((first.severity, place, first.column, first.problem, first.fix))
    output.table(["", "where", "column", "what", "so"], rows[:_SHOWN])
    if len(rows) > _SHOWN:
        output.line(f"... and {len(rows) - _SHOWN} more.")
    output.line("Every row and what became of it: --report FILE.csv")


def _write_report(trades: OwnTrades, path: Path) -> None:
    """One line per row of the file and finding."""
    import pandas as pd

    from tradinghf._outside_text import defused_table
    from tradinghf.durable import atomic_path

    said: dict[str, list[Any]] = {}
    for finding in trades.findings:
        said.setdefault(finding.place, []).append(finding)
    lines: list[tuple[Any, ...]] = [
        ("", "", f.severity, f.rule, f.problem, f.fix) for f in said.get("", [])
    ]
    for row, fate in trades.rows.items():
        found = said.get(f"row {row}", [])
        lines += [(row, fate, f.severity, f.rule, f.problem, f.fix) for f in found]
        lines += [] if found else [(row, fate, "", "", "", "")]
    columns = ["row", "became", "severity", "rule", "what", "so"]
    with atomic_path(path) as draft:
        defused_table(pd.DataFrame(lines, columns=columns)).to_csv(draft, index=False)
