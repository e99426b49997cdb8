"""Options that several commands share: their types, and how help shows their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from tradinghf.errors import ConfigError

Start = Annotated[str | None, arg(help_behavior_hint="(default: the first bar)")]
End = Annotated[str | None, arg(help_behavior_hint="(default: the last bar)")]
Date = Annotated[str | None, arg(help_behavior_hint="(default: by share of the bars)")]
Folder = Annotated[Path | None, arg(help_behavior_hint="(default: the bundled one)")]
Output = Annotated[Path | None, arg(help_behavior_hint="(default: none)")]
Names = Annotated[
    tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all bundled ones)")
]
Bank = Annotated[str, arg(metavar="FOLDER|URL")]
Ledger = Annotated[
    str | None, arg(metavar="FOLDER|URL", help_behavior_hint="(default: ./store, if there is one)")
]
Opening = Annotated[
    str | None, arg(metavar="REASON", help_behavior_hint="(default: sealed bars are left out)")
]
Settings = Annotated[
    tuple[str, ...],
    arg(name="set", metavar="NAME=VALUE ...", help_behavior_hint="(default: the strategy's own)"),
]


def settings(items: tuple[str, ...]) -> dict[str, str]:
    """{"fast": "10"} from ("fast=10",); the strategy converts the text.

    Raises:
        ConfigError: an item is not NAME=VALUE.

    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise ConfigError(f"--set got {item!r}; expected NAME=VALUE, such as fast=10.")
        found[name] = value
    return found
