"""Trials counted and sealed bars kept shut: what makes the verdict on a backtest honest.

The best of many trials looks better than it is, and bars that were looked at before are no test
any more. A feedback store counts both per data set, which it knows by its bars
(`tradinghf.feedback.store.Store.recognise`). Scripts, notebooks, the command line and the dashboard
all count through `Study`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from tradinghf.errors import ConfigError
from tradinghf.evaluation._seals import (
    Notify,
    check_reason,
    refuse_sealed,
    visible_bars,
    warn,
)
from tradinghf.feedback import leaderboard
from tradinghf.feedback.store import DataSet, Store, locate
from tradinghf.market import Floats, MarketData, load_market

DEFAULT_STORE = "store"


@dataclass(frozen=True, eq=False)
class Study:
    """Bars to try something on, and the store that counts the trials.

    Attributes:
        data_set: the bars as they were loaded; trials are counted on them, whatever the window.
        market: the bars of the window, without sealed ones.
        store: counts the trials; None where there is no store.
        store_name: the store's name, as it was given.
        known: what the store knows of the data set.

    """

    data_set: MarketData
    market: MarketData
    store: Store | None = None
    store_name: str = ""
    known: DataSet | None = None

    @classmethod
    def uncounted(cls, market: MarketData) -> Self:
        """Bars that were opened and are counted elsewhere."""
        return cls(market, market)

    def trials_text(self) -> str:
        """How many trials of this data set are counted where; why none are without a store."""
        if self.store is None:
            return "Trials are not counted: there is no store here; --store FOLDER counts them."
        trials = self.store.trials(self.data_set.sha256)
        where = store_without_password(self.store_name)
        return f"Trials of {self.data_set.name} so far: {trials:,}, counted in {where}."

    def count_trials(self, kind: str, name: str, variants: Sequence[Mapping[str, Any]]) -> int:
        """Count variants in the store; how many trials this data set has seen by now.

        Args:
            kind: "backtest", "sweep", "walkforward" ...
            name: strategy or policy.
            variants: what distinguishes each trial; the window is added.

        """
        if self.store is None or self.known is None:
            return max(len(variants), 1)
        sha256, ends = self.data_set.sha256, window(self.market, self.known)
        self.store.count_trials(kind, name, sha256, [{**v, **ends} for v in variants])
        return max(self.store.trials(sha256), len(variants), 1)

    def fingerprint(self, orders: Floats) -> str:
        """Hash of [T, A] orders, for what has no name and parameters to tell variants apart by.

        Only orders on bars of the data set's first version count: appended bars make no new trial.
        """
        kept = orders
        if self.known is not None:
            index = self.market.index
            first, last = pd.Timestamp(self.known.first), pd.Timestamp(self.known.last)
            inside = np.asarray((index >= first) & (index <= last))
            kept = orders[inside] if inside.any() else orders
        plain = np.where(np.isnan(kept), np.nan, kept + 0.0)
        return hashlib.sha256(plain.astype("<f8").tobytes()).hexdigest()[:16]

    def standing(self, source: str) -> dict[str, Any] | None:
        """What raters think of a strategy or policy: its line of the leaderboard, or None."""
        if self.store is None:
            return None
        rankings = self.store.rankings(purposes=("learn", "test"))
        # A policy's episodes name how much it explored; 0 is the policy itself.
        sources = (source, f"{source}-0")
        lines = leaderboard(rankings, self.store.sources()).standings
        return next((asdict(line) for line in lines if line.source in sources), None)


Record = bool | str | Path | Study
"""Where trials are counted: True: ./store, where there is one; False: nowhere; a store's name; or
a study that is open already."""


@contextmanager
def open_study(
    data: str,
    start: str | None = None,
    end: str | None = None,
    *,
    store: str | None = None,
    open_sealed: str | None = None,
    purpose: str,
    notify: Notify = warn,
) -> Iterator[Study]:
    """Load bars to try something on, next to the store that counts the trials.

    Args:
        data: what `load_market` takes.
        start, end: first and last day or year, inclusive.
        store: a folder, a .db file, or a URL, made if need be; None: ./store where it exists.
        open_sealed: why sealed bars are needed; None leaves them out.
        purpose: what is tried, for the log of openings ("backtest sma_cross").
        notify: called with a sentence where sealed bars are left out or opened, and where the
            past of the data has changed.

    Raises:
        ConfigError: all bars asked for are sealed, or `open_sealed` without a store or a reason.

    """
    check_reason(open_sealed)
    data_set = load_market(data)
    market = data_set.between(start, end)
    name = _store_name(store)
    if name is None:
        _need_no_store(open_sealed)
        yield Study(data_set, market)
        return
    with Store(name) as opened:
        known = recognised(opened, data_set, notify)
        visible = visible_bars(data_set, market, opened, open_sealed, purpose, notify)
        yield Study(data_set, visible, opened, name, known)


def open_bars(
    data: str,
    start: str | None = None,
    end: str | None = None,
    *,
    store: str,
    notify: Notify = warn,
) -> MarketData:
    """Bars without those that a store keeps sealed, for what shows them to people.

    Raises:
        ConfigError: all bars asked for are sealed.

    """
    place = locate(store)
    if place.sqlite and not place.database.is_file():  # nothing is sealed where no store is
        return load_market(data).between(start, end)
    with open_study(data, start, end, store=store, purpose="show", notify=notify) as study:
        return study.market


@contextmanager
def study_of(
    market: MarketData, record: Record, open_sealed: str | None, purpose: str
) -> Iterator[Study]:
    """The study that bars in hand belong to: what `backtest`, `sweep` and the like go through.

    Sealed bars are refused, not left out: the caller holds them, and perhaps weights for them.

    Args:
        market: the bars.
        record: where trials are counted. False counts none; ./store still keeps its seals.
        open_sealed: why sealed bars are needed; None refuses them.
        purpose: what is tried.

    Raises:
        ConfigError: some bars are sealed, or `open_sealed` without a store or a reason.

    """
    check_reason(open_sealed)
    if isinstance(record, Study):
        if market is not record.market and record.store is not None:
            refuse_sealed(record.data_set, market, record.store, open_sealed, purpose, warn)
        yield replace(record, market=market)
        return
    name = _store_name(None if isinstance(record, bool) else str(record))
    if name is None:
        _need_no_store(open_sealed)
        yield Study.uncounted(market)
        return
    with Store(name) as opened:
        known = recognised(opened, market, warn)
        refuse_sealed(market, market, opened, open_sealed, purpose, warn)
        counted = opened if record is not False else None
        yield Study(market, market, counted, name, known)


def recognised(store: Store, data_set: MarketData, notify: Notify) -> DataSet:
    """What the store knows of a data set; says so where its past has changed."""
    known = store.recognise(data_set)
    if known.said:
        notify(known.said)
    return known


def window(market: MarketData, known: DataSet) -> dict[str, str]:
    """The ends of a trial's window.

    A window that reaches to an end of all known bars is that of the data set's first version, so
    that the same trial on appended bars is the same trial.
    """
    first, last = str(market.index[0]), str(market.index[-1])
    return {
        "from": known.first if first <= known.known_first else first,
        "to": known.last if last >= known.known_last else last,
    }


def store_without_password(store: str) -> str:
    """A store's name for people: as it was given; of a URL without its password."""
    return str(locate(store)) if "://" in store else store


def trial_name(x: Any) -> str:
    """The name under which trials of a strategy or policy are counted, and raters know it."""
    fingerprint = getattr(x, "fingerprint", None)
    return str(x.name) if fingerprint is None else f"policy:{fingerprint}"


def default_store_exists() -> bool:
    """Whether there is a store in the working folder."""
    return locate(DEFAULT_STORE).database.is_file()


def _store_name(store: str | None) -> str | None:
    if store is not None:
        return store
    return DEFAULT_STORE if default_store_exists() else None


def _need_no_store(open_sealed: str | None) -> None:
    if open_sealed is not None:
        raise ConfigError("--open-sealed needs a store to log it in; name one with --store.")
