"""Names of episodes' sources as traders read them, and what sort of trading each is."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

_Kind = Literal["strategy", "policy", "reference", "other"]
SOURCE_KINDS: dict[_Kind, str] = {
    "strategy": "Shipped strategies",
    "policy": "Policies",
    "reference": "Reference behaviour",
    "other": "Others",
}
_SHORTEST_FINGERPRINT = 8
_HELD = re.compile(r"hold_([+-]?[0-9.]+)")
_RANDOM = re.compile(r"random_([0-9.]+)")
_LOOP = re.compile(r"policy:([0-9]+)-([0-9]+)-([0-9.]+)")
_TRAINED = re.compile(r"policy:([0-9a-f]{12,64})(?:-([0-9.]+))?")


def source_label(source: str) -> str:
    """A source in plain words: "hold_-1" is "always short", "sma_cross" is "sma cross"."""
    if found := _HELD.fullmatch(source):
        return _standing(float(found[1]))
    if found := _RANDOM.fullmatch(source):
        return f"random ({found[1]} bars)"
    if found := _LOOP.fullmatch(source):
        age = int(found[2])
        earlier = f", {age} before" if age else ""
        return f"policy of step {found[1]}{earlier}{_exploring(found[3])}"
    if found := _TRAINED.fullmatch(source):
        return f"policy {found[1][:_SHORTEST_FINGERPRINT]}{_exploring(found[2] or '0')}"
    if source.startswith("policy:"):
        return f"policy {source.removeprefix('policy:')}"
    return source.replace("_", " ")


def source_kind(source: str, shipped: Collection[str]) -> _Kind:
    """What sort of trading a source is.

    Args:
        source: as stored.
        shipped: names of the shipped strategies.

    """
    if _HELD.fullmatch(source) or _RANDOM.fullmatch(source):
        return "reference"
    if source == "policy" or source.startswith("policy:"):
        return "policy"
    return "strategy" if source in shipped else "other"


def _standing(level: float) -> str:
    if level == 0:
        return "always flat"
    side = "long" if level > 0 else "short"
    return f"always {side}" if abs(level) == 1 else f"always {100 * abs(level):.0f} % {side}"


def _exploring(share: str) -> str:
    """How much a policy explored while it was recorded; nothing for its best actions."""
    value = float(share)
    if value == 0:
        return ""
    return ", sampled" if value == 1 else f", {100 * value:.0f} % random"
