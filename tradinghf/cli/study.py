"""What a command that tries something owes the reader: its trials counted, sealed bars shut."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tradinghf.cli import output
from tradinghf.errors import ConfigError

if TYPE_CHECKING:
    from tradinghf.evaluation.backtest import ActingPolicy
    from tradinghf.feedback.store import Store
    from tradinghf.market.data import MarketData
    from tradinghf.strategies import Strategy

DEFAULT_STORE = "store"
WEIGHTS = "policy.safetensors"
USE_SEALED = '--open-sealed "why" uses them and is logged.'


@dataclass(frozen=True, eq=False)
class Study:
    """Bars to try something on, and the store that counts the tries.

    Attributes:
        whole: the data set as it was loaded; trials are counted on it, whatever the window.
        market: the bars between --start and --end, without sealed ones.
        bank: the store, or None where there is none.
        store: its name, as it was given.

    """

    whole: MarketData
    market: MarketData
    bank: Store | None
    store: str = ""

    @property
    def counted(self) -> str:
        """How many trials of this data set are counted where; why none are without a store."""
        if self.bank is None:
            return "Trials are not counted: there is no store here; --store FOLDER counts them."
        trials = self.bank.trials(self.whole.sha256)
        return f"Trials of {self.whole.name} so far: {trials:,}, counted in {place(self.store)}."

    def count(self, kind: str, name: str, variants: Sequence[Mapping[str, Any]]) -> int:
        """Count variants in the store; how many trials this data set has seen by now.

        Args:
            kind: "backtest", "sweep", "walkforward" ...
            name: strategy or policy.
            variants: what distinguishes each trial; the window is added.

        """
        window = {"from": str(self.market.index[0]), "to": str(self.market.index[-1])}
        if self.bank is None:
            return max(len(variants), 1)
        self.bank.count_trials(kind, name, self.whole.sha256, [{**v, **window} for v in variants])
        return max(self.bank.trials(self.whole.sha256), len(variants), 1)

    def standing(self, source: str) -> dict[str, Any] | None:
        """What raters think of a source: its line of the leaderboard, None where there is none."""
        if self.bank is None:
            return None
        from tradinghf.feedback.ratings import leaderboard

        board = leaderboard(self.bank.rankings(purposes=("learn", "test")), self.bank.sources())
        # A policy's episodes name how much it explored; 0 is the policy itself.
        names = (source, f"{source}-0")
        lines = (asdict(line) for line in board.standings if line.source in names)
        return next(lines, None)


@contextmanager
def study(
    data: str,
    start: str | None,
    end: str | None,
    store: str | None,
    *,
    open_sealed: str | None = None,
    what: str,
) -> Iterator[Study]:
    """Load bars for a command that tries `what`, next to the store that counts it.

    Args:
        data, start, end: as the options of the same names.
        store: named by --store, and made if need be; None: ./store where it exists.
        open_sealed: why sealed bars are needed; None leaves them out.
        what: the command and its subject, for the log of openings.

    Raises:
        ConfigError: all bars asked for are sealed, or --open-sealed without a store.

    """
    from tradinghf.cli.market import load
    from tradinghf.feedback.store import Store

    whole = load(data)
    market = whole.between(start, end) if start or end else whole
    if store is None and has_store():
        store = DEFAULT_STORE
    if store is None:
        if open_sealed is not None:
            raise ConfigError("--open-sealed needs a store to log it in; name one with --store.")
        yield Study(whole, market, None)
        return
    with Store(store) as bank:
        yield Study(whole, unsealed(whole, market, bank, open_sealed, what), bank, store)


def has_store() -> bool:
    """Whether there is a ./store."""
    from tradinghf.feedback.store.engine import locate

    return locate(DEFAULT_STORE).database.is_file()


def unsealed(
    whole: MarketData, market: MarketData, bank: Store, reason: str | None, what: str
) -> MarketData:
    """`market` without sealed bars; or with them, after the opening was logged."""
    import pandas as pd

    first = sealed_from(whole, bank)
    if first is None:
        return market
    visible = int((market.index < pd.Timestamp(first, tz="UTC")).sum())
    if visible == market.bars:
        return market
    if reason is not None:
        number = log_opening(bank, whole, what, reason)
        output.line(f"Opening {number} of the bars from {first} on: logged.")
        return market
    if visible < 2:
        raise ConfigError(
            f"All bars asked for are sealed (from {first} on). Choose earlier ones with --end; "
            f"{USE_SEALED}"
        )
    output.line(f"Bars from {first} on are sealed and left out; {USE_SEALED}")
    return market.rows(0, visible)


def sealed_from(whole: MarketData, bank: Store) -> str | None:
    """First sealed day of a data set; a later seal can only seal more."""
    days = [note.name for note in bank.trial_log(whole.sha256, "seal")]
    return min(days, default=None)


def log_opening(bank: Store, whole: MarketData, what: str, reason: str) -> int:
    """Log who opened sealed or test bars, when and what for; returns how many openings so far."""
    note = {
        "who": getpass.getuser(),
        "at": datetime.now(UTC).isoformat(),
        "reason": reason,
    }
    bank.count_trial("opening", what, whole.sha256, note)
    return bank.trials(whole.sha256, kind="opening")


def ledger(store: str | None, run: Path) -> str:
    """Where a run's looks and trials are counted: `store`, else ./store, else RUN/store."""
    if store is not None and (store != DEFAULT_STORE or has_store()):
        return store
    return DEFAULT_STORE if has_store() else str(run / "store")


