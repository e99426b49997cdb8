"""The settings of markets, costs and environments: frozen dataclasses, with units.

A config that exists is valid: `__post_init__` raises `ConfigError` otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from tradinghf.config._account import Brackets, Margin, Side, TradingRules
from tradinghf.config._costs import CostModel
from tradinghf.config._task import Allocation, Autoreset, EnvConfig, Fill, Overlay, Randomisation
from tradinghf.errors import ConfigError

__all__ = [
    "Allocation",
    "Autoreset",
    "Brackets",
    "CostModel",
    "EnvConfig",
    "Fill",
    "Margin",
    "Overlay",
    "Randomisation",
    "Side",
    "TradingRules",
    "settings_of",
    "to_dict",
]

_Settings = TypeVar("_Settings")


def settings_of(kind: type[_Settings], given: object, name: str) -> _Settings:
    """The settings that a caller gave: an instance, a dict of its fields, or None for defaults.

    Args:
        kind: a dataclass of settings.
        given: what came.
        name: of the argument, for messages.

    Raises:
        ConfigError: something else came.

    """
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    if isinstance(given, Mapping):
        return kind(**given)
    raise ConfigError(
        f"{name} is {given!r}, a {type(given).__name__}; expected {kind.__name__}(...), a dict of "
        "its settings, or None for the defaults."
    )


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON-ready values."""
    return asdict(config)
