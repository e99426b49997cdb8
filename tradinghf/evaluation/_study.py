"""Trials counted and sealed bars kept shut: what makes the verdict on a backtest honest.

The best of many trials looks better than it is, and bars that were looked at before are no test
any more. A feedback store counts both per data set, by the hash of its bars.
"""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from tradinghf.errors import ConfigError
from tradinghf.feedback import leaderboard
from tradinghf.feedback.store import Store, locate
from tradinghf.market import MarketData, drawn_again, load_market

_log = logging.getLogger(__name__)
_DEFAULT_STORE = "store"
_USE_SEALED = '--open-sealed "why" (open_sealed="why") uses them and is logged.'
Notify = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Study:
    """Bars to try something on, and the store that counts the trials.

    Attributes:
        data_set: the bars as they were loaded; trials are counted on them, whatever the window.
        market: the bars of the window, without sealed ones.
        store: counts the trials; None where there is no store.
        store_name: the store's name, as it was given.

    """

    data_set: MarketData
    market: MarketData
    store: Store | None
    store_name: str = ""

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
        if self.store is None:
            return max(len(variants), 1)
        window, sha256 = _window(self.market), self.data_set.sha256
        self.store.count_trials(kind, name, sha256, [{**v, **window} for v in variants])
        return max(self.store.trials(sha256), len(variants), 1)

    def standing(self, source: str) -> dict[str, Any] | None:
        """What raters think of a strategy or policy: its line of the leaderboard, or None."""
        if self.store is None:
            return None
        rankings = self.store.rankings(purposes=("learn", "test"))
        # A policy's episodes name how much it explored; 0 is the policy itself.
        sources = (source, f"{source}-0")
        lines = leaderboard(rankings, self.store.sources()).standings
        return next((asdict(line) for line in lines if line.source in sources), None)


@contextmanager
def open_study(
    data: str,
    start: str | None = None,
    end: str | None = None,
    *,
    store: str | None = None,
    open_sealed: str | None = None,
    purpose: str,
    notify: Notify = _log.warning,
) -> Iterator[Study]:
    """Load bars to try something on, next to the store that counts the trials.

    Args:
        data: what `load_market` takes.
        start, end: first and last day or year, inclusive.
        store: a folder, a .db file, or a URL, made if need be; None: ./store where it exists.
        open_sealed: why sealed bars are needed; None leaves them out.
        purpose: what is tried, for the log of openings ("backtest sma_cross").
        notify: called with a sentence where sealed bars are left out or opened.

    Raises:
        ConfigError: all bars asked for are sealed, or `open_sealed` without a store.

    """
    data_set = load_market(data)
    market = data_set.between(start, end)
    if store is None and _default_store_exists():
        store = _DEFAULT_STORE
    if store is None:
        if open_sealed is not None:
            raise ConfigError("--open-sealed needs a store to log it in; name one with --store.")
        yield Study(data_set, market, None)
        return
    with Store(store) as opened:
        visible = _visible_bars(data_set, market, opened, open_sealed, purpose, notify)
        yield Study(data_set, visible, opened, store)


