"""The study of a training run: its last bar, its looks at test bars, its policies as trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tradinghf.errors import ConfigError
from tradinghf.evaluation._seals import (
    USE_SEALED,
    Notify,
    bars_before,
    check_reason,
    day_before,
    first_sealed_day,
    left_out,
    log_opening,
    warn,
)
from tradinghf.evaluation._study import (
    DEFAULT_STORE,
    default_store_exists,
    recognised,
    trial_name,
    window,
)
from tradinghf.feedback.store import Store, locate
from tradinghf.market import MarketData, drawn_again, load_market


@dataclass(frozen=True)
class RunStudy:
    """A training run's data set, and the store that counts its openings and its policies.

    Attributes:
        data: what the run loads its bars from.
        store: a folder, a .db file, or a URL; see `store_for_run`.
        open_sealed: why sealed bars are needed; None leaves them out.
        notify: called with a sentence where sealed bars are left out, and where the past of the
            data has changed.

    Raises:
        ConfigError: `open_sealed` has no words.

    """

    data: str
    store: str
    open_sealed: str | None = None
    notify: Notify = warn

    def __post_init__(self) -> None:
        check_reason(self.open_sealed)

    def last_day(self) -> str | None:
        """Last day that the run may use; None: all, as nothing is sealed or it may be opened."""
        found = locate(self.store)
        if drawn_again(self.data) or (found.sqlite and not found.database.is_file()):
            return None
        data_set = load_market(self.data)
        with Store(self.store) as store:
            recognised(store, data_set, self.notify)
            first = first_sealed_day(data_set, store)
        if first is None or self.open_sealed is not None:
            return None
        self.notify(left_out(first))
        return day_before(first)

    def log_test_opening(self, test: MarketData, purpose: str) -> int:
        """Log that a run opens its test bars; returns how often that data set's were opened.

        Raises:
            ConfigError: some of these bars are sealed, and there is no reason to open them.

        """
        with self._opened(test) as (store, data_set):
            first = first_sealed_day(data_set, store)
            if first and self.open_sealed is None and bars_before(test, first) < test.bars:
                raise ConfigError(f"Its test bars are sealed from {first} on; {USE_SEALED}")
            return log_opening(data_set, store, purpose, self.open_sealed or "test bars of a run")

    def count_policies(self, test: MarketData, policies: Sequence[Any]) -> int:
        """Count trained policies as trials of their data; returns how many there are by now."""
        with self._opened(test) as (store, data_set):
            ends = window(test, store.recognise(data_set))
            for policy in policies:
                store.count_trial("training", trial_name(policy), data_set.sha256, ends)
            return max(store.trials(data_set.sha256), 1)

    @contextmanager
    def _opened(self, test: MarketData) -> Iterator[tuple[Store, MarketData]]:
        """The store, and the data set that test bars belong to, which it knows."""
        data_set = test if drawn_again(self.data) else load_market(self.data)
        with Store(self.store) as store:
            store.recognise(data_set)
            yield store, data_set


def store_for_run(store: str | None, run: Path) -> str:
    """Where a run's openings and trials are counted: `store`, else ./store, else RUN/store."""
    if store is not None:
        return store
    return DEFAULT_STORE if default_store_exists() else str(run / "store")
