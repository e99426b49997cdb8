"""`own_trades`: a trader's own fills as episodes on the bars on which the trader made them.

Such an episode is a demonstration: with the same bars before the eyes, this is what the trader
did. It is ranked, or preferred to what others did in its window, like any other episode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tradinghf.episodes import Episode
from tradinghf.errors import FeedbackError
from tradinghf.feedback._sources import OWN_SOURCE
from tradinghf.market import (
    FIELDS,
    FillAccount,
    MarketData,
    read_fills,
    replay_fills,
)

_FEWEST_BARS = 2


@dataclass(frozen=True, eq=False)
class OwnTrades:
    """What became of a file of fills.

    Attributes:
        episodes: one per window and asset in which the trader traded.
        account: the account at every bar (`market.replay_fills`).
        rows: row of the file -> "episode", "account" (counted, in no episode) or "left out".
        findings: everything that did not fit, by row.
        dialect: whose file it is, in words.

    """

    episodes: list[Episode]
    account: FillAccount
    rows: dict[int, str]
    findings: tuple[Any, ...]
    dialect: str


def own_trades(
    path: Path | str,
    market: MarketData,
    *,
    horizon: int = 64,
    trader: str = "local",
    reading: Mapping[str, Any] | None = None,
    **account: Any,
) -> OwnTrades:
    """Episodes of the fills in a broker's file.

    Windows follow each other from the bar before an asset's first fill; those without a fill, and
    those with a round trip that does not fit the bars, give no episode. An episode's account holds
    the whole account's equity when its window begins, and trades the one asset.

    Args:
        path: the file, see `market.read_fills`.
        market: the bars.
        horizon: bars of an episode, L; fewer where the market has fewer.
        trader: named as the episodes' source.
        reading: options of `market.read_fills`.
        **account: options of `market.replay_fills`: cash, holdings, names, splits, short and
            keep_duplicates.

    Raises:
        FeedbackError: the horizon is too short.
        MarketDataError: the file or its fills cannot be used at all.

    """
    if horizon < _FEWEST_BARS:
        raise FeedbackError(f"horizon is {horizon}; expected at least {_FEWEST_BARS} bars.")
    fills = read_fills(path, **(reading or {}))
    found = replay_fills(fills, market, **account)
    length = min(horizon, market.bars - 1)
    episodes, shown = [], set[int]()
    for symbol, placed in found.placed.items():
        column = market.symbols.index(symbol)
        bars = sorted({p.bar for p in placed if p.bar > 0})
        for start in _windows(bars, length, market.bars):
            rows = slice(start + 1, start + length + 1)
            whole = found.usable[rows, column].all() and found.equity[start] > 0
            inside = [p for p in placed if start < p.bar <= start + length]
            if not whole or not inside:
                continue
            episode = _episode(market, found, column, start, length, trader, inside)
            if (episode.equity > 0).all():
                episodes.append(episode)
                shown |= {p.fill.row for p in inside}
    findings = (*fills.findings, *found.findings)
    fate = {int(f.place.removeprefix("row ")): "left out" for f in findings if f.place}
    fate |= {fill.row: "left out" for fill in fills.fills}
    fate |= {row: "account" for row in (*found.counted, *(d[0] for d in fills.deposits))}
    fate |= {row: "episode" for row in shown}
    return OwnTrades(episodes, found, dict(sorted(fate.items())), findings, fills.dialect)


def _windows(bars: list[int], length: int, total: int) -> Iterator[int]:
    """First bars of windows that hold the bars of all fills; they follow each other if near."""
    start = -length
    for bar in bars:
        if bar <= start + length:
            continue
        end = start + length
        start = end if start >= 0 and bar - end <= length else bar - 1
        start = min(start, total - 1 - length)
        yield start


def _episode(
    market: MarketData,
    account: FillAccount,
    column: int,
    start: int,
    length: int,
    trader: str,
    inside: Sequence[Any],
) -> Episode:
    """The window's trading of one asset, as an account that begins with equity 1."""
    bars, rows = slice(start, start + length + 1), slice(start + 1, start + length + 1)
    base, shares = float(account.equity[start]), account.shares[bars, column]
    worth = shares * market.close[bars, column]
    earned = np.cumsum(account.paid[rows, column]) + worth[1:] - worth[0]
    equity = np.concatenate([[1.0], 1.0 + earned / base])
    notional, traded = account.notional[rows, column], account.traded[rows, column]
    prices: dict[str, Any] = {
        name: np.ascontiguousarray(getattr(market, name)[bars, column]) for name in FIELDS
    }
    return Episode(
        **prices,
        timestamps=market.timestamps[bars],
        position=worth[1:] / (base * equity[1:]),
        equity=equity,
        turnover=notional / (base * equity[:-1]),
        costs=account.fees[rows, column] / base,
        price=np.divide(notional, traded, out=np.full(length, np.nan), where=traded > 0),
        symbol=market.symbols[column],
        market=market.sha256,
        start=start,
        source=f"{OWN_SOURCE}{trader}",
        meta={
            "equity_before": base,
            "fills": [
                [p.fill.row, p.bar - start, p.fill.quantity, p.fill.price, p.fill.fee]
                for p in inside
            ],
        },
    )
