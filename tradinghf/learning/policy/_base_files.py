"""The files of the strategies that a policy modulates: has one changed since it was trained?"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

from tradinghf.config import EnvConfig
from tradinghf.resources import resource_dir

_SHOWN = 12  # digits of a hash


def base_files(config: EnvConfig) -> dict[str, str]:
    """Base -> SHA-256 of its file; bases without a file that can be read are left out."""
    found = {}
    for text in config.overlay.bases if config.overlay is not None else ():
        try:
            found[text] = hashlib.sha256(_file(text).read_bytes()).hexdigest()
        except OSError:  # of a notebook, or read elsewhere: trading says what is missing
            continue
    return found


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


def _file(text: str) -> Path:
    """FILE.py of "FILE.py:function:fast=10"; of a name, the strategy that ships."""
    own = re.match(r"(.+?\.py)(:|$)", text)
    return Path(own[1]) if own else resource_dir("strategies") / f"{text.partition(':')[0]}.py"
