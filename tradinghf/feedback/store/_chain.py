"""Hash chains over answers and journal: each hash covers a row's content and the hash before it.

Whoever changes, removes or inserts an old answer must recompute every later hash, and then the
head no longer equals one written down elsewhere (an export, a report). These functions can never
change: stored hashes depend on every byte of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

GENESIS = "0" * 64
HASHED_COLUMNS = (
    "seq", "key", "query", "rater", "session", "created", "received", "seconds", "outcome",
    "comment", "supersedes",
)  # fmt: skip


def link(previous: str, row: Mapping[str, Any], panels: Sequence[Sequence[Any]]) -> str:
    """Hash of one answer.

    Args:
        previous: hash of the answer before, `GENESIS` for the first.
        row: columns of `rankings`; `HASHED_COLUMNS` are covered.
        panels: (episode, rank, rating) of each panel, in order.

    Returns:
        sha256(previous + canonical JSON), hexadecimal.

    """
    content = {name: row[name] for name in HASHED_COLUMNS}
    content["panels"] = [list(panel) for panel in panels]
    return hashlib.sha256((previous + _canonical(content)).encode()).hexdigest()


def digest(content: Mapping[str, Any]) -> str:
    """sha256 of a row's content as canonical JSON, hexadecimal."""
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def journal_link(previous: str, entry: Sequence[Any]) -> str:
    """Hash of one entry of the journal: (seq, kind, name, digest) after `previous`."""
    return hashlib.sha256((previous + _canonical(list(entry))).encode()).hexdigest()


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
