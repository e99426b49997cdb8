"""The files of the strategies that a policy modulates: has one changed since it was trained?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from tradinghf.config import EnvConfig
from tradinghf.resources import strategy_hashes

_SHOWN = 12  # digits of a hash


def base_files(config: EnvConfig) -> dict[str, str]:
    """Base -> SHA-256 of its file; see `resources.strategy_hashes`."""
    return strategy_hashes(() if config.overlay is None else config.overlay.bases)


def warn_of_changes(policy: str, then: Mapping[str, str], config: EnvConfig) -> None:
    """Say aloud that a base is not the one that a policy was trained on.

    Args:
        policy: its name.
        then: `base_files` when it was saved.
        config: its task.

    """
    now = base_files(config)
    for text, before in then.items():
        if now.get(text, before) != before:
            warnings.warn(
                f"The base {text} changed since the policy {policy!r} was saved (its file was "
                f"{before[:_SHOWN]} then, {now[text][:_SHOWN]} now, by SHA-256): the policy "
                "modulates another strategy than it learned with. Restore the file, or train "
                "again.",
                stacklevel=3,
            )