@dataclass(frozen=True)
class RunStudy:
    """A training run's data set, and the store that counts its openings and its policies.

    Attributes:
        data: what the run loads its bars from.
        store: a folder, a .db file, or a URL; see `store_for_run`.
        open_sealed: why sealed bars are needed; None leaves them out.
        notify: called with a sentence where sealed bars are left out.

    """

    data: str
    store: str
    open_sealed: str | None = None
    notify: Notify = _log.warning

    def last_day(self) -> str | None:
        """Last day that the run may use; None: all, as nothing is sealed or it may be opened."""
        found = locate(self.store)
        if drawn_again(self.data) or (found.sqlite and not found.database.is_file()):
            return None
        with Store(self.store) as store:
            first = first_sealed_day(load_market(self.data), store)
        if first is None or self.open_sealed is not None:
            return None
        self.notify(_left_out(first))
        return str(date.fromisoformat(first) - timedelta(days=1))

    def log_test_opening(self, test: MarketData, purpose: str) -> int:
        """Log that a run opens its test bars; returns how often that data set's were opened.

        Raises:
            ConfigError: some of these bars are sealed, and there is no reason to open them.

        """
        data_set = self._data_set(test)
        with Store(self.store) as store:
            first = first_sealed_day(data_set, store)
            if first and self.open_sealed is None and test.index[-1] >= _midnight(first):
                raise ConfigError(f"Its test bars are sealed from {first} on; {_USE_SEALED}")
            return _log_opening(data_set, store, purpose, self.open_sealed or "test bars of a run")

    def count_policies(self, test: MarketData, policies: Sequence[Any]) -> int:
        """Count trained policies as trials of their data; returns how many there are by now."""
        sha256 = self._data_set(test).sha256
        with Store(self.store) as store:
            for policy in policies:
                store.count_trial("training", trial_name(policy), sha256, _window(test))
            return max(store.trials(sha256), 1)

    def _data_set(self, test: MarketData) -> MarketData:
        """The data set that test bars belong to; trials and openings are counted on it."""
        return test if drawn_again(self.data) else load_market(self.data)


def store_for_run(store: str | None, run: Path) -> str:
    """Where a run's openings and trials are counted: `store`, else ./store, else RUN/store."""
    if store is not None and (store != _DEFAULT_STORE or _default_store_exists()):
        return store
    return _DEFAULT_STORE if _default_store_exists() else str(run / "store")


def store_without_password(store: str) -> str:
    """A store's name for people: as it was given; of a URL without its password."""
    return str(locate(store)) if "://" in store else store


def first_sealed_day(data_set: MarketData, store: Store) -> str | None:
    """First sealed day of a data set; a later seal can only seal more."""
    return min((seal.name for seal in store.trial_log(data_set.sha256, "seal")), default=None)


def trial_name(x: Any) -> str:
    """The name under which trials of a strategy or policy are counted, and raters know it."""
    fingerprint = getattr(x, "fingerprint", None)
    return str(x.name) if fingerprint is None else f"policy:{fingerprint}"


def _visible_bars(
    data_set: MarketData,
    market: MarketData,
    store: Store,
    open_sealed: str | None,
    purpose: str,
    notify: Notify,
) -> MarketData:
    """`market` without sealed bars; or with them, after the opening was logged."""
    first = first_sealed_day(data_set, store)
    if first is None:
        return market
    visible = int((market.index < _midnight(first)).sum())
    if visible == market.bars:
        return market
    if open_sealed is not None:
        number = _log_opening(data_set, store, purpose, open_sealed)
        notify(f"Opening {number} of the bars from {first} on: logged.")
        return market
    if visible < 2:
        raise ConfigError(
            f"All bars asked for are sealed (from {first} on). Choose earlier ones with --end; "
            f"{_USE_SEALED}"
        )
    notify(_left_out(first))
    return market.rows(0, visible)


def _left_out(first_sealed: str) -> str:
    return f"Bars from {first_sealed} on are sealed and left out; {_USE_SEALED}"


def _log_opening(data_set: MarketData, store: Store, purpose: str, reason: str) -> int:
    """Log who opened sealed or test bars, when and what for; returns how many openings so far."""
    note = {"who": getpass.getuser(), "at": datetime.now(UTC).isoformat(), "reason": reason}
    store.count_trial("opening", purpose, data_set.sha256, note)
    return store.trials(data_set.sha256, kind="opening")


def _window(market: MarketData) -> dict[str, str]:
    return {"from": str(market.index[0]), "to": str(market.index[-1])}


def _midnight(day: str) -> pd.Timestamp:
    return pd.Timestamp(day, tz="UTC")


def _default_store_exists() -> bool:
    return locate(_DEFAULT_STORE).database.is_file()