def place(store: str) -> str:
    """A store's name for people: as it was given; of a URL without its password."""
    from tradinghf.feedback.store.engine import locate

    return str(locate(store)) if "://" in store else store


def last_unsealed(data: str, store: str, reason: str | None) -> str | None:
    """Last day that a run on `data` may use; None: all, because nothing is sealed or `reason`."""
    from tradinghf.cli.market import load
    from tradinghf.feedback.store import Store
    from tradinghf.feedback.store.engine import locate
    from tradinghf.market.sources import drawn_again

    found = locate(store)
    if drawn_again(data) or (found.sqlite and not found.database.is_file()):
        return None
    with Store(store) as bank:
        first = sealed_from(load(data), bank)
    if first is None or reason is not None:
        return None
    output.line(f"Bars from {first} on are sealed and left out; {USE_SEALED}")
    return str(date.fromisoformat(first) - timedelta(days=1))


def log_look(data: str, test: MarketData, store: str, what: str, reason: str | None = None) -> int:
    """Log that a run opens its test bars; returns how often that data set's were opened.

    Raises:
        ConfigError: some of these bars are sealed, and there is no reason to open them.

    """
    import pandas as pd

    from tradinghf.feedback.store import Store

    whole = whole_of(data, test)
    with Store(store) as bank:
        first = sealed_from(whole, bank)
        if first and reason is None and test.index[-1] >= pd.Timestamp(first, tz="UTC"):
            raise ConfigError(f"Its test bars are sealed from {first} on; {USE_SEALED}")
        return log_opening(bank, whole, what, reason or "test bars of a run")


def count_run(data: str, test: MarketData, store: str, policies: Sequence[Any]) -> int:
    """Count trained policies as trials of their data; returns how many there are by now."""
    from tradinghf.feedback.store import Store

    whole = whole_of(data, test)
    window = {"from": str(test.index[0]), "to": str(test.index[-1])}
    with Store(store) as bank:
        for policy in policies:
            bank.count_trial("training", label(policy), whole.sha256, window)
        return max(bank.trials(whole.sha256), 1)


def whole_of(data: str, test: MarketData) -> MarketData:
    """The data set that test bars belong to; trials and openings are counted on it."""
    from tradinghf.cli.market import load
    from tradinghf.market.sources import drawn_again

    return test if drawn_again(data) else load(data)


def tradable(name: str, folder: Path | None = None) -> Strategy | ActingPolicy:
    """What a command's argument names: a saved policy, a run directory with one, or a strategy.

    Raises:
        CheckpointError: the policy file is missing or damaged.
        StrategyError: there is no such strategy.

    """
    path = Path(name)
    if path.suffix == ".safetensors" or (path / WEIGHTS).is_file():
        from tradinghf.learning.policy.saved import Policy

        return Policy.load(path / WEIGHTS if path.is_dir() else path)
    from tradinghf.strategies import load_strategy

    return load_strategy(name, folder)


def label(x: Any) -> str:
    """The name under which trials of a strategy or policy are counted, and raters know it."""
    mark = getattr(x, "fingerprint", None)
    return str(x.name) if mark is None else f"policy:{mark}"


__all__ = [
    "Study",
    "count_run",
    "label",
    "last_unsealed",
    "ledger",
    "log_look",
    "log_opening",
    "place",
    "sealed_from",
    "study",
    "tradable",
    "unsealed",
]
