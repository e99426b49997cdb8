"""`tradinghf store`: copy the feedback, put it back, and prove that it is whole."""

from __future__ import annotations

from tyro.conf import Positional

from tradinghf.cli import _output as output
from tradinghf.cli._feedback import open_store
from tradinghf.cli._options import Anchor, InputPath, OutputPath, StoreName


def store_backup(folder: Positional[OutputPath], /, *, store: StoreName = "store") -> None:
    """Copy a feedback store, also while others write to it, into a new folder.

    The copy is itself a store, with a manifest of hashes. It holds everything: episodes,
    questions, answers, counted backtests, and the accounts of the dashboard.

    Example: `tradinghf store backup backups/monday --store store`

    Args:
        folder: A new or empty folder.
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.

    """
    with open_store(store) as bank:
        place = bank.backup(folder)
        found = bank.health()
    output.line(f"{found['rankings']:,} rankings and {found['episodes']:,} episodes: {place}")
    output.line(f"Check it: tradinghf store verify --store {place}")


def store_restore(folder: Positional[InputPath], /, *, store: StoreName = "store") -> None:
    """Put a backup back, after checking its hashes, where no store is.

    Example: `tradinghf store restore backups/monday --store store`

    Args:
        folder: Written by `tradinghf store backup`.
        store: Where the store shall be: a new folder, or the URL of an empty database.

    """
    from tradinghf.feedback.store import Store, restore

    restore(folder, store)
    with Store(store) as bank:
        found = bank.health()
    output.line(f"{found['rankings']:,} rankings and {found['episodes']:,} episodes: {store}")


def store_verify(*, store: StoreName = "store", anchor: Anchor = None) -> int:
    """Check every row, every file and the hash chains; exit code 1 when something is wrong.

    A backup is checked without changing it. Note the head that is printed somewhere else: with
    --anchor it proves later that nothing from before was changed, taken out or cut off.

    Example: `tradinghf store verify --store store`

    Args:
        store: Where feedback is kept: a folder, a .db file, or a postgresql:// URL.
        anchor: A head noted earlier, which the chain must contain.

    """
    from tradinghf.feedback.store import is_backup, verify_backup

    if is_backup(store):
        found = verify_backup(store, anchor)
    else:
        with open_store(store) as bank:
            found = bank.verify(anchor=anchor)
    output.pairs(
        {
            "rankings": found.rankings,
            "episode files": found.episodes,
            "head": found.journal,
            "of the answers alone": found.head,
        }
    )
    for problem in found.problems:
        output.line(f"PROBLEM: {problem}")
    output.line("The store is whole." if found.ok else "The store is damaged; see above.")
    return 0 if found.ok else 1
